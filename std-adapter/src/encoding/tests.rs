//! Rules that cross the files of this folder.

use hgrpc::ProtocolError;
use hgrpc::wire::StreamId;
use proptest::prelude::*;

use super::*;

const STREAM: StreamId = StreamId::new(2);
const COMPRESSING: [ContentEncoding; 2] = [ContentEncoding::Zlib, ContentEncoding::Zstd8Mb];

fn streams(encoding: ContentEncoding, limits: DecodeLimits) -> StreamDecoders {
    let mut streams = StreamDecoders::new(limits);
    assert!(streams.install(STREAM, encoding));
    streams
}

/// Decodes one part to its end.
fn feed(streams: &mut StreamDecoders, part: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    let mut decoded = streams.decode(STREAM, part, true);
    while let Some(piece) = decoded.next_piece()? {
        assert!(!piece.is_empty());
        out.extend_from_slice(piece);
    }
    Ok(out)
}

/// Encodes and flushes.
fn flushed(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(encoding).unwrap();
    let mut out = Vec::new();
    encoder.encode(plain, &mut out).unwrap();
    encoder.flush(&mut out).unwrap();
    out
}

/// Encodes with an end, which our encoders never make.
fn finished(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        ContentEncoding::Zlib => {
            let mut out = Vec::with_capacity(plain.len() + 100);
            flate2::Compress::new(flate2::Compression::default(), true)
                .compress_vec(plain, &mut out, flate2::FlushCompress::Finish)
                .unwrap();
            out
        }
        ContentEncoding::Zstd8Mb => ::zstd::encode_all(plain, 3).unwrap(),
        _ => plain.to_vec(),
    }
}

/// A Zstandard frame with this window descriptor and one raw block of one byte.
fn frame_with_window(descriptor: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor];
    frame.extend([0x09, 0, 0, b'x']);
    frame
}

#[test]
fn zlib_as_seen_from_the_reference() {
    // 7.1: the header at once, the rest at the flush; 3.6: a sync flush, and the window is kept.
    let mut encoder = encoder(ContentEncoding::Zlib).unwrap();
    let mut out = Vec::new();
    encoder.encode(b"\xa1FstatusBok", &mut out).unwrap();
    assert_eq!(out, [0x78, 0x9c]);
    encoder.flush(&mut out).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    let first = out.len();
    encoder.encode(b"\xa1FstatusBok", &mut out).unwrap();
    encoder.flush(&mut out).unwrap();
    assert!(out.len() - first < first);
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    // Nothing new to flush: nothing comes.
    let len = out.len();
    encoder.flush(&mut out).unwrap();
    assert_eq!(out.len(), len);
}

#[test]
fn zstd_as_seen_from_the_reference() {
    let mut encoder = encoder(ContentEncoding::Zstd8Mb).unwrap();
    let mut out = Vec::new();
    encoder.encode(b"\xa1FstatusBok", &mut out).unwrap();
    assert!(out.is_empty());
    encoder.flush(&mut out).unwrap();
    // Neither content size, checksum, single segment nor dictionary; a window of 2 MiB.
    assert_eq!(out[..6], [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]);
    let first = out.len();
    encoder.flush(&mut out).unwrap();
    assert_eq!(out.len(), first);
    encoder.encode(b"\xa1FstatusBok", &mut out).unwrap();
    encoder.flush(&mut out).unwrap();
    // The frame is kept open: another block, not another header.
    assert_ne!(out[first..first + 4], [0x28, 0xb5, 0x2f, 0xfd]);
}

#[test]
fn after_the_end_only_empty_payloads() {
    for encoding in COMPRESSING {
        let mut streams = streams(encoding, DecodeLimits::default());
        let whole = finished(encoding, b"answer");
        assert_eq!(feed(&mut streams, &whole), Ok(b"answer".to_vec()));
        assert_eq!(feed(&mut streams, b""), Ok(vec![]));
        for _ in 0..2 {
            let error = feed(&mut streams, &whole).unwrap_err();
            assert_eq!(error.name(), "encoding-ended");
            assert_eq!(error.protocol_error(), Some(ProtocolError::EncodingEnded));
            assert_eq!(feed(&mut streams, b""), Ok(vec![]));
        }
        // In the same payload too; what came before it is good.
        let mut streams = super::tests::streams(encoding, DecodeLimits::default());
        let longer = [&whole[..], b"\x00"].concat();
        let mut decoded = streams.decode(STREAM, &longer, true);
        assert_eq!(decoded.next_piece(), Ok(Some(&b"answer"[..])));
        assert_eq!(decoded.next_piece(), Err(DecodeError::Ended));
        assert_eq!(decoded.next_piece(), Err(DecodeError::Ended));
    }
}

