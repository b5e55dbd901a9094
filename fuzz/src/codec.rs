//! The codec of frames for tokio-util against a naive parser, over any split.

use hgrpc::ProtocolError;
use hgrpc_std::tokio::{CodecError, Frame, FrameCodec};
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::canned::Cuts;
use crate::input::Input;
use crate::reader::{Read, naive};

/// Room that may be made for what has not come, in bytes.
const AHEAD: usize = 128 << 10;

fn error(error: CodecError) -> ProtocolError {
    match error {
        CodecError::Protocol(error) => error,
        other => panic!("nothing else can fail here: {other}"),
    }
}

/// What the codec finds in bytes that come in pieces, and the frames.
fn split(mut bytes: &[u8], max: u32, mut cuts: Cuts) -> (Vec<Read>, Vec<Frame>) {
    let mut codec = FrameCodec::new(max);
    let mut buffer = BytesMut::new();
    let (mut out, mut frames, mut came) = (Vec::new(), Vec::new(), 0);
    let mut has_ended = false;
    loop {
        let next = match has_ended {
            false => codec.decode(&mut buffer),
            true => codec.decode_eof(&mut buffer),
        };
        match next {
            Ok(Some(frame)) => {
                out.push(Read::Frame(
                    *frame.header().emit(),
                    frame.payload().to_vec(),
                ));
                frames.push(frame);
            }
            Ok(None) if has_ended => return (out, frames),
            Ok(None) => {
                assert!(buffer.capacity() <= 2 * came + AHEAD);
                let (piece, rest) = bytes.split_at(cuts.next().min(bytes.len()));
                has_ended = piece.is_empty();
                bytes = rest;
                came += piece.len();
                buffer.extend_from_slice(piece);
            }
            Err(found) => {
                out.push(Read::Failed(error(found)));
                return (out, frames);
            }
        }
    }
}

/// Any split of any bytes gives the frames that a naive parser finds, and they are written as they
/// were read, or not at all.
pub fn codec(data: &[u8]) {
    let mut input = Input::new(data);
    let max = u32::from_le_bytes([input.byte(), input.byte(), 0, 0]);
    let seed = input.byte();
    let bytes = input.rest();
    let expected = naive(bytes, max);
    let mut last = Vec::new();
    for cuts in [Cuts::Nowhere, Cuts::After(1), Cuts::Anywhere(seed)] {
        let (found, frames) = split(bytes, max, cuts);
        assert_eq!(found, expected, "{cuts:?}");
        last = frames;
    }
    let mut written = BytesMut::new();
    for frame in last {
        let before = written.len();
        let (len, is_small) = (frame.payload().len(), frame.header().length() < max);
        if !is_small {
            let mut smaller = FrameCodec::new(max.saturating_sub(1));
            let result = smaller.encode(frame.clone(), &mut written);
            assert_eq!(result.is_err(), max > 0, "a frame that is too large");
            written.truncate(before);
        }
        let result = FrameCodec::new(max).encode(frame, &mut written);
        assert!(result.is_ok());
        assert_eq!(written.len(), before + 8 + len);
    }
    assert!(bytes.starts_with(&written));
}
