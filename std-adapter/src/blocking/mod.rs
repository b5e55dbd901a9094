//! Connections with threads: a server and a client over anything that carries bytes.
//!
//! ```
//! use std::io::Write;
//! use std::net::{TcpListener, TcpStream};
//! use std::thread;
//!
//! use hgrpc_std::blocking::{Client, Config, Router, Transport, serve};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The server: commands are closures, each call runs in a thread of its own.
//! let router = Router::new().command("greet", |call, reply| {
//!     write!(reply, "hello {}", call.arg_text("name")?)?;
//!     Ok(())
//! });
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! thread::spawn(move || {
//!     let (stream, _) = listener.accept()?;
//!     serve(Transport::tcp(stream)?, &router, &Config::default()).map_err(std::io::Error::from)
//! });
//!
//! // The client: any number of calls at once, from any thread.
//! let client = Client::new(Transport::tcp(TcpStream::connect(address)?)?, &Config::default())?;
//! let response = client.call("greet").arg("name", "world").send()?;
//! assert_eq!(response.read_text(1000)?, "hello world");
//! # Ok(())
//! # }
//! ```
//!
//! # Streaming
//! A request's data arrives while its handler runs ([`Call`] is [`Read`](std::io::Read)); a
//! response leaves while it is written ([`Reply`] is [`Write`](std::io::Write)) and arrives while
//! it is read ([`Response`] is `Read`). Both directions of one call at once, in constant memory:
//!
//! ```
//! # use std::io::{self, Read};
//! # use hgrpc_std::blocking::{Client, Config, Router, Transport, serve};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new().command("cat", |call, reply| {
//!     io::copy(call, reply)?;
//!     Ok(())
//! });
//! # let ((a_read, a_write), (b_read, b_write)) = (io::pipe()?, io::pipe()?);
//! # std::thread::spawn(move || serve(Transport::new(a_read, b_write), &router, &Config::default()));
//! # let client = Client::new(Transport::new(b_read, a_write), &Config::default())?;
//! let mut response = client.call("cat").data(io::repeat(7).take(1 << 20)).send()?;
//! assert_eq!(io::copy(&mut response, &mut io::sink())?, 1 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! # Threads
//! ```text
//!   server   1 that reads (the caller of `serve`) + 1 for each running command
//!   client   1 that reads + 1 for each upload under way
//! ```
//! There is no writing thread: who has a frame writes it, and on a server what others have made
//! meanwhile. Responses share the line evenly, in bytes, and reading never waits for writing.
//!
//! # Back-pressure
//! The protocol has no window per request. Bytes wait in bounded buffers: a request's data for its
//! handler, a response for its caller ([`Limits::buffer`]). When one is full, reading the
//! connection stops until it has room, and its neighbours wait too; the peer's writes wait in turn.
//! Nothing is held beyond that, whatever the other side sends ([`Limits`] has the formula). With
//! [`Limits::stall`] set, a call that stops the connection for so long is given up instead.
//!
//! # Ends
//! When a connection ends, every open call ends with an error that says why and what was lost
//! ([`Lost`]); handlers see their data end with an error, and [`Gone`] tells those that want to
//! know. A panic in a handler, and a reply that is dropped, are error responses of that request
//! only. A request over a limit is refused, and its neighbours go on.

mod byte_string;
mod call;
mod client;
mod conn;
mod exchange;
mod gone;
#[cfg(feature = "http-server")]
mod half;
mod line;
mod notes;
mod pipe;
mod receive;
mod reply;
mod request;
mod response;
mod router;
mod server;
mod service;
mod sink;
mod transport;
mod workers;

#[cfg(feature = "http")]
pub(crate) use crate::host::calls::{command_failure, error_response};
pub use crate::host::{
    AnswerError, CallError, Cbor, CommandFailure, Config, ConnectionError, ConnectionLimit,
    Direction, Failure, IntoReply, Limits, Lost, Observer, ReplyBody, ServerFailure, Traffic,
};
pub use byte_string::ByteStringWriter;
pub use call::{Call, Data};
pub use client::Client;
pub use gone::{Gone, OnGone};
#[cfg(feature = "http-server")]
pub(crate) use half::{Answering, Answers, BrokenOff, Receiving, Stop};
pub use hgrpc::cbor::{Atom, Atoms, Progress};
pub use notes::Notes;
pub use reply::Reply;
pub use request::{Request, Upload};
pub use response::{RawBody, Response};
pub use router::{Handler, Router};
pub use server::serve;
pub use service::Values;
pub use transport::Transport;
