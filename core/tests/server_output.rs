//! What a server sends: messages.md, "Responses"; revision-0006.md, 5.8 and 7; deferred output;
//! text output and progress; output streams.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

mod kit;

use hgrpc::ApiMisuse;
use hgrpc::Revision::{self, R0003, R0005, R0006};
use hgrpc::cbor::{Atom, ContentEncoding, Progress, Value};
use hgrpc::server::{
    Body, Deferred, DeferredQueue, Failure, Object, OutputStream, Push, ResponseWriter,
    ServerConfig,
};
use hgrpc::wire::ErrorFlags;
use kit::*;

type Srv = kit::Srv<8, 4096>;

const OK: &[u8] = b"\xa1\x46status\x42ok";

fn sized(size: u32) -> ServerConfig {
    let mut config = ServerConfig::DEFAULT;
    config.send_frame_size = size;
    config
}

/// A server with these active requests and a stream on which nothing was sent.
fn active(revision: Revision, config: ServerConfig, ids: &[u16]) -> Srv {
    let mut srv = Srv::new(revision, config);
    for id in ids {
        assert_eq!(srv.recv(&req(*id, NEW, C)), ran(*id));
    }
    srv
}

/// A server whose peer decodes zlib, with these requests active and a zlib stream.
fn encoded(config: ServerConfig, ids: &[u16]) -> Srv {
    let mut srv = Srv::new(R0006, config);
    let settings = b"\xa1\x50contentencodings\x81\x44zlib";
    assert_eq!(
        srv.recv(&frame(0, 1, BEGIN, 8, EOS, settings)),
        want("idle")
    );
    for id in ids {
        assert_eq!(srv.recv(&req(*id, NEW, C)), ran(*id));
    }
    let stream = srv.server.open_stream(&ContentEncoding::ALL).unwrap();
    let unused = std::mem::replace(&mut srv.stream, stream);
    assert!(srv.server.close_stream(unused).is_ok());
    assert_eq!(srv.stream.encoding(), ContentEncoding::Zlib);
    srv
}

/// A frame on stream 2 that is not its first.
fn out(id: u16, stream_flags: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(id, 2, stream_flags, kind, flags, payload)
}

// messages.md, "Responses"

#[test]
fn whole_responses_of_0003_and_0005() {
    let long: &'static [u8] = &[b'x'; 41];
    let mut srv = active(R0003, sized(20), &[1, 3]);
    assert_eq!(
        srv.answer(1, Body::Bytes(&long[..20])),
        [out(1, BEGIN, 4, EOS, &long[..20])]
    );
    assert_eq!(
        srv.answer(3, Body::Cbor(long)),
        [
            out(3, 0, 4, 5, &long[..20]),
            out(3, 0, 4, 5, &long[..20]),
            out(3, 0, 4, 6, b"x")
        ]
    );
    let mut srv = active(R0005, sized(20), &[1, 3, 5]);
    let together = [OK, &long[..9]].concat();
    assert_eq!(
        srv.answer(1, Body::Bytes(&long[..9])),
        [out(1, BEGIN, 3, EOS, &together)]
    );
    assert_eq!(
        srv.answer(3, Body::Cbor(&long[..10])),
        [
            out(3, 0, 3, CONTINUATION, OK),
            out(3, 0, 3, EOS, &long[..10])
        ]
    );
    assert_eq!(srv.answer(5, Body::Bytes(b"")), [out(5, 0, 3, EOS, OK)]);
}

#[test]
fn d3_what_does_not_fit_a_frame_is_an_error_and_nothing_is_sent() {
    for revision in [R0005, R0006] {
        let mut srv = active(revision, sized(10), &[1, 3]);
        assert_eq!(
            srv.begin(1, Body::Bytes(b"")).err(),
            Some(ApiMisuse::TooLarge)
        );
        // The responder went with it; the request can be taken over, and fail in short.
        let table = srv.store.split().0;
        let id = hgrpc::wire::RequestId::new(1);
        let responder = srv.server.take_over(table, id).unwrap();
        let refused = srv.server.begin_response(srv.store.split().0, responder);
        assert_eq!(refused.err(), Some(ApiMisuse::TooLarge));
        assert_eq!(srv.active(), [3, 1]);
    }
    let mut srv = active(R0003, sized(3), &[1]);
    let mut answer = srv
        .begin(1, Body::Failure(Failure::server(b"four")))
        .unwrap();
    assert_eq!(srv.next(&mut answer), Err(ApiMisuse::TooLarge));
    assert_eq!(srv.active(), [1]);
    // A redirect is never cut.
    let mut srv = active(R0006, sized(20), &[1]);
    assert_eq!(
        srv.begin(1, Body::Redirect(&[0xa0; 21])).err(),
        Some(ApiMisuse::TooLarge)
    );
    // The header's field holds 24 bits whatever is asked for.
    let mut srv = active(R0003, sized(u32::MAX), &[1]);
    let large: &'static [u8] = Box::leak(vec![0; 0x0100_0000].into_boxed_slice());
    let frames = srv.answer(1, Body::Bytes(large));
    assert_eq!(frames.len(), 2);
    assert_eq!(header(&frames[0]).length(), 0x00ff_ffff);
}

