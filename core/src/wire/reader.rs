//! Cuts a byte source into parts of frames (framing.md, "Header": "Reading from a byte source").

use super::{FrameHeader, HEADER_LEN};
use crate::error::ProtocolError;

/// A piece of a frame: its header, and as much of its payload as one buffer held.
///
/// ```text
///   first       first+last                      last
///   [hdr|pay] … or [hdr|payload], then [pay] … [load]
/// ```
/// The first part of a frame carries its header for the first time and may have no payload yet;
/// every later part has at least one byte. An empty frame is one part, first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Part<'a> {
    /// The frame's header.
    pub header: FrameHeader,
    /// The next bytes of the payload.
    pub bytes: &'a [u8],
    /// Whether the frame begins here.
    pub is_first: bool,
    /// Whether the frame ends here.
    pub is_last: bool,
}

/// Reads frames from borrowed buffers, in parts; holds at most one header.
///
/// No frame is ever gathered: a buffer of one byte suffices for frames of any size. A frame that
/// lies whole in the buffer comes out as one part ([`Part::is_first`] and [`Part::is_last`]).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameReader {
    header: [u8; HEADER_LEN],
    /// Header bytes held so far; [`HEADER_HELD`] while a payload is being read.
    held: u8,
    /// Payload bytes still to come.
    remaining: u32,
    max_frame_size: u32,
}

/// All of a header's bytes.
const HEADER_HELD: u8 = 8;
const _: () = assert!(HEADER_LEN == 8);

impl FrameReader {
    /// Bytes of memory that the reader takes: 20 on a 32-bit device.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// A reader that refuses frames with more than `max_frame_size` bytes of payload.
    pub const fn new(max_frame_size: u32) -> Self {
        Self {
            header: [0; HEADER_LEN],
            held: 0,
            remaining: 0,
            max_frame_size,
        }
    }

    /// Forgets what has come, for a connection that begins anew.
    pub const fn restart(&mut self) {
        self.held = 0;
        self.remaining = 0;
    }

    /// The largest payload of a frame that is let in.
    pub const fn max_frame_size(&self) -> u32 {
        self.max_frame_size
    }

    /// Takes the next part from the front of `input`, which is advanced past what was read.
    ///
    /// `None`: more input is needed, [`missing`](Self::missing) bytes at least for progress.
    /// Each call takes at most one part; work is bounded by a header, the payload is not looked at.
    ///
    /// # Errors
    /// [`ProtocolError::FrameTooLarge`] as soon as a header announces more than the maximum; the
    /// payload is not consumed, and the connection cannot go on.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, ProtocolError> {
        // A frame that lies whole in the input leaves nothing behind.
        if self.held == 0
            && let Some((header, rest)) = FrameHeader::split_from(input)
            && header.length() <= self.max_frame_size
            && let Ok(length) = usize::try_from(header.length())
            && let Some((bytes, rest)) = rest.split_at_checked(length)
        {
            *input = rest;
            return Ok(Some(Part {
                header: *header,
                bytes,
                is_first: true,
                is_last: true,
            }));
        }
        self.next_part(input)
    }

    /// [`next`](Self::next), of a frame that may come in parts.
    fn next_part<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Part<'a>>, ProtocolError> {
        let is_first = self.held < HEADER_HELD;
        if is_first {
            self.hold(input);
            if self.held < HEADER_HELD {
                return Ok(None);
            }
            let length = FrameHeader::parse(&self.header).length();
            if length > self.max_frame_size {
                return Err(ProtocolError::FrameTooLarge);
            }
            self.remaining = length;
        } else if self.remaining == 0 {
            // Only a frame that was refused waits without a payload to come.
            return Err(ProtocolError::FrameTooLarge);
        } else if input.is_empty() {
            return Ok(None);
        }
        let bytes = self.take(input);
        let is_last = self.remaining == 0;
        if is_last {
            self.held = 0;
        }
        Ok(Some(Part {
            header: *FrameHeader::parse(&self.header),
            bytes,
            is_first,
            is_last,
        }))
    }

    /// Takes what `input` has of a header.
    fn hold(&mut self, input: &mut &[u8]) {
        while let Some(slot) = self.header.get_mut(usize::from(self.held))
            && let Some((&byte, rest)) = input.split_first()
        {
            *slot = byte;
            *input = rest;
            self.held = self.held.wrapping_add(1);
        }
    }

    /// Splits off what `input` holds of the payload.
    #[inline]
    fn take<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let (bytes, rest) = input.split_at_checked(wanted).unwrap_or((input, &[]));
        *input = rest;
        let taken = u32::try_from(bytes.len()).unwrap_or(self.remaining);
        self.remaining = self.remaining.wrapping_sub(taken);
        bytes
    }

    /// How many bytes are missing until the current header, or the current payload, is complete.
    pub const fn missing(&self) -> u32 {
        if self.held == HEADER_HELD {
            self.remaining
        } else {
            8u32.wrapping_sub(u32_from(self.held))
        }
    }

    /// Takes `count` payload bytes as skipped outside of the reader, for example by a DMA engine
    /// that drops them. Returns how many were left to skip, at most `count`.
    pub fn skip(&mut self, count: u32) -> u32 {
        let skipped = count.min(self.remaining);
        self.remaining = self.remaining.saturating_sub(skipped);
        if self.held == HEADER_HELD && self.remaining == 0 {
            self.held = 0;
        }
        skipped
    }

    /// What the end of input means now (revision-0006.md, 1.4 and 11).
    ///
    /// # Errors
    /// [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`] inside a frame;
    /// [`received`](Self::received) and [`missing`](Self::missing) say how much came and how much
    /// was still expected.
    pub const fn finish(&self) -> Result<(), ProtocolError> {
        match self.held {
            0 => Ok(()),
            HEADER_HELD => Err(ProtocolError::ShortPayload),
            _ => Err(ProtocolError::ShortHeader),
        }
    }

    /// Bytes of the current header, or of the current payload, that have come.
    pub fn received(&self) -> u32 {
        if self.held == HEADER_HELD {
            FrameHeader::parse(&self.header)
                .length()
                .saturating_sub(self.remaining)
        } else {
            u32_from(self.held)
        }
    }

    /// The header of the frame whose payload is being read, if there is one.
    pub fn current(&self) -> Option<FrameHeader> {
        (self.held == HEADER_HELD).then(|| *FrameHeader::parse(&self.header))
    }
}

/// `u32::from` for constants.
const fn u32_from(value: u8) -> u32 {
    u32::from_le_bytes([value, 0, 0, 0])
}
