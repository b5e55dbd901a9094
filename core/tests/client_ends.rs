//! How requests end: client.md, "Ends before its time"; status maps (revision-0006.md, 8); messages
//! over the memory's size; the end of input.
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
use hgrpc::ProtocolError as E;
use hgrpc::Revision::{self, R0003, R0005, R0006};
use hgrpc::client::{ClientConfig, SendAction};
use hgrpc::wire::FrameKind;
use kit::*;

type Cli = kit::Cli<8, 4096>;

/// Frames of four bytes, so that a request has two and its data several.
fn small() -> ClientConfig {
    let mut config = ClientConfig::DEFAULT;
    config.multiple_sends = true;
    config.buffer_sends = false;
    config.send_frame_size = 4;
    config
}

/// Takes a call's remaining frames: (type, flags, bytes) of each.
fn rest(cli: &mut Cli, call: &mut Call) -> Vec<(u8, u8, usize)> {
    let mut frames = Vec::new();
    while let Some(frame) = cli.next(call) {
        let header = header(&frame);
        frames.push((header.kind_number(), header.flags().bits(), frame.len() - 8));
    }
    frames
}

fn res(revision: Revision, id: u16, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(id, 2, BEGIN, response_kind(revision), flags, bytes)
}

const ERROR: &[u8] = b"\xa2\x47message\x80\x44type\x46server";

/// Ends request 1 in one of the three ways before its time.
fn end(way: usize, revision: Revision, cli: &mut Cli) {
    match way {
        0 => cli.cancel(1).unwrap(),
        1 => assert!(matches!(
            cli.recv(&res(revision, 1, EOS, b"x")),
            Ok(Got::Data { eos: true, .. })
        )),
        _ => assert!(matches!(
            cli.recv(&frame(1, 2, BEGIN, 5, 0, ERROR)),
            Ok(Got::Error { .. })
        )),
    }
}

/// What must still go out after so many of the six frames were taken.
fn still_to_come(taken: usize, kind: u8) -> Vec<(u8, u8, usize)> {
    let request = (1, CONT | DATA, C.len() - 4);
    let end = (kind, EOS, 0);
    match taken {
        1 => vec![request, end],
        2..=4 => vec![end],
        _ => vec![],
    }
}

#[test]
fn ends_at_every_stage_of_sending() {
    for revision in ALL {
        for way in 0..3 {
            for taken in 1..=5 {
                for is_stream in [false, true] {
                    let mut cli = Cli::new(revision, small());
                    let bytes = b"0123456789";
                    let data = if is_stream {
                        CallData::Stream
                    } else {
                        CallData::Bytes(bytes)
                    };
                    let (mut call, _) = cli.call(data).unwrap();
                    let mut chunks = bytes.chunks(4);
                    for _ in 0..taken {
                        if call.wants_data() {
                            let chunk = chunks.next().unwrap();
                            let is_last = chunk.len() < 4;
                            assert!(cli.data(&mut call, chunk, is_last).unwrap().is_some());
                        } else {
                            assert!(cli.next(&mut call).is_some());
                        }
                    }
                    end(way, revision, &mut cli);
                    assert_eq!(cli.active(), [0u16; 0]);
                    let kind = data_kind(revision);
                    assert_eq!(
                        rest(&mut cli, &mut call),
                        still_to_come(taken, kind),
                        "{way} {taken}"
                    );
                    assert!(call.is_ended());
                    // A cancelled ID stays out of use, an ended one is free when all has been sent.
                    assert_eq!(cli.state(1), (way == 0).then_some("cancelled"));
                    assert_eq!(cli.data(&mut call, b"x", false), Ok(None));
                }
            }
        }
    }
}

#[test]
fn a_source_that_goes_on_after_the_end_is_told_to_stop() {
    for revision in ALL {
        let mut cli = Cli::new(revision, small());
        let (mut call, _) = cli.call(CallData::Stream).unwrap();
        while cli.next(&mut call).is_some() {}
        end(1, revision, &mut cli);
        // Instead of the bytes an empty end goes out, then nothing.
        let sent = cli.data(&mut call, b"abcd", false).unwrap().unwrap();
        assert_eq!(sent, frame(1, 1, 0, data_kind(revision), EOS, b""));
        assert_eq!(cli.data(&mut call, b"abcd", false), Ok(None));
    }
}

#[test]
fn without_data_only_the_request_goes_on() {
    for revision in ALL {
        for way in 0..3 {
            let mut cli = Cli::new(revision, small());
            let (mut call, _) = cli.call(CallData::None).unwrap();
            assert!(cli.next(&mut call).is_some());
            end(way, revision, &mut cli);
            assert_eq!(rest(&mut cli, &mut call), [(1, CONT, C.len() - 4)]);
        }
    }
}

