//! How often the device has started, in memory that start-up leaves alone: its session numbers
//! (link.md, "Session numbers").

use core::sync::atomic::{AtomicU32, Ordering};

/// Tells a count from what memory holds after power-on.
const MARK: u32 = 0x6867_7270;

#[unsafe(link_section = ".uninit.hgrpc_starts")]
static COUNT: AtomicU32 = AtomicU32::new(0);
#[unsafe(link_section = ".uninit.hgrpc_starts")]
static CHECK: AtomicU32 = AtomicU32::new(0);

/// Counts this start: 1 for the first since power-on. Once in a program.
pub(crate) fn count() -> u32 {
    let before = COUNT.load(Ordering::Relaxed);
    let is_first = CHECK.load(Ordering::Relaxed) != before ^ MARK;
    let count = if is_first { 1 } else { before.wrapping_add(1) };
    COUNT.store(count, Ordering::Relaxed);
    CHECK.store(count ^ MARK, Ordering::Relaxed);
    count
}