#[test]
fn responses_of_unknown_length() {
    for revision in ALL {
        let mut srv = active(revision, sized(20), &[1]);
        let responder = srv.responders.remove(&1).unwrap();
        let mut writer = srv
            .server
            .begin_response(srv.store.split().0, responder)
            .unwrap();
        let mut frames = Vec::new();
        for piece in [&b"ab"[..], b"", &[b'x'; 25]] {
            frames.extend(push(&mut srv, &mut writer, &mut [], piece));
        }
        frames.extend(finish(&mut srv, &mut writer, &[]));
        let kind = response_kind(revision);
        let encoded = if revision == R0006 { ENCODED } else { 0 };
        let piece = |flags, bytes: &[u8]| out(1, flags, kind, CONTINUATION, bytes);
        let mut expected = match revision {
            R0003 => vec![],
            R0005 => vec![piece(BEGIN, OK)],
            _ => vec![out(1, BEGIN, 9, EOS, b"\x48identity"), piece(encoded, OK)],
        };
        let first = if expected.is_empty() { BEGIN } else { encoded };
        expected.push(piece(first, b"ab"));
        expected.push(piece(encoded, &[b'x'; 20]));
        expected.push(piece(encoded, &[b'x'; 5]));
        expected.push(out(1, 0, kind, EOS, b""));
        assert_eq!(frames, expected, "{revision}");
        assert_eq!(srv.active(), [0u16; 0]);
    }
}

/// Pushes a piece until it is taken.
fn push(
    srv: &mut Srv,
    writer: &mut ResponseWriter,
    scratch: &mut [u8],
    piece: &[u8],
) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let mut out = srv.server.output(srv.store.split().0, &mut srv.stream);
        match writer.push(&mut out, scratch, piece).unwrap() {
            Push::Frame(frame) => frames.push(bytes(&frame)),
            Push::Taken => return frames,
        }
    }
}

fn finish(srv: &mut Srv, writer: &mut ResponseWriter, scratch: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let mut out = srv.server.output(srv.store.split().0, &mut srv.stream);
        match writer.finish(&mut out, scratch).unwrap() {
            Some(frame) => frames.push(bytes(&frame)),
            None => return frames,
        }
    }
}

// revision-0006.md, 7.2

/// What the section says, in few words: the frames of pieces with these lengths.
fn coalesced(pieces: &[usize], f: usize) -> Vec<usize> {
    let (mut frames, mut b) = (Vec::new(), 0);
    for &d in pieces {
        if d == 0 {
        } else if d > f {
            frames.extend([b].into_iter().filter(|b| *b > 0));
            frames.extend((0..d / f).map(|_| f));
            frames.extend([d % f].into_iter().filter(|rest| *rest > 0));
            b = 0;
        } else if d + b < f {
            b += d;
        } else {
            frames.extend([b].into_iter().filter(|b| *b > 0));
            b = d;
        }
    }
    frames.extend([b].into_iter().filter(|b| *b > 0));
    frames
}

