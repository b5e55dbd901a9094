//! Cuts bytes into frames, and knows which of the peer's streams are open (framing.md, "Header" and
//! "Streams"). Both ends share it.

use super::tuned::Tuned;
use crate::streams::StreamSet;
use crate::wire::{FrameHeader, HEADER_LEN, StreamFlags};
use crate::{Limits, ProtocolError};

/// The frame that comes in. Holds a header at most; a payload is never gathered here.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub(super) struct Incoming {
    header: [u8; HEADER_LEN],
    /// Header bytes held so far; [`COMPLETE`] while a payload is being read.
    held: u8,
    /// Payload bytes still to come.
    left: u32,
    max_frame_size: Tuned<{ Limits::DEFAULT.max_frame_size }>,
    /// Frames that have begun.
    pub(super) frames: u32,
    pub(super) streams: StreamSet,
}

/// All of a header's bytes.
const COMPLETE: u8 = 8;
/// The header announced too much: nothing is read any more.
const BROKEN: u8 = 9;
const _: () = assert!(HEADER_LEN == 8);

impl Incoming {
    pub(super) const fn new(max_frame_size: u32) -> Self {
        Self {
            header: [0; HEADER_LEN],
            held: 0,
            left: 0,
            max_frame_size: Tuned::new(max_frame_size),
            frames: 0,
            streams: StreamSet::EMPTY,
        }
    }

    pub(super) fn restart(&mut self) {
        self.held = 0;
        self.frames = 0;
        self.streams.clear();
    }

    /// The current frame's header.
    #[inline]
    pub(super) fn header(&self) -> &FrameHeader {
        FrameHeader::parse(&self.header)
    }

    /// Whether the next bytes are payload of the current frame.
    #[inline]
    pub(super) const fn is_inside(&self) -> bool {
        self.held == COMPLETE
    }

    /// Looks at a frame that lies whole in the input and whose payload is not empty, on a stream of
    /// this parity that is open: its payload, and what is behind. [`take_whole`](Self::take_whole)
    /// takes it.
    #[inline]
    pub(super) fn whole<'a>(
        &self,
        header: &FrameHeader,
        behind: &'a [u8],
        is_odd: bool,
    ) -> Option<(&'a [u8], &'a [u8])> {
        let length = header.length();
        let parts = behind.split_at_checked(usize::try_from(length).ok()?)?;
        let stream = header.stream_id();
        (self.held == 0
            && length.wrapping_sub(1) < self.max_frame_size.get()
            && stream.is_odd() == is_odd
            && self.streams.contains(stream))
        .then_some(parts)
    }

    /// Takes a whole frame.
    #[inline]
    pub(super) fn take_whole(&mut self, header: &FrameHeader) {
        self.header = *header.emit();
        self.frames = self.frames.wrapping_add(1);
    }

    /// Takes a header off the front of `input`. `false`: it is not complete.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn begin(&mut self, input: &mut &[u8]) -> bool {
        if self.held == 0
            && let Some((header, rest)) = input.split_first_chunk()
        {
            self.header = *header;
            *input = rest;
            self.held = COMPLETE;
            return true;
        }
        self.hold(input)
    }

    /// Takes what `input` has of a header; of what comes behind a broken one, all.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn hold(&mut self, input: &mut &[u8]) -> bool {
        let mut rest = input.iter();
        while let Some(place) = self.header.get_mut(usize::from(self.held))
            && let Some(byte) = rest.next()
        {
            *place = *byte;
            self.held = self.held.wrapping_add(1);
        }
        let is_complete = self.held == COMPLETE;
        *input = if is_complete { rest.as_slice() } else { &[] };
        is_complete
    }

    /// Begins a frame whose header is complete: checks its length, and its stream, which is one of
    /// this parity and may be encoded if so (framing.md, "Header" and "Streams").
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn check(
        &mut self,
        is_odd: bool,
        may_be_encoded: bool,
    ) -> Result<(), ProtocolError> {
        self.frames = self.frames.wrapping_add(1);
        self.left = self.header().length();
        if self.left > self.max_frame_size.get() {
            self.held = BROKEN;
            return Err(ProtocolError::FrameTooLarge);
        }
        let stream = self.header().stream_id();
        let flags = self.header().stream_flags();
        if stream.is_odd() != is_odd {
            return Err(ProtocolError::StreamParity); // row 1
        }
        if let Some((open, bit)) = self.streams.place(stream) {
            if !flags.contains(StreamFlags::BEGIN) && *open & bit == 0 {
                return Err(ProtocolError::StreamNotBegun); // row 2
            }
            // On an open stream `stream-begin` changes nothing, and resets no decoder
            // (revision-0006.md, 3.3).
            *open |= bit;
            if flags.contains(StreamFlags::ENCODED) && !may_be_encoded {
                return Err(ProtocolError::EncodingUnsupported); // row 3
            }
            if flags.contains(StreamFlags::END) {
                *open &= !bit;
            }
        }
        Ok(())
    }

    /// Splits off what `input` has of the payload. The frame ends with it if nothing is left.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn payload<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = wanted.min(input.len());
        let (bytes, rest) = input.split_at_checked(count).unwrap_or_default();
        *input = rest;
        let taken = u32::try_from(bytes.len()).unwrap_or(self.left);
        self.left = self.left.wrapping_sub(taken);
        if self.left == 0 && self.held == COMPLETE {
            self.held = 0;
        }
        bytes
    }

    /// Payload bytes that were not taken yet.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// What the end of input means now (revision-0006.md, 1.4 and 11).
    pub(super) const fn finish(&self) -> Result<(), ProtocolError> {
        match self.held {
            0 => Ok(()),
            COMPLETE => Err(ProtocolError::ShortPayload),
            BROKEN => Err(ProtocolError::FrameTooLarge),
            _ => Err(ProtocolError::ShortHeader),
        }
    }

    /// Bytes of the current header, or of the current payload, that have come.
    pub(super) fn received(&self) -> u32 {
        if self.is_inside() {
            self.header().length().wrapping_sub(self.left)
        } else {
            u32::from(self.held)
        }
    }

    /// Bytes that are missing until the current header, or payload, is complete.
    pub(super) fn missing(&self) -> u32 {
        if self.is_inside() {
            self.left
        } else {
            u32::from(COMPLETE.saturating_sub(self.held))
        }
    }
}
