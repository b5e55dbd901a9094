//! Connections with tasks.

mod budget;
mod outgoing;
mod pipe;

pub use crate::host::{
    AnswerError, CallError, CommandFailure, Config, ConnectionError, ConnectionLimit, Direction,
    Failure, Limits, Lost, Observer, ServerFailure, Traffic,
};
