//! hgrpc
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "a test fails by panicking"
    )
)]

mod bytes;
pub mod cbor;
pub mod client;
mod error;
#[cfg(feature = "embedded-io-v0_7")]
pub mod io;
mod limits;
mod revision;
pub mod server;
pub mod store;
mod streams;
pub mod wire;

pub use error::{ApiMisuse, ProtocolError};
pub use limits::{Limits, RefusalReason};
pub use revision::{KeyOrder, Protocol, R0003, R0005, R0006, REVISIONS, Revision};