#[test]
fn r7_2_the_coalescer() {
    let sizes = [0, 1, 3, 19, 20, 21, 39, 40, 41, 60];
    for a in sizes {
        for b in sizes {
            for c in sizes {
                for scratch in [20usize, 99] {
                    let mut srv = active(R0006, sized(20), &[1]);
                    let responder = srv.responders.remove(&1).unwrap();
                    let mut writer = srv
                        .server
                        .begin_response(srv.store.split().0, responder)
                        .unwrap();
                    let mut memory = vec![0; scratch];
                    let mut frames = Vec::new();
                    let mut sent = Vec::new();
                    for (byte, len) in [(b'a', a), (b'b', b), (b'c', c)] {
                        let piece = vec![byte; len];
                        sent.extend_from_slice(&piece);
                        frames.extend(push(&mut srv, &mut writer, &mut memory, &piece));
                    }
                    frames.extend(finish(&mut srv, &mut writer, &memory));
                    // Settings, status and end are not the coalescer's.
                    let body = &frames[2..frames.len() - 1];
                    let lengths: Vec<_> = body.iter().map(|frame| frame.len() - 8).collect();
                    assert_eq!(lengths, coalesced(&[a, b, c], 20), "{a} {b} {c}");
                    let payloads: Vec<u8> =
                        body.iter().flat_map(|frame| frame[8..].to_vec()).collect();
                    assert_eq!(payloads, sent);
                    assert!(
                        body.iter()
                            .all(|frame| frame[6] == ENCODED && frame[7] == 0x31)
                    );
                }
            }
        }
    }
}

#[test]
fn r7_1_objects_in_pieces_and_without_scratch_memory() {
    let value = Value::from_cbor(b"\x82\x42ab\x5f\x41c\xff").unwrap();
    let objects: &'static [Object<'static>] = Box::leak(Box::new([
        Object::Cbor(value),
        Object::PreEncoded(b"\x01\x02"),
    ]));
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3]);
    let frames = srv.answer(1, Body::Objects(objects));
    assert_eq!(
        frames[2],
        out(
            1,
            ENCODED,
            3,
            CONTINUATION,
            b"\x82\x42ab\x5f\x41c\xff\x01\x02"
        )
    );
    assert_eq!(frames[3], out(1, 0, 3, EOS, b""));
    let mut answer = srv.begin(3, Body::Objects(objects)).unwrap();
    let mut pieces = Vec::new();
    loop {
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        match answer.next_frame(&mut output, &mut []).unwrap() {
            Some(frame) => pieces.push(bytes(&frame)[8..].to_vec()),
            None => break,
        }
    }
    let expected: [&[u8]; 10] = [
        OK,
        b"\x82",
        b"\x42",
        b"ab",
        b"\x5f",
        b"\x41",
        b"c",
        b"\xff",
        b"\x01\x02",
        b"",
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn k_10_a_response_without_values_has_status_and_end() {
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3]);
    for (id, body) in [(1, Body::Objects(&[])), (3, Body::Bytes(b""))] {
        let mut frames = srv.answer(id, body);
        if id == 1 {
            assert_eq!(frames.remove(0), out(1, BEGIN, 9, EOS, b"\x48identity"));
        }
        let expected = [
            out(id, ENCODED, 3, CONTINUATION, OK),
            out(id, 0, 3, EOS, b""),
        ];
        assert_eq!(frames, expected);
    }
}

#[test]
fn r7_4_failures_after_output_has_begun_k_11() {
    for revision in ALL {
        for is_server in [true, false] {
            let mut srv = active(revision, ServerConfig::DEFAULT, &[1]);
            let responder = srv.responders.remove(&1).unwrap();
            let mut writer = srv
                .server
                .begin_response(srv.store.split().0, responder)
                .unwrap();
            let mut scratch = [0; 64];
            let mut frames = push(&mut srv, &mut writer, &mut scratch, b"abc");
            let before = frames.len();
            assert!(revision == R0003 || writer.has_begun());
            let mut failure = if is_server {
                Failure::server(b"no")
            } else {
                Failure::command(b"no")
            };
            loop {
                let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
                match writer
                    .fail(&mut output, &scratch, &[], &mut failure)
                    .unwrap()
                {
                    Some(frame) => frames.push(bytes(&frame)),
                    None => break,
                }
            }
            let rest = &frames[before..];
            match (revision, is_server) {
                (R0006, _) => {
                    // What was joined goes out first.
                    assert_eq!(rest[0], out(1, ENCODED, 3, CONTINUATION, b"abc"));
                    let kind: &[u8] = if is_server {
                        b"\x46server"
                    } else {
                        b"\x47command"
                    };
                    let payload = [b"\xa2\x47message\x81\xa1\x43msg\x42no\x44type", kind].concat();
                    assert_eq!(rest[1..], [out(1, 0, 5, 0, &payload)]);
                }
                _ => assert_eq!(rest, [out(1, 0, 5, 2, b"no")]),
            }
            assert_eq!(srv.active(), [0u16; 0]);
        }
    }
}

