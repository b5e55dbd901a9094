//! What crosses the core's files: both reactors, the stores, the reader and the driver together.
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

#[cfg(feature = "embedded-io-v0_7")]
mod acceptance;
mod bad_client;
mod bad_server;
mod frame_size;
#[path = "../kit/mod.rs"]
mod kit;
mod oracle;
mod pair;
#[cfg(feature = "embedded-io-v0_7")]
#[path = "../kit/pipe.rs"]
mod pipe;
mod reader;
mod restart;
mod script;
