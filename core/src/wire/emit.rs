//! Frames to be sent: a header by value and borrowed payload slices.

use super::{FrameHeader, HEADER_LEN};
use crate::bytes::copy;

/// Most payload slices of an [`OutFrame`].
pub const MAX_SLICES: usize = 6;

/// A frame that is ready to be sent.
///
/// Frames go on the wire in the order in which they were taken, all of them: `stream-begin` and
/// settings are decided when a frame is made. A frame that did not fit anywhere is not lost: it is
/// a value, keep it and write it later.
#[derive(Clone, Copy, Debug)]
#[must_use = "a frame that is not written leaves the stream incomplete"]
pub struct OutFrame<'a> {
    header: FrameHeader,
    payload: [&'a [u8]; MAX_SLICES],
}

#[cfg(feature = "defmt")]
impl defmt::Format for OutFrame<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        self.header.format(f);
    }
}

impl<'a> OutFrame<'a> {
    /// A frame of this header and these payload slices.
    ///
    /// The caller sees to it that the header's length is that of the slices together; reactors do.
    pub const fn new(header: FrameHeader, payload: [&'a [u8]; MAX_SLICES]) -> Self {
        Self { header, payload }
    }

    /// The frame's header.
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Bytes on the wire, the header included.
    pub fn wire_len(&self) -> usize {
        payload_len(&self.payload).saturating_add(HEADER_LEN)
    }

    /// The payload's slices in order; some may be empty.
    pub const fn payload(&self) -> &[&'a [u8]; MAX_SLICES] {
        &self.payload
    }

    /// The frame's bytes as slices in order, header first, for a vectored write; some may be empty.
    pub fn as_slices(&self) -> [&[u8]; MAX_SLICES + 1] {
        let [a, b, c, d, e, f] = self.payload;
        [self.header.emit(), a, b, c, d, e, f]
    }

    /// Copies the frame into `buffer` and returns its length; `None`, and nothing is written, if
    /// it does not fit.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Option<usize> {
        let len = self.wire_len();
        let mut rest = buffer.get_mut(..len)?;
        for slice in self.as_slices() {
            let (head, tail) = rest.split_at_mut_checked(slice.len())?;
            copy(head, slice);
            rest = tail;
        }
        Some(len)
    }

    /// The bytes from `offset` on as one slice: what a writer that keeps its own progress writes
    /// next. `None` at the end.
    pub fn slice_at(&self, offset: usize) -> Option<&[u8]> {
        let mut start = 0usize;
        for slice in [self.header.emit().as_slice()]
            .into_iter()
            .chain(self.payload)
        {
            let end = start.saturating_add(slice.len());
            if offset < end {
                return slice.get(offset.saturating_sub(start)..);
            }
            start = end;
        }
        None
    }
}

/// Bytes of a payload. No loop, which costs more.
pub(crate) fn payload_len(payload: &[&[u8]; MAX_SLICES]) -> usize {
    // They lie in memory, so that their sum is a number.
    let [a, b, c, d, e, f] = payload;
    a.len()
        .wrapping_add(b.len())
        .wrapping_add(c.len())
        .wrapping_add(d.len())
        .wrapping_add(e.len())
        .wrapping_add(f.len())
}
