//! server.md, "Refusals" and "Streaming"; deviations.md, D2 and D12: a limit refuses one request, and
//! its neighbours go on.
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
use hgrpc::Revision::{self, R0005, R0006};
use hgrpc::cbor::MessageArgs;
use hgrpc::server::{Failure, ServerConfig};
use kit::*;

fn data(revision: Revision, id: u16, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(id, 1, 0, data_kind(revision), flags, bytes)
}

fn limited(change: impl Fn(&mut hgrpc::Limits)) -> ServerConfig {
    let mut config = ServerConfig::DEFAULT;
    change(&mut config.limits);
    config
}

/// A small server with request 1 active: one more request has a place.
fn two(revision: Revision) -> Srv<2, 64> {
    let mut srv = Srv::idle(revision, ServerConfig::DEFAULT);
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    srv
}

#[test]
fn too_many_requests() {
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        // Complete in one frame: nothing of it is to come, so it is not remembered.
        assert_eq!(
            srv.recv(&req(5, NEW, C)),
            rejected(5, "too-many-requests", 2)
        );
        assert_eq!(
            srv.recv(&req(7, NEW, C)),
            rejected(7, "too-many-requests", 2)
        );
        assert_eq!(
            srv.recv(&req(9, NEW, C)),
            rejected(9, "too-many-requests", 2)
        );
        assert_eq!(
            (srv.state(), srv.active(), srv.receiving()),
            ("idle", vec![1, 3], vec![])
        );
        // The neighbours go on.
        srv.answer(1, Body::Bytes(b""));
        assert_eq!(srv.recv(&req(5, NEW, C)), ran(5));
    }
}

#[test]
fn a_refusal_is_answered_by_name_and_value() {
    let mut srv = two(Revision::R0003);
    assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
    let _ = srv.recv(&req(5, NEW, C)).unwrap();
    assert_eq!(
        srv.reject(),
        frame(5, 2, 0, 5, 2, b"too-many-requests, limit 2")
    );
    let mut srv = two(R0006);
    assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
    let _ = srv.recv(&req(5, NEW, C)).unwrap();
    let payload =
        b"\xa2\x47message\x81\xa1\x43msg\x58\x1atoo-many-requests, limit 2\x44type\x46server";
    assert_eq!(srv.reject(), frame(5, 2, 0, 5, 0, payload));
}

#[test]
fn row_4a_a_refused_request_is_swallowed_until_its_last_frame() {
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        // Without data: until its last request frame.
        assert_eq!(
            srv.recv(&req(5, NEW | MORE, b"x")),
            rejected(5, "too-many-requests", 2)
        );
        assert_eq!((srv.state(), srv.receiving()), ("idle", vec![]));
        for _ in 0..3 {
            assert_eq!(srv.recv(&req(5, CONT | MORE, b"x")), want("idle"));
        }
        // Whatever else has its ID is swallowed too.
        assert_eq!(srv.recv(&frame(5, 1, 0, 15, 0, b"")), want("idle"));
        assert_eq!(srv.recv(&data(revision, 5, EOS, b"")), want("idle"));
        assert_eq!(srv.recv(&req(5, CONT, b"x")), want("idle"));
        assert_eq!(srv.recv(&req(5, CONT, b"x")), Err(E::ExpectedNewRequest));
    }
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        // With data: until its end; both flags are none (K-12).
        assert_eq!(
            srv.recv(&req(5, NEW | DATA, b"x")),
            rejected(5, "too-many-requests", 2)
        );
        assert_eq!(
            srv.recv(&data(revision, 5, CONTINUATION, b"x")),
            want("idle")
        );
        assert_eq!(
            srv.recv(&data(revision, 5, CONTINUATION | EOS, b"x")),
            want("idle")
        );
        assert_eq!(srv.recv(&req(5, CONT, b"x")), want("idle"));
        assert_eq!(srv.recv(&data(revision, 5, EOS, b"x")), want("idle"));
        assert_eq!(
            srv.recv(&data(revision, 5, EOS, b"x")),
            Err(E::ExpectedCommandRequest)
        );
    }
}

