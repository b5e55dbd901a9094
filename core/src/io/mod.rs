//! Drivers: what moves bytes between the reactors and the world.
//!
//! - [`blocking`]: over embedded-io 0.7 (feature `embedded-io-v0_7`).

pub mod blocking;
mod error;
mod input;
#[cfg(feature = "link")]
mod line;

use error::ReceiveError;
