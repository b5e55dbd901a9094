//! Connections as state machines over the core, without thread, task, clock or socket.
//!
//! ```text
//!   transport ─▶ driver (threads | tasks | HTTP) ─▶ engine ─▶ handlers
//!                 waits, wakes                      bytes in, bytes out, wake-ups as keys
//! ```
//! A driver hands in bytes as they come and the time as milliseconds, takes bytes to be written, and
//! does what wake-ups say. Everything that decides anything is here.
//!
//! - [`client`]: a client's connection; read [`Connection`](client::Connection) first.
//! - [`server`]: a server's connection; read [`Connection`](server::Connection) first.
//! - [`Pool`]: bytes that connections share. [`Charge`]: those that are held.

mod batch;
mod budget;
pub mod client;
mod clock;
#[doc(hidden)]
pub mod faults;
mod frames;
mod inbound;
pub mod server;
mod slab;
mod turns;

#[cfg(feature = "http-server")]
pub(crate) use budget::Budget;
pub use budget::{Charge, Pool};
pub use slab::Key;
