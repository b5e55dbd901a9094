//! The asynchronous driver over embedded-io-async 0.7: separate read and write halves, fixed
//! buffers, for any executor or none. Not over 0.6: its traits are other types, so each of these
//! files would be there twice.
//!
//! It is [`blocking`](super::blocking) with `await`: the same types, and the same reactors; what is
//! said there holds here. What differs:
//!
//! - **Nothing is lost when a future is dropped**, at any `await`; see below.
//! - A frame is made only when it fits the output buffer as a whole. So a frame that is sent has a
//!   payload of at most `OUT` − 8 bytes, and everything that goes out is copied once. `OUT` is at
//!   least 64, and 96 in 0006, so that refusals fit; a [failure's](crate::server::Failure) message
//!   and a text fit only if they leave 60 bytes of it.
//! - What takes memory to be joined in is not joined: each of [`Body::Objects`]' pieces is a frame.
//!
//! [`Body::Objects`]: crate::server::Body::Objects
//!
//! # Dropped futures
//! All progress is in the connection, or in a value of the caller's. A future of these may be
//! dropped and asked for again, as `select` does in a loop:
//!
//! | future | dropped before its end | to go on |
//! | --- | --- | --- |
//! | [`next_action`](ServerConnection::next_action), [`Receiver::next_part`], [`Replies::flush`] | nothing has happened, or it is kept | call it again |
//! | [`Replies::send`], [`Calls::send`] | the frames that were made go out | call it again with the same answer or call |
//! | [`Replies::write`], [`finish`](Replies::finish), [`fail`](Replies::fail) | the same | call it again with the same writer and piece |
//! | [`Calls::send_data`] | the bytes have been advanced past what was taken | call it again with them |
//! | [`Replies::text_output`], [`progress`](Replies::progress) | it was not sent | call it again, or leave it |
//! | [`Replies::respond`], [`reject`](Replies::reject), [`Calls::call`] | the answer, or the call, is lost with it: it stays open | use `send` where that may happen; or [`take_over`](Replies::take_over) it |
//!
//! (A future that is polled after its end panics, as all of Rust's do. It is the only panic.)
//!
//! No frame is ever torn: whatever was dropped, the connection goes on. It takes halves whose
//! `read` and `write` have done nothing when they are dropped, which embedded-io-async asks them to
//! document; those of a UART with a buffer behind it usually have, those with DMA straight from and
//! to the caller's memory have not.
//!
//! # Tasks
//! The connections hold no pointers: they, and their futures, are `Send` if the halves and their
//! futures are. One future at a time is what `&mut self` allows; an interrupt touches neither, but
//! wakes whoever awaits the read half. [`Receiver`] and [`Sender`] make a loop with a task for each
//! direction. A `LinkedLine` (feature `link`) has its state in a `RefCell`, which both halves
//! share: it, and the connections over it, stay in one executor, and one future of it may be under
//! way at a time.
//!
//! # A task
//! ```
//! use embedded_io_async::{Read, Write};
//! use hgrpc::R0005;
//! use hgrpc::io::asynch::{NextError, ServerConnection};
//! use hgrpc::server::{Body, Failure, ServerAction, ServerConfig};
//!
//! async fn serve<R: Read, W: Write>(
//!     input: R,
//!     output: W,
//! ) -> Result<(), NextError<R::Error, W::Error>> {
//!     let mut connection: ServerConnection<R, W, 4, 256, 64, 128, R0005> =
//!         ServerConnection::new(input, output, R0005, ServerConfig::STREAMING);
//!     while let Some((action, replies)) = connection.next_action().await? {
//!         let sent = match action {
//!             ServerAction::RunCommand(command) => {
//!                 let body = match command.name.as_slice() {
//!                     // The answer borrows what the request brought.
//!                     Some(b"echo") => Body::Cbor(command.args.as_cbor()),
//!                     _ => Body::Failure(Failure::command(b"unknown command")),
//!                 };
//!                 replies.respond(command.responder, body).await
//!             }
//!             ServerAction::RejectRequest(rejection) => replies.reject(rejection).await,
//!             _ => Ok(()),
//!         };
//!         sent.map_err(NextError::Send)?;
//!     }
//!     Ok(())
//! }
//!
//! # use std::pin::pin;
//! # use std::task::{Context, Poll, Waker};
//! let input = b"\x0b\0\0\x01\0\x01\x01\x11\xa1DnameDecho";
//! let mut output = [0; 20];
//! // Memory is always ready.
//! let mut context = Context::from_waker(Waker::noop());
//! let polled = pin!(serve(&input[..], &mut output[..])).poll(&mut context);
//! assert_eq!(polled, Poll::Ready(Ok(())));
//! assert!(output.starts_with(b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok"));
//! ```

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
pub use server::{Frames, Replies, ServerConnection};