#[test]
fn r7_4_a_message_that_is_too_long_is_cut_in_0006() {
    let mut srv = active(R0006, sized(60), &[1, 3]);
    let long: &'static [u8] = &[b'm'; 100];
    for (id, failure) in [(1, Failure::server(long)), (3, Failure::command(long))] {
        let frames = srv.answer(id, Body::Failure(failure));
        assert_eq!(frames.len(), 1);
        let payload = &frames[0][8..];
        assert!((50..=60).contains(&payload.len()));
        assert!(Value::from_cbor(payload).is_ok());
    }
}

#[test]
fn r7_5_redirects() {
    let map: &'static [u8] = b"\xa1\x46status\x48redirect";
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1]);
    assert_eq!(
        srv.answer(1, Body::Redirect(map)),
        [
            out(1, BEGIN, 9, EOS, b"\x48identity"),
            out(1, ENCODED, 3, CONTINUATION, map),
            out(1, 0, 3, EOS, b""),
        ]
    );
    for revision in [R0003, R0005] {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1]);
        assert_eq!(
            srv.begin(1, Body::Redirect(map)).err(),
            Some(ApiMisuse::NotInThisRevision)
        );
    }
    // Nothing follows a redirect, and none follows output.
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3]);
    for redirect_first in [true, false] {
        let id = if redirect_first { 1 } else { 3 };
        let responder = srv.responders.remove(&id).unwrap();
        let mut writer = srv
            .server
            .begin_response(srv.store.split().0, responder)
            .unwrap();
        if redirect_first {
            loop {
                let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
                if writer.redirect(&mut output, map).unwrap().is_none() {
                    break;
                }
            }
            let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
            let refused = writer.push(&mut output, &mut [], b"\x01").err();
            assert_eq!(refused, Some(ApiMisuse::OutOfOrder));
        } else {
            push(&mut srv, &mut writer, &mut [], b"\x01");
            let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
            let refused = writer.redirect(&mut output, map).err();
            assert_eq!(refused, Some(ApiMisuse::OutOfOrder));
        }
        assert_eq!(finish(&mut srv, &mut writer, &[]).len(), 1);
    }
}

#[test]
fn a_piece_that_was_not_taken_to_its_end_keeps_a_response_from_ending() {
    for revision in ALL {
        let mut srv = active(revision, sized(40), &[1]);
        let responder = srv.responders.remove(&1).unwrap();
        let mut writer = srv
            .server
            .begin_response(srv.store.split().0, responder)
            .unwrap();
        push(&mut srv, &mut writer, &mut [], b"x");
        let piece = [b'x'; 90];
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        assert!(matches!(
            writer.push(&mut output, &mut [], &piece),
            Ok(Push::Frame(_))
        ));
        assert_eq!(
            writer.finish(&mut output, &[]).err(),
            Some(ApiMisuse::OutOfOrder)
        );
        // It may fail; the rest of the piece is left out.
        let mut failure = Failure::server(b"no");
        assert!(
            writer
                .fail(&mut output, &[], &[], &mut failure)
                .unwrap()
                .is_some()
        );
        assert!(
            writer
                .fail(&mut output, &[], &[], &mut failure)
                .unwrap()
                .is_none()
        );
        assert_eq!(
            writer.push(&mut output, &mut [], b"x").err(),
            Some(ApiMisuse::OutOfOrder)
        );
    }
}

#[test]
fn an_encoded_piece_is_taken_to_its_end_before_a_failure() {
    let mut srv = encoded(sized(40), &[1]);
    let responder = srv.responders.remove(&1).unwrap();
    let table = srv.store.split().0;
    let mut writer = srv.server.begin_response(table, responder).unwrap();
    let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
    while let Push::Frame(_) = writer.push_encoded(&mut output, &mut [], b"zz").unwrap() {}
    let piece = [b'z'; 90];
    let first = writer.push_encoded(&mut output, &mut [], &piece);
    assert!(matches!(first, Ok(Push::Frame(_))));
    let mut failure = Failure::server(b"no");
    // The decoder needs the rest of the piece before what was flushed.
    let refused = writer.fail(&mut output, &[], b"fl", &mut failure).err();
    assert_eq!(refused, Some(ApiMisuse::OutOfOrder));
    while let Push::Frame(_) = writer.push_encoded(&mut output, &mut [], &piece).unwrap() {}
    let flushed = writer.fail(&mut output, &[], b"fl", &mut failure);
    assert_eq!(bytes(&flushed.unwrap().unwrap())[8..], *b"fl");
}