#[test]
fn a_new_request_on_a_refused_id_starts_afresh() {
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        assert_eq!(
            srv.recv(&req(5, NEW | MORE, b"x")),
            rejected(5, "too-many-requests", 2)
        );
        srv.answer(3, Body::Bytes(b""));
        assert_eq!(srv.recv(&req(5, NEW, C)), ran(5));
        assert_eq!(srv.recv(&req(5, CONT, C)), Err(E::RequestAlreadyActive));
    }
    // Refused again while there is no room, with the memory that it had.
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        for _ in 0..5 {
            assert_eq!(
                srv.recv(&req(5, NEW | MORE, b"x")),
                rejected(5, "too-many-requests", 2)
            );
            assert_eq!(
                srv.recv(&req(7, NEW | DATA, b"x")),
                rejected(7, "too-many-requests", 2)
            );
        }
    }
}

#[test]
fn afresh_and_refused_at_once_leaves_nothing_to_swallow() {
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        let refused = |id| rejected(id, "too-many-requests", 2);
        assert_eq!(srv.recv(&req(5, NEW | MORE, b"x")), refused(5));
        // Whole in one frame now: nothing of it is to come.
        assert_eq!(srv.recv(&req(5, NEW, C)), refused(5));
        // The memory that it had is free for two others.
        assert_eq!(srv.recv(&req(7, NEW | MORE, b"x")), refused(7));
        assert_eq!(srv.recv(&req(9, NEW | MORE, b"x")), refused(9));
        assert_eq!(srv.recv(&req(5, CONT, b"x")), Err(E::ExpectedNewRequest));
    }
}

#[test]
fn a_refusal_is_one_frame_on_an_open_stream_or_an_error() {
    // "too-many-requests, limit 2": 26 bytes, raw or in an error response.
    for (revision, fits) in [(Revision::R0003, 26), (R0006, 55)] {
        for size in [fits - 1, fits] {
            let mut config = ServerConfig::DEFAULT;
            config.send_frame_size = size;
            let mut srv = Srv::<2, 64>::idle(revision, config);
            assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
            assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
            let _ = srv.recv(&req(5, NEW, C)).unwrap();
            let refusal = srv.refusals.remove(0);
            let made = srv.step(|server, out| server.refuse(&refusal, out));
            let lengths = made.map(|(frame, is_done)| {
                assert!(is_done);
                frame.map(|frame| header(&frame).length())
            });
            let expected = if size == fits {
                Ok(Some(fits))
            } else {
                Err(ApiMisuse::TooLarge)
            };
            assert_eq!(lengths, expected);
        }
    }
    let mut srv = two(R0005);
    assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
    let _ = srv.recv(&req(5, NEW, C)).unwrap();
    srv.out.stream_mut().end_with_next();
    srv.answer(1, Body::Bytes(b""));
    let refusal = srv.refusals.remove(0);
    let late = srv.step(|server, out| server.refuse(&refusal, out));
    assert_eq!(late, Err(ApiMisuse::OutOfOrder));
}

#[test]
fn too_many_refused_ends_the_connection() {
    for revision in ALL {
        let mut srv = two(revision);
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
        assert_eq!(
            srv.recv(&req(5, NEW | MORE, b"x")),
            rejected(5, "too-many-requests", 2)
        );
        assert_eq!(
            srv.recv(&req(7, NEW | MORE, b"x")),
            rejected(7, "too-many-requests", 2)
        );
        // One that has no more frames needs no memory.
        assert_eq!(
            srv.recv(&req(9, NEW, b"x")),
            rejected(9, "too-many-requests", 2)
        );
        assert_eq!(srv.recv(&req(9, NEW | MORE, b"x")), Err(E::TooManyRefused));
        assert_eq!(srv.state(), "errored");
    }
}

