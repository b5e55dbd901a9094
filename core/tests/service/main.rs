//! Services: both ends of a declaration over memory, in every revision.
#![cfg(feature = "alloc")]
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

mod described;
mod evolution;
mod looped;
mod typed;
mod wrong;