#[test]
fn d3_a_redirect_that_is_written_is_never_cut() {
    let mut srv = active(R0006, sized(20), &[1]);
    let responder = srv.responders.remove(&1).unwrap();
    let table = srv.store.split().0;
    let mut writer = srv.server.begin_response(table, responder).unwrap();
    let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
    let refused = writer.redirect(&mut output, &[0xa0; 21]).err();
    assert_eq!(refused, Some(ApiMisuse::TooLarge));
    assert!(!writer.has_begun());
}

// revision-0006.md, 3.5a and 4.2

#[test]
fn r3_5a_one_response_at_a_time_on_an_encoded_stream() {
    let mut srv = encoded(ServerConfig::DEFAULT, &[1, 3]);
    let [mut one, mut three] = [1, 3].map(|id| {
        let responder = srv.responders.remove(&id).unwrap();
        srv.server
            .begin_response(srv.store.split().0, responder)
            .unwrap()
    });
    let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
    assert!(matches!(
        one.push_encoded(&mut output, &mut [], b"z1"),
        Ok(Push::Frame(_))
    ));
    assert_eq!(
        three.push_encoded(&mut output, &mut [], b"z3").err(),
        Some(ApiMisuse::StreamOccupied)
    );
    assert_eq!(
        three.claim(&mut output).err(),
        Some(ApiMisuse::StreamOccupied)
    );
    while let Push::Frame(_) = one.push_encoded(&mut output, &mut [], b"z1").unwrap() {}
    while one
        .finish_encoded(&mut output, &[], b"fl")
        .unwrap()
        .is_some()
    {}
    assert_eq!(three.claim(&mut output), Ok(()));
}

#[test]
fn r7_1_encoded_status_is_left_out_if_empty_and_cut_if_long() {
    let cases: [(&[u8], u32, &[usize]); 3] = [
        (b"", 99, &[3]),
        (b"zz", 99, &[2, 3]),
        (b"zzzzzzzzzzzzz", 12, &[12, 1, 3]),
    ];
    for (status, size, lengths) in cases {
        let mut srv = encoded(sized(size), &[1]);
        let responder = srv.responders.remove(&1).unwrap();
        let mut writer = srv
            .server
            .begin_response(srv.store.split().0, responder)
            .unwrap();
        let mut frames = Vec::new();
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        while let Push::Frame(frame) = writer.push_encoded(&mut output, &mut [], status).unwrap() {
            frames.push(bytes(&frame));
        }
        while let Some(frame) = writer.finish_encoded(&mut output, &[], b"fl!").unwrap() {
            frames.push(bytes(&frame));
        }
        assert_eq!(frames.remove(0), frame(1, 4, BEGIN, 9, EOS, b"\x44zlib"));
        let payloads: Vec<_> = frames.iter().map(|frame| frame.len() - 8).collect();
        assert_eq!(payloads, lengths);
        // 7.3: what was flushed is the end, and encoded.
        assert_eq!(
            frames.last().unwrap(),
            &frame(1, 4, ENCODED, 3, EOS, b"fl!")
        );
    }
}

#[test]
fn r4_2_settings_come_before_the_first_success_only() {
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3, 5]);
    let frames = srv.fail(1, b"no");
    assert_eq!((frames.len(), frames[0][6]), (1, BEGIN));
    let frames = srv.answer(3, Body::Bytes(b""));
    // They come late then, without `stream-begin` (D-07).
    assert_eq!(frames[0], out(3, 0, 9, EOS, b"\x48identity"));
    let frames = srv.answer(5, Body::Bytes(b""));
    assert_eq!(frames[0], out(5, ENCODED, 3, CONTINUATION, OK));
}

// Output streams