#[test]
fn empty_content_ends_too() {
    for encoding in COMPRESSING {
        let mut whole = finished(encoding, b"");
        let mut streams = streams(encoding, DecodeLimits::default());
        assert_eq!(feed(&mut streams, &whole), Ok(vec![]));
        whole.push(0);
        assert_eq!(feed(&mut streams, b"\x00"), Err(DecodeError::Ended));
        let mut streams = super::tests::streams(encoding, DecodeLimits::default());
        assert_eq!(feed(&mut streams, &whole), Err(DecodeError::Ended));
    }
}

#[test]
fn garbage_stays_refused_until_new_settings() {
    for encoding in COMPRESSING {
        let mut streams = streams(encoding, DecodeLimits::default());
        for _ in 0..2 {
            let error = feed(&mut streams, b"garbage, not an encoding").unwrap_err();
            assert_eq!(error.protocol_error(), Some(ProtocolError::DecodeFailed));
        }
        let good = flushed(encoding, b"good");
        assert_eq!(feed(&mut streams, &good), Err(DecodeError::Malformed));
        assert!(streams.install(STREAM, encoding));
        assert_eq!(feed(&mut streams, &good), Ok(b"good".to_vec()));
    }
}

#[test]
fn checksums_are_checked() {
    let mut whole = finished(ContentEncoding::Zlib, b"answer");
    *whole.last_mut().unwrap() ^= 1;
    let mut zlib = streams(ContentEncoding::Zlib, DecodeLimits::default());
    assert_eq!(feed(&mut zlib, &whole), Err(DecodeError::Malformed));
}

#[test]
fn windows_up_to_8_mib() {
    // The exponent is the upper five bits, above 10; the mantissa adds eighths.
    let cases = [
        (0x58, true),
        (0x67, true),
        (0x68, true),
        (0x69, false),
        (0x70, false),
        (0xff, false),
    ];
    for (descriptor, good) in cases {
        let expected = if good {
            Ok(b"x".to_vec())
        } else {
            Err(DecodeError::WindowTooLarge)
        };
        let frame = frame_with_window(descriptor);
        let mut whole = streams(ContentEncoding::Zstd8Mb, DecodeLimits::default());
        assert_eq!(feed(&mut whole, &frame), expected, "{descriptor:#x}");
        let mut bytewise = streams(ContentEncoding::Zstd8Mb, DecodeLimits::default());
        let got: Result<Vec<_>, _> = frame.iter().map(|b| feed(&mut bytewise, &[*b])).collect();
        assert_eq!(got.map(|v| v.concat()), expected, "{descriptor:#x}");
        assert!(!good || whole.memory() == 0, "the frame has ended");
    }
    // The library's short cut for a known small content would not look at the window.
    let mut sized = vec![0x28, 0xb5, 0x2f, 0xfd, 0x40, 0x70, 0x01, 0x00];
    sized.extend([0x09, 0, 0, b'x']);
    let mut whole = streams(ContentEncoding::Zstd8Mb, DecodeLimits::default());
    assert_eq!(feed(&mut whole, &sized), Err(DecodeError::WindowTooLarge));
    assert_eq!(
        DecodeError::WindowTooLarge.protocol_error(),
        Some(ProtocolError::DecodeFailed)
    );
}

#[test]
fn single_segments_of_up_to_8_mib() {
    for (size, good) in [
        (8u64 << 20, true),
        ((8 << 20) + 1, false),
        (u64::MAX, false),
    ] {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        frame.extend(size.to_le_bytes());
        let mut streams = streams(ContentEncoding::Zstd8Mb, DecodeLimits::default());
        let result = feed(&mut streams, &frame);
        assert_eq!(result.is_ok(), good, "{size}");
        assert!(good || result == Err(DecodeError::WindowTooLarge));
    }
}

