//! The reworked reactors, beside the first ones until everything stands on them.
//!
//! ```text
//!   bytes ─▶ Server::next ─▶ Event ─▶ your code ─▶ respond, fail, … ─▶ Output ─▶ bytes
//!              │     ▲                                                  one frame a call
//!           requests memory
//! ```
//! - [`store`]: what a reactor remembers of requests, and the memory in which it gathers bytes.
//! - [`server`]: the server's end; read [`Server`](server::Server) first.
//! - [`client`]: the client's end; read [`Client`](client::Client) first.
//! - [`output`]: the buffer that frames are filled into.
//! - [`connection`]: an end with its memory and its output, without I/O.
#![cfg_attr(
    feature = "embedded-io-v0_7",
    doc = "- [`drive`]: what moves the bytes of a connection."
)]
#![cfg_attr(
    not(feature = "embedded-io-v0_7"),
    doc = "- `drive` (feature `embedded-io-v0_7`): what moves the bytes of a connection."
)]

pub mod client;
pub mod connection;
#[cfg(feature = "embedded-io-v0_7")]
pub mod drive;
mod error;
mod incoming;
pub mod output;
pub mod server;
pub mod store;
mod tuned;

pub use error::Error;
