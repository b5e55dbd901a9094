//! Connections with tasks.

mod budget;
mod client;
mod codec;
mod outgoing;
mod pipe;
#[cfg(all(unix, feature = "transport"))]
pub mod transport;

pub use crate::host::{
    AnswerError, CallError, CommandFailure, Config, ConnectionError, ConnectionLimit, Direction,
    Failure, Limits, Lost, Observer, ServerFailure, Traffic,
};
pub use client::{
    Backoff, Client, Driver, ProgressUpdate, RawBody, ReconnectingClient, Request, Response,
    SideEvent, SideEvents, TextOutput, Upload,
};
pub use codec::{CodecError, Frame, FrameCodec};
