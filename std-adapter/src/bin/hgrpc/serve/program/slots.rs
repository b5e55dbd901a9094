//! How many calls of one program may run at once.

use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct Slots {
    free: AtomicUsize,
}

/// A call that counts; dropped, it counts no more.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            free: AtomicUsize::new(most),
        }
    }

    pub(super) fn take(&self) -> Option<Slot<'_>> {
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(1)
            })
            .ok()
            .map(|_| Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::AcqRel);
    }
}
