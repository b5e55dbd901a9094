//! Memory that a burst took goes back to the system when the burst is over.
//!
//! The C library's allocator by itself returns only the end of each of its arenas, so that a server
//! would keep most of a burst for good.

use std::fs;
use std::thread;
use std::time::Duration;

/// Pause between two looks: freed memory is returned so much later at most.
const PAUSE: Duration = Duration::from_secs(10);

/// KiB above the least seen for which a walk through the arenas is worth its milliseconds.
const WORTH: u64 = 16 << 10;

/// Starts a thread that returns freed memory, for the rest of the process.
pub(crate) fn give_back() {
    let watch = || {
        let mut least = u64::MAX;
        while let Some(resident) = resident() {
            if resident > least.saturating_add(WORTH) {
                trim();
            }
            least = least.min(resident);
            thread::sleep(PAUSE);
        }
    };
    // Without it nothing is lost but memory.
    let _ = thread::Builder::new().name("memory".into()).spawn(watch);
}

/// Returns the KiB of memory that the process has; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call of the C library")]
fn trim() {
    // SAFETY: it takes no pointer, and locks what it walks through.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