#[test]
fn an_ended_id_is_free_only_when_all_of_its_request_was_sent() {
    for revision in ALL {
        let mut cli = Cli::new(revision, small());
        let (mut call, _) = cli.call(CallData::None).unwrap();
        assert!(cli.next(&mut call).is_some());
        end(1, revision, &mut cli);
        // Frames for it are of no active request; it is not taken for another call either.
        assert_eq!(
            cli.recv(&res(revision, 1, EOS, b"")),
            fatal(E::RequestNotActive)
        );
        for expected in (3..=u16::MAX).step_by(2) {
            assert_eq!(
                cli.call(CallData::None).unwrap().0.request_id().value(),
                expected
            );
            cli.cancel(expected).unwrap();
        }
        assert_eq!(cli.call(CallData::None).unwrap().0.request_id().value(), 3);
        assert_eq!(rest(&mut cli, &mut call).len(), 1);
        for _ in 0..7 {
            let (call, _) = cli.call(CallData::None).unwrap();
            assert_ne!(call.request_id().value(), 1);
        }
    }
}

#[test]
fn a_cancelled_request_swallows_until_its_response_has_ended() {
    for revision in ALL {
        for last in [
            res(revision, 1, EOS, b"x"),
            frame(1, 2, BEGIN, 5, 0, b"garbage"),
        ] {
            for len in [1, 99] {
                let mut cli = Cli::new(revision, small());
                assert_eq!(cli.sent(), 1);
                cli.cancel(1).unwrap();
                assert_eq!((cli.state(1), cli.active()), (Some("cancelled"), vec![]));
                assert_eq!(cli.cancel(1), Err(ApiMisuse::RequestNotActive));
                for frame in [
                    res(revision, 1, CONTINUATION, b"x"),
                    frame(1, 2, 0, 6, 0, b"?"),
                    frame(1, 2, 0, 15, 0, b"?"),
                    last.clone(),
                ] {
                    assert_eq!(cli.state(1), Some("cancelled"));
                    assert!(
                        cli.recv_cut(&frame, len)
                            .iter()
                            .all(|got| *got == Ok(Got::Noop))
                    );
                }
                assert_eq!(cli.state(1), None);
                assert_eq!(
                    cli.recv(&res(revision, 1, EOS, b"")),
                    fatal(E::RequestNotActive)
                );
            }
        }
    }
}

#[test]
fn a_cancel_inside_of_a_frame_swallows_its_rest() {
    let text = b"\x81\xa1\x43msg\x42hi";
    for revision in ALL {
        for (bytes, ends) in [
            (res(revision, 1, CONTINUATION, b"abcd"), false),
            (res(revision, 1, EOS, b"abcd"), true),
            (frame(1, 2, BEGIN, 6, 0, text), false),
            (frame(1, 2, BEGIN, 5, 0, ERROR), true),
        ] {
            let mut cli = Cli::new(revision, small());
            assert_eq!(cli.sent(), 1);
            for (number, byte) in bytes.chunks(1).enumerate() {
                if number == 10 {
                    cli.cancel(1).unwrap();
                }
                let got = cli.recv_part(byte);
                assert!(number < 10 || got.is_empty(), "{got:?}");
            }
            assert_eq!(cli.state(1), (!ends).then_some("cancelled"));
            // Nothing of it is left behind.
            assert_eq!(cli.sent(), 3);
            let all = cli.recv_cut(&frame(3, 2, 0, 6, 0, text), 3);
            assert_eq!(
                all.last(),
                Some(&Ok(Got::Text {
                    id: 3,
                    text: "hi".into()
                }))
            );
        }
    }
}

#[test]
fn a_cancel_before_the_first_frame_sends_nothing() {
    for revision in ALL {
        let mut config = small();
        config.buffer_sends = true;
        let mut cli = Cli::new(revision, config);
        let mut queue: Vec<_> = (0..3)
            .map(|_| cli.call(CallData::None).unwrap().0)
            .collect();
        cli.cancel(1).unwrap();
        cli.cancel(3).unwrap();
        assert_eq!((cli.state(1), cli.state(5)), (None, Some("pending")));
        assert_eq!(cli.client.flush(), Ok(SendAction::SendFrames));
        let frames = cli.take(&mut queue);
        let ids: Vec<_> = frames
            .iter()
            .map(|frame| header(frame).request_id().value())
            .collect();
        assert_eq!(ids, [5, 5]);
        assert_eq!(cli.client.flush(), Ok(SendAction::Noop));
    }
}

