//! Drivers: what moves bytes between the reactors and the world.
//!
//! - [`blocking`]: over embedded-io 0.7 (feature `embedded-io-v0_7`).
#![cfg_attr(
    feature = "embedded-io-async-v0_7",
    doc = "- [`asynch`]: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]
#![cfg_attr(
    not(feature = "embedded-io-async-v0_7"),
    doc = "- `asynch`: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]
//!
//! Nothing here is needed: a reactor takes bytes wherever they lie, and gives out bytes to be sent.
//!
//! # Ways to move bytes on a device
//! | bytes come | drive with | copied on the way in |
//! | --- | --- | --- |
//! | by a HAL that blocks | [`blocking`] | once, into `IN` bytes |
//! | by a HAL with async, in tasks | `asynch` | once, into `IN` bytes |
//! | by an interrupt for each byte, into a ring that the main loop reads | [`FrameReader`](crate::wire::FrameReader) and [`Server::handle`](crate::server::Server::handle) on pieces of the ring | not by hgrpc |
//! | by a DMA controller, into a ring or two buffers in turn | the same, on the DMA's own memory | not at all, but requests that come in parts |
//!
//! The programs in `tests/firmware/examples` of the repository show the last three; the last one is
//! tested with a DMA that is simulated.
//!
//! ```
//! use hgrpc::server::{Server, ServerConfig};
//! use hgrpc::store::{FixedArena, FixedTable};
//! use hgrpc::wire::FrameReader;
//! use hgrpc::{ProtocolError, R0005};
//!
//! /// `bytes` lie in a buffer of the DMA's, which it does not write again before this returns.
//! fn handle(
//!     mut bytes: &[u8],
//!     reader: &mut FrameReader,
//!     server: &mut Server<R0005>,
//!     table: &mut FixedTable<4>,
//!     arena: &mut FixedArena<4, 256>,
//! ) -> Result<(), ProtocolError> {
//!     // A frame may be cut anywhere: its parts are handled as they come.
//!     while let Some(part) = reader.next(&mut bytes)? {
//!         // Data and whole requests borrow from `bytes`.
//!         let _action = server.handle(part, table, arena)?;
//!     }
//!     Ok(())
//! }
//! # let mut server = Server::new(R0005, ServerConfig::STREAMING);
//! # let mut reader = FrameReader::new(1000);
//! # let (mut table, mut arena) = (FixedTable::new(), FixedArena::new());
//! # handle(b"\x0b\0\0\x01\0", &mut reader, &mut server, &mut table, &mut arena).unwrap();
//! # let rest = b"\x01\x01\x11\xa1DnameDecho";
//! # handle(rest, &mut reader, &mut server, &mut table, &mut arena).unwrap();
//! ```
//!
//! # What may be touched from where
//! - **Reactors, stores, readers, links** hold no pointers or locks: they are `Send`, fit in a
//!   `static` behind a mutex (`const fn new`), and are used by whoever has them `&mut`. None of
//!   their methods waits, allocates or panics, and work is bounded by the bytes given: they may be
//!   called in an interrupt, behind the critical section that a `static` needs anyway. It then
//!   lasts as long as a part's work does. To keep interrupts short, let them put bytes into a ring
//!   only.
//! - **Tokens** (a `Responder`, a `ResponseWriter`) are `Send`, too: a request may be answered by
//!   another task, or from an interrupt, wherever the reactor can be had.
//! - **What an action borrows** lies in the input or in the arena, and is gone with the next call.
//! - **Connections** are `Send` if their halves are. An interrupt does not touch them: it wakes
//!   whoever waits in a read. A connection over a `LinkedLine` (feature `link`) is not `Send`: both
//!   halves share the line.
//!
//! # Which memory must live where
//! - A DMA controller's buffer: in memory that it reaches (on many chips not the core-coupled one),
//!   on a core with a data cache uncached or invalidated before it is read, and with no reference
//!   to bytes that are being written. hgrpc asks for nothing of all this: it sees a `&[u8]` of what
//!   is written already, and of any alignment.
//! - A ring or a pair of buffers must hold what comes while one piece is handled: at 115,200 baud
//!   12 bytes a millisecond. What does not fit is lost, which frames alone do not notice: put a
//!   `link` between, where that may happen.
//! - What is given to a write half may lie anywhere: the drivers send from their own `OUT` bytes,
//!   in the connection, and `blocking` long payloads from where they are. A HAL that sends by DMA
//!   says which memory it reaches; flash is often not among it.

#[cfg(feature = "embedded-io-async-v0_7")]
pub mod asynch;
pub mod blocking;
mod error;
mod input;
#[cfg(feature = "link")]
mod line;

use crate::server::{Output, OutputStream, Server};
use crate::store::Table;
use crate::{ApiMisuse, Protocol};
use error::ReceiveError;

/// Where the frames of answers are made. The stream is opened at its first use, when the peer's
/// settings are known.
fn output<'o, T: Table, P: Protocol>(
    server: &'o mut Server<P>,
    table: &'o mut T,
    stream: &'o mut Option<OutputStream>,
) -> Result<Output<'o, T, P>, ApiMisuse> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(server.open_stream(&[])?),
    };
    Ok(server.output(table, stream))
}
