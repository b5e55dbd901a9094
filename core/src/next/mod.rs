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

pub mod client;
mod incoming;
pub mod output;
pub mod server;
pub mod store;
mod tuned;