#[test]
fn d9_k_17_streams_are_exhausted_and_freed() {
    let mut srv = active(R0005, ServerConfig::DEFAULT, &[1, 3]);
    let mut streams: Vec<OutputStream> = Vec::new();
    while let Ok(stream) = srv.server.open_stream(&[]) {
        streams.push(stream);
    }
    // The kit holds stream 2.
    assert_eq!(streams.len(), 126);
    assert_eq!(streams.last().unwrap().id().value(), 254);
    assert_eq!(
        srv.server.open_stream(&[]).err(),
        Some(ApiMisuse::StreamsExhausted)
    );
    // One on which nothing was written is free at once.
    assert!(srv.server.close_stream(streams.remove(3)).is_ok());
    let again = srv.server.open_stream(&[]).unwrap();
    assert_eq!(again.id().value(), 10);
    assert!(srv.server.open_stream(&[]).is_err());
    // One that the peer holds to be open is not.
    let held = std::mem::replace(&mut srv.stream, again);
    srv.answer(1, Body::Bytes(b""));
    let begun = std::mem::replace(&mut srv.stream, held);
    let begun = srv.server.close_stream(begun).unwrap_err();
    // It is after a frame with `stream-end`.
    let held = std::mem::replace(&mut srv.stream, begun);
    srv.stream.end_with_next();
    let frames = srv.answer(3, Body::Bytes(b""));
    assert_eq!(frames[0][6], END);
    assert!(srv.stream.is_ended());
    let ended = std::mem::replace(&mut srv.stream, held);
    assert!(srv.server.close_stream(ended).is_ok());
    assert_eq!(srv.server.open_stream(&[]).unwrap().id().value(), 10);
}

#[test]
fn nothing_is_written_on_a_stream_that_has_ended() {
    for revision in ALL {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1, 3]);
        // In 0003 and 0005 the one frame of the response is the last of the stream.
        srv.stream.end_with_next();
        let mut answer = srv.begin(1, Body::Bytes(b"")).unwrap();
        let first = srv.next(&mut answer).unwrap().unwrap();
        assert_eq!(first[6], BEGIN | END);
        let mut answer = srv.begin(3, Body::Bytes(b"")).unwrap();
        assert_eq!(srv.next(&mut answer), Err(ApiMisuse::OutOfOrder));
        assert!(srv.active().contains(&3));
    }
}

// Deferred output: server.md, "A response is ready" and "Input ends"

#[test]
fn deferred_output_comes_in_the_order_in_which_it_became_ready() {
    for revision in ALL {
        let mut config = ServerConfig::DEFAULT;
        config.always_side_frames = true;
        let mut buffer = [0; 64];
        let mut srv = active(revision, config, &[1, 3, 5]);
        let mut queue = DeferredQueue::<4>::new();
        assert!(queue.is_empty());
        let three = srv.responders.remove(&3).unwrap();
        let text = srv
            .server
            .text_output(&three, &[Atom::new("hi")], &mut buffer)
            .unwrap();
        queue.push(Deferred::Side(text)).unwrap();
        let answer = srv
            .server
            .respond(srv.store.split().0, three, Body::Bytes(b"3"))
            .unwrap();
        queue.push(Deferred::Answer(answer)).unwrap();
        for (id, body) in [
            (1, Body::Bytes(&b"1"[..])),
            (5, Body::Failure(Failure::server(b"no"))),
        ] {
            let answer = srv.begin(id, body).unwrap();
            queue.push(Deferred::Answer(answer)).unwrap();
        }
        // All stay active; a full queue gives back what does not fit.
        assert_eq!(srv.active(), [1, 3, 5]);
        assert!(!queue.is_empty());
        let rejected = Deferred::Answer(srv_spare(revision));
        assert!(queue.push(rejected).is_err());
        let frames = drain(&mut srv, &mut queue);
        let ids: Vec<_> = frames
            .iter()
            .map(|f| header(f).request_id().value())
            .collect();
        let mut order = ids.clone();
        order.dedup();
        assert_eq!(order, [3, 1, 5]);
        assert_eq!(header(&frames[0]).kind_number(), 6);
        assert_eq!(srv.active(), [0u16; 0]);
        // D10: it is gone once handed out.
        assert!(queue.is_empty());
        assert!(drain(&mut srv, &mut queue).is_empty());
    }
}

/// An answer of another server.
fn srv_spare(revision: Revision) -> hgrpc::server::Answer<'static> {
    active(revision, ServerConfig::DEFAULT, &[1])
        .begin(1, Body::Bytes(b""))
        .unwrap()
}

fn drain(srv: &mut Srv, queue: &mut DeferredQueue<'_, 4>) -> Vec<Vec<u8>> {
    let mut scratch = [0; 64];
    let mut frames = Vec::new();
    loop {
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        match queue.next_frame(&mut output, &mut scratch).unwrap() {
            Some(frame) => frames.push(bytes(&frame)),
            None => return frames,
        }
    }
}

