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
use hgrpc::cbor::{Atom, ContentEncoding, Pieces, Progress, Value};
use hgrpc::connection::{Frames, HeldBack};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Failure, ServerConfig};
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
    let unused = srv.switch(stream);
    assert!(srv.server.close_stream(unused).is_ok());
    assert_eq!(srv.out.stream().encoding(), ContentEncoding::Zlib);
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
        srv.answer(3, Body::Bytes(long)),
        [
            out(3, 0, 4, CONTINUATION, &long[..20]),
            out(3, 0, 4, CONTINUATION, &long[..20]),
            out(3, 0, 4, EOS, b"x")
        ]
    );
    let mut srv = active(R0005, sized(20), &[1, 3, 5]);
    let together = [OK, &long[..9]].concat();
    assert_eq!(
        srv.answer(1, Body::Bytes(&long[..9])),
        [out(1, BEGIN, 3, EOS, &together)]
    );
    assert_eq!(
        srv.answer(3, Body::Bytes(&long[..10])),
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
        let refused = srv.try_answer(1, Body::Bytes(b""));
        assert_eq!(refused, Err(ApiMisuse::TooLarge));
        assert!(!srv.out.stream().is_begun());
        assert_eq!(srv.active(), [1, 3]);
    }
    let mut srv = active(R0003, sized(3), &[1]);
    let refused = srv.try_answer(1, Body::Failure(Failure::server(b"four")));
    assert_eq!(refused, Err(ApiMisuse::TooLarge));
    assert_eq!(srv.active(), [1]);
    // A redirect is never cut.
    let mut srv = active(R0006, sized(20), &[1]);
    let refused = srv.try_answer(1, Body::Redirect(&[0xa0; 21]));
    assert_eq!(refused, Err(ApiMisuse::TooLarge));
    assert!(!srv.out.stream().is_begun());
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
        let reply = srv.replies.remove(&1).unwrap();
        let mut frames = Vec::new();
        for piece in [&b"ab"[..], b"", &[b'x'; 25]] {
            frames.extend(srv.push(&reply, piece, false).unwrap());
            // Otherwise 0006 joins small pieces.
            let flushed = srv.step(|server, out| {
                server.flush(out);
                Ok(true)
            });
            frames.extend(flushed.unwrap().0);
        }
        frames.extend(srv.push(&reply, &[], true).unwrap());
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
                // A buffer that is larger than a frame, and one that is the smaller of both.
                for is_buffer in [false, true] {
                    let mut srv = active(R0006, sized(if is_buffer { 99 } else { 20 }), &[1]);
                    if is_buffer {
                        let stream = srv.server.open_stream(&[]).unwrap();
                        srv.out = Output::new(stream, Box::leak(Box::new([0; 28])));
                    }
                    let reply = srv.replies.remove(&1).unwrap();
                    let mut frames = Vec::new();
                    let mut sent = Vec::new();
                    for (byte, len) in [(b'a', a), (b'b', b), (b'c', c)] {
                        let piece = vec![byte; len];
                        sent.extend_from_slice(&piece);
                        frames.extend(srv.push(&reply, &piece, false).unwrap());
                    }
                    frames.extend(srv.push(&reply, &[], true).unwrap());
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
fn r7_1_values_in_pieces() {
    let value = Value::from_cbor(b"\x82\x42ab\x5f\x41c\xff").unwrap();
    let mut pieces: Vec<&'static [u8]> = Pieces::new(value).collect();
    let expected: [&[u8]; 7] = [b"\x82", b"\x42", b"ab", b"\x5f", b"\x41", b"c", b"\xff"];
    assert_eq!(pieces, expected);
    // Values that are encoded already are one piece.
    pieces.push(b"\x01\x02");
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1]);
    let frames = srv.answer(1, Body::Pieces(pieces.leak()));
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
}

#[test]
fn k_10_a_response_without_values_has_status_and_end() {
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3]);
    for (id, body) in [(1, Body::Pieces(&[])), (3, Body::Bytes(b""))] {
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
            let reply = srv.replies.remove(&1).unwrap();
            srv.push(&reply, b"abc", false).unwrap();
            let failure = if is_server {
                Failure::server(b"no")
            } else {
                Failure::command(b"no")
            };
            let rest = srv.try_reply(&reply, Body::Failure(failure)).unwrap();
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
        let refused = srv.try_answer(1, Body::Redirect(map));
        assert_eq!(refused, Err(ApiMisuse::NotInThisRevision));
    }
    // Nothing follows a redirect, and none follows output.
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1, 3]);
    for redirect_first in [true, false] {
        let id = if redirect_first { 1 } else { 3 };
        let reply = srv.replies.remove(&id).unwrap();
        let refused = if redirect_first {
            srv.make(|server, out| server.redirect(&reply, map, out))
                .unwrap();
            srv.push(&reply, b"\x01", false)
        } else {
            srv.push(&reply, b"\x01", false).unwrap();
            srv.make(|server, out| server.redirect(&reply, map, out))
        };
        assert_eq!(refused, Err(ApiMisuse::OutOfOrder));
        let frames = srv.push(&reply, &[], true).unwrap();
        // What was joined, and the end.
        assert_eq!(frames.len(), if redirect_first { 1 } else { 2 });
    }
}

