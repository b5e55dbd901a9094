//! Connections with tasks.

mod budget;
mod outgoing;
mod pipe;
mod server;

pub use crate::host::{
    AnswerError, CallError, CommandFailure, Config, ConnectionError, ConnectionLimit, Direction,
    Failure, Limits, Lost, Observer, ServerFailure, Traffic,
};
pub use hgrpc::cbor::{Atom, Atoms, Progress};
pub use server::{
    Args, Call, Cbor, Collected, Credentials, Cut, Data, FromParts, Gone, Handler, IntoReply,
    Listener, Parts, Peer, Refusal, Reply, Router, Server, ServerBuilder, ServerLimits, Shutdown,
    Side, State, Stats, serve,
};
