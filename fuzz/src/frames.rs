//! Frames made by hand.

use hgrpc::wire::{FrameHeader, RequestId, StreamFlags, StreamId, TypeFlags};

/// A frame of these fields.
pub(crate) fn frame(
    request: u16,
    stream: u8,
    stream_flags: u8,
    kind: u8,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = FrameHeader::new(
        u32::try_from(payload.len()).unwrap_or(u32::MAX),
        RequestId::new(request),
        StreamId::new(stream),
        StreamFlags::from_bits(stream_flags),
        kind,
        TypeFlags::from_bits(flags),
    );
    [header.emit(), payload].concat()
}