#[test]
fn the_end_of_input_ends_every_request() {
    for revision in ALL {
        let mut cli = Cli::new(revision, small());
        assert_eq!(cli.sent(), 1);
        let (mut sending, _) = cli.call(CallData::None).unwrap();
        assert!(cli.next(&mut sending).is_some());
        let (_pending, _) = cli.call(CallData::None).unwrap();
        assert_eq!(cli.sent(), 7);
        cli.cancel(7).unwrap();
        assert_eq!(cli.sent(), 9);
        let _ = cli.recv(&res(revision, 9, CONTINUATION, b"x")).unwrap();
        let mut ended = Vec::new();
        while let Some(id) = cli.client.handle_eof(&mut cli.memory) {
            ended.push(id.value());
        }
        // The cancelled one has ended for its owner already.
        assert_eq!(ended, [1, 3, 5, 9]);
        assert_eq!(cli.active(), [0u16; 0]);
    }
}

// The status map, taken off

fn taking<const N: usize, const B: usize>(revision: Revision) -> kit::Cli<N, B> {
    let mut config = small();
    config.takes_status = true;
    kit::Cli::new(revision, config)
}

const OK: &[u8] = b"\xa1\x46status\x42ok";
const FAILED: &[u8] = b"\xa2\x45error\xa1\x47message\x42no\x46status\x45error";
const ELSEWHERE: &[u8] =
    b"\xa2\x48location\xa2\x49mediatype\x41m\x43url\x41u\x46status\x48redirect";

#[test]
fn the_status_map_is_taken_off_over_every_split() {
    for revision in [R0005, R0006] {
        for (map, name) in [(OK, "ok"), (FAILED, "error"), (ELSEWHERE, "redirect")] {
            let response = [map, b"xyz"].concat();
            for at in 0..=response.len() {
                for len in [1, 5, 999] {
                    let mut cli: Cli = taking(revision);
                    assert_eq!(cli.sent(), 1);
                    let (first, second) = response.split_at(at);
                    let mut all = cli.recv_cut(&res(revision, 1, CONTINUATION, first), len);
                    all.extend(cli.recv_cut(&res(revision, 1, EOS, second), len));
                    let mut statuses = Vec::new();
                    let mut bytes = Vec::new();
                    let mut ends = 0;
                    for got in all {
                        match got.unwrap() {
                            Got::Data {
                                status, data, eos, ..
                            } => {
                                // The status is the first that is said of the response.
                                assert!(status.is_some() || !statuses.is_empty());
                                statuses.extend(status);
                                bytes.extend(data);
                                ends += usize::from(eos);
                            }
                            other => assert_eq!(other, Got::Noop),
                        }
                    }
                    assert_eq!(
                        (statuses, &bytes[..], ends),
                        (vec![name], &b"xyz"[..], 1),
                        "{at} {len}"
                    );
                }
            }
        }
    }
    // 0003 has none.
    let mut cli: Cli = taking(R0003);
    assert_eq!(cli.sent(), 1);
    let got = cli.recv(&res(R0003, 1, EOS, OK));
    assert!(matches!(got, Ok(Got::Data { status: None, data, .. }) if data == OK));
}

#[test]
fn a_response_that_does_not_open_with_a_status() {
    for revision in [R0005, R0006] {
        for bad in [&b"\x01"[..], b"\xa0", b"\xa1\x46status\x41x", b"\xff"] {
            for flags in [CONTINUATION, EOS] {
                let mut cli: Cli = taking(revision);
                assert_eq!(cli.sent(), 1);
                assert_eq!(
                    cli.recv(&res(revision, 1, flags, bad)),
                    failed(1, E::BadStatus)
                );
                if flags == CONTINUATION {
                    // What still comes of it is swallowed.
                    assert_eq!(
                        cli.recv(&res(revision, 1, CONTINUATION, b"x")),
                        Ok(Got::Noop)
                    );
                    assert_eq!(cli.recv(&res(revision, 1, EOS, b"x")), Ok(Got::Noop));
                }
                assert_eq!(
                    cli.recv(&res(revision, 1, EOS, b"")),
                    fatal(E::RequestNotActive)
                );
            }
        }
        // Longer than may be held.
        let mut config = small();
        config.takes_status = true;
        config.status_size = 10;
        let mut cli = Cli::new(revision, config);
        assert_eq!(cli.sent(), 1);
        let all = cli.recv_cut(&res(revision, 1, CONTINUATION, OK), 1);
        assert_eq!(
            all.iter()
                .filter(|got| **got == failed(1, E::BadStatus))
                .count(),
            1
        );
    }
}

#[test]
fn a_response_that_ends_inside_of_its_status() {
    for revision in [R0005, R0006] {
        for end in 0..OK.len() {
            for len in [1, 999] {
                let mut cli: Cli = taking(revision);
                assert_eq!(cli.sent(), 1);
                let all = cli.recv_cut(&res(revision, 1, EOS, &OK[..end]), len);
                assert_eq!(all.last(), Some(&failed(1, E::TruncatedResponse)));
                assert_eq!(cli.state(1), None);
            }
        }
    }
}