#[test]
fn request_too_large() {
    for revision in ALL {
        // By the limit, first frame or later; however it is cut.
        for len in [1, 64, 4096] {
            let mut srv: Srv = Srv::idle(revision, limited(|l| l.request_size = 12));
            assert_eq!(
                srv.recv(&req(1, NEW | MORE, b"\xa1")),
                want("command-receiving")
            );
            let seen = srv.recv_cut(&req(3, NEW, b"0123456789abc"), len);
            assert_eq!(seen.first(), Some(&rejected(3, "request-too-large", 12)));
            assert_eq!(
                srv.recv(&req(5, NEW | MORE, b"012345")),
                want("command-receiving")
            );
            let seen = srv.recv_cut(&req(5, CONT | MORE, b"6789abc"), len);
            assert_eq!(seen.first(), Some(&rejected(5, "request-too-large", 12)));
            assert_eq!(srv.receiving(), [1]);
            assert_eq!(
                srv.recv(&req(5, CONT, b"6789abc")),
                want("command-receiving")
            );
            // Exactly the limit is fine.
            assert_eq!(
                srv.recv(&req(7, NEW | MORE, b"01234567")),
                want("command-receiving")
            );
            assert_eq!(
                srv.recv(&req(7, CONT | MORE, b"89ab")),
                want("command-receiving")
            );
            assert_eq!(srv.recv(&req(1, CONT, &C[1..])), ran(1));
        }
        // By the store: request 1 holds 40 of its 64 bytes.
        let mut srv = Srv::<4, 64>::idle(revision, ServerConfig::DEFAULT);
        assert_eq!(
            srv.recv(&req(1, NEW | MORE, &[0; 40])),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&req(3, NEW | MORE, &[0; 25])),
            rejected(3, "request-too-large", 24)
        );
        assert_eq!(
            srv.recv(&req(5, NEW | MORE, &[0; 24])),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&req(1, CONT | MORE, &[0; 1])),
            rejected(1, "request-too-large", 40)
        );
        // What request 1 held is free again.
        assert_eq!(
            srv.recv(&req(5, CONT | MORE, &[0; 40])),
            want("command-receiving")
        );
        assert_eq!(srv.recv(&req(1, CONT, b"")), want("command-receiving"));
        assert_eq!(srv.receiving(), [5]);
    }
}

#[test]
fn no_room_at_all_refuses_an_empty_frame_too() {
    for revision in ALL {
        let mut srv = Srv::<4, 16>::idle(revision, ServerConfig::DEFAULT);
        assert_eq!(
            srv.recv(&req(1, NEW | MORE, &[0; 16])),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&req(3, NEW | MORE, b"")),
            rejected(3, "request-too-large", 0)
        );
        assert_eq!(
            srv.recv(&req(1, CONT | MORE, b"")),
            want("command-receiving")
        );
    }
}

#[test]
fn data_too_large_and_its_neighbours_go_on() {
    for revision in ALL {
        let mut srv: Srv = Srv::idle(revision, limited(|l| l.data_size = 10));
        assert_eq!(srv.recv(&req(1, NEW | DATA, C)), want("command-receiving"));
        assert_eq!(srv.recv(&req(3, NEW | DATA, C)), want("command-receiving"));
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"0123456789")),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"0")),
            rejected(1, "data-too-large", 10)
        );
        assert_eq!(srv.receiving(), [3]);
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"0")),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&data(revision, 3, EOS, b"0123456789")),
            Ok(Seen::Run {
                id: 3,
                name: b"c".to_vec(),
                data: Some(b"0123456789".to_vec()),
                follows: false,
            })
        );
        assert_eq!(srv.recv(&data(revision, 1, EOS, b"0")), want("idle"));
        // Refused with its last frame: nothing is remembered.
        assert_eq!(srv.recv(&req(5, NEW | DATA, C)), want("command-receiving"));
        assert_eq!(
            srv.recv(&data(revision, 5, EOS, b"0123456789a")),
            rejected(5, "data-too-large", 10)
        );
        assert_eq!(
            srv.recv(&data(revision, 5, EOS, b"")),
            Err(E::ExpectedCommandRequest)
        );
    }
}