#[test]
fn other_zstandard_frames_are_refused() {
    let cases: [(&[u8], DecodeError); 4] = [
        // A skippable frame, a legacy one, the reserved bit, a dictionary.
        (b"\x50\x2a\x4d\x18\x00\x00\x00\x00", DecodeError::Malformed),
        (b"\x27\xb5\x2f\xfd\x00\x58", DecodeError::Malformed),
        (b"\x28\xb5\x2f\xfd\x08\x58", DecodeError::Malformed),
        (
            b"\x28\xb5\x2f\xfd\x01\x58\x07",
            DecodeError::DictionaryNeeded,
        ),
    ];
    for (bytes, error) in cases {
        let mut streams = streams(ContentEncoding::Zstd8Mb, DecodeLimits::default());
        assert_eq!(feed(&mut streams, bytes), Err(error));
    }
    let mut zlib = streams(ContentEncoding::Zlib, DecodeLimits::default());
    assert_eq!(
        feed(&mut zlib, b"\x78\xbb\x00\x00\x00\x01"),
        Err(DecodeError::DictionaryNeeded)
    );
}

#[test]
fn many_empty_payloads() {
    // Zstandard's library counts calls without progress, and fails after a few.
    for encoding in COMPRESSING {
        let mut streams = streams(encoding, DecodeLimits::default());
        for piece in [flushed(encoding, b"a"), vec![]] {
            for _ in 0..100 {
                assert_eq!(feed(&mut streams, b""), Ok(vec![]));
            }
            feed(&mut streams, &piece).unwrap();
        }
    }
}

/// An encoded run of zeros.
fn zeros(encoding: ContentEncoding, mib: usize) -> Vec<u8> {
    let mut encoder = encoder(encoding).unwrap();
    let mut out = Vec::new();
    for _ in 0..mib {
        encoder.encode(&vec![0; 1 << 20], &mut out).unwrap();
    }
    encoder.flush(&mut out).unwrap();
    out
}

#[test]
fn bombs_stop_at_the_limits() {
    for encoding in COMPRESSING {
        let bomb = zeros(encoding, 8);
        let mut limits = DecodeLimits::new();
        limits.frame_output = 100_000;
        let mut bounded = streams(encoding, limits);
        let mut decoded = bounded.decode(STREAM, &bomb, true);
        let mut seen = 0;
        let error = loop {
            match decoded.next_piece() {
                Ok(piece) => seen += piece.expect("the bomb is larger").len(),
                Err(error) => break error,
            }
        };
        drop(decoded);
        assert_eq!(error, DecodeError::FrameOutputTooLarge);
        assert_eq!(
            (error.name(), error.protocol_error()),
            ("output-too-large", None)
        );
        assert!(seen <= 100_000);
        assert_eq!(bounded.memory(), 0);
        assert_eq!(
            feed(&mut bounded, b""),
            Err(DecodeError::FrameOutputTooLarge)
        );

        // Skipping is held to the same limits, and the limit itself is fine.
        let mut skipping = streams(encoding, limits);
        let skipped = skipping.decode(STREAM, &bomb, true).skip();
        assert_eq!(skipped, Err(DecodeError::FrameOutputTooLarge));
        limits.frame_output = 8 << 20;
        let mut exact = streams(encoding, limits);
        assert_eq!(exact.decode(STREAM, &bomb, true).skip(), Ok(8 << 20));
    }
}

