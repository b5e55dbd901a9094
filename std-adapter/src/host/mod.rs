//! What connections with threads, connections with tasks and HTTP share: errors, limits,
//! configuration.
//!
//! The public types are named in [`blocking`](crate::blocking) and in `tokio`.

pub(crate) mod arguments;
pub(crate) mod calls;
pub(crate) mod config;
pub(crate) mod counting;
mod error;
mod failure;
mod into_reply;
mod limits;
pub(crate) mod mistaken;
#[cfg_attr(
    not(any(feature = "http-server", feature = "tokio")),
    allow(dead_code, reason = "lines have no users")
)]
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod reads;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod sequence;
pub(crate) mod strings;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod values;

pub use config::{Config, Direction, Observer, Traffic};
pub(crate) use error::DATA_CUT;
pub use error::{
    AnswerError, CallError, CommandFailure, ConnectionError, ConnectionLimit, Lost, ServerFailure,
};
pub use failure::Failure;
pub use into_reply::{Cbor, IntoReply, ReplyBody};
pub use limits::Limits;
