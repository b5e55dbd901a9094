//! Who may come in and how much: what a server's connections may do together, and what is counted of
//! them.

pub(crate) mod limits;
pub(crate) mod stats;

pub use limits::ServerLimits;
pub use stats::{Refusal, Stats};
