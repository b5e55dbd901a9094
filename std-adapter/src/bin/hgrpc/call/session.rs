//! A connection for calls, and what ends it early: signals, and time that is up.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::Revision;
use hgrpc_std::blocking::{Client, Config, Transport};
use hgrpc_std::transport::{Address, Handle, Options, Reader};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{self, Failure};
use crate::units::Shown;

/// How long the peer may take to close its side when this one has: a program, to end.
const GRACE: Duration = Duration::from_secs(1);
/// How long the run may take to end in order, before it is ended at once.
const AT_MOST: Duration = Duration::from_secs(3);

/// Why this end gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A signal, by its number.
    Signal(i32),
    /// This much time has passed.
    Time(Duration),
}

/// A connection.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) revision: Revision,
    watch: Arc<Watch>,
    exit_status: Arc<OnceLock<ExitStatus>>,
    /// Disconnected when the reading half is gone.
    gone: Mutex<Receiver<()>>,
}

/// What the threads that may end the connection share.
#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    cause: OnceLock<Cause>,
}

#[derive(Default)]
struct State {
    handle: Option<Handle>,
    /// Removed if the process is ended at once.
    temporary: Vec<PathBuf>,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, for the first cause that there is; asked again, or if that does not end
    /// the process, all of it.
    fn end(self: &Arc<Self>, cause: Cause) {
        let is_again = self.cause.set(cause).is_err();
        let handle = self.state().handle.clone();
        let Some(handle) = handle.filter(|_| !is_again) else {
            return self.exit(cause);
        };
        handle.close();
        let watch = Arc::clone(self);
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(AT_MOST);
            watch.exit(cause);
        });
    }

    /// Ends the process. The output may be blocked, so nothing waits for it.
    fn exit(&self, cause: Cause) {
        for path in &self.state().temporary {
            let _ = std::fs::remove_file(path);
        }
        let failure = cause.failure();
        exit::report(failure.message().unwrap_or_default());
        std::process::exit(failure.code().into());
    }
}

impl Cause {
    fn failure(self) -> Failure {
        match self {
            Self::Signal(signal) => Failure::Interrupted(signal),
            Self::Time(time) => Failure::Connection(format!("not done within {}", Shown(time))),
        }
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// There is no server, or it did not answer in time.
    pub(super) fn connect(
        address: &Address,
        config: &Config,
        options: &Options,
    ) -> Result<Self, Failure> {
        let watch = Arc::new(Watch::default());
        watch_signals(&watch)
            .map_err(|error| Failure::Io(format!("cannot watch for signals: {error}")))?;
        let connection = address
            .connect_with(options)
            .map_err(|error| Failure::Connection(error.to_string()))?;
        let (reader, writer, handle) = connection.into_parts();
        watch.state().handle = Some(handle.clone());
        let exit_status = Arc::new(OnceLock::new());
        let (alive, gone) = mpsc::channel();
        let reader = Watched {
            reader,
            handle: handle.clone(),
            exit_status: Arc::clone(&exit_status),
            _alive: alive,
        };
        let mut transport = Transport::new(reader, writer);
        if !matches!(address, Address::Exec { .. }) {
            transport = transport.on_close(move || handle.close());
        }
        // A program sees the end of its input instead, and may end in order.
        let client = Client::new(transport, config)
            .map_err(|error| Failure::Io(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            client,
            revision: config.revision,
            watch,
            exit_status,
            gone: Mutex::new(gone),
        })
    }

    /// Why this end gave up, if it did.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.watch.cause.get().copied()
    }

    /// How the program ended that the connection went to.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        // A write may have failed before the end of its output was read.
        let handle = self.watch.state().handle.clone();
        self.exit_status
            .get()
            .copied()
            .or_else(|| handle?.exit_status())
    }

    /// Ends the connection at this instant, which is the end of that time.
    pub(super) fn end_at(&self, deadline: Instant, time: Duration) {
        let watch = Arc::clone(&self.watch);
        // Without the thread, it takes longer.
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
            watch.end(Cause::Time(time));
        });
    }

    /// Ends the connection unless what is returned is dropped within this time.
    pub(super) fn end_unless_done(&self, time: Duration) -> Sender<()> {
        let (alive, done) = mpsc::channel();
        let watch = Arc::clone(&self.watch);
        let _ = thread::Builder::new().spawn(move || {
            if done.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                watch.end(Cause::Time(time));
            }
        });
        alive
    }

    /// Removes a file if the process has to be ended at once.
    pub(super) fn remove_if_cut(&self, path: Option<PathBuf>) {
        self.watch.state().temporary.extend(path);
    }

    /// Closes the connection, and waits for a program at its other end.
    pub(super) fn close(&self) {
        self.client.close();
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.recv_timeout(GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
            if let Some(handle) = &self.watch.state().handle {
                handle.close();
            }
            let _ = gone.recv_timeout(GRACE + GRACE / 2);
        }
    }
}

/// Ends the connection on Ctrl-C and `SIGTERM`. Not on `SIGHUP`, which `nohup` has ignored.
fn watch_signals(watch: &Arc<Watch>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let watch = Arc::clone(watch);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                watch.end(Cause::Signal(signal));
            }
        })
        .map(drop)
}

/// A reading half that keeps how the program at its other end has ended.
struct Watched {
    reader: Reader,
    handle: Handle,
    exit_status: Arc<OnceLock<ExitStatus>>,
    /// Dropped last: by then the program has ended.
    _alive: Sender<()>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        if matches!(result, Ok(0) | Err(_))
            && let Some(status) = self.handle.exit_status()
        {
            let _ = self.exit_status.set(status);
        }
        result
    }
}