#[test]
fn a_stale_piece_of_deferred_output_is_dropped_and_the_next_goes_on() {
    for revision in ALL {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1, 3]);
        let mut queue = DeferredQueue::<4>::new();
        for id in [1, 3] {
            let answer = srv.begin(id, Body::Bytes(b"")).unwrap();
            queue.push(Deferred::Answer(answer)).unwrap();
        }
        let table = srv.store.split().0;
        let _taken = srv
            .server
            .take_over(table, hgrpc::wire::RequestId::new(1))
            .unwrap();
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        let stale = queue.next_frame(&mut output, &mut []).err();
        assert_eq!(stale, Some(ApiMisuse::RequestNotActive));
        let frames = drain(&mut srv, &mut queue);
        assert!(
            frames
                .iter()
                .all(|frame| header(frame).request_id().value() == 3)
        );
        assert_eq!(srv.active(), [1]);
    }
}

// Text output and progress

#[test]
fn side_frames_before_the_end_of_their_response_only() {
    let mut config = ServerConfig::DEFAULT;
    config.always_side_frames = true;
    for revision in ALL {
        let mut srv = active(revision, config, &[1]);
        let responder = srv.responders.remove(&1).unwrap();
        let (mut a, mut b, mut c) = ([0; 64], [0; 64], [0; 64]);
        let mut text = srv
            .server
            .text_output(&responder, &[Atom::new("hi")], &mut a)
            .unwrap();
        let mut progress = srv
            .server
            .progress(&responder, &Progress::new("t", 1, 2), &mut b)
            .unwrap();
        let mut late = srv.server.text_output(&responder, &[], &mut c).unwrap();
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        let frame = bytes(&text.next_frame(&mut output).unwrap().unwrap());
        assert_eq!(frame, out(1, BEGIN, 6, 0, b"\x81\xa1\x43msg\x42hi"));
        assert!(text.next_frame(&mut output).unwrap().is_none());
        let frame = bytes(&progress.next_frame(&mut output).unwrap().unwrap());
        assert_eq!((frame[6], frame[7]), (0, 0x70));
        srv.responders.insert(1, responder);
        srv.answer(1, Body::Bytes(b""));
        let mut output = srv.server.output(srv.store.split().0, &mut srv.stream);
        assert_eq!(
            late.next_frame(&mut output).err(),
            Some(ApiMisuse::RequestNotActive)
        );
    }
}

#[test]
fn k_02_side_frames_go_to_peers_that_take_them() {
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1]);
    let responder = srv.responders.remove(&1).unwrap();
    let refused = srv.server.text_output(&responder, &[], &mut [0; 9]).err();
    assert_eq!(refused, Some(ApiMisuse::PeerTakesNoSideFrames));
    let mut srv = Srv::new(R0006, ServerConfig::DEFAULT);
    assert_eq!(
        srv.recv(&frame(0, 1, BEGIN, 8, EOS, b"\xa1\x45hgrpc\x01")),
        want("idle")
    );
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    assert!(
        srv.server
            .text_output(&srv.responders[&1], &[], &mut [0; 9])
            .is_ok()
    );
}

#[test]
fn side_frames_are_one_frame_or_an_error() {
    for revision in ALL {
        let mut config = sized(16);
        config.always_side_frames = true;
        let srv = active(revision, config, &[1]);
        let text = |msg, buffer: &mut [u8]| {
            srv.server
                .text_output(&srv.responders[&1], &[Atom::new(msg)], buffer)
                .err()
        };
        assert_eq!(text("123456789", &mut [0; 64]), None);
        assert_eq!(text("1234567890", &mut [0; 64]), Some(ApiMisuse::TooLarge));
        assert_eq!(text("123456789", &mut [0; 15]), Some(ApiMisuse::TooLarge));
        assert_eq!(
            text("\u{e9}", &mut [0; 64]),
            Some(ApiMisuse::InvalidMessage)
        );
    }
}

#[test]
fn error_responses_of_0003_and_0005_carry_their_flags() {
    for revision in [R0003, R0005] {
        for bits in 0..4 {
            let mut srv = active(revision, ServerConfig::DEFAULT, &[1]);
            let body = Body::Failure(Failure::raw(b"m", ErrorFlags::from_bits(bits)));
            assert_eq!(srv.answer(1, body), [out(1, BEGIN, 5, bits, b"m")]);
        }
    }
}
