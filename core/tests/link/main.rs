//! The link over lines that lose, alter, insert and repeat bytes, and between ends that restart.
#![cfg(feature = "link")]
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

mod end;
mod line;
mod noise;
mod vectors;