#[test]
fn a_frame_is_counted_over_its_parts_and_a_stream_over_its_frames() {
    for encoding in COMPRESSING {
        let mut encoder = encoder(encoding).unwrap();
        let frames: Vec<Vec<u8>> = (0..4)
            .map(|_| {
                let mut out = Vec::new();
                encoder.encode(&[b'x'; 1000], &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                out
            })
            .collect();
        let mut limits = DecodeLimits::new();
        limits.frame_output = 1000;
        limits.stream_output = 3500;
        let mut framewise = streams(encoding, limits);
        for frame in &frames[..3] {
            assert_eq!(feed(&mut framewise, frame).unwrap().len(), 1000);
        }
        assert_eq!(
            feed(&mut framewise, &frames[3]),
            Err(DecodeError::StreamOutputTooLarge)
        );
        let mut one_frame = streams(encoding, limits);
        assert_eq!(one_frame.decode(STREAM, &frames[0], false).skip(), Ok(1000));
        assert_eq!(
            one_frame.decode(STREAM, &frames[1], false).skip(),
            Err(DecodeError::FrameOutputTooLarge)
        );
    }
}

#[test]
fn a_ratio_is_counted_over_all_streams() {
    for encoding in COMPRESSING {
        let bomb = zeros(encoding, 1);
        let mut limits = DecodeLimits::new();
        (limits.ratio, limits.ratio_free) = (10, 5 << 19);
        let mut bounded = streams(encoding, limits);
        let mut next = (0..).step_by(2).map(|id| StreamId::new(100 + id));
        let mut feed = |bounded: &mut StreamDecoders, bytes: &[u8]| {
            let stream = next.next().unwrap();
            assert!(bounded.install(stream, encoding));
            let fed = bounded.decode(stream, bytes, true).skip();
            bounded.end(stream);
            fed
        };
        // Two are free; a third is not, on whatever stream.
        for _ in 0..2 {
            assert_eq!(feed(&mut bounded, &bomb), Ok(1 << 20));
        }
        let error = feed(&mut bounded, &bomb).unwrap_err();
        assert_eq!(error, DecodeError::RatioTooLarge);
        assert_eq!(
            (error.name(), error.protocol_error()),
            ("output-too-large", None)
        );
        // What is sent as it is allows more, but not for later: it is not saved up.
        let mut plain = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let noise: Vec<u8> = (0..1 << 19)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect();
        let mut encoder = encoder(encoding).unwrap();
        encoder.encode(&noise, &mut plain).unwrap();
        encoder.flush(&mut plain).unwrap();
        for _ in 0..2 {
            assert_eq!(feed(&mut bounded, &plain), Ok(1 << 19));
        }
        for _ in 0..2 {
            assert_eq!(feed(&mut bounded, &bomb), Ok(1 << 20));
        }
        assert_eq!(feed(&mut bounded, &bomb), Err(DecodeError::RatioTooLarge));

        limits.ratio = u32::MAX;
        let mut unlimited = streams(encoding, limits);
        for _ in 0..4 {
            assert_eq!(feed(&mut unlimited, &bomb), Ok(1 << 20));
        }
    }
}

#[test]
fn windows_are_counted_together() {
    let mut streams = StreamDecoders::default();
    // Open frames with the largest window: nothing is in them yet.
    let header = &frame_with_window(0x68)[..6];
    let mut good = 0;
    for id in (0..=254).step_by(2).map(StreamId::new) {
        assert!(streams.install(id, ContentEncoding::Zstd8Mb));
        assert_eq!(streams.memory() >> 23, good, "settings alone cost nothing");
        match streams
            .decode(id, &[header, &[0x08, 0, 0]].concat(), true)
            .skip()
        {
            Ok(_) => good += 1,
            Err(error) => {
                assert_eq!(error, DecodeError::MemoryExceeded);
                break;
            }
        }
    }
    assert_eq!(good, 15);
    assert!(streams.memory() <= 128 << 20);
    // An ended stream makes room.
    streams.end(StreamId::new(0));
    assert!(streams.install(STREAM, ContentEncoding::Zstd8Mb));
    assert_eq!(feed(&mut streams, header), Ok(vec![]));
}

#[test]
fn what_is_not_read_fails_the_stream() {
    for encoding in COMPRESSING {
        let payload = zeros(encoding, 1);
        let mut dropped = streams(encoding, DecodeLimits::default());
        drop(dropped.decode(STREAM, &payload, true));
        assert_eq!(feed(&mut dropped, b""), Err(DecodeError::Abandoned));
        assert_eq!(DecodeError::Abandoned.protocol_error(), None);

        // Read to the last byte, though not beyond it: nothing is lost.
        let mut encoder = encoder(encoding).unwrap();
        let mut out = Vec::new();
        encoder.encode(b"short", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        let mut read = streams(encoding, DecodeLimits::default());
        let mut decoded = read.decode(STREAM, &out, true);
        assert_eq!(decoded.next_piece(), Ok(Some(&b"short"[..])));
        drop(decoded);
        out.clear();
        encoder.encode(b"next", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        assert_eq!(feed(&mut read, &out), Ok(b"next".to_vec()));
    }
}

#[test]
fn streams_come_and_go() {
    let mut streams = StreamDecoders::default();
    // 3.8: no settings, no change; pieces are not copied, so a frame is one piece.
    let large = vec![7; 100_000];
    let mut decoded = streams.decode(STREAM, &large, true);
    assert_eq!(decoded.next_piece(), Ok(Some(&large[..])));
    assert_eq!(decoded.next_piece(), Ok(None));
    drop(decoded);

    // 4.2: settings replace; each stream has its own state.
    let payload = flushed(ContentEncoding::Zlib, b"plain");
    assert!(streams.install(STREAM, ContentEncoding::Zstd8Mb));
    assert!(streams.install(STREAM, ContentEncoding::Zlib));
    assert!(streams.install(StreamId::new(4), ContentEncoding::Zlib));
    let (head, tail) = payload.split_at(5);
    let mut plain = feed(&mut streams, head).unwrap();
    let other = streams.decode(StreamId::new(4), &payload, true).skip();
    assert_eq!(other, Ok(5));
    plain.extend(feed(&mut streams, tail).unwrap());
    assert_eq!(plain, b"plain");

    // Identity, and the stream's end, are the way back.
    assert!(streams.install(STREAM, ContentEncoding::Identity));
    assert_eq!(feed(&mut streams, b"raw"), Ok(b"raw".to_vec()));
    streams.end(StreamId::new(4));
    assert_eq!(streams.memory(), 0);
}

#[test]
fn names() {
    for &encoding in SUPPORTED {
        assert_eq!(
            ContentEncoding::from_name(encoding.name().as_bytes()),
            Some(encoding)
        );
        assert!(decoder(encoding).is_some() && super::encoder(encoding).is_some());
    }
}

/// Decodes in parts of these lengths, repeated; what came before an error, and the error.
fn in_parts(
    encoding: ContentEncoding,
    input: &[u8],
    parts: &[usize],
) -> (Vec<u8>, Result<(), DecodeError>) {
    let mut streams = streams(encoding, DecodeLimits::default());
    let mut out = Vec::new();
    let mut rest = input;
    for &len in parts.iter().cycle() {
        let (part, after) = rest.split_at(len.min(rest.len()));
        let mut decoded = streams.decode(STREAM, part, len % 2 == 0);
        loop {
            match decoded.next_piece() {
                Ok(Some(piece)) => out.extend_from_slice(piece),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    (out, Ok(()))
}

fn any_encoding() -> impl Strategy<Value = ContentEncoding> {
    prop::sample::select(vec![
        ContentEncoding::Identity,
        ContentEncoding::Zlib,
        ContentEncoding::Zstd8Mb,
    ])
}

/// Bytes that compress in places.
fn any_plain() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 0..70_000usize).prop_map(|(byte, len)| vec![byte; len]);
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::vec(prop_oneof![run, noise], 0..5).prop_map(|runs| runs.concat())
}

fn any_parts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4usize, 1..5000usize], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_encoded_decodes_at_every_flush(
        encoding in any_encoding(),
        pieces in prop::collection::vec((any_plain(), any::<bool>()), 0..6),
        parts in any_parts(),
    ) {
        let mut encoder = encoder(encoding).unwrap();
        let mut streams = streams(encoding, DecodeLimits::default());
        let (mut plain, mut decoded) = (Vec::new(), Vec::new());
        let mut wire = Vec::new();
        for (piece, flush) in &pieces {
            plain.extend_from_slice(piece);
            encoder.encode(piece, &mut wire).unwrap();
            if *flush {
                encoder.flush(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            for len in parts.iter().cycle() {
                let (part, after) = rest.split_at((*len).min(rest.len()));
                decoded.extend(feed(&mut streams, part).unwrap());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            wire.clear();
            if *flush {
                prop_assert!(decoded == plain, "{} of {} bytes", decoded.len(), plain.len());
            }
            prop_assert!(plain.starts_with(&decoded));
        }
    }

    #[test]
    fn how_input_is_cut_does_not_matter(
        encoding in any_encoding(),
        plain in any_plain(),
        end in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), 1..=255u8)),
        parts in any_parts(),
    ) {
        let mut wire = if end { finished(encoding, &plain) } else { flushed(encoding, &plain) };
        if let (Some((index, bits)), false) = (damage, wire.is_empty()) {
            let index = index.index(wire.len());
            wire[index] ^= bits;
        }
        let (whole, result) = in_parts(encoding, &wire, &[wire.len().max(1)]);
        let (cut, cut_result) = in_parts(encoding, &wire, &parts);
        let (bytewise, bytewise_result) = in_parts(encoding, &wire, &[1]);
        prop_assert_eq!(result, cut_result);
        prop_assert_eq!(result, bytewise_result);
        if result.is_ok() {
            prop_assert!(whole == cut && whole == bytewise);
        } else {
            prop_assert!(bytewise.starts_with(&whole) && bytewise.starts_with(&cut));
        }
    }

    #[test]
    fn garbage_never_panics_or_hangs(
        encoding in any_encoding(),
        start in 0..8usize,
        noise in prop::collection::vec(any::<u8>(), 0..500),
        parts in any_parts(),
    ) {
        let mut wire = flushed(encoding, b"a start that is good");
        wire.truncate(start);
        wire.extend(noise);
        let (_, result) = in_parts(encoding, &wire, &parts);
        prop_assert_eq!(result, in_parts(encoding, &wire, &[1]).1);
    }
}
