//! A connection for calls, and what ends it early: signals, and time that is up.
//!
//! ```text
//!   main thread   makes the call and prints its result; for a batch it waits for `--jobs` threads
//!                 that do: printing may block
//!   runtime       2 threads: the connection's driver, and what comes beside results; more while
//!                 data is read from a file or standard input, which may block too
//!   signals       a thread waits for them; another sleeps until the time is up, if there is a limit
//!   log           a thread writes to the error output, which may block too: see `stderr`
//! ```

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::Revision;
use hgrpc_std::tokio::transport::{Left, Program};
use hgrpc_std::tokio::{Client, Config};
use hgrpc_std::transport::{Address, Options};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use crate::exit::{self, Failure};
use crate::stderr;
use crate::units::Shown;

/// How long the peer may take to close its side when this one has: a program, to end.
const GRACE: Duration = Duration::from_secs(1);
/// How long a peer that has sent nothing is waited for, to say whether it is slow or no server.
const ASK: Duration = Duration::from_millis(500);
/// How long the run may take to end in order, before it is ended at once.
const AT_MOST: Duration = Duration::from_secs(3);
/// How long the line may take that says why it was.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Why this end gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A signal, by its number.
    Signal(i32),
    /// This much time has passed.
    Time(Duration),
    /// Nobody has read the output for so long.
    Unread(Duration),
}

/// A connection.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) revision: Revision,
    /// Limits, for messages about them.
    pub(super) keepalive: Duration,
    pub(super) max_filesize: u64,
    pub(super) max_decode_ratio: u32,
    /// The peer speaks the link, which is hgrpc's own.
    pub(super) is_linked: bool,
    runtime: Handle,
    _background: Background,
    watch: Arc<Watch>,
    program: Option<Program>,
    left: Left,
}

/// A runtime that is not waited for: somebody may be reading standard input.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the threads that may end the connection share.
#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    cause: OnceLock<Cause>,
}

#[derive(Default)]
struct State {
    connection: Option<(Client, Option<Program>)>,
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
        let connection = self.state().connection.clone();
        let Some((client, program)) = connection.filter(|_| !is_again) else {
            return self.exit(cause);
        };
        client.close();
        if let Some(program) = program {
            program.end();
        }
        let watch = Arc::clone(self);
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(AT_MOST);
            watch.exit(cause);
        });
    }

    /// Ends the process. The output may be blocked, so nothing waits for it; for the error output,
    /// not for long.
    fn exit(&self, cause: Cause) {
        for path in &self.state().temporary {
            let _ = std::fs::remove_file(path);
        }
        let failure = cause.failure();
        exit::report(failure.message().unwrap_or_default());
        stderr::flush(LAST_LINE);
        std::process::exit(failure.code().into());
    }
}

impl Cause {
    fn failure(self) -> Failure {
        match self {
            Self::Signal(signal) => Failure::Interrupted(signal),
            Self::Time(time) => Failure::Connection(format!("not done within {}", Shown(time))),
            Self::Unread(time) => Failure::Connection(format!(
                "cannot write the output: nobody has read it for {}",
                Shown(time)
            )),
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
        let cannot = |error: io::Error| Failure::Io(format!("cannot start a thread: {error}"));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("hgrpc")
            .enable_all()
            .build()
            .map_err(cannot)?;
        let connection = runtime
            .block_on(address.connect_async_with(options))
            .map_err(|error| Failure::Connection(error.to_string()))?;
        let (program, left) = (connection.program().cloned(), connection.left());
        let entered = runtime.enter();
        let client = Client::spawn(connection, config);
        drop(entered);
        watch.state().connection = Some((client.clone(), program.clone()));
        Ok(Self {
            client,
            revision: config.revision,
            keepalive: options.keepalive.unwrap_or_default(),
            max_filesize: config.limits.response_size,
            max_decode_ratio: config.limits.decoding.ratio,
            is_linked: matches!(address, Address::Linked { .. }),
            runtime: runtime.handle().clone(),
            _background: Background(Some(runtime)),
            watch,
            program,
            left,
        })
    }

    /// Does what waits for the connection. What is spawned there goes on beside it.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Why this end gave up, if it did.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.watch.cause.get().copied()
    }

    /// How the program ended that the connection went to.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        let program = self.program.as_ref()?;
        self.block_on(program.exit_status())
    }

    /// Ends the connection at this instant, which is the end of that time.
    pub(super) fn end_at(&self, deadline: Instant, time: Duration) {
        let watch = Arc::clone(&self.watch);
        let (runtime, client) = (self.runtime.clone(), self.client.clone());
        // Without the thread, it takes longer.
        let _ = thread::Builder::new().spawn(move || {
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
            runtime.block_on(ask(&client, ASK.min(time)));
            watch.end(Cause::Time(time));
        });
    }

    /// Finds out whether a peer that has sent nothing is an hgrpc server, for the message about it.
    pub(super) fn ask(&self) {
        self.block_on(ask(&self.client, ASK));
    }

    /// Ends the process because nobody has read its output for so long.
    pub(super) fn unread(&self, time: Duration) {
        self.watch.exit(Cause::Unread(time));
    }

    /// Removes a file if the process has to be ended at once.
    pub(super) fn remove_if_cut(&self, path: Option<PathBuf>) {
        self.watch.state().temporary.extend(path);
    }

    /// Closes the connection, and waits for a program at its other end.
    pub(super) fn close(&self) {
        let Some(program) = &self.program else {
            self.client.close();
            self.has_left(GRACE);
            return;
        };
        // It sees the end of its input, and may end in order.
        self.client.finish();
        if self.has_left(GRACE) {
            return;
        }
        program.end();
        self.client.close();
        // And what it has started has as long again.
        self.has_left(2 * GRACE + GRACE / 2);
    }

    /// Waits until nothing of the connection is left.
    fn has_left(&self, limit: Duration) -> bool {
        self.block_on(async { timeout(limit, self.left.wait()).await })
            .is_ok()
    }
}

/// Asks a peer that has sent nothing for what any server answers at once, be it with an error, while
/// it works on something else.
async fn ask(client: &Client, limit: Duration) {
    if client.traffic().bytes_in == 0 {
        let asking = async { client.call("capabilities").send().await?.wait().await };
        // That something came is counted.
        let _ = timeout(limit, asking).await;
    }
}

/// Ends the connection on Ctrl-C, `SIGTERM`, and `SIGHUP`, unless that is ignored.
fn watch_signals(watch: &Arc<Watch>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if !ignores_hangup() {
        signals.handle().add_signal(SIGHUP)?;
    }
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

/// Whether `SIGHUP` is ignored, as `nohup` has it: in proc_pid_status(5), the lowest bit of `SigIgn`.
/// Where that is not known it counts as ignored.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_none_or(|mask| mask & 1 != 0)
}
