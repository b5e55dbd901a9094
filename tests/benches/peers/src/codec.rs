//! tokio-util's `LengthDelimitedCodec`, told of hgrpc's header.

use std::hint::black_box;

use bytes::{Buf, BytesMut};
use hgrpc_bench::messages::*;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

/// Frames that arrive together.
const BATCH: usize = 64;

pub(crate) fn parse_frame(count: u32) {
    let mut codec = LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_length(3)
        .length_adjustment(5)
        .max_frame_length(0x8000)
        .new_codec();
    // The header's other fields stay with the payload.
    let batch = frame(1, true, NEW_REQUEST, REQUEST).repeat(BATCH);
    let mut input = BytesMut::with_capacity(2 * batch.len());
    for _ in 0..count {
        if input.is_empty() {
            input.extend_from_slice(&batch);
        }
        let mut frame = codec.decode(&mut input).unwrap().unwrap();
        let request_id = frame.get_u16_le();
        let [stream, stream_flags, kind] = [frame.get_u8(), frame.get_u8(), frame.get_u8()];
        assert!(frame.len() == REQUEST.len());
        black_box((request_id, stream, stream_flags, kind, &frame));
    }
}
