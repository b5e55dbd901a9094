//! What the threads of one client connection share: the engine's state machine, and the line.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Instant;

use hgrpc::Revision;
use hgrpc::cbor::Atoms;

use super::sink::WriteHalf;
use super::transport::Closer;
use super::{Config, ConnectionError, Limits, Progress};
use crate::engine::Key;
use crate::engine::client::{Connection, Note, Outgoing, Unsent};
use crate::host::config::Meter;
use crate::host::sync::lock;

/// What a client's threads share.
pub(super) struct Shared {
    state: Mutex<State>,
    half: WriteHalf,
    /// Threads that wait for the write half.
    writers: AtomicUsize,
    pub(super) meter: Arc<Meter>,
    pub(super) limits: Limits,
    pub(super) revision: Revision,
    began: Instant,
}

struct State {
    connection: Connection,
    /// Who reads, while it waits for something else than bytes.
    reader: Option<Waker>,
    /// What it waits for has come since it looked last.
    has_moved: bool,
    watchers: HashMap<Key, Arc<Mutex<Watcher>>>,
}

pub(super) type OnText = Box<dyn FnMut(&Atoms<'_>) + Send>;
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// Who takes what comes beside a response.
#[derive(Default)]
pub(super) struct Watcher {
    pub(super) on_text: Option<OnText>,
    pub(super) on_progress: Option<OnProgress>,
}

impl Watcher {
    /// Whether nobody takes anything.
    pub(super) const fn is_none(&self) -> bool {
        self.on_text.is_none() && self.on_progress.is_none()
    }

    fn show(&mut self, event: &Note) {
        match event {
            Note::Text(text) => {
                if let Some(show) = &mut self.on_text {
                    show(&text.atoms());
                }
            }
            Note::Progress(update) => {
                if let Some(show) = &mut self.on_progress {
                    show(&update.progress());
                }
            }
        }
    }
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        write: Box<dyn Write + Send>,
        close: Option<Closer>,
    ) -> Arc<Self> {
        let meter = Arc::new(Meter::new(config.observer.clone()));
        // What comes beside responses never waits here.
        let waker = Waker::noop().clone();
        Arc::new(Self {
            state: Mutex::new(State {
                connection: Connection::new(config, Arc::clone(&meter), waker),
                reader: None,
                has_moved: false,
                watchers: HashMap::new(),
            }),
            half: WriteHalf::new(write, close),
            writers: AtomicUsize::new(0),
            meter,
            limits: config.limits.checked(),
            revision: config.revision,
            began: Instant::now(),
        })
    }

    /// The time, in milliseconds.
    fn now(&self) -> u64 {
        let elapsed = self.began.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Does something with the connection, and wakes whom that concerns.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        self.change(|state| act(&mut state.connection))
    }

    fn change<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = act(&mut state);
        // Who has made frames writes them.
        let wakes = state.connection.take_wakes();
        // Who reads may be about to wait.
        state.has_moved |= wakes.input;
        let reader = wakes.input.then(|| state.reader.take()).flatten();
        drop(state);
        wakes.wake();
        reader.into_iter().for_each(Waker::wake);
        result
    }

    // --- reading ---

    /// Handles what has come, off the front; what comes beside responses is shown meanwhile.
    pub(super) fn receive(&self, input: &mut &[u8]) -> Result<(), ConnectionError> {
        loop {
            let now = self.now();
            let (watcher, event) = match self.change(|state| {
                let received = state.connection.receive(input, now)?;
                Ok(received.map(|(key, event)| (state.watchers.get(&key).cloned(), event)))
            })? {
                None => return Ok(()),
                Some(received) => received,
            };
            if let Some(watcher) = watcher {
                lock(&watcher).show(&event);
            }
        }
    }

    /// Waits until what has come can be gone on with.
    pub(super) fn poll_input(&self, waker: &Waker) -> Poll<()> {
        self.change(|state| {
            if std::mem::take(&mut state.has_moved) || !state.connection.is_stuck() {
                return Poll::Ready(());
            }
            state.reader = Some(waker.clone());
            Poll::Pending
        })
    }

    /// When a call is given up whose reader does not take what came.
    pub(super) fn stall(&self) -> Option<Instant> {
        let deadline = self.with(|connection| connection.deadline())?;
        let millis = deadline.saturating_sub(self.now());
        Instant::now().checked_add(std::time::Duration::from_millis(millis))
    }

    /// Begins a call, whose notes are shown.
    pub(super) fn call(&self, outgoing: Outgoing, watcher: Watcher) -> Result<Key, Box<Unsent>> {
        self.change(|state| {
            let key = state.connection.call(outgoing)?;
            if !watcher.is_none() {
                state.watchers.insert(key, Arc::new(Mutex::new(watcher)));
            }
            Ok(key)
        })
    }

    /// Whoever had a call has gone.
    pub(super) fn call_dropped(&self, key: Key) {
        let watcher = self.change(|state| {
            state.connection.call_dropped(key);
            state.watchers.remove(&key)
        });
        // Not under the lock: it is the caller's.
        drop(watcher);
    }

    // --- writing ---

    /// Writes what was made, also by others. Another thread that waits to do so goes on with what is
    /// left.
    pub(super) fn write(&self) {
        self.writers.fetch_add(1, Ordering::SeqCst);
        let sink = &mut *self.half.lock();
        self.writers.fetch_sub(1, Ordering::SeqCst);
        loop {
            let has_some = self.with(|connection| {
                connection.fill();
                connection.take_output(&mut sink.taken)
            });
            if !has_some {
                return;
            }
            let len = sink.taken.len();
            if let Err(error) = sink.write_all() {
                sink.broken();
                let error = ConnectionError::writing(error);
                return self.with(|connection| connection.end_output(&error));
            }
            self.with(|connection| {
                connection.sent(len);
                connection.fill();
            });
            if self.writers.load(Ordering::SeqCst) > 0 {
                return;
            }
        }
    }

    /// Closes the connection for both directions, as far as the transport can.
    pub(super) fn close(&self) {
        self.half.close();
    }
}
