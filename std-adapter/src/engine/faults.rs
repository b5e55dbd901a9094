//! Faults that tests plant, to see that they are found. Without the feature `faults` there are none.

/// A fault of the engine.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A handler that waits for room in its reply is not woken.
    ReplyNotWoken,
    /// A client that waits for its caller does not read on.
    InputNotWoken,
    /// A connection that waits for bytes of the pool is not woken.
    BudgetNotWoken,
    /// Shared bytes are not given back to the pool.
    BudgetKept,
    /// A byte of a response that waited for room is delivered once more.
    ByteTwice,
    /// The last frame of a response is sent once more.
    EndTwice,
    /// A later end of a response takes the place of the first.
    EndReplaced,
    /// A peer that does not read is not noticed.
    NotReadingUnnoticed,
    /// A caller that does not read is not noticed.
    StallUnnoticed,
}

#[cfg(feature = "faults")]
mod planted {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault in all that this thread does from now on.
    #[doc(hidden)]
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Returns whether this is the fault that is planted.
    pub(in crate::engine) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}

#[cfg(feature = "faults")]
pub(super) use planted::is_planted;
#[cfg(feature = "faults")]
#[doc(hidden)]
pub use planted::plant;

/// Returns whether this is the fault that is planted.
#[cfg(not(feature = "faults"))]
pub(super) const fn is_planted(_: Fault) -> bool {
    false
}
