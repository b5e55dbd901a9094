//! Cuts what has come into frames, for whoever counts and shows them before the core sees them.

use hgrpc::wire::{FrameHeader, HEADER_LEN};

/// The frame that comes in.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// A header that came in parts; so many bytes of it are here.
    head: [u8; HEADER_LEN],
    held: usize,
    frame: Option<Frame>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Bytes of its payload that were not handed out.
    left: usize,
    /// Its header was handed out.
    is_seen: bool,
}

/// Bytes of one frame.
pub(super) struct Part<'i> {
    bytes: Bytes<'i>,
    /// The frame ends with them.
    pub(super) is_last: bool,
}

enum Bytes<'i> {
    Head([u8; HEADER_LEN]),
    Input(&'i [u8]),
}

impl Part<'_> {
    pub(super) const fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Head(head) => head,
            Bytes::Input(bytes) => bytes,
        }
    }
}

impl Frames {
    /// Whether a header has come in part.
    pub(super) const fn is_partial(&self) -> bool {
        self.held > 0
    }

    /// Whether a frame has begun whose end was not handed out.
    pub(super) const fn is_inside(&self) -> bool {
        self.frame.is_some()
    }

    /// Begins a frame, when its header is there. Of one that came in parts, what came before is taken
    /// off the front.
    pub(super) fn begin(&mut self, input: &mut &[u8]) -> Option<FrameHeader> {
        let mut header = FrameHeader::split_from(input).map(|(header, _)| *header);
        if self.held > 0 || header.is_none() {
            let room = self.head.get_mut(self.held..).unwrap_or_default();
            let len = room.len().min(input.len());
            let (bytes, rest) = input.split_at(len);
            if let Some(room) = room.get_mut(..len) {
                room.copy_from_slice(bytes);
            }
            *input = rest;
            self.held += len;
            header = None;
            if self.held == HEADER_LEN {
                header = FrameHeader::split_from(&self.head).map(|(header, _)| *header);
            }
        }
        let header = header?;
        self.frame = Some(Frame {
            left: usize::try_from(header.length()).unwrap_or(usize::MAX),
            is_seen: false,
        });
        Some(header)
    }

    /// What is there of the frame that has begun; `None`: nothing is.
    pub(super) fn part<'i>(&mut self, input: &mut &'i [u8]) -> Option<Part<'i>> {
        let mut frame = self.frame?;
        let (bytes, payload) = if !frame.is_seen && self.held > 0 {
            (Bytes::Head(self.head), 0)
        } else {
            let header = if frame.is_seen { 0 } else { HEADER_LEN };
            let len = input.len().min(header.saturating_add(frame.left));
            if len == 0 {
                return None;
            }
            let (bytes, rest) = input.split_at(len);
            *input = rest;
            (Bytes::Input(bytes), len - header)
        };
        frame.is_seen = true;
        frame.left -= payload;
        let is_last = frame.left == 0;
        self.frame = (!is_last).then_some(frame);
        if is_last {
            self.held = 0;
        }
        Some(Part { bytes, is_last })
    }

    /// Bytes of the current header or payload that have not come; `None` between two frames.
    pub(super) fn missing(&self) -> Option<u32> {
        match self.frame {
            Some(frame) => u32::try_from(frame.left).ok(),
            None if self.held > 0 => u32::try_from(HEADER_LEN - self.held).ok(),
            None => None,
        }
    }
}
