//! The blocking driver over embedded-io 0.7: separate read and write halves, fixed buffers.
//!
//! ```text
//!   R: Read  ──▶ Receiver ──▶ Server / Client ──▶ action ──▶ your code
//!   W: Write ◀── Sender   ◀── Replies / Calls  ◀──────────────┘
//! ```
//! - [`Receiver`] and [`Sender`] move frames and nothing else. They keep their own progress: after
//!   an I/O error the same call goes on where it stopped. With the reactors they make any loop, for
//!   example one with a task for each direction.
//! - `LinkedLine` (feature `link`): halves for a raw line, on which bytes are lost.
//! - [`ServerConnection`] and [`ClientConnection`] bundle everything for the common loop: one
//!   thread, fixed memory. [`next_action`](ServerConnection::next_action) gives an action and,
//!   beside it, the half that answers, so that a handler can answer while it still borrows its
//!   arguments. `const fn new`: a connection fits in a `static`.
//!
//! # A firmware's main loop
//! ```
//! use embedded_io::{Read, Write};
//! use hgrpc::cbor::Head;
//! use hgrpc::io::blocking::{NextError, SendError, ServerConnection};
//! use hgrpc::server::{Body, Failure, Responder, ServerAction, ServerConfig};
//! use hgrpc::R0005;
//!
//! #[derive(Debug)]
//! struct Ended;
//!
//! impl<R, W> From<NextError<R, W>> for Ended {
//!     fn from(_: NextError<R, W>) -> Self {
//!         Self
//!     }
//! }
//! impl<W> From<SendError<W>> for Ended {
//!     fn from(_: SendError<W>) -> Self {
//!         Self
//!     }
//! }
//!
//! fn serve<R: Read, W: Write>(input: R, output: W) -> Result<(), Ended> {
//!     // Four requests at once, which share 256 bytes; 64 bytes of input, 64 of output.
//!     let mut connection: ServerConnection<R, W, 4, 256, 64, 64, R0005> =
//!         ServerConnection::new(input, output, R0005, ServerConfig::STREAMING);
//!     let (mut upload, mut sum): (Option<Responder>, u32) = (None, 0);
//!     while let Some((action, replies)) = connection.next_action()? {
//!         match action {
//!             ServerAction::RunCommand(command) => match command.name.as_slice() {
//!                 Some(b"echo") => {
//!                     // The answer borrows what the request brought.
//!                     replies.respond(command.responder, Body::Cbor(command.args.as_cbor()))?;
//!                 }
//!                 Some(b"sum") if command.data_follows && upload.is_none() => {
//!                     (upload, sum) = (Some(command.responder), 0); // Answered when all is there.
//!                 }
//!                 _ => {
//!                     let failure = Failure::command(b"unknown command, or busy");
//!                     replies.respond(command.responder, Body::Failure(failure))?;
//!                 }
//!             },
//!             // What was answered before its data ended gets no more of it: this is the upload's.
//!             ServerAction::CommandData { bytes, is_last, .. } => {
//!                 sum = bytes.iter().fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
//!                 if is_last && let Some(responder) = upload.take() {
//!                     let number = Head::new(0, u64::from(sum));
//!                     replies.respond(responder, Body::Cbor(number.as_slice()))?;
//!                 }
//!             }
//!             ServerAction::RejectRequest(rejection) => replies.reject(rejection)?,
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//!
//! // {"name": "sum"}, which announces data, and the data 1, 2, 3.
//! let input = b"\x0a\0\0\x01\0\x01\x01\x19\xa1DnameCsum\x03\0\0\x01\0\x01\0\x22\x01\x02\x03";
//! let mut output = [0; 20];
//! serve(&input[..], &mut output[..]).unwrap();
//! assert_eq!(&output, b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\x06");
//! ```
//!
//! # Tasks and interrupts
//! A connection is `Send` if its halves are; one over a `LinkedLine` is not, since its halves share
//! the line. Its methods wait in the halves, so they are not for interrupts: an interrupt fills
//! what the read half reads from, and wakes whoever waits there.
//! [More](super#what-may-be-touched-from-where).
//!
//! # Both ends blocked
//! A bundle writes in the thread in which it reads. If both ends are in a long write and neither
//! reads, both wait for ever. One end that reads while it writes is enough (the adapter crate's
//! connections do); between two bundles keep long responses and uploads apart, or look for input
//! between pieces with [`is_ready`](ServerConnection::is_ready).

mod client;
#[cfg(feature = "link")]
mod line;
mod receiver;
mod sender;
mod server;

pub use super::error::{NextError, ReceiveError, SendError};
#[cfg(feature = "link")]
pub use super::line::LineError;
pub use client::{Calls, ClientConnection};
#[cfg(feature = "link")]
pub use line::{LineReader, LineWriter, LinkedLine};
pub use receiver::Receiver;
pub use sender::Sender;
pub use server::{Replies, ServerConnection};
