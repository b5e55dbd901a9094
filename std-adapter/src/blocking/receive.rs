//! The reading thread of a client connection.

use std::io::Read;

use super::ConnectionError;
use super::exchange::Shared;
use crate::buffer::{Filled, ReceiveBuffer};
use crate::host::sync::block_until;

/// Reads until the connection ends, then ends every call.
pub(super) fn run(mut input: Box<dyn Read + Send>, shared: &Shared) {
    let error = match read(&mut *input, shared) {
        Ok(()) => shared.with(|connection| connection.end_input()),
        Err(error) => error,
    };
    shared.with(|connection| connection.end(&error));
    shared.close();
}

fn read(input: &mut dyn Read, shared: &Shared) -> Result<(), ConnectionError> {
    let mut buffer = ReceiveBuffer::default();
    loop {
        match buffer.fill_from(input) {
            Ok(Filled::Bytes(len)) => shared.meter.bytes_in(len),
            Ok(_) => return Ok(()),
            Err(error) => return Err(ConnectionError::reading(error)),
        }
        loop {
            let mut rest = buffer.bytes();
            let before = rest.len();
            let result = shared.receive(&mut rest);
            let taken = before - rest.len();
            buffer.consume(taken);
            result?;
            // All was taken, or a call's buffer is full: reading goes on when it has room, or when
            // the call is given up.
            if !shared.with(|connection| connection.is_stuck()) {
                break;
            }
            let stall = shared.stall();
            let _ = block_until(stall, |waker| shared.poll_input(waker));
        }
    }
}
