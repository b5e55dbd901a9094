//! Mercurial's frame-based RPC protocol, for devices and hosts: both ends, revisions 0003, 0005 and
//! 0006, without allocation.
//!
//! One byte connection carries any number of commands at once. A client sends *requests* (a
//! command's name, its arguments as CBOR, optionally data); a server answers each with a
//! *response*, in any order, in frames that interleave; text for people and progress go beside
//! responses.
//!
//! ```text
//!   client                                                              server
//!     ├── request 1 "digest" ──────────────────────────────────────────────▶│ run
//!     ├── data 1 ── request 3 "led" ── data 1 ── data 1 (end) ─────────────▶│ run
//!     │◀──────────────── response 3 ── progress 1 ── response 1 ── end 1 ───┤
//! ```
//!
//! # Shape
//! ```text
//!   bytes ──▶ wire ──▶ reactor ──▶ action ──▶ your code ──▶ reactor ──▶ out frame ──▶ bytes
//!             (view)   │   ▲                                 (header + borrowed payload)
//!                      ▼   │
//!                     store: a table of requests, an arena of bytes
//! ```
//! - [`wire`]: headers, flags, the reader that cuts bytes into parts of frames, frames to be sent.
//! - [`server`] and [`client`]: the reactors. They are told of frames and give one action each;
//!   they do no I/O and know no time.
//! - [`store`]: what a reactor remembers, in two borrows beside it. [`store::FixedStore`] is fixed
//!   memory.
//! - [`cbor`]: what is inside of frames. Read as views, written into lent memory. Typed arguments:
//!   [`args!`].
#![cfg_attr(
    feature = "embedded-io-v0_7",
    doc = "- [`io`]: drivers that move the bytes; [`io::blocking`] makes a firmware's main loop ten lines."
)]
#![cfg_attr(
    not(feature = "embedded-io-v0_7"),
    doc = "- `io` (feature `embedded-io-v0_7`): drivers that move the bytes."
)]
//!
//! Nothing on the wire says which [`Revision`] is spoken: both ends must have agreed on it.
//!
//! # The run loop
//! 1. Read some bytes, as many as there are; a buffer of 64 bytes is enough for frames of any size.
//! 2. [`FrameReader::next`](wire::FrameReader::next) gives the next part of a frame, or asks for
//!    more bytes.
//! 3. [`Server::handle`](server::Server::handle) or [`Client::handle`](client::Client::handle) says
//!    what the part asks for: one action, which borrows from the input or from the arena.
//! 4. Do it. A command comes with a [`Responder`](server::Responder): answer at once, later, or out
//!    of order, with [`respond`](server::Server::respond) (a whole body) or
//!    [`begin_response`](server::Server::begin_response) (piece by piece).
//! 5. Take the answer's frames one by one and write each, in the order in which they were taken.
//! 6. Go on with 2. At the end of input, [`FrameReader::finish`](wire::FrameReader::finish) says
//!    whether it came inside a frame.
//!
//! # A server on a device
//! Four requests at once, which share 256 bytes for what comes in several parts; data is streamed.
//!
//! ```
//! use hgrpc::server::{Body, Command, Failure, OutputStream, Server, ServerAction, ServerConfig};
//! use hgrpc::store::FixedStore;
//! use hgrpc::wire::{FrameReader, OutFrame};
//! use hgrpc::{Limits, R0005};
//!
//! hgrpc::args! {
//!     /// Arguments of `led`.
//!     struct Led {
//!         on: bool,
//!         level: u8 = 100,
//!     }
//! }
//!
//! /// Runs a command. What it returns may borrow from its arguments.
//! fn run<'a>(command: &Command<'a>) -> Body<'a> {
//!     match command.name.as_slice() {
//!         Some(b"led") => match Led::from_args(&command.args) {
//!             Ok(Led { on: true, level: 1.. }) => Body::Cbor(b"\xf5"), // switched on: true
//!             Ok(_) => Body::Cbor(b"\xf4"),
//!             Err(_) => Body::Failure(Failure::command(b"led takes on and level")),
//!         },
//!         Some(b"echo") => Body::Cbor(command.args.as_cbor()),
//!         _ => Body::Failure(Failure::command(b"unknown command")),
//!     }
//! }
//!
//! /// Handles what has come. `write` puts a frame on the wire.
//! fn serve(
//!     mut input: &[u8],
//!     mut write: impl FnMut(&OutFrame<'_>),
//! ) -> Result<(), hgrpc::ProtocolError> {
//!     // On a device these three live as long as the connection, in a `static`.
//!     let mut store = FixedStore::<4, 256>::new();
//!     let mut server = Server::new(R0005, ServerConfig::STREAMING);
//!     let mut reader = FrameReader::new(Limits::DEFAULT.max_frame_size);
//!     // Opened with the first answer.
//!     let mut stream: Option<OutputStream> = None;
//!
//!     let (table, arena) = store.split();
//!     while let Some(part) = reader.next(&mut input)? {
//!         match server.handle(part, table, arena)? {
//!             ServerAction::RunCommand(command) => {
//!                 let body = run(&command);
//!                 let mut answer = server.respond(table, command.responder, body).unwrap();
//!                 let stream = stream.get_or_insert_with(|| server.open_stream(&[]).unwrap());
//!                 let mut out = server.output(table, stream);
//!                 while let Some(frame) = answer.next_frame(&mut out, &mut []).unwrap() {
//!                     write(&frame);
//!                 }
//!             }
//!             ServerAction::CommandData { bytes, is_last, .. } => {
//!                 // A piece of a running command's data, as it comes.
//! #               let _ = (bytes, is_last);
//!             }
//!             ServerAction::RejectRequest(rejection) => {
//!                 // Over a limit: this request is refused, its neighbours go on.
//!                 let mut answer = server.reject(rejection);
//!                 let stream = stream.get_or_insert_with(|| server.open_stream(&[]).unwrap());
//!                 let mut out = server.output(table, stream);
//!                 while let Some(frame) = answer.next_frame(&mut out).unwrap() {
//!                     write(&frame);
//!                 }
//!             }
//!             _ => {} // Nothing to do: more is to come.
//!         }
//!     }
//!     Ok(())
//! }
//!
//! // {"args": {"on": true}, "name": "led"} in one frame.
//! let request = b"\x14\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameCled";
//! let mut sent = Vec::new();
//! serve(request, |frame| sent.extend(frame.as_slices().concat())).unwrap();
//! assert_eq!(sent, b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\xf5");
//! ```
//!
//! # A client
//! ```
//! use hgrpc::cbor::{ArgsWriter, Status};
//! use hgrpc::client::{Client, ClientAction, ClientConfig, Request};
//! use hgrpc::store::FixedStore;
//! use hgrpc::wire::FrameReader;
//! use hgrpc::{Limits, R0005};
//!
//! let mut store = FixedStore::<4, 256>::new();
//! let mut client = Client::new(R0005, ClientConfig::FULL_DUPLEX);
//! let (table, arena) = store.split();
//!
//! // Arguments are written into lent memory, in the order that the revision wants.
//! let mut memory = [0; 32];
//! let mut args = ArgsWriter::new(&mut memory, client.revision().key_order());
//! args.value(b"on", &true)?;
//! let (mut call, _) = client.call(table, Request::new(b"led", args.finish()?))?;
//!
//! let mut sent = Vec::new();
//! let mut out = client.output(table);
//! while let Some(frame) = call.next_frame(&mut out) {
//!     sent.extend(frame.as_slices().concat());
//! }
//! assert_eq!(sent, b"\x14\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameCled");
//!
//! // What comes back, in whatever pieces.
//! let mut reader = FrameReader::new(Limits::DEFAULT.max_frame_size);
//! let mut input: &[u8] = b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\xf5";
//! let mut body = Vec::new();
//! while let Some(part) = reader.next(&mut input)? {
//!     match client.handle(part, table, arena)? {
//!         ClientAction::ResponseData { request_id, status, data, eos, .. } => {
//!             assert_eq!(request_id, call.request_id());
//!             assert_eq!(status, Some(Status::Ok));
//!             assert!(eos);
//!             body.extend_from_slice(data);
//!         }
//!         ClientAction::ErrorResponse { message, .. } => panic!("{message}"),
//!         _ => {}
//!     }
//! }
//! assert_eq!(body, b"\xf5");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Contract
//! - `no_std`, no allocation, `forbid(unsafe_code)`.
//! - No panics: no path to one is left in a linked program, whatever a peer sends and however the
//!   crate is called. Mistakes of the caller are [`ApiMisuse`], of the peer [`ProtocolError`].
//!   (Only a future of `io::asynch` that is polled after its end panics, as all of Rust's do.)
//! - Bounded: every number that a peer can make this end hold is in [`Limits`], in
//!   [`server::ServerConfig`] or [`client::ClientConfig`], or in the store. What is over a limit
//!   refuses one request, never its neighbours; work per call is bounded by the bytes given and the
//!   request or message that they complete.
//! - `Send`, and no locks: what is here is plain data, made by a `const fn new`, used by whoever
//!   has it `&mut`. No method of a reactor, a reader or a store waits, so an interrupt may call it,
//!   behind the critical section that a `static` needs anyway. The drivers, which wait, are not for
//!   interrupts.
//! - The same bytes give the same answers, however they are cut, on every target, with any
//!   features.
//!
//! # Features
//! | feature | adds |
//! | --- | --- |
//! | `embedded-io-v0_7` | the module `io`: drivers over embedded-io 0.7 |
//! | `embedded-io-async-v0_7` | the module `io::asynch`: drivers over embedded-io-async 0.7; also the feature above |
//! | `link` | the module `link`: frames over a raw line, such as a UART |
//! | `alloc` | `String` and `Vec<u8>` as types of arguments; nothing else allocates |
//! | `defmt` | `defmt::Format` for every public type |
//!
//! No feature is on by default, and none changes what is there without it.
//!
#![doc = include_str!("../size.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "a test fails by panicking"
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod bytes;
pub mod cbor;
pub mod client;
mod error;
#[cfg(feature = "embedded-io-v0_7")]
pub mod io;
mod limits;
#[cfg(feature = "link")]
pub mod link;
pub mod next;
mod revision;
pub mod server;
pub mod store;
mod streams;
pub mod wire;

pub use error::{ApiMisuse, ProtocolError};
pub use limits::{Limits, RefusalReason};
pub use revision::{KeyOrder, Protocol, R0003, R0005, R0006, REVISIONS, Revision, Streaming};
