//! What connections with threads, connections with tasks and HTTP share: errors, limits,
//! configuration.
//!
//! The public types are named in [`blocking`](crate::blocking) and in `tokio`.

pub(crate) mod arguments;
#[cfg(any(feature = "http-server", feature = "tokio"))]
pub(crate) mod budget;
pub(crate) mod calls;
pub(crate) mod config;
#[cfg(any(feature = "http-server", feature = "tokio"))]
pub(crate) mod counting;
mod error;
mod failure;
mod limits;
#[cfg(any(feature = "http-server", feature = "tokio"))]
pub(crate) mod peer;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod streams;
pub(crate) mod strings;
pub(crate) mod sync;
pub(crate) mod text;

pub use config::{Config, Direction, Observer, Traffic};
pub(crate) use error::DATA_CUT;
pub use error::{
    AnswerError, CallError, CommandFailure, ConnectionError, ConnectionLimit, Lost, ServerFailure,
};
pub use failure::Failure;
pub use limits::Limits;
