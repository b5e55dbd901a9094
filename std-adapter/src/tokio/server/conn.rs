//! One connection: the engine's state machine behind a lock, and those who wait for it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hgrpc::ApiMisuse;
use hgrpc::wire::RequestId;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::Gone;
use super::handler::Running;
use super::shared::{Shared, shown};
use crate::engine::server::{Calls, Connection, DataError, Guarded, Locked, Outcome, Written};
use crate::engine::{Charge, Key};
use crate::host::peer::Peer;
use crate::host::sync::lock;
use crate::host::{ConnectionError, ConnectionLimit, Failure};
use crate::tokio::drive::{Bell, Driven, Moves};

/// One connection.
pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    pub(super) gone: Gone,
    pub(super) driver: Arc<Bell>,
    engine: Mutex<Engine>,
    killed: OnceLock<ConnectionError>,
    /// A limit of time seems to be passed.
    suspected: AtomicBool,
}

struct Engine {
    guarded: Guarded,
    /// The handlers that have tasks; `None` for one that is being spawned.
    handlers: HashMap<Key, Option<AbortHandle>>,
}

impl Locked for Conn {
    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        self.change(|engine| act(&mut engine.guarded.connection))
    }

    fn is_panicking(&self, key: Key) -> bool {
        let is_panicking = std::thread::panicking();
        if is_panicking {
            self.log_panic(key);
        }
        is_panicking
    }
}

impl Moves for Connection {
    fn fill(&mut self, now: u64) {
        self.fill(now);
    }

    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.output(slices)
    }

    fn sent(&mut self, bytes: usize, now: u64) {
        self.sent(bytes, now);
    }

    fn deadline(&self) -> Option<u64> {
        self.deadline()
    }
}

impl Driven for Conn {
    type Connection = Connection;

    fn locked<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        Locked::with(self, act)
    }

    fn now(&self) -> u64 {
        self.shared.now()
    }
}

