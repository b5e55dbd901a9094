//! The pure connection and its drivers: the same frames, however bytes are moved.
#![cfg(feature = "embedded-io-v0_7")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    unreachable_pub,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod answers;
#[cfg(feature = "embedded-io-async-v0_7")]
mod asynch;
mod blocking;
mod device;
#[cfg(feature = "link")]
mod link;
mod memory;
#[cfg(feature = "link")]
#[path = "../kit/peer.rs"]
mod peer;
#[path = "../kit/pipe.rs"]
mod pipe;
#[cfg(feature = "embedded-io-async-v0_7")]
#[path = "../kit/scripted.rs"]
mod scripted;
#[cfg(feature = "link")]
#[path = "../kit/uart.rs"]
mod uart;