#[test]
fn nested_too_deep_refuses_one_request() {
    let mut deep = b"\xa2\x44args\xa1\x41a".to_vec();
    deep.extend([0x81; 20]);
    deep.extend(b"\x00\x44name\x41c");
    for revision in ALL {
        let mut srv: Srv = Srv::idle(revision, ServerConfig::DEFAULT);
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        assert_eq!(
            srv.recv(&req(3, NEW, &deep)),
            rejected(3, "nested-too-deep", 16)
        );
        assert_eq!((srv.state(), srv.active()), ("idle", vec![1]));
        // Collected: noticed when all has come. Streamed: its data is swallowed.
        assert_eq!(
            srv.recv(&req(3, NEW | DATA, &deep)),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&data(revision, 3, EOS, b"x")),
            rejected(3, "nested-too-deep", 16)
        );
        let mut srv: Srv = Srv::idle(revision, ServerConfig::STREAMING);
        assert_eq!(
            srv.recv(&req(3, NEW | DATA, &deep)),
            rejected(3, "nested-too-deep", 16)
        );
        assert_eq!(
            srv.recv(&data(revision, 3, CONTINUATION, b"x")),
            want("idle")
        );
        assert_eq!(srv.recv(&data(revision, 3, EOS, b"x")), want("idle"));
        assert_eq!(srv.recv(&req(3, NEW, C)), ran(3));
    }
}

#[test]
fn too_many_frames() {
    for revision in ALL {
        let mut srv: Srv = Srv::idle(revision, limited(|l| l.request_frames = 3));
        assert_eq!(
            srv.recv(&req(1, NEW | MORE, b"\xa1")),
            want("command-receiving")
        );
        for _ in 0..2 {
            assert_eq!(
                srv.recv(&req(1, CONT | MORE, b"")),
                want("command-receiving")
            );
        }
        assert_eq!(
            srv.recv(&req(1, CONT | MORE, b"")),
            rejected(1, "too-many-frames", 3)
        );
        assert_eq!(srv.recv(&req(1, CONT, b"")), want("idle"));
        // Data that has bytes is limited by them; empty frames of it are counted.
        assert_eq!(srv.recv(&req(1, NEW | DATA, C)), want("command-receiving"));
        for _ in 0..9 {
            assert_eq!(
                srv.recv(&data(revision, 1, CONTINUATION, b"x")),
                want("command-receiving")
            );
        }
        for _ in 0..2 {
            assert_eq!(
                srv.recv(&data(revision, 1, CONTINUATION, b"")),
                want("command-receiving")
            );
        }
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"")),
            rejected(1, "too-many-frames", 3)
        );
    }
}

// D12, server.md, "Streaming"

fn piece(id: u16, bytes: &[u8], last: bool) -> Result<Seen, E> {
    Ok(Seen::Data {
        id,
        bytes: bytes.to_vec(),
        last,
    })
}

fn streaming(revision: Revision) -> Srv {
    let mut srv: Srv = Srv::idle(revision, ServerConfig::STREAMING);
    let run = Seen::Run {
        id: 1,
        name: b"c".to_vec(),
        data: None,
        follows: true,
    };
    assert_eq!(srv.recv(&req(1, NEW | DATA, C)), Ok(run));
    srv
}

#[test]
fn d12_data_streams_while_the_request_is_active_and_being_received() {
    for revision in ALL {
        let mut srv = streaming(revision);
        assert_eq!(
            (srv.state(), srv.receiving(), srv.active()),
            ("command-receiving", vec![1], vec![1])
        );
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"ab")),
            piece(1, b"ab", false)
        );
        assert_eq!(
            srv.recv_cut(&data(revision, 1, CONTINUATION | EOS, b"cd"), 1),
            [piece(1, b"c", false), piece(1, b"d", false)]
        );
        // A piece without a byte that ends nothing is none.
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"")),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv_cut(&data(revision, 1, EOS, b"ef"), 1),
            [piece(1, b"e", false), piece(1, b"f", true)]
        );
        assert_eq!(
            (srv.state(), srv.receiving(), srv.active()),
            ("idle", vec![], vec![1])
        );
        assert_eq!(
            srv.recv(&req(3, NEW | MORE, b"\xa1")),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&data(revision, 1, EOS, b"")),
            Err(E::RequestStillActive)
        );
    }
    // Data of any size: far more than the store holds.
    for revision in ALL {
        let mut config = ServerConfig::STREAMING;
        config.limits.data_size = 1;
        let mut srv: Srv<2, 32> = Srv::idle(revision, config);
        let _ = srv.recv(&req(1, NEW | DATA, C)).unwrap();
        for _ in 0..100 {
            assert_eq!(
                srv.recv(&data(revision, 1, CONTINUATION, &[7; 999])),
                piece(1, &[7; 999], false)
            );
        }
        assert_eq!(srv.recv(&data(revision, 1, EOS, b"")), piece(1, b"", true));
    }
}

