//! Drivers: what moves bytes between the reactors and the world.
//!
//! - [`blocking`]: over embedded-io 0.7 (feature `embedded-io-v0_7`).
#![cfg_attr(
    feature = "embedded-io-async-v0_7",
    doc = "- [`asynch`]: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]
#![cfg_attr(
    not(feature = "embedded-io-async-v0_7"),
    doc = "- `asynch`: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]

#[cfg(feature = "embedded-io-async-v0_7")]
pub mod asynch;
pub mod blocking;
mod error;
mod input;
#[cfg(feature = "link")]
mod line;

use error::ReceiveError;

/// The frame size that fits a buffer of `N` bytes, at most this.
#[cfg(feature = "embedded-io-async-v0_7")]
const fn at_most<const N: usize>(frame_size: u32) -> u32 {
    const { assert!(N >= 64, "the output buffer must hold refusals") }
    // No frame is longer than 16 MiB.
    let [a, b, c, ..] = N.saturating_sub(crate::wire::HEADER_LEN).to_le_bytes();
    let room = u32::from_le_bytes([a, b, c, 0]);
    if frame_size < room { frame_size } else { room }
}