/// A message beside a response, be it between two parts of its status map, takes nothing of it.
#[test]
fn a_message_in_the_middle_of_a_status_map_leaves_the_map_alone() {
    let text = b"\x81\xa1\x43msg\x42hi";
    let progress = b"\xa3\x45topic\x41t\x43pos\x01\x45total\x02";
    for revision in [R0005, R0006] {
        for (kind, message) in [(6, &text[..]), (7, &progress[..])] {
            for cut in 1..OK.len() {
                for part in [1, 999] {
                    let mut cli: Cli = taking(revision);
                    assert_eq!(cli.sent(), 1);
                    let (first, rest) = OK.split_at(cut);
                    assert_eq!(
                        cli.recv(&res(revision, 1, CONTINUATION, first)),
                        Ok(Got::Noop)
                    );
                    let got = cli.recv_cut(&frame(1, 2, BEGIN, kind, 0, message), part);
                    assert!(
                        matches!(
                            got.last(),
                            Some(Ok(Got::Text { .. } | Got::Progress { pos: 1, .. }))
                        ),
                        "{got:?}"
                    );
                    assert_eq!(
                        cli.recv(&res(revision, 1, EOS, &[rest, b"x"].concat())),
                        Ok(Got::Data {
                            id: 1,
                            status: Some("ok"),
                            data: b"x".to_vec(),
                            more: false,
                            eos: true,
                        }),
                        "cut at {cut}"
                    );
                }
            }
        }
    }
}

/// A memory must not fill with what requests leave behind.
#[test]
fn nothing_is_left_in_the_memory_by_requests_that_ended() {
    for revision in [R0005, R0006] {
        for way in 0..5 {
            let mut cli: kit::Cli<2, 64> = taking(revision);
            for _ in 0..10 {
                let id = cli.sent();
                // A part of the status map, be it none of its bytes.
                let part = if way == 4 { b"" } else { &OK[..4] };
                assert_eq!(
                    cli.recv(&res(revision, id, CONTINUATION, part)),
                    Ok(Got::Noop)
                );
                match way {
                    0 => assert_eq!(
                        cli.recv(&res(revision, id, EOS, b"")),
                        failed(id, E::TruncatedResponse)
                    ),
                    1 => assert!(matches!(
                        cli.recv(&frame(id, 2, BEGIN, 5, 0, ERROR)),
                        Ok(Got::Error { .. })
                    )),
                    2 => {
                        cli.cancel(id).unwrap();
                        assert_eq!(cli.recv(&res(revision, id, EOS, b"")), Ok(Got::Noop));
                    }
                    3 => assert_eq!(
                        cli.recv(&res(revision, id, EOS, &[0xff; 7])),
                        failed(id, E::BadStatus)
                    ),
                    _ => assert!(matches!(
                        cli.recv(&res(revision, id, EOS, OK)),
                        Ok(Got::Data { eos: true, .. })
                    )),
                }
            }
            // Both keys are free: one for a status, one for a message.
            let (one, two) = (cli.sent(), cli.sent());
            for (id, flags) in [(one, CONTINUATION), (two, CONTINUATION)] {
                assert_eq!(
                    cli.recv(&res(revision, id, flags, &OK[..4])),
                    Ok(Got::Noop),
                    "{way}"
                );
            }
        }
    }
}

#[test]
fn messages_over_the_memorys_size_are_dropped() {
    for revision in ALL {
        for (kind, number) in [(FrameKind::ErrorResponse, 5), (FrameKind::TextOutput, 6)] {
            let mut cli: kit::Cli<4, 32> = kit::Cli::new(revision, small());
            assert_eq!(cli.sent(), 1);
            let bytes = frame(1, 2, BEGIN, number, 0, &[b'x'; 33]);
            let all = cli.recv_cut(&bytes, 8);
            let large = Ok(Got::TooLarge { id: 1 });
            assert_eq!(all.iter().filter(|got| **got == large).count(), 1);
            assert!(all.iter().all(|got| *got == large || *got == Ok(Got::Noop)));
            // An error response has ended its request all the same.
            assert_eq!(cli.state(1).is_none(), kind == FrameKind::ErrorResponse);
            assert_eq!(
                cli.recv(&res(revision, 1, EOS, b"")).is_ok(),
                kind != FrameKind::ErrorResponse
            );
            // In one part it needs no memory, but the same bytes get the same answer.
            let text = [&b"\x81\xa1\x43msg\x58\x28"[..], &[b't'; 40]].concat();
            let id = cli.sent();
            assert_eq!(
                cli.recv(&frame(id, 2, 0, 6, 0, &text)),
                Ok(Got::TooLarge { id })
            );
        }
    }
}