#[test]
fn d12_other_frames_are_judged_as_if_it_were_only_being_received() {
    for revision in ALL {
        assert_eq!(
            streaming(revision).recv(&req(1, NEW, C)),
            Err(E::RequestAlreadyReceiving)
        );
        assert_eq!(
            streaming(revision).recv(&req(1, CONT | DATA, C)),
            Err(E::RequestFramesDone)
        );
        assert_eq!(
            streaming(revision).recv(&frame(1, 1, 0, 15, 0, b"")),
            Err(E::UnexpectedFrameType)
        );
        assert_eq!(
            streaming(revision).recv(&data(revision, 1, 0, b"")),
            Err(E::CommandDataWithoutFlags)
        );
    }
}

#[test]
fn an_answer_before_the_end_of_data_drains_the_rest() {
    for revision in ALL {
        let mut srv = streaming(revision);
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"ab")),
            piece(1, b"ab", false)
        );
        srv.answer(1, Body::Bytes(b"done"));
        assert_eq!(
            (srv.state(), srv.receiving(), srv.active()),
            ("idle", vec![], vec![])
        );
        assert_eq!(
            srv.recv(&data(revision, 1, CONTINUATION, b"cd")),
            want("idle")
        );
        assert_eq!(srv.recv(&frame(1, 1, 0, 15, 0, b"")), want("idle"));
        assert_eq!(srv.recv(&data(revision, 1, EOS, b"ef")), want("idle"));
        // The ID is free when its data has ended.
        assert_eq!(
            srv.recv(&data(revision, 1, EOS, b"")),
            Err(E::ExpectedCommandRequest)
        );
    }
    // A new request ends the draining.
    for revision in ALL {
        let mut srv = streaming(revision);
        srv.answer(1, Body::Bytes(b""));
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        assert_eq!(srv.active(), [1]);
    }
}

#[test]
fn an_answer_inside_of_a_data_frame() {
    for (revision, flags) in ALL.into_iter().flat_map(|r| [(r, CONTINUATION), (r, EOS)]) {
        let mut srv = streaming(revision);
        let bytes = data(revision, 1, flags, b"abcd");
        let mut seen = Vec::new();
        for (number, byte) in bytes.chunks(1).enumerate() {
            if number == 10 {
                srv.answer(1, Body::Bytes(b""));
            }
            seen.extend(srv.recv_part(byte));
        }
        // Two pieces; what comes after the answer is swallowed.
        assert_eq!(seen, [piece(1, b"a", false), piece(1, b"b", false)]);
        assert_eq!(srv.server.finish(), Ok(()));
        let state = srv.state();
        assert_eq!((state, srv.receiving()), ("idle", vec![]));
        let next = srv.recv(&data(revision, 1, EOS, b""));
        assert_eq!(next.is_ok(), flags == CONTINUATION, "drains until its end");
    }
}

// Answers and their tokens

#[test]
fn a_stale_token_is_refused_without_change() {
    for revision in ALL {
        let mut config = ServerConfig::DEFAULT;
        config.send_frame_size = 16;
        let mut srv: Srv = Srv::idle(revision, config);
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        let stale = srv.replies.remove(&1).unwrap();
        let fresh = srv.take_over(1).unwrap();
        let refused = srv.try_reply(&stale, Body::Bytes(b""));
        assert_eq!(refused.err(), Some(ApiMisuse::RequestNotActive));
        assert_eq!(srv.active(), [1]);
        let mut body: &[u8] = &[b'x'; 40];
        let begun = srv.step(|server, out| server.respond(&fresh, &mut body, true, out));
        assert!(matches!(begun, Ok((Some(_), false))));
        // An answer whose request is taken over goes no further.
        let again = srv.take_over(1).unwrap();
        let refused = srv.step(|server, out| server.respond(&fresh, &mut body, true, out));
        assert_eq!(refused, Err(ApiMisuse::RequestNotActive));
        srv.replies.insert(1, again);
        assert!(!srv.answer(1, Body::Bytes(b"")).is_empty());
        // One that is not active cannot be taken over.
        assert!(srv.take_over(1).is_none());
    }
}

