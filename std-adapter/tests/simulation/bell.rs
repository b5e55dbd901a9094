//! Who is to be run: nobody is who was not woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// Set when its task is woken.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// When a driver has something to do, though nobody wakes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer(pub(crate) Option<u64>);

impl Timer {
    /// Adds a time: the first counts.
    pub(crate) fn wait(&mut self, at: u64) {
        self.0 = Some(self.0.map_or(at, |other| other.min(at)));
    }
}

/// Wakes a driver, and says that it was the engine's own waker.
#[derive(Debug)]
pub(crate) struct Signal {
    bell: Arc<Bell>,
    is_set: AtomicBool,
}

impl Signal {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            bell,
            is_set: AtomicBool::new(false),
        }
    }

    pub(crate) fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::Relaxed);
        self.bell.ring();
    }
}
