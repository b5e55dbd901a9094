//! The read half (framing.md, "Header": "Reading from a byte source").

use embedded_io::{Read, ReadReady};

use super::ReceiveError;
use crate::ProtocolError;
use crate::bytes::shift_down;
use crate::wire::{FrameHeader, FrameReader, HEADER_LEN, Part};

/// Reads frames into a buffer of `N` bytes, at least 8, and yields them in parts.
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
    reader: FrameReader,
    buffer: [u8; N],
    /// Where the bytes that were not taken yet start and end.
    start: usize,
    end: usize,
}

impl<R, const N: usize> Receiver<R, N> {
    /// A receiver at the start of a connection. `max_frame_size`: the largest payload of a frame
    /// that is let in, see [`Limits`](crate::Limits).
    pub const fn new(io: R, max_frame_size: u32) -> Self {
        const { assert!(N >= HEADER_LEN, "the buffer must hold a header") }
        Self {
            io,
            reader: FrameReader::new(max_frame_size),
            buffer: [0; N],
            start: 0,
            end: 0,
        }
    }

    /// The read half itself. Bytes read from it directly are missing from the frames.
    pub const fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    fn has_enough(&self) -> bool {
        let held = self.held();
        held.len() >= wanted(&self.reader, held, N)
    }
}

impl<R: Read, const N: usize> Receiver<R, N> {
    /// The next part of a frame; waits for it. `None`: the input has ended, between two frames.
    ///
    /// # Errors
    /// [`ReceiveError`]. After [`ReceiveError::Io`] the next call goes on; nothing is lost.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, ReceiveError<R::Error>> {
        // The part is borrowed once, after the last read: no loop may return a borrow.
        if !self.fill()? {
            return Ok(None);
        }
        let mut rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        let part = self
            .reader
            .next(&mut rest)
            .map_err(ReceiveError::Protocol)?;
        self.start = self.end.saturating_sub(rest.len());
        Ok(part)
    }

    /// Reads until the next part is there. `false`: the input has ended.
    fn fill(&mut self) -> Result<bool, ReceiveError<R::Error>> {
        while !self.has_enough() {
            if self.start > 0 {
                shift_down(&mut self.buffer, self.start);
                self.end = self.end.saturating_sub(self.start);
                self.start = 0;
            }
            let free = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
            match self.io.read(free).map_err(ReceiveError::Io)? {
                0 => return end_of(&self.reader, self.held()).map(|()| false),
                len => self.end = self.end.saturating_add(len).min(N),
            }
        }
        Ok(true)
    }
}

impl<R: ReadReady, const N: usize> Receiver<R, N> {
    /// Whether there is something to read without waiting. (The rest of a small frame may still
    /// have to be waited for.)
    ///
    /// # Errors
    /// Those of the read half.
    pub fn is_ready(&mut self) -> Result<bool, R::Error> {
        if self.has_enough() {
            return Ok(true);
        }
        self.io.read_ready()
    }
}

/// How many bytes the buffer must hold for the next part to be taken.
fn wanted(reader: &FrameReader, held: &[u8], capacity: usize) -> usize {
    if reader.current().is_some() {
        return 1;
    }
    let Some((header, _)) = FrameHeader::split_from(held) else {
        return HEADER_LEN;
    };
    if header.length() > reader.max_frame_size() {
        return HEADER_LEN;
    }
    let length = usize::try_from(header.length()).unwrap_or(usize::MAX);
    let whole = length.saturating_add(HEADER_LEN);
    if whole <= capacity { whole } else { HEADER_LEN }
}

/// What the end of input means.
fn end_of<E>(reader: &FrameReader, held: &[u8]) -> Result<(), ReceiveError<E>> {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let (error, received, missing) = if reader.current().is_some() {
        (
            ProtocolError::ShortPayload,
            reader.received(),
            reader.missing(),
        )
    } else if let Some((header, payload)) = FrameHeader::split_from(held) {
        let received = count(payload.len());
        (
            ProtocolError::ShortPayload,
            received,
            header.length().saturating_sub(received),
        )
    } else if !held.is_empty() {
        let received = count(held.len());
        (
            ProtocolError::ShortHeader,
            received,
            count(HEADER_LEN).saturating_sub(received),
        )
    } else {
        return Ok(());
    };
    Err(ReceiveError::Truncated {
        error,
        received,
        missing,
    })
}
