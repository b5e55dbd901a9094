//! Who may come in and how much: what a server's connections may do together, and what is counted of
//! them.

pub(crate) mod limits;
pub(crate) mod stats;
#[cfg(any(feature = "http-server", feature = "tokio"))]
pub(crate) mod visitors;

pub use limits::ServerLimits;
pub use stats::{Refusal, Stats};
