//! Bytes that were read, up to the frames in them (framing.md, "Header": "Reading from a byte
//! source").

use super::ReceiveError;
use crate::ProtocolError;
use crate::bytes::shift_down;
use crate::wire::{FrameHeader, FrameReader, HEADER_LEN, Part};

/// A buffer of `N` bytes, and the frames that come through it; what all receivers are, but for
/// reading.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Input<const N: usize> {
    reader: FrameReader,
    buffer: [u8; N],
    /// Where the bytes that were not taken yet start and end.
    start: usize,
    end: usize,
    frames: u32,
}

impl<const N: usize> Input<N> {
    pub(super) const fn new(max_frame_size: u32) -> Self {
        const { assert!(N >= HEADER_LEN, "the buffer must hold a header") }
        Self {
            reader: FrameReader::new(max_frame_size),
            buffer: [0; N],
            start: 0,
            end: 0,
            frames: 0,
        }
    }

    /// Frames that have begun.
    pub(super) const fn frames(&self) -> u32 {
        self.frames
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Whether the next part can be taken.
    pub(super) fn has_enough(&self) -> bool {
        let held = self.held();
        held.len() >= wanted(&self.reader, held, N)
    }

    /// Where to read to; there is room while there is not enough.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            shift_down(&mut self.buffer, self.start);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or(&mut [])
    }

    /// So many bytes were read; `false`: none, the input has ended, between two frames.
    pub(super) fn filled<E>(&mut self, len: usize) -> Result<bool, ReceiveError<E>> {
        if len == 0 {
            return end_of(&self.reader, self.held()).map(|()| false);
        }
        self.end = self.end.saturating_add(len).min(N);
        Ok(true)
    }

    /// Takes the next part.
    pub(super) fn next<E>(&mut self) -> Result<Option<Part<'_>>, ReceiveError<E>> {
        let mut rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        let part = self
            .reader
            .next(&mut rest)
            .map_err(ReceiveError::Protocol)?;
        self.start = self.end.saturating_sub(rest.len());
        if part.as_ref().is_some_and(|part| part.is_first) {
            self.frames = self.frames.wrapping_add(1);
        }
        Ok(part)
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

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut bytes = Vec::new();
        for length in [0, 3, 40, 0] {
            bytes.extend([length, 0, 0, 1, 0, 1, 1, 0x10]);
            bytes.extend((0..length).map(|_| 7));
        }
        for most in 1..bytes.len() {
            let mut input = Input::<16>::new(100);
            let (mut rest, mut begun) = (&bytes[..], 0);
            loop {
                if input.has_enough() {
                    let part = input.next::<()>().unwrap().unwrap();
                    begun += u32::from(part.is_first);
                    assert_eq!(input.frames(), begun);
                    continue;
                }
                let room = input.room();
                let len = room.len().min(most).min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                rest = &rest[len..];
                if !input.filled::<()>(len).unwrap() {
                    break;
                }
            }
            assert_eq!(input.frames(), 4);
        }
    }
}
