//! Limits on memory that hold: what takes more ends the program.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Runs something that may hold at most so many bytes more than there are now.
pub(crate) fn within<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    let most = ALLOCATOR.allocated().saturating_add(bytes);
    ALLOCATOR.set_limit(most).expect("there is room");
    let result = run();
    ALLOCATOR.set_limit(usize::MAX).expect("there is room");
    result
}
