//! The asynchronous driver, over embedded-io-async 0.7, for any executor or none.
//!
//! It is [`blocking`](super::blocking) with `await`; what is said there holds here.
//!
//! # Dropped futures
//! All progress is in the connection, or in a value of the caller's. A future of these may be
//! dropped and asked for again, as `select` does in a loop:
//!
//! | future | dropped before its end | to go on |
//! | --- | --- | --- |
//! | [`Driver::step`], [`Sending::flush`] | nothing has happened, or it is kept | call it again |
//! | [`Sending::send`], [`Driver::send`] of `&mut` something | the frames that were made go out | call it again with the same |
//! | either of something | what was not made is lost with it: its request stays open | lend it where that may happen, or [take it over](crate::server::Server::take_over) |
//!
//! (A future that is polled after its end panics, as all of Rust's do. It is the only panic.)
//!
//! No frame is ever torn. It takes halves whose `read` and `write` have done nothing when they are
//! dropped, which embedded-io-async asks them to document; those of a UART with a buffer behind it
//! usually have, those with DMA straight from and to the caller's memory have not.
//!
//! # Tasks
//! A driver, and its futures, are `Send` if the halves and their futures are.

use embedded_io::ReadReady;
use embedded_io_async::{ErrorType, Read, Write};

use super::{Failed, Next, Sending};
use crate::connection::{Drive, Frames, Outgoing};

/// Halves that are awaited.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Async {}

ways!(Async, AsyncFnMut, async [.await]);
