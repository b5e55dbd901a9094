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
//!   bytes ─▶ connection ─▶ event ─▶ your code ─▶ reply.ok(&value), … ─▶ connection ─▶ bytes
//!              │   server or client: what frames mean                  one frame a call
//!              └─▶ store: open requests, gathered bytes      wire, cbor: what is inside of frames
//! ```
//! - [`connection`]: an end with its memory and its output. It does no I/O and knows no time.
//! - [`server`] and [`client`]: the reactors in it, for owners that move bytes and make
//!   frames themselves. Read [`Server`](server::Server) first.
//! - [`store`]: what a reactor remembers. [`FixedRequests`](store::FixedRequests) is fixed
//!   memory.
//! - [`wire`]: headers, flags, IDs. [`cbor`]: what is inside of frames, read as views, written into
//!   lent memory. Typed arguments: [`args!`].
#![cfg_attr(
    feature = "embedded-io-v0_7",
    doc = "- [`drive`]: drivers that move the bytes; with one a firmware's main loop is ten lines."
)]
#![cfg_attr(
    not(feature = "embedded-io-v0_7"),
    doc = "- `drive` (feature `embedded-io-v0_7`): drivers that move the bytes."
)]
//!
//! Nothing on the wire says which [`Revision`] is spoken: both ends must have agreed on it.
//!
//! # A server on a device
//! Three commands: one takes typed arguments, one says how far it is, the last adds up the data that is
//! streamed to it.
#![cfg_attr(feature = "embedded-io-v0_7", doc = "```")]
#![cfg_attr(not(feature = "embedded-io-v0_7"), doc = "```ignore")]
#![doc = include_str!("drive/device.md")]
//! # fn set_led(on: bool, level: u8) -> bool { on && level > 0 }
//! # // {"name": "sum"}, which announces data, and the data 1, 2, 3.
//! # let input = b"\x0a\0\0\x01\0\x01\x01\x19\xa1DnameCsum\x03\0\0\x01\0\x01\0\x22\x01\x02\x03";
//! # // And `sum` without data is answered too.
//! # let input = [&input[..], b"\x0a\0\0\x03\0\x01\0\x11\xa1DnameCsum"].concat();
//! # let mut output = [0; 80];
//! # serve(&input[..], &mut output[..]).unwrap();
//! # assert_eq!(&output[..20], b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\x06");
//! # assert!(output.ends_with(b"CmsgPtakes one uploadFstatusEerror"));
//! ```
//!
//! # A client
//! Without a driver: whoever has the bytes hands them in, and writes those that are given out.
//!
//! ```
//! use hgrpc::R0005;
//! use hgrpc::cbor::{ArgsWriter, Status};
//! use hgrpc::Error;
//! use hgrpc::client::{Client, ClientConfig, Event, Request};
//! use hgrpc::connection::{Buffers, ClientConnection, Drive};
//! use hgrpc::store::FixedRequests;
//!
//! let (mut memory, mut output) = ([0; 256], [0; 64]);
//! let buffers = Buffers { input: &mut [], memory: &mut memory, output: &mut output };
//! let mut client = Client::new(R0005, ClientConfig::FULL_DUPLEX, FixedRequests::<4>::new());
//! let key_order = client.revision().key_order();
//! let mut connection = ClientConnection::new(&mut client, buffers);
//!
//! // Arguments are written into lent memory, in the order that the revision wants.
//! let mut written = [0; 32];
//! let mut args = ArgsWriter::new(&mut written, key_order);
//! args.value(b"on", &true)?;
//! let calls = connection.sender();
//! let mut call = calls.request(Request::new(b"led", args.finish()?), false)?;
//! let mut sent = Vec::new();
//! calls.make_all(&mut call, |bytes| sent.extend_from_slice(bytes))?;
//! calls.write_all(|bytes| sent.extend_from_slice(bytes));
//! assert_eq!(sent, b"\x14\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameCled");
//!
//! // What comes back, in whatever pieces.
//! let mut body = Vec::new();
//! for mut piece in b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\xf5".chunks(5) {
//!     while let Some((event, _)) = connection.take(&mut piece)? {
//!         match event {
//!             Event::Response { request_id, status, data, .. } => {
//!                 assert_eq!(request_id, call.request_id());
//!                 assert!(matches!(status, None | Some(Status::Ok)));
//!                 body.extend_from_slice(data);
//!             }
//!             Event::Failed { message, .. } => panic!("{message}"),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(body, b"\xf5");
//! # Ok::<(), Error>(())
//! ```
//!
//! # Contract
//! - `no_std`, no allocation, `forbid(unsafe_code)`.
//! - No panics: no path to one is left in a linked program, whatever a peer sends and however the
//!   crate is called. Mistakes of the caller are [`ApiMisuse`], of the peer [`ProtocolError`].
//!   (Only a future of `drive::asynch` that is polled after its end panics, as all of Rust's do.)
//! - Bounded: every number that a peer can make this end hold is in [`Limits`], in
//!   [`ServerConfig`](server::ServerConfig) or [`ClientConfig`](client::ClientConfig),
//!   or in the store. What is over a limit refuses one request, never its neighbours; work per call
//!   is bounded by the bytes given and the request or message that they complete.
//! - `Send`, and no locks: what is here is plain data, made by a `const fn new`, used by whoever
//!   has it `&mut`. No method of a reactor or a store waits, so an interrupt may call it, behind
//!   the critical section that a `static` needs anyway. The drivers, which wait, are not for
//!   interrupts.
//! - The same bytes give the same answers, however they are cut, on every target, with any
//!   features.
//!
//! # Features
//! | feature | adds |
//! | --- | --- |
//! | `embedded-io-v0_7` | the module `drive`: drivers over embedded-io 0.7 |
//! | `embedded-io-async-v0_7` | the module `drive::asynch`: drivers over embedded-io-async 0.7; also the feature above |
//! | `link` | the module `link`: frames over a raw line, such as a UART |
//! | `alloc` | `String` and `Vec<u8>` as types of arguments; nothing else allocates |
//! | `service-docs` | the documentation of a [`service!`] in what it says of itself |
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
pub mod connection;
mod debug;
#[cfg(feature = "embedded-io-v0_7")]
pub mod drive;
mod error;
mod incoming;
mod limits;
#[cfg(feature = "link")]
pub mod link;
pub mod output;
mod revision;
pub mod server;
pub mod service;
pub mod store;
mod streams;
mod tuned;
pub mod wire;

pub use error::{ApiMisuse, Error, ProtocolError};
pub use limits::{Limits, RefusalReason};
pub use revision::{KeyOrder, Protocol, R0003, R0005, R0006, REVISIONS, Revision, Streaming};
