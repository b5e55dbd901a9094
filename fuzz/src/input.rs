//! Bytes from the fuzzer, read as choices.

use hgrpc::Revision;
use hgrpc::wire::{FrameHeader, RequestId, StreamFlags, StreamId, TypeFlags};

/// A cursor over the fuzzer's bytes; it yields zeros past their end.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn revision(&mut self) -> Revision {
        hgrpc::REVISIONS[usize::from(self.byte()) % 3]
    }

    /// A whole frame whose header is likely to make sense: few IDs, short payloads.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        let ids = self.byte();
        let stream_flags = self.byte();
        let kind_and_flags = self.byte();
        let payload = {
            let len = usize::from(self.byte());
            self.bytes(len)
        };
        let header = FrameHeader::new(
            u32::try_from(payload.len()).unwrap_or(0),
            RequestId::new(u16::from(ids & 0x07)),
            StreamId::new((ids >> 3) & 0x03),
            StreamFlags::from_bits(stream_flags & 0x07),
            kind_and_flags >> 4,
            TypeFlags::from_bits(kind_and_flags),
        );
        let mut frame = header.emit().to_vec();
        frame.extend_from_slice(payload);
        frame
    }
}
