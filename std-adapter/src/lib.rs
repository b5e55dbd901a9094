//! What hosts put around the [`hgrpc`] core: connections with threads or with tasks, transports,
//! content encodings.
//!
//! A server has *commands*, each run by a handler. A client *calls* them by name, with arguments
//! (CBOR), and with *data* if there is much to send; each call has one *response*. Any number of
//! calls are under way on one connection at once; data and responses stream.
//!
//! ```
//! use std::io::{Write, pipe};
//! use std::thread;
//!
//! use hgrpc_std::blocking::{Client, Config, Router, Transport, serve};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (server_read, client_write) = pipe()?;
//! let (client_read, server_write) = pipe()?;
//! let router = Router::new().command("greet", |call, reply| {
//!     write!(reply, "hello {}", call.arg_text("name")?)?;
//!     Ok(())
//! });
//! thread::spawn(move || serve(Transport::new(server_read, server_write), &router, &Config::default()));
//!
//! let client = Client::new(Transport::new(client_read, client_write), &Config::default())?;
//! let response = client.call("greet").arg("name", "world").send()?;
//! assert_eq!(response.read_text(1000)?, "hello world");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//! | for | module |
//! | --- | --- |
//! | a few peers: connections with threads, a server and a client | [`blocking`] |
//! | thousands of peers, hundreds of calls in flight: the same with tasks | `tokio` (feature `tokio`) |
//! | addresses such as `tcp://…` and `serial:///dev/…`, and the connections behind them | `transport` (Unix, feature `transport`) |
//! | the same protocol over HTTP, for Mercurial's servers and clients | `http` (features `http`, `http-server`) |
//! | frames as lines of text, for tests, tools and logs | [`human`] |
//! | CBOR values that own their bytes; the notation that people read | [`value`], [`diagnostic`] |
//! | a connection of your own around the core: storage and a receive buffer that grow | [`requests`], [`buffer`] |
//! | the same: a connection as a state machine, for a driver of your own | [`engine`] |
//! | the same: content encodings (0006) | [`encoding`] |
//!
//! Beside it are `hgrpc-mercurial`, Mercurial's data formats, commands and repositories, and
//! `hgrpc-cli`, the tool `hgrpc`.
//!
//! # What holds everywhere
//! - Nothing on the wire says which [`Revision`](hgrpc::Revision) is spoken: both ends must have
//!   agreed on it. The default is 0006 ([`Config::revision`](blocking::Config::revision)).
//! - All that a peer can make a connection hold has a limit with a default and its reason
//!   ([`Limits`](blocking::Limits)); sizes are in bytes. What is over one is refused by itself, and its
//!   neighbours go on; only what breaks the protocol, or a limit that no request is to blame for, ends
//!   a connection.
//! - Errors say who must act: a call's ([`CallError`](blocking::CallError)) whether the command, the
//!   server, the caller or the connection failed; a handler's
//!   ([`Failure`](blocking::Failure)) is what its client is told.
//!
//! # Features
//! | feature | |
//! | --- | --- |
//! | `zlib`, `zstd` (default) | the content encodings `zlib` and `zstd-8mb` of revision 0006 |
//! | `transport` (default) | addresses, on Unix |
//! | `serial` | serial ports and pseudo-terminals among them |
//! | `tokio` | connections with tasks |
//! | `http`, `https`, `http-server` | the HTTP transport |
//!
//! Section names in these pages are those of the specification, the folder `spec` of the core's
//! package: `framing.md` and `messages.md` for 0003 and 0005, `revision-0006.md` for 0006.
//!
//! The core, and the `minicbor` whose traits values implement, are here too: `hgrpc_std::hgrpc`,
//! `hgrpc_std::minicbor`.
#![forbid(unsafe_code)]

pub use {hgrpc, minicbor};

pub mod blocking;
pub mod buffer;
pub mod diagnostic;
pub mod encoding;
pub mod engine;
mod gate;
mod host;
#[cfg(any(feature = "http", feature = "http-server"))]
pub mod http;
pub mod human;
pub mod requests;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(all(unix, feature = "transport"))]
pub mod transport;
pub mod value;
