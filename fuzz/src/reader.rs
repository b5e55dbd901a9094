//! The frame reader against a naive one, over any split.

use hgrpc::ProtocolError;
use hgrpc::wire::{FrameHeader, FrameReader};

use crate::input::Input;

/// A frame, or how the input ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    Frame([u8; 8], Vec<u8>),
    Failed(ProtocolError),
}

/// Parses whole input the obvious way.
pub(crate) fn naive(mut bytes: &[u8], max: u32) -> Vec<Read> {
    let mut out = Vec::new();
    loop {
        match bytes.len() {
            0 => return out,
            1..8 => {
                out.push(Read::Failed(ProtocolError::ShortHeader));
                return out;
            }
            _ => {}
        }
        let header: [u8; 8] = bytes[..8].try_into().unwrap();
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        bytes = &bytes[8..];
        if len > max {
            out.push(Read::Failed(ProtocolError::FrameTooLarge));
            return out;
        }
        let len = len as usize;
        if bytes.len() < len {
            out.push(Read::Failed(ProtocolError::ShortPayload));
            return out;
        }
        out.push(Read::Frame(header, bytes[..len].to_vec()));
        bytes = &bytes[len..];
    }
}

/// The same through the reader, in pieces of the given lengths.
fn split(mut bytes: &[u8], max: u32, mut lengths: impl FnMut() -> usize) -> Vec<Read> {
    let mut reader = FrameReader::new(max);
    let mut out = Vec::new();
    let mut payload = Vec::new();
    while !bytes.is_empty() {
        let (mut piece, rest) = bytes.split_at(lengths().clamp(1, bytes.len()));
        bytes = rest;
        loop {
            match reader.next(&mut piece) {
                Ok(Some(part)) => {
                    assert_eq!(part.is_first, payload.is_empty() && part.is_first);
                    payload.extend_from_slice(part.bytes);
                    if part.is_last {
                        out.push(Read::Frame(
                            *part.header.emit(),
                            std::mem::take(&mut payload),
                        ));
                    } else {
                        let missing = part.header.length() as usize - payload.len();
                        assert_eq!(reader.missing() as usize, missing);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    out.push(Read::Failed(error));
                    return out;
                }
            }
        }
        assert!(
            piece.is_empty(),
            "the reader takes everything that it is given"
        );
    }
    if let Err(error) = reader.finish() {
        out.push(Read::Failed(error));
    }
    out
}

/// Any split of any bytes gives the frames that a naive parser finds, and every header is emitted
/// as it was parsed.
pub fn reader(data: &[u8]) {
    let mut input = Input::new(data);
    let max = u32::from_le_bytes([input.byte(), input.byte(), 0, 0]);
    let mut seed = input.byte();
    let bytes = input.rest();
    let expected = naive(bytes, max);
    assert_eq!(split(bytes, max, || usize::MAX), expected);
    assert_eq!(split(bytes, max, || 1), expected);
    let lengths = || {
        seed = seed.wrapping_mul(5).wrapping_add(7);
        usize::from(seed % 19)
    };
    assert_eq!(split(bytes, max, lengths), expected);
    for read in &expected {
        if let Read::Frame(header, _) = read {
            let parsed = FrameHeader::parse(header);
            let again = FrameHeader::new(
                parsed.length(),
                parsed.request_id(),
                parsed.stream_id(),
                parsed.stream_flags(),
                parsed.kind_number(),
                parsed.flags(),
            );
            assert_eq!(again.emit(), header);
        }
    }
}
