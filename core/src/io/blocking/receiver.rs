//! The read half (framing.md, "Header": "Reading from a byte source").

use embedded_io::{Read, ReadReady};

use super::super::input::Input;
use super::ReceiveError;
use crate::wire::Part;

/// Reads frames into a buffer of `N` bytes, at least 8, and yields them in parts (framing.md,
/// "Header": "Reading from a byte source").
///
/// A frame that fits the buffer comes out whole: nothing of it is copied again, and its command
/// borrows from the buffer. A larger one comes in parts as its bytes arrive; the first may have
/// none, so that it can be refused before its payload is there.
///
/// Any `N` works with any peer: a larger one saves reads, and copies into the store.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receiver<R, const N: usize> {
    io: R,
    input: Input<N>,
}

impl<R, const N: usize> Receiver<R, N> {
    /// A receiver at the start of a connection. `max_frame_size`: the largest payload of a frame
    /// that is let in, see [`Limits`](crate::Limits).
    pub const fn new(io: R, max_frame_size: u32) -> Self {
        Self {
            io,
            input: Input::new(max_frame_size),
        }
    }

    /// Frames that have come, the one that is coming with them; from 2³² on it begins anew.
    pub const fn frames(&self) -> u32 {
        self.input.frames()
    }

    /// The read half itself. Bytes read from it directly are missing from the frames.
    pub const fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }
}

impl<R: Read, const N: usize> Receiver<R, N> {
    /// The next part of a frame; waits for it. `None`: the input has ended, between two frames.
    ///
    /// It reads only if the next part has not come yet. Work, beside reading, is bounded by `N`
    /// for each read.
    ///
    /// # Errors
    /// [`ReceiveError`]. After [`ReceiveError::Io`] the next call goes on; nothing is lost.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, ReceiveError<R::Error>> {
        // The part is borrowed once, after the last read: no loop may return a borrow.
        while !self.input.has_enough() {
            let len = self.io.read(self.input.room()).map_err(ReceiveError::Io)?;
            if !self.input.filled(len)? {
                return Ok(None);
            }
        }
        self.input.next()
    }
}

impl<R: ReadReady, const N: usize> Receiver<R, N> {
    /// Whether there is something to read without waiting. (The rest of a small frame may still
    /// have to be waited for.)
    ///
    /// # Errors
    /// Those of the read half.
    pub fn is_ready(&mut self) -> Result<bool, R::Error> {
        if self.input.has_enough() {
            return Ok(true);
        }
        self.io.read_ready()
    }
}
