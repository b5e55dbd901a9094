//! The stack's high-water mark: start-up has painted it (cortex-m-rt, feature `paint-stack`).

use core::ptr::{addr_of, read_volatile};

const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// The linker script's: where the stack ends, and where it starts.
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The most bytes of stack that were ever in use. Work: all that were not.
pub(crate) fn most_used() -> usize {
    // Only the addresses of the two symbols are taken: they mark the ends of the stack.
    let (mut lowest, start) = (addr_of!(_stack_end), addr_of!(_stack_start));
    // SAFETY: from one mark to the other all is the stack's memory, aligned; it is read as it is.
    while lowest < start && unsafe { read_volatile(lowest) } == PAINT {
        lowest = lowest.wrapping_add(1);
    }
    start.addr().wrapping_sub(lowest.addr())
}