impl Conn {
    pub(super) fn new(shared: Arc<Shared>, peer: Arc<Peer>) -> Result<Arc<Self>, ApiMisuse> {
        let driver = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&driver));
        let engine = Arc::clone(&shared.engine);
        let connection = Connection::new(engine, Arc::clone(&peer), waker, shared.now())?;
        Ok(Arc::new(Self {
            engine: Mutex::new(Engine {
                guarded: Guarded::new(connection),
                handlers: HashMap::new(),
            }),
            gone: Gone(CancellationToken::new()),
            driver,
            killed: OnceLock::new(),
            suspected: AtomicBool::new(false),
            shared,
            peer,
        }))
    }

    fn change<R>(&self, act: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = lock(&self.engine);
        let result = act(&mut engine);
        let mut calls = Calls::default();
        engine.guarded.call(&mut calls);
        let stopped = calls.stopped.iter();
        let aborts: Vec<AbortHandle> = stopped
            .filter_map(|key| engine.handlers.get(key).cloned().flatten())
            .collect();
        drop(engine);
        calls.wake();
        for handler in aborts {
            handler.abort();
        }
        if calls.is_gone {
            self.gone.0.cancel();
        }
        if calls.input || calls.output || calls.progress {
            self.driver.ring();
        }
        result
    }

    /// Writes something of a reply; waits where there is no room.
    pub(super) fn poll_written(
        &self,
        key: Key,
        cx: &Context<'_>,
        write: impl FnOnce(&mut Connection) -> Written,
    ) -> Poll<std::io::Result<usize>> {
        self.change(|engine| engine.guarded.poll_written(key, cx.waker(), write))
    }

    /// Writes something beside a reply; waits where there is no room.
    pub(super) fn poll_noted(
        &self,
        key: Key,
        cx: &Context<'_>,
        write: impl FnOnce(&mut Connection, Key) -> Written,
    ) -> Poll<Result<(), ConnectionError>> {
        self.change(|engine| engine.guarded.poll_noted(key, cx.waker(), write))
    }

    /// The next bytes of a command's data.
    pub(super) fn poll_data(
        &self,
        key: Key,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<(Bytes, Charge)>, DataError>> {
        self.change(|engine| engine.guarded.poll_data(key, cx.waker()))
    }

    /// Runs a handler in a task of its own, whatever it has done already.
    ///
    /// What it has written goes out whenever it waits: nobody else knows that there is no more for now.
    pub(super) fn spawn(self: &Arc<Self>, key: Key, mut handler: Running, span: Span) {
        self.change(|engine| engine.handlers.insert(key, None));
        let mut guard = HandlerGuard {
            conn: Arc::clone(self),
            key,
            outcome: Outcome::Dropped,
        };
        // Not under the lock: a runtime that shuts down drops the task here and now.
        let task = async move {
            let result = poll_fn(|cx| {
                let polled = handler.as_mut().poll(cx);
                if polled.is_pending() {
                    // A reply that has ended has nothing to send.
                    guard.conn.with(|connection| connection.flush(key));
                }
                polled
            });
            let result = result.await;
            guard.end(outcome(result));
        };
        let task = tokio::spawn(task.instrument(span));
        let handle = task.abort_handle();
        let is_stopped = self.change(|engine| match engine.handlers.get_mut(&key) {
            Some(handler) => {
                *handler = Some(handle.clone());
                // It may have been refused since it was polled first.
                let connection = &engine.guarded.connection;
                connection.ended().is_some() || connection.is_stopped(key)
            }
            None => false,
        });
        if is_stopped {
            handle.abort();
        }
    }

    /// A handler has ended, in this task.
    pub(super) fn handler_ended(&self, key: Key, outcome: Outcome) {
        self.log(key, &outcome);
        self.with(|connection| connection.handler_ended(key, outcome));
    }

    fn log(&self, key: Key, outcome: &Outcome) {
        match outcome {
            Outcome::Failed(failure) => tracing::debug!(%failure, "the command failed"),
            Outcome::Panicked => self.log_panic(key),
            _ => {}
        }
    }

    /// Reports a panic that a command is not answered for.
    fn log_panic(&self, key: Key) {
        if let Some((id, command)) = self.asked(key) {
            tracing::error!(
                id = id.value(),
                command = shown(&command),
                "the command panicked"
            );
        }
    }

    fn asked(&self, key: Key) -> Option<(RequestId, Vec<u8>)> {
        self.with(|connection| {
            let (id, name) = connection.command(key)?;
            Some((id, name.to_vec()))
        })
    }

    /// Ends the connection from anywhere.
    pub(super) fn kill(&self, error: ConnectionError) {
        if self.killed.set(error).is_ok() {
            self.driver.ring();
        }
    }

    /// Why the connection is to end, if it is.
    pub(super) fn killed(&self) -> Option<&ConnectionError> {
        self.killed.get()
    }

    /// It seems to be over a limit of time: it looks for itself.
    pub(super) fn suspect(&self) {
        self.suspected.store(true, Ordering::Relaxed);
        self.driver.ring();
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected.load(Ordering::Relaxed)
    }

    pub(super) fn trust(&self) {
        self.suspected.store(false, Ordering::Relaxed);
    }

    /// Its time limits; what it holds for nothing is given back.
    pub(super) fn check(&self, now: u64) -> Option<ConnectionLimit> {
        self.change(|engine| {
            let connection = &engine.guarded.connection;
            if connection.is_idle() && !connection.is_writing() {
                engine.guarded.shrink();
                engine.handlers.shrink_to_fit();
            }
            engine.guarded.connection.check(now)
        })
    }

    /// The connection has ended: nothing is sent, and handlers are dropped.
    pub(super) fn end(&self, error: ConnectionError) {
        self.with(|connection| connection.end(error));
    }
}

/// How a handler has ended that has returned this.
pub(super) fn outcome(result: Result<(), Failure>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(failure) => Outcome::Failed(failure),
    }
}

/// Notices the end of a handler, however it comes.
struct HandlerGuard {
    conn: Arc<Conn>,
    key: Key,
    outcome: Outcome,
}

impl HandlerGuard {
    /// Its handler has ended by itself.
    fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        let outcome = match std::thread::panicking() {
            true => Outcome::Panicked,
            false => std::mem::replace(&mut self.outcome, Outcome::Dropped),
        };
        self.conn.log(self.key, &outcome);
        self.conn.change(|engine| {
            engine.handlers.remove(&self.key);
            let connection = &mut engine.guarded.connection;
            connection.handler_ended(self.key, outcome);
        });
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
