//! The frame reader against a parser that has all bytes at once (framing.md, "Header").

use hgrpc::ProtocolError;
use hgrpc::wire::{FrameHeader, FrameReader, HEADER_LEN, OutFrame};
use proptest::prelude::*;

use crate::script::chunks;

/// Frames, and how the bytes end.
type Parsed = (Vec<(FrameHeader, Vec<u8>)>, Result<(), ProtocolError>);

/// The frames of `bytes`.
fn parse(mut bytes: &[u8], max: u32) -> Parsed {
    let mut frames = Vec::new();
    loop {
        if bytes.is_empty() {
            return (frames, Ok(()));
        }
        if bytes.len() < HEADER_LEN {
            return (frames, Err(ProtocolError::ShortHeader));
        }
        let header = *FrameHeader::parse(bytes[..HEADER_LEN].try_into().unwrap());
        if header.length() > max {
            return (frames, Err(ProtocolError::FrameTooLarge));
        }
        let end = HEADER_LEN + header.length() as usize;
        if bytes.len() < end {
            return (frames, Err(ProtocolError::ShortPayload));
        }
        frames.push((header, bytes[HEADER_LEN..end].to_vec()));
        bytes = &bytes[end..];
    }
}

/// The same through the reader, from any pieces; `skips` payloads with an odd stream ID.
fn read(input: &[u8], sizes: &[usize], max: u32, skips: bool) -> Parsed {
    let mut reader = FrameReader::new(max);
    let mut frames = Vec::new();
    let mut payload = Vec::new();
    let mut skipped = 0usize;
    for mut piece in chunks(input, sizes) {
        loop {
            if skipped > 0 {
                let now = skipped.min(piece.len());
                assert_eq!(reader.skip(now as u32) as usize, now);
                piece = &piece[now..];
                skipped -= now;
                if skipped > 0 {
                    break;
                }
                frames.push((*FrameHeader::parse(&[0; 8]), Vec::new()));
                continue;
            }
            let missing = reader.missing();
            let before = piece.len();
            let part = match reader.next(&mut piece) {
                Ok(Some(part)) => part,
                Ok(None) => {
                    assert!(piece.is_empty());
                    assert!((before as u32) < missing);
                    assert_eq!(reader.missing(), missing - before as u32);
                    break;
                }
                Err(error) => return (frames, Err(error)),
            };
            if part.is_first {
                assert!(payload.is_empty());
                assert!(part.header.length() <= max);
            } else {
                assert!(!part.bytes.is_empty());
            }
            if !part.is_last {
                assert_eq!(reader.current(), Some(part.header));
                assert_eq!(reader.received() + reader.missing(), part.header.length());
                if skips && part.is_first && part.header.stream_id().is_odd() {
                    skipped = reader.missing() as usize;
                    continue;
                }
            }
            payload.extend_from_slice(part.bytes);
            if part.is_last {
                let header = part.header;
                assert_eq!(reader.current(), None);
                frames.push((header, core::mem::take(&mut payload)));
            }
        }
    }
    if let Err(error) = reader.finish() {
        assert!(reader.missing() > 0);
        return (frames, Err(error));
    }
    (frames, Ok(()))
}

/// A stream of frames with lengths that fit, cut off anywhere, or random bytes.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let frame = (any::<[u8; 5]>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(h, p)| {
        let mut bytes = vec![p.len() as u8, 0, 0];
        bytes.extend_from_slice(&h);
        bytes.extend_from_slice(&p);
        bytes
    });
    prop_oneof![
        4 => (prop::collection::vec(frame, 0..8), 0usize..60).prop_map(|(frames, cut)| {
            let mut bytes = frames.concat();
            bytes.truncate(bytes.len().saturating_sub(cut / 2 * usize::from(cut > 30)));
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn any_split_yields_the_frames_of_the_whole(
        bytes in input(),
        sizes in prop::collection::vec(1usize..20, 1..6),
        max in prop_oneof![Just(0x00ff_ffffu32), 0u32..50],
    ) {
        prop_assert_eq!(read(&bytes, &sizes, max, false), parse(&bytes, max));
        prop_assert_eq!(read(&bytes, &[usize::MAX], max, false), parse(&bytes, max));
        prop_assert_eq!(read(&bytes, &[1], max, false), parse(&bytes, max));
    }

    #[test]
    fn skipping_keeps_the_reader_in_step(
        bytes in input(),
        sizes in prop::collection::vec(1usize..20, 1..6),
    ) {
        let max = 0x00ff_ffff;
        let (skipped, end) = read(&bytes, &sizes, max, true);
        let (frames, expected) = parse(&bytes, max);
        prop_assert_eq!(end, expected);
        prop_assert_eq!(skipped.len(), frames.len());
        for (a, b) in skipped.iter().zip(&frames) {
            prop_assert!(a == b || (a.1.is_empty() && b.0.stream_id().is_odd()));
        }
    }

    #[test]
    fn what_was_parsed_is_emitted_unchanged(
        bytes in input(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 5),
        size in 1usize..10,
    ) {
        let (frames, _) = parse(&bytes, 0x00ff_ffff);
        let mut expected = Vec::new();
        let mut emitted = Vec::new();
        let mut copied = Vec::new();
        let mut written = Vec::new();
        for (header, payload) in &frames {
            expected.extend_from_slice(header.emit());
            expected.extend_from_slice(payload);
            // The payload in six slices, cut anywhere.
            let mut cuts: Vec<usize> = at.iter().map(|i| i.index(payload.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(payload.len());
            let slices: Vec<&[u8]> = cuts.windows(2).map(|w| &payload[w[0]..w[1]]).collect();
            let frame = OutFrame::new(*header, slices.try_into().unwrap());
            prop_assert_eq!(frame.wire_len(), HEADER_LEN + payload.len());
            emitted.extend(frame.as_slices().concat());
            let mut buffer = vec![0; frame.wire_len()];
            prop_assert_eq!(frame.copy_to(&mut buffer[1..]), None);
            prop_assert_eq!(frame.copy_to(&mut buffer), Some(buffer.len()));
            copied.extend(buffer);
            let mut offset = 0;
            while let Some(slice) = frame.slice_at(offset) {
                let len = slice.len().min(size);
                written.extend_from_slice(&slice[..len]);
                offset += len;
            }
        }
        prop_assert_eq!(&emitted, &expected);
        prop_assert_eq!(&copied, &expected);
        prop_assert_eq!(&written, &expected);
        prop_assert!(bytes.starts_with(&expected));
    }
}

#[test]
fn the_size_limit_comes_before_the_payload() {
    let mut reader = FrameReader::new(10);
    let mut input: &[u8] = &[11, 0, 0, 1, 0, 1, 1, 0x11];
    assert_eq!(reader.next(&mut input), Err(ProtocolError::FrameTooLarge));
}