#[test]
fn a_response_may_fail_in_the_middle_of_a_piece() {
    for revision in ALL {
        let mut srv = active(revision, sized(40), &[1]);
        let reply = srv.replies.remove(&1).unwrap();
        srv.push(&reply, b"x", false).unwrap();
        let mut piece: &[u8] = &[b'x'; 90];
        let made = srv.step(|server, out| server.respond(&reply, &mut piece, false, out));
        assert!(matches!(made, Ok((Some(_), false))));
        // The rest of the piece is left out.
        let failure = Failure::server(b"no");
        let frames = srv.try_reply(&reply, Body::Failure(failure)).unwrap();
        assert_eq!(header(frames.last().unwrap()).kind_number(), 5);
        assert_eq!(
            srv.push(&reply, b"x", false),
            Err(ApiMisuse::RequestNotActive)
        );
    }
}

#[test]
fn d3_a_redirect_that_is_written_is_never_cut() {
    let mut srv = active(R0006, sized(20), &[1]);
    let reply = srv.replies.remove(&1).unwrap();
    let refused = srv.step(|server, out| server.redirect(&reply, &[0xa0; 21], out));
    assert_eq!(refused, Err(ApiMisuse::TooLarge));
    assert!(!srv.out.stream().is_begun());
}

// revision-0006.md, 3.5a and 4.2

#[test]
fn r3_5a_one_response_at_a_time_on_an_encoded_stream() {
    let mut srv = encoded(ServerConfig::DEFAULT, &[1, 3]);
    let [one, three] = [1, 3].map(|id| srv.replies.remove(&id).unwrap());
    let settings = srv.step(|server, out| server.respond(&one, &mut &b"z1"[..], false, out));
    assert!(matches!(settings, Ok((Some(_), false))));
    let occupied = Err(ApiMisuse::StreamOccupied);
    assert_eq!(srv.push(&three, b"z3", false), occupied);
    srv.push(&one, b"z1", false).unwrap();
    assert_eq!(srv.push(&three, b"z3", false), occupied);
    srv.push(&one, b"fl", true).unwrap();
    assert_eq!(srv.push(&three, b"z3", false).unwrap().len(), 1);
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
        let reply = srv.replies.remove(&1).unwrap();
        let mut frames = srv.push(&reply, status, false).unwrap();
        frames.extend(srv.push(&reply, b"fl!", true).unwrap());
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
    let mut streams: Vec<Stream> = Vec::new();
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
    let held = srv.switch(again);
    srv.answer(1, Body::Bytes(b""));
    let begun = srv.switch(held);
    let begun = srv.server.close_stream(begun).unwrap_err();
    // It is after a frame with `stream-end`.
    let held = srv.switch(begun);
    srv.out.stream_mut().end_with_next();
    let frames = srv.answer(3, Body::Bytes(b""));
    assert_eq!(frames[0][6], END);
    assert!(srv.out.stream().is_ended());
    let ended = srv.switch(held);
    assert!(srv.server.close_stream(ended).is_ok());
    assert_eq!(srv.server.open_stream(&[]).unwrap().id().value(), 10);
}

#[test]
fn nothing_is_written_on_a_stream_that_has_ended() {
    for revision in ALL {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1, 3]);
        // In 0003 and 0005 the one frame of the response is the last of the stream.
        srv.out.stream_mut().end_with_next();
        let reply = srv.replies.remove(&1).unwrap();
        let (first, _) = srv
            .step(|server, out| server.respond(&reply, &mut &b""[..], true, out))
            .unwrap();
        assert_eq!(first.unwrap()[6], BEGIN | END);
        let refused = srv.try_answer(3, Body::Bytes(b""));
        assert_eq!(refused, Err(ApiMisuse::OutOfOrder));
        assert!(srv.active().contains(&3));
    }
}

// Output that is held back: server.md, "A response is ready" and "Input ends"

