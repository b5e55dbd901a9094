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
//!
//! # A device
//! Two commands: one takes typed arguments, the other adds up the data that is streamed to it.
#![cfg_attr(feature = "embedded-io-v0_7", doc = "```")]
#![cfg_attr(not(feature = "embedded-io-v0_7"), doc = "```ignore")]
#![doc = include_str!("drive/device.md")]
//! # fn set_led(on: bool, level: u8) -> bool { on && level > 0 }
//! # // {"name": "sum"}, which announces data, and the data 1, 2, 3.
//! # let input = b"\x0a\0\0\x01\0\x01\x01\x19\xa1DnameCsum\x03\0\0\x01\0\x01\0\x22\x01\x02\x03";
//! # let mut output = [0; 20];
//! # serve(&input[..], &mut output[..]).unwrap();
//! # assert_eq!(&output, b"\x0c\0\0\x01\0\x02\x01\x32\xa1FstatusBok\x06");
//! ```

pub mod client;
pub mod connection;
#[cfg(feature = "embedded-io-v0_7")]
pub mod drive;
mod incoming;
pub mod output;
pub mod server;
pub mod store;
mod tuned;

pub use crate::error::Error;
