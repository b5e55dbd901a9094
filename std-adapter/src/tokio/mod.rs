//! Connections with tasks, on tokio: a server for thousands of peers, a client with hundreds of calls
//! in flight.
//!
//! ```
//! use hgrpc_std::tokio::{Call, Client, Config, Data, Failure, Reply, Router, Server};
//! use tokio::io::AsyncReadExt;
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The server: commands are async functions and closures; their parameters say what they want.
//! async fn cat(mut data: Data, mut reply: Reply) -> Result<(), Failure> {
//!     tokio::io::copy_buf(&mut data, &mut reply).await?;
//!     Ok(reply.finish()?)
//! }
//! let router = Router::new().command("cat", cat).command("greet", |call: Call| async move {
//!     Ok::<_, Failure>(format!("hello {}", call.arg_text("name")?))
//! });
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(Server::new(router).serve(listener));
//!
//! // The client: any number of calls at once, from any task.
//! let client = Client::spawn(TcpStream::connect(address).await?, &Config::default());
//! let greeting = client.call("greet").arg("name", "world").send().await?;
//! assert_eq!(greeting.read_text(1000).await?, "hello world");
//! let upload = tokio::io::repeat(7).take(1 << 20);
//! let mut copy = client.call("cat").data(upload).send().await?;
//! assert_eq!(tokio::io::copy(&mut copy, &mut tokio::io::sink()).await?, 1 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! All of it runs on a tokio runtime of either flavour with its timers enabled
//! (`enable_all`); what carries the bytes is anything that is
//! [`AsyncRead`](::tokio::io::AsyncRead) and [`AsyncWrite`](::tokio::io::AsyncWrite).
//!
//! # The client
//! | for | see |
//! | --- | --- |
//! | one connection | [`Client`] |
//! | one that is made again when it has ended | [`ReconnectingClient`] |
//! | a call's arguments, data, time, and what comes beside its response | [`Request`] |
//! | what the command wrote: bytes, text, values | [`Response`] |
//! | what can go wrong | [`CallError`] |
//!
//! # The server
//! | for | see |
//! | --- | --- |
//! | which handler runs which command, and what handlers look like | [`Router`] |
//! | what is accepted and served, who may do what, shutting down | [`Server`] |
//! | what peers may make it hold and wait for, and how much memory that is | [`ServerLimits`] |
//! | what it has done and refused | [`Stats`] |
//!
//! A connection is one task. A handler is polled there once, where its request was read, and has a
//! task of its own only if it waits. Handlers of one connection run at once, answer in any order, and
//! share the line evenly, in bytes; compressed responses (0006) have streams of their own for that. A
//! handler's error or panic, and a reply that is dropped, are error responses of that request only.
//!
//! # Back-pressure
//! The protocol has no window per request. Bytes wait in bounded buffers: a request's data for its
//! handler, a response for its caller ([`Limits::buffer`]). When one is full, reading the connection
//! stops until it has room, and its neighbours on the same connection wait too; the peer's writes
//! wait in turn. After [`Limits::stall`] that one request is refused, and the others go on. Reading
//! never waits for writing: a peer that does not read its answers holds up those who write them, and
//! nobody else.
//!
//! # Cancelling
//! Any future of this module may be dropped. What it was to send is sent whole or not at all, what
//! it was to receive is received by the next; only dropping a connection's own future (that of
//! [`Server::serve_connection`], a client's [`Driver`]) ends the connection, and everybody on it is
//! told. When a peer has gone for good, its handlers are dropped at their next `await`; what must
//! not stop halfway belongs into a task of its own.
//!
//! # Observing
//! Spans `connection` (`peer`) and `request` (`id`, `command`) of [`tracing`] surround what happens on a
//! connection and in a handler. [`Server::stats`] may be read at any time.

mod client;
mod codec;
mod drive;
mod read;
mod server;
#[cfg(all(unix, feature = "transport"))]
pub mod transport;

pub use crate::host::{
    AnswerError, CallError, Cbor, CommandFailure, Config, ConnectionError, ConnectionLimit,
    Direction, Failure, IntoReply, Limits, Lost, Observer, ReplyBody, ServerFailure, Traffic,
};
pub use client::{
    Backoff, Client, Driver, Note, NoteStream, ProgressUpdate, RawBody, ReconnectingClient,
    Request, Response, TextOutput, Upload, Values,
};
pub use codec::{CodecError, Frame, FrameCodec};
pub use hgrpc::cbor::{Atom, Atoms, Progress};
pub use server::{
    Args, Call, Collected, Credentials, Cut, Data, Exchange, FromParts, Gone, Handler, IntoEnd,
    Listener, Notes, Origin, Parts, Peer, Refusal, Reply, Returns, Router, Sequence, Server,
    ServerBuilder, ServerLimits, Shutdown, State, Stats, Writes, serve,
};
