//! The write half.

use embedded_io::{Error as _, ErrorKind, Write};

use super::SendError;
use crate::ApiMisuse;
use crate::bytes::copy;
use crate::wire::{FrameHeader, OutFrame};

/// Writes frames, small ones joined in a buffer of `N` bytes; 0: every piece is a write.
///
/// Long payloads are not copied: they go to the write half as they are. Joined bytes go out when
/// the buffer is full and when it is [flushed](Self::flush).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sender<W, const N: usize> {
    io: W,
    buffer: [u8; N],
    /// Where the joined bytes that were not written yet start and end.
    start: usize,
    end: usize,
    unfinished: Option<Unfinished>,
    /// Something was written since the write half was flushed.
    is_dirty: bool,
}

/// A frame that was sent in part when an error came.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Unfinished {
    header: FrameHeader,
    /// Bytes of it that were written or joined.
    taken: usize,
}

impl<W, const N: usize> Sender<W, N> {
    /// A sender at the start of a connection.
    pub const fn new(io: W) -> Self {
        Self {
            io,
            buffer: [0; N],
            start: 0,
            end: 0,
            unfinished: None,
            is_dirty: false,
        }
    }

    /// The write half itself. Bytes written to it directly may end up between frames only after a
    /// [`flush`](Self::flush).
    pub const fn io_mut(&mut self) -> &mut W {
        &mut self.io
    }

    /// Whether an error has left a frame sent in part: [`send`](Self::send) it again before any
    /// other.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Joins what fits; how many bytes that is.
    fn join(&mut self, bytes: &[u8]) -> usize {
        let free = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        let len = free.len().min(bytes.len());
        copy(free, bytes);
        self.end = self.end.saturating_add(len);
        len
    }
}

impl<W: Write, const N: usize> Sender<W, N> {
    /// Sends a frame, all of it, or joins it with others. Work, beside writing, is bounded by the
    /// bytes that are joined.
    ///
    /// # Errors
    /// After [`SendError::Io`] or [`SendError::WroteNothing`] the same frame can be sent again: it
    /// goes on where it stopped, no byte is written twice. [`ApiMisuse::OutOfOrder`]: it is another
    /// one, which would tear the unfinished one apart.
    pub fn send(&mut self, frame: &OutFrame<'_>) -> Result<(), SendError<W::Error>> {
        let mut taken = match self.unfinished.take() {
            None => 0,
            Some(of) if of.header == *frame.header() => of.taken,
            other => {
                self.unfinished = other;
                return Err(ApiMisuse::OutOfOrder.into());
            }
        };
        while let Some(bytes) = frame.slice_at(taken) {
            let result = if self.end == 0 && bytes.len() >= N {
                self.is_dirty = true;
                write(&mut self.io, bytes)
            } else if self.end >= N {
                self.drain().map(|()| 0)
            } else {
                Ok(self.join(bytes))
            };
            match result {
                Ok(len) => taken = taken.saturating_add(len),
                Err(error) => {
                    let header = *frame.header();
                    self.unfinished = Some(Unfinished { header, taken });
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// As [`send`](Self::send), but goes on where the write half was only interrupted.
    pub(super) fn send_all(&mut self, frame: &OutFrame<'_>) -> Result<(), SendError<W::Error>> {
        loop {
            match self.send(frame) {
                Err(SendError::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes what is joined and flushes the write half; nothing if nothing was sent since.
    ///
    /// # Errors
    /// [`SendError::Io`], [`SendError::WroteNothing`]; call again to go on.
    pub fn flush(&mut self) -> Result<(), SendError<W::Error>> {
        self.drain()?;
        if self.is_dirty {
            self.io.flush().map_err(SendError::Io)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// As [`flush`](Self::flush), but goes on where the write half was only interrupted.
    pub(super) fn flush_all(&mut self) -> Result<(), SendError<W::Error>> {
        loop {
            match self.flush() {
                Err(SendError::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes what is joined.
    fn drain(&mut self) -> Result<(), SendError<W::Error>> {
        loop {
            let bytes = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            if bytes.is_empty() {
                self.start = 0;
                self.end = 0;
                return Ok(());
            }
            self.is_dirty = true;
            let len = write(&mut self.io, bytes)?;
            self.start = self.start.saturating_add(len);
        }
    }
}

/// Writes some of the bytes, at least one. (`write_all` panics on a writer that takes none.)
fn write<W: Write>(io: &mut W, bytes: &[u8]) -> Result<usize, SendError<W::Error>> {
    match io.write(bytes).map_err(SendError::Io)? {
        0 => Err(SendError::WroteNothing),
        len => Ok(len.min(bytes.len())),
    }
}
