//! What every program of the gate shares: a port, the panic handler, the planted panics.
//!
//! Read `src/bin/baseline.rs` first, then `src/bin/wire.rs`; `../size` builds and measures them.
//! The unsafe code of the programs stands here and nowhere else.
#![no_std]

mod panic;
mod port;

pub use panic::plant;
pub use port::Port;
