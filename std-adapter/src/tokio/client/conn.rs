//! One connection: the engine's state machine behind a lock, and those who wait for it.

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use futures_util::future::BoxFuture;
use hgrpc::Revision;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::engine::client::Connection;
use crate::host::config::Meter;
use crate::host::sync::lock;
use crate::tokio::drive::{Bell, Driven, Moves};
use crate::tokio::{Config, ConnectionError, Limits};

/// What a client, its driver and its calls share.
pub(super) struct Conn {
    engine: Mutex<Connection>,
    pub(super) bell: Arc<Bell>,
    pub(super) meter: Arc<Meter>,
    pub(super) limits: Limits,
    pub(super) revision: Revision,
    /// A permit for each place that is free.
    pub(super) room: Semaphore,
    /// Uploads for the driver to run; `None`: it has gone.
    uploads: Mutex<Option<Vec<BoxFuture<'static, ()>>>>,
    /// Nobody has the client any more, or it was finished.
    is_closing: AtomicBool,
    /// It was closed.
    is_cut: AtomicBool,
    began: Instant,
}

impl Conn {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let bell = Arc::new(Bell::default());
        let meter = Arc::new(Meter::new(config.observer.clone()));
        let waker = Waker::from(Arc::clone(&bell));
        let places = config.limits.calls.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            engine: Mutex::new(Connection::new(config, Arc::clone(&meter), waker)),
            bell,
            meter,
            limits: config.limits.checked(),
            revision: config.revision,
            room: Semaphore::new(places),
            uploads: Mutex::new(Some(Vec::new())),
            is_closing: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            began: Instant::now(),
        })
    }

    /// Does something with the connection, and wakes whom that concerns.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        let mut engine = lock(&self.engine);
        let result = act(&mut engine);
        let wakes = engine.take_wakes();
        drop(engine);
        if wakes.freed > 0 {
            self.room.add_permits(wakes.freed);
        }
        let is_rung = wakes.input || wakes.output;
        wakes.wake();
        if is_rung {
            self.bell.ring();
        }
        result
    }

    /// Has the driver run an upload. Without a driver the connection has ended, and the call with it.
    pub(super) fn start_upload(&self, upload: BoxFuture<'static, ()>) {
        let mut uploads = lock(&self.uploads);
        match &mut *uploads {
            Some(uploads) => uploads.push(upload),
            None => {
                drop(uploads);
                return drop(upload);
            }
        }
        drop(uploads);
        self.bell.ring();
    }

    /// The uploads that are to be run.
    pub(super) fn take_uploads(&self) -> Vec<BoxFuture<'static, ()>> {
        let mut uploads = lock(&self.uploads);
        uploads.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// This end wants no more of the connection.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.bell.ring();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Every call is given up, and the connection closed in order.
    pub(super) fn finish(&self) {
        self.with(Connection::finish);
        self.room.close();
        self.close();
    }

    /// The connection is closed at once.
    pub(super) fn cut(&self) {
        self.end(&ConnectionError::Shutdown);
        self.is_cut.store(true, Ordering::Release);
        self.bell.ring();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// The connection has ended, and so has every call.
    pub(super) fn end(&self, error: &ConnectionError) {
        self.with(|engine| engine.end(error));
        self.room.close();
    }

    /// The driver has gone.
    pub(super) fn driver_ended(&self) {
        self.end(&ConnectionError::Shutdown);
        let uploads = lock(&self.uploads).take();
        drop(uploads);
    }

    /// Why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<ConnectionError> {
        self.with(|engine| engine.ended().cloned())
    }
}

impl Moves for Connection {
    fn fill(&mut self, _: u64) {
        self.fill();
    }

    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.output(slices)
    }

    fn sent(&mut self, bytes: usize, _: u64) {
        self.sent(bytes);
    }

    fn deadline(&self) -> Option<u64> {
        self.deadline()
    }
}

impl Driven for Conn {
    type Connection = Connection;

    fn locked<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        Self::with(self, act)
    }

    fn now(&self) -> u64 {
        let elapsed = self.began.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }
}
