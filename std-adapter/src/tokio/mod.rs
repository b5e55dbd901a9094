//! Connections with tasks.

mod budget;
mod client;
mod codec;
mod outgoing;
mod pipe;
mod server;
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
pub use hgrpc::cbor::{Atom, Atoms, Progress};
pub use server::{
    Args, Call, Cbor, Collected, Credentials, Cut, Data, FromParts, Gone, Handler, IntoReply,
    Listener, Parts, Peer, Refusal, Reply, Router, Server, ServerBuilder, ServerLimits, Shutdown,
    Side, State, Stats, serve,
};
