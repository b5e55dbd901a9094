//! The blocking driver over embedded-io 0.7: separate read and write halves, fixed buffers.
//!
//! ```text
//!   R: Read  ──▶ Receiver ──▶ Server / Client ──▶ action ──▶ your code
//!   W: Write ◀── Sender   ◀── Replies / Calls  ◀──────────────┘
//! ```
//! - [`Receiver`] and [`Sender`] move frames and nothing else. They keep their own progress: after
//!   an I/O error the same call goes on where it stopped. With the reactors they make any loop, for
//!   example one with a task for each direction.
//! - [`ServerConnection`] and [`ClientConnection`] bundle everything for the common loop: one
//!   thread, fixed memory. [`next_action`](ServerConnection::next_action) gives an action and,
//!   beside it, the half that answers, so that a handler can answer while it still borrows its
//!   arguments. `const fn new`: a connection fits in a `static`.
//!
//! # Both ends blocked
//! A bundle writes in the thread in which it reads. If both ends are in a long write and neither
//! reads, both wait for ever. One end that reads while it writes is enough (the adapter crate's
//! connections do); between two bundles keep long responses and uploads apart, or look for input
//! between pieces with [`is_ready`](ServerConnection::is_ready).

mod client;
mod error;
mod receiver;
mod sender;
mod server;

pub use client::{Calls, ClientConnection};
pub use error::{NextError, ReceiveError, SendError};
pub use receiver::Receiver;
pub use sender::Sender;
pub use server::{Replies, ServerConnection};