#[test]
fn a_token_of_an_earlier_request_with_its_id_is_stale() {
    for revision in ALL {
        let mut srv: Srv = Srv::idle(revision, ServerConfig::STREAMING);
        let _ = srv.recv(&req(1, NEW | DATA, C)).unwrap();
        let first = srv.replies.remove(&1).unwrap();
        // Taken over and answered; the ID is used again.
        let over = srv.take_over(1).unwrap();
        srv.replies.insert(1, over);
        srv.answer(1, Body::Bytes(b"y"));
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        let refused = srv.try_reply(&first, Body::Bytes(b"x"));
        assert_eq!(refused, Err(ApiMisuse::RequestNotActive));
        assert_eq!(srv.active(), [1]);
    }
}

#[test]
fn tokens_of_servers_that_start_apart_are_foreign() {
    let mut one: Srv = Srv::idle(R0005, ServerConfig::DEFAULT);
    let mut config = ServerConfig::DEFAULT;
    config.first_order = 1 << 15;
    let mut other: Srv = Srv::idle(R0005, config);
    assert_eq!(one.recv(&req(1, NEW, C)), ran(1));
    assert_eq!(other.recv(&req(1, NEW, C)), ran(1));
    let foreign = one.replies.remove(&1).unwrap();
    let refused = other.try_reply(&foreign, Body::Bytes(b""));
    assert_eq!(refused.err(), Some(ApiMisuse::RequestNotActive));
}

// D7
#[test]
fn d7_an_application_error_ends_its_request() {
    for revision in ALL {
        let mut srv: Srv = Srv::idle(revision, ServerConfig::DEFAULT);
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        let frames = srv.fail(1, b"no");
        assert_eq!(frames.len(), 1);
        assert_eq!(header(&frames[0]).kind_number(), 5);
        assert_eq!(
            header(&frames[0]).flags().bits(),
            if revision == R0006 { 0 } else { 2 }
        );
        assert_eq!(srv.active(), [0u16; 0]);
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    }
}

#[test]
fn the_request_stays_active_until_its_last_frame_is_made() {
    for revision in ALL {
        let mut config = ServerConfig::DEFAULT;
        config.send_frame_size = 16;
        let mut srv: Srv = Srv::idle(revision, config);
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        let reply = srv.replies.remove(&1).unwrap();
        let mut body: &[u8] = &[b'x'; 40];
        loop {
            assert_eq!(srv.active(), [1]);
            let made = srv.step(|server, out| server.respond(&reply, &mut body, true, out));
            if matches!(made.unwrap(), (_, true)) {
                break;
            }
        }
        assert_eq!(srv.active(), [0u16; 0]);
        let over = srv.try_reply(&reply, Body::Bytes(b""));
        assert_eq!(over, Err(ApiMisuse::RequestNotActive));
    }
}

#[test]
fn command_failures() {
    let body = || {
        Body::Failure(
            Failure::command(b"no %s").with_args(MessageArgs::from_cbor(b"\x81\x41x").unwrap()),
        )
    };
    let mut srv: Srv = Srv::idle(R0006, ServerConfig::DEFAULT);
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    let map = b"\xa2\x45error\xa2\x44args\x81\x41x\x47message\x45no %s\x46status\x45error";
    assert_eq!(srv.answer(1, body()), [frame(1, 2, 0, 3, EOS, map)]);
    // No arguments, or none in the array, are left out (7.4).
    let map = b"\xa2\x45error\xa1\x47message\x45no %s\x46status\x45error";
    for failure in [
        Failure::command(b"no %s"),
        Failure::command(b"no %s").with_args(MessageArgs::from_cbor(b"\x80").unwrap()),
    ] {
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        assert_eq!(
            srv.answer(1, Body::Failure(failure)),
            [frame(1, 2, 0, 3, EOS, map)]
        );
    }
    let mut srv: Srv = Srv::idle(R0005, ServerConfig::DEFAULT);
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    let map =
        b"\xa2\x45error\xa1\x47message\x81\xa2\x43msg\x45no %s\x44args\x81\x41x\x46status\x45error";
    assert_eq!(srv.answer(1, body()), [frame(1, 2, 0, 3, EOS, map)]);
}
