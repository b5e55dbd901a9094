//! What the programs of the gate share: a port, the two ends of the protocol as a firmware would
//! drive them, the panic handler, the planted panics.
//!
//! Read `src/bin/baseline.rs` first, then `src/bin/wire.rs` and `src/server.rs`; `../size` builds
//! and measures them. The unsafe code of the programs stands in `port.rs`, `panic.rs`,
//! `measure.rs` and `start.rs`, and nowhere else.
#![no_std]

mod board;
mod client;
mod measure;
mod panic;
mod port;
mod server;
mod start;

pub use board::Board;
pub use client::ClientEnd;
pub use measure::{exit, measure_begin, measure_end};
pub use panic::plant;
pub use port::Port;
pub use server::{Memory, Over, ServerEnd, serve, server_end, step};

/// Bytes of receive buffer: a small device's. Frames are larger.
pub const BUFFER: usize = 64;

/// Waits for a byte that chooses a revision: known only when the program runs.
#[inline(never)]
pub fn choose_revision(port: &mut Port) -> hgrpc::Revision {
    let mut byte = [0];
    while port.read(&mut byte) == 0 {}
    let [byte] = byte;
    match byte {
        0x3 => hgrpc::Revision::R0003,
        0x5 => hgrpc::Revision::R0005,
        _ => hgrpc::Revision::R0006,
    }
}
