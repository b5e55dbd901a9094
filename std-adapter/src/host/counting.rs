//! Counters that any thread adds to.

use std::sync::atomic::{AtomicU64, Ordering};

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds so many bytes.
pub(crate) fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(wide(bytes), Ordering::Relaxed);
}

/// A counter for each kind of something.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Tally<N> {
    /// Adds one to that of a kind.
    pub(crate) fn count(&self, kind: usize) {
        if let Some(counter) = self.0.get(kind) {
            count(counter);
        }
    }

    /// All of them now.
    pub(crate) fn read(&self) -> [u64; N] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.0.each_ref().map(get)
    }
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

pub(crate) fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