#[test]
fn output_that_is_held_back_comes_in_the_order_in_which_it_became_ready() {
    for revision in ALL {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1, 3, 5, 7]);
        let mut held = HeldBack::<3>::new();
        assert!(held.is_empty());
        let [one, three, five, seven] = [1, 3, 5, 7].map(|id| srv.replies.remove(&id).unwrap());
        assert_eq!(held.body(three, b"3"), Ok(()));
        assert_eq!(held.body(one, b"1"), Ok(()));
        assert_eq!(held.fail(five, Failure::server(b"no")), Ok(()));
        // All stay active; a full queue gives back what does not fit.
        assert_eq!(srv.active(), [1, 3, 5, 7]);
        assert!(!held.is_empty());
        let seven = held.body(seven, b"7").unwrap_err();
        let seven = held.fail(seven, Failure::server(b"no")).unwrap_err();
        assert_eq!(seven.request_id().value(), 7);
        let frames = drain(&mut srv, &mut held).unwrap();
        let ids: Vec<_> = frames
            .iter()
            .map(|f| header(f).request_id().value())
            .collect();
        let mut order = ids.clone();
        order.dedup();
        assert_eq!(order, [3, 1, 5]);
        assert_eq!(srv.active(), [7]);
        // D10: it is gone once handed out.
        assert!(held.is_empty());
        assert_eq!(drain(&mut srv, &mut held), Ok(vec![]));
    }
}

fn drain(srv: &mut Srv, held: &mut HeldBack<'_, 3>) -> Result<Vec<Vec<u8>>, ApiMisuse> {
    srv.make(|server, out| held.next_frame(server, out))
}

#[test]
fn a_stale_answer_that_is_held_back_is_dropped_and_the_next_goes_on() {
    for revision in ALL {
        let mut srv = active(revision, ServerConfig::DEFAULT, &[1, 3]);
        let mut held = HeldBack::<3>::new();
        for id in [1, 3] {
            let reply = srv.replies.remove(&id).unwrap();
            assert_eq!(held.body(reply, b""), Ok(()));
        }
        let _taken = srv.take_over(1).unwrap();
        let stale = drain(&mut srv, &mut held);
        assert_eq!(stale, Err(ApiMisuse::RequestNotActive));
        let frames = drain(&mut srv, &mut held).unwrap();
        assert!(!frames.is_empty());
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
fn notes_before_the_end_of_their_response_only() {
    let mut config = ServerConfig::DEFAULT;
    config.always_side_frames = true;
    for revision in ALL {
        let mut srv = active(revision, config, &[1]);
        let reply = srv.replies.remove(&1).unwrap();
        let text = srv.step(|server, out| server.text(&reply, &[Atom::new("hi")], out));
        let expected = out(1, BEGIN, 6, 0, b"\x81\xa1\x43msg\x42hi");
        assert_eq!(text, Ok((Some(expected), true)));
        let progress = Progress::new("t", 1, 2);
        let made = srv.step(|server, out| server.progress(&reply, &progress, out));
        let frame = made.unwrap().0.unwrap();
        assert_eq!((frame[6], frame[7]), (0, 0x70));
        srv.push(&reply, b"", true).unwrap();
        let late = srv.step(|server, out| server.text(&reply, &[], out));
        assert_eq!(late, Err(ApiMisuse::RequestNotActive));
    }
}

#[test]
fn k_02_notes_go_to_peers_that_take_them() {
    let mut srv = active(R0006, ServerConfig::DEFAULT, &[1]);
    let reply = srv.replies.remove(&1).unwrap();
    let refused = srv.step(|server, out| server.text(&reply, &[], out));
    assert_eq!(refused, Err(ApiMisuse::PeerTakesNoSideFrames));
    let mut srv = Srv::new(R0006, ServerConfig::DEFAULT);
    assert_eq!(
        srv.recv(&frame(0, 1, BEGIN, 8, EOS, b"\xa1\x45hgrpc\x01")),
        want("idle")
    );
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    let reply = srv.replies.remove(&1).unwrap();
    assert!(
        srv.step(|server, out| server.text(&reply, &[], out))
            .is_ok()
    );
}

#[test]
fn a_note_is_one_frame_or_an_error() {
    for revision in ALL {
        let mut config = sized(16);
        config.always_side_frames = true;
        let mut srv = active(revision, config, &[1]);
        let reply = srv.replies.remove(&1).unwrap();
        let mut text = |msg| srv.step(|server, out| server.text(&reply, &[Atom::new(msg)], out));
        assert!(text("123456789").is_ok());
        assert_eq!(text("1234567890"), Err(ApiMisuse::TooLarge));
        assert_eq!(text("\u{e9}"), Err(ApiMisuse::InvalidMessage));
        // The buffer is the smaller of both.
        let mut config = ServerConfig::DEFAULT;
        config.always_side_frames = true;
        let mut srv = active(revision, config, &[1]);
        let reply = srv.replies.remove(&1).unwrap();
        let mut buffer = [0; 8 + 15];
        let stream = srv.server.open_stream(&[]).unwrap();
        let mut out = Output::new(stream, &mut buffer);
        let refused = srv.server.text(&reply, &[Atom::new("123456789")], &mut out);
        assert_eq!(refused, Err(ApiMisuse::TooLarge));
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
