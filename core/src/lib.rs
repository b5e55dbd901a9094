//! hgrpc
#![no_std]
#![forbid(unsafe_code)]

pub mod cbor;
mod error;
mod revision;
pub mod wire;

pub use error::{ApiMisuse, ProtocolError};
pub use revision::{KeyOrder, Protocol, R0003, R0005, R0006, REVISIONS, Revision};
