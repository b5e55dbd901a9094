//! Every row of the server's state tables: server.md, "A frame arrives"; revision-0006.md, 5.1 to 5.7.
//! Tests are named after the rows.
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

use hgrpc::ProtocolError as E;
use hgrpc::Revision::{self, R0003, R0005, R0006};
use hgrpc::server::ServerConfig;
use kit::*;

type Srv = kit::Srv<8, 4096>;

fn each(test: impl Fn(Revision, Srv)) {
    for revision in ALL {
        for config in [ServerConfig::DEFAULT, ServerConfig::STREAMING] {
            test(revision, Srv::idle(revision, config));
        }
    }
}

/// A server that receives requests 1 (no data), 3 (data) and 5 (data, request frames done).
/// (In streaming mode request 5 runs already.)
fn receiving(revision: Revision, mut srv: Srv) -> Srv {
    assert_eq!(
        srv.recv(&req(1, NEW | MORE, b"\xa1")),
        want("command-receiving")
    );
    assert_eq!(
        srv.recv(&req(3, NEW | MORE | DATA, b"\xa1")),
        want("command-receiving")
    );
    let seen = srv.recv(&req(5, NEW | DATA, C)).unwrap();
    assert!(matches!(
        seen,
        Seen::Want("command-receiving") | Seen::Run { follows: true, .. }
    ));
    assert_eq!(srv.receiving(), [1, 3, 5], "{revision}");
    srv
}

#[test]
fn row_1_even_stream() {
    each(|_, mut srv| {
        for stream in [0, 2, 254] {
            assert_eq!(
                srv.recv(&frame(1, stream, BEGIN, 1, NEW, C)),
                Err(E::StreamParity)
            );
        }
        assert_eq!(srv.open(), [1]);
        assert_eq!(srv.state(), "errored");
    });
}

#[test]
fn row_2_stream_not_begun() {
    each(|_, mut srv| {
        assert_eq!(srv.recv(&frame(1, 3, 0, 1, NEW, C)), Err(E::StreamNotBegun));
        assert_eq!(srv.open(), [1]);
    });
    // Beginning an open stream again changes nothing; an ended one may be begun again.
    each(|_, mut srv| {
        assert_eq!(srv.recv(&frame(1, 1, BEGIN, 1, NEW, C)), ran(1));
        assert_eq!(srv.recv(&frame(3, 1, END, 1, NEW, C)), ran(3));
        assert_eq!(srv.open(), [0u8; 0]);
        assert_eq!(srv.recv(&frame(5, 1, BEGIN | END, 1, NEW, C)), ran(5));
        assert_eq!(srv.open(), [0u8; 0]);
        assert_eq!(srv.recv(&frame(7, 1, 0, 1, NEW, C)), Err(E::StreamNotBegun));
    });
}

#[test]
fn row_3_encoded_opens_its_stream_but_does_not_end_it() {
    each(|_, mut srv| {
        let encoded = frame(1, 3, BEGIN | END | ENCODED, 1, NEW, C);
        assert_eq!(srv.recv(&encoded), Err(E::EncodingUnsupported));
        assert_eq!(srv.open(), [1, 3]);
        // In every state.
        assert_eq!(srv.recv(&encoded), Err(E::EncodingUnsupported));
    });
}

#[test]
fn row_4_errored_still_opens_and_ends_streams() {
    each(|_, mut srv| {
        assert_eq!(
            srv.recv(&frame(1, 2, BEGIN, 1, NEW, C)),
            Err(E::StreamParity)
        );
        assert_eq!(
            srv.recv(&frame(1, 3, BEGIN, 1, NEW, C)),
            Err(E::AlreadyErrored)
        );
        assert_eq!(srv.open(), [1, 3]);
        assert_eq!(
            srv.recv(&frame(1, 3, END, 1, NEW, C)),
            Err(E::AlreadyErrored)
        );
        assert_eq!(srv.open(), [1]);
        assert_eq!(
            srv.recv(&frame(1, 4, BEGIN, 1, NEW, C)),
            Err(E::StreamParity)
        );
        assert_eq!(srv.recv(&frame(1, 5, 0, 1, NEW, C)), Err(E::StreamNotBegun));
    });
}

#[test]
fn an_error_does_not_keep_accepted_commands_from_being_answered() {
    each(|_, mut srv| {
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        assert_eq!(srv.recv(&frame(1, 2, 0, 1, NEW, C)), Err(E::StreamParity));
        assert_eq!(srv.active(), [1]);
        assert!(!srv.answer(1, Body::Bytes(b"x")).is_empty());
        assert_eq!(srv.active(), [0u16; 0]);
        assert_eq!(srv.state(), "errored");
    });
}

#[test]
fn new_request_rows() {
    let idle = |frame: Vec<u8>, error| {
        each(|_, mut srv| {
            assert_eq!(srv.recv(&req(9, NEW, C)), ran(9));
            assert_eq!(srv.recv(&frame), Err(error));
            assert_eq!(srv.state(), "errored");
        });
    };
    for kind in [0, 4, 5, 6, 7, 9, 15] {
        idle(frame(1, 1, 0, kind, 0, C), E::ExpectedCommandRequest);
    }
    idle(req(1, NEW | CONT, C), E::NewAndContinuation);
    idle(req(1, 0, C), E::NeitherNewNorContinuation);
    // The ID is active: also where `continuation` is alone.
    idle(req(9, NEW, C), E::RequestAlreadyActive);
    idle(req(9, CONT, C), E::RequestAlreadyActive);
    idle(req(1, CONT, C), E::ExpectedNewRequest);
    idle(req(9, NEW | CONT, C), E::NewAndContinuation);
    each(|revision, srv| {
        for id in [1, 3, 5] {
            let mut srv = receiving(revision, fresh(revision, &srv));
            assert_eq!(srv.recv(&req(id, NEW, C)), Err(E::RequestAlreadyReceiving));
            assert_eq!(srv.receiving(), [1, 3, 5]);
        }
        let mut srv = receiving(revision, srv);
        assert_eq!(srv.recv(&req(7, NEW | CONT, C)), Err(E::NewAndContinuation));
    });
    // `expected-command-request` names data frames too.
    each(|revision, mut srv| {
        assert_eq!(
            srv.recv(&frame(1, 1, 0, data_kind(revision), EOS, b"")),
            Err(E::ExpectedCommandRequest)
        );
    });
}

/// Another server of the same kind.
fn fresh(revision: Revision, like: &Srv) -> Srv {
    Srv::idle(revision, like.config)
}

#[test]
fn a_new_request_is_dispatched_or_received() {
    each(|_, mut srv| {
        assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
        assert_eq!(srv.state(), "idle");
        assert_eq!(
            srv.recv(&req(3, NEW | MORE, b"\xa1\x44na")),
            want("command-receiving")
        );
        assert_eq!(srv.recv(&req(5, NEW, C)), ran(5));
        assert_eq!(srv.state(), "command-receiving");
        assert_eq!(srv.recv(&req(3, CONT, b"me\x41c")), ran(3));
        assert_eq!(srv.state(), "idle");
        assert_eq!(srv.active(), [1, 3, 5]);
    });
    // Any request ID is taken, whatever its parity.
    each(|_, mut srv| {
        for id in [0, 2, 65_535] {
            assert_eq!(srv.recv(&req(id, NEW, C)), ran(id));
        }
    });
}

#[test]
fn rows_6_to_16() {
    let check = |frame: &dyn Fn(Revision) -> Vec<u8>, error| {
        each(|revision, srv| {
            let mut srv = receiving(revision, srv);
            assert_eq!(srv.recv(&req(9, NEW, C)), ran(9));
            assert_eq!(srv.recv(&frame(revision)), Err(error), "{revision}");
            assert_eq!(srv.receiving(), [1, 3, 5]);
        });
    };
    let data = |id, flags| move |revision| frame(id, 1, 0, data_kind(revision), flags, b"d");
    // 6: before the ID is looked at.
    for id in [1, 9, 77] {
        check(&|_| req(id, MORE, b"x"), E::NeitherNewNorContinuation);
    }
    // 7
    check(&|_| req(9, CONT, b"x"), E::RequestStillActive);
    check(&data(9, EOS), E::RequestStillActive);
    check(&|_| frame(9, 1, 0, 15, 0, b""), E::RequestStillActive);
    // 8
    check(&|_| req(77, CONT, b"x"), E::RequestNotReceiving);
    check(&data(77, EOS), E::RequestNotReceiving);
    check(&|_| frame(77, 1, 0, 15, 0, b""), E::RequestNotReceiving);
    // 9: before `have-data` is looked at.
    check(&|_| req(5, CONT | DATA, b"x"), E::RequestFramesDone);
    check(&|_| req(5, CONT, b"x"), E::RequestFramesDone);
    // 10
    check(&|_| req(1, CONT | DATA, b"x"), E::ExpectDataMismatch);
    check(&|_| req(3, CONT, b"x"), E::ExpectDataMismatch);
    // 12: before its flags are looked at.
    for flags in [0, CONTINUATION, EOS] {
        check(&data(1, flags), E::UnexpectedCommandData);
    }
    // 13: before it is too early; bits without a name are not looked at.
    for id in [3, 5] {
        check(&data(id, 0), E::CommandDataWithoutFlags);
        check(&data(id, 12), E::CommandDataWithoutFlags);
    }
    // 14, D16 and K-06
    for flags in [CONTINUATION, EOS, CONTINUATION | EOS] {
        check(&data(3, flags), E::RequestFramesUnfinished);
    }
    // 16
    for id in [1, 3, 5] {
        for kind in [0, 5, 6, 7, 15] {
            check(&|_| frame(id, 1, 0, kind, 0, b""), E::UnexpectedFrameType);
        }
    }
}

#[test]
fn row_11_the_last_request_frame_waits_for_data() {
    for revision in ALL {
        let mut srv = receiving(revision, Srv::idle(revision, ServerConfig::DEFAULT));
        assert_eq!(
            srv.recv(&req(3, CONT | MORE | DATA, b"\x44na")),
            want("command-receiving")
        );
        assert_eq!(
            srv.recv(&req(3, CONT | DATA, b"me\x41c")),
            want("command-receiving")
        );
        assert_eq!(srv.recv(&req(1, CONT, &C[1..])), ran(1));
        assert_eq!(srv.receiving(), [3, 5]);
    }
}

#[test]
fn rows_15_and_15a_data_and_k_12() {
    for revision in ALL {
        let data = |flags, bytes: &[u8]| frame(5, 1, 0, data_kind(revision), flags, bytes);
        let mut srv = receiving(revision, Srv::idle(revision, ServerConfig::DEFAULT));
        assert_eq!(
            srv.recv(&data(CONTINUATION, b"ab")),
            want("command-receiving")
        );
        // Both flags: the data goes on (K-12). Bits without a name are not looked at.
        assert_eq!(
            srv.recv(&data(CONTINUATION | EOS, b"cd")),
            want("command-receiving")
        );
        let run = |data: &[u8]| {
            Ok(Seen::Run {
                id: 5,
                name: b"c".to_vec(),
                data: Some(data.to_vec()),
                follows: false,
            })
        };
        assert_eq!(srv.recv(&data(EOS | 12, b"e")), run(b"abcde"));
        assert_eq!(srv.receiving(), [1, 3]);
        assert_eq!(srv.active(), [5]);
        // Data that is there but empty is not none.
        let mut srv = Srv::idle(revision, ServerConfig::DEFAULT);
        assert_eq!(srv.recv(&req(5, NEW | DATA, C)), want("command-receiving"));
        assert_eq!(srv.recv(&data(EOS, b"")), run(b""));
        assert_eq!(srv.state(), "idle");
    }
}

// D4 and D5
#[test]
fn dispatch_refuses_what_does_not_decode() {
    let malformed: [&[u8]; 13] = [
        b"",
        b"\xa1",
        b"\xa1\x44name",
        b"\x80",
        b"\x01",
        b"\xff",
        b"\xa1\x44name\x41c\x00",         // bytes left over (K-07)
        b"\xa1\x44name\x61c",             // a name that is text
        b"\xa2\x44name\x41c\x44args\x80", // arguments that are no map
        b"\xa2\x44name\x41c\x44args\xa1\x01\x02",
        b"\xa2\x44name\x41c\x44name\x41c",
        b"\xa3\x44name\x41c\x44args\xa0\x44args\xa0",
        b"\x44name",
    ];
    for bytes in malformed {
        each(|_, mut srv| {
            assert_eq!(
                srv.recv(&req(1, NEW, bytes)),
                Err(E::MalformedRequest),
                "{bytes:x?}"
            );
            assert_eq!(
                (srv.state(), srv.receiving(), srv.active()),
                ("errored", vec![], vec![])
            );
        });
    }
    for bytes in [&b"\xa0"[..], b"\xa1\x44args\xa0", b"\xa1\x64name\x41c"] {
        each(|_, mut srv| {
            assert_eq!(
                srv.recv(&req(1, NEW, bytes)),
                Err(E::MissingName),
                "{bytes:x?}"
            );
            assert_eq!(srv.state(), "errored");
        });
    }
    // 0006: a redirect that is null, or there twice; before, the key is unknown.
    for bytes in [
        &b"\xa2\x44name\x41c\x48redirect\xf6"[..],
        b"\xa3\x44name\x41c\x48redirect\xa0\x48redirect\xa0",
    ] {
        each(|revision, mut srv| {
            let expected = if revision == R0006 {
                Err(E::MalformedRequest)
            } else {
                ran(1)
            };
            assert_eq!(srv.recv(&req(1, NEW, bytes)), expected);
        });
    }
}

// revision-0006.md, 5.2 and 5.3

fn initial() -> Srv {
    let srv = Srv::new(R0006, ServerConfig::DEFAULT);
    assert_eq!(srv.state(), "initial");
    srv
}

fn settings(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(0, 1, BEGIN, 8, flags, payload)
}

const LIST: &[u8] = b"\xa1\x50contentencodings\x81\x44zlib";

#[test]
fn r5_2_initial() {
    for kind in [0, 2, 3, 4, 5, 6, 7, 9, 10, 15] {
        assert_eq!(
            initial().recv(&frame(1, 1, BEGIN, kind, 0, b"")),
            Err(E::UnexpectedInitialFrame)
        );
    }
    let mut srv = initial();
    assert_eq!(srv.recv(&req(1, NEW, C)), ran(1));
    // Settings never come again.
    assert_eq!(
        srv.recv(&settings(EOS, LIST)),
        Err(E::ExpectedCommandRequest)
    );
    assert_eq!(initial().recv(&req(1, CONT, C)), Err(E::ExpectedNewRequest));
    // The common checks come first, and an error leaves the initial state.
    let mut srv = initial();
    assert_eq!(
        srv.recv(&frame(1, 2, BEGIN, 8, EOS, LIST)),
        Err(E::StreamParity)
    );
    assert_eq!(srv.recv(&settings(EOS, LIST)), Err(E::AlreadyErrored));
}

#[test]
fn r5_2_settings_receiving() {
    let mut srv = initial();
    assert_eq!(
        srv.recv(&settings(CONTINUATION, &LIST[..5])),
        want("protocol-settings-receiving")
    );
    assert_eq!(
        srv.recv(&settings(CONTINUATION, &[])),
        want("protocol-settings-receiving")
    );
    assert_eq!(srv.recv(&settings(EOS, &LIST[5..])), want("idle"));
    assert!(
        srv.server
            .peer_encodings()
            .contains(hgrpc::cbor::ContentEncoding::Zlib)
    );
    assert_eq!(
        srv.recv(&settings(EOS, LIST)),
        Err(E::ExpectedCommandRequest)
    );
    for kind in [0, 1, 2, 9, 15] {
        let mut srv = initial();
        let _ = srv.recv(&settings(CONTINUATION, &LIST[..5])).unwrap();
        assert_eq!(
            srv.recv(&frame(1, 1, 0, kind, NEW, C)),
            Err(E::ExpectedSettings)
        );
    }
}

#[test]
fn r5_3_settings() {
    assert_eq!(
        initial().recv(&settings(3, LIST)),
        Err(E::SettingsBothFlags)
    );
    assert_eq!(initial().recv(&settings(0, LIST)), Err(E::SettingsNoFlags));
    assert_eq!(initial().recv(&settings(12, LIST)), Err(E::SettingsNoFlags));
    for bytes in [
        &b"\xff"[..],
        b"\x61a",
        b"\x9f\xff",
        b"\xa1\x01",
        b"\xa0\x41",
        b"\xa1\x50contentencodings\x01",
        b"\x01",
        b"\x80",
        b"\xf6",
        b"\x41a",
    ] {
        let error = if bytes == b"\xa1\x01" {
            E::SettingsEmpty
        } else {
            E::MalformedSettings
        };
        assert_eq!(
            initial().recv(&settings(EOS, bytes)),
            Err(error),
            "{bytes:x?}"
        );
    }
    assert_eq!(initial().recv(&settings(EOS, b"")), Err(E::SettingsEmpty));
    assert_eq!(
        initial().recv(&settings(EOS, b"\xa0\xa0")),
        Err(E::SettingsMultipleValues)
    );
    assert_eq!(
        initial().recv(&settings(EOS, b"\x5f\x41a\xff")),
        Err(E::SettingsMultipleValues)
    );
    // On the frame that shows it, not at the end (9.2).
    assert_eq!(
        initial().recv(&settings(CONTINUATION, b"\xa1\x61")),
        Err(E::MalformedSettings)
    );
    // K-03: nothing known is identity; unknown keys are ignored.
    for bytes in [
        &b"\xa1\x50contentencodings\x81\x41x"[..],
        b"\xa0",
        b"\xa1\x41x\x01",
    ] {
        let mut srv = initial();
        assert_eq!(srv.recv(&settings(EOS, bytes)), want("idle"));
        let stream = srv
            .server
            .open_stream(&hgrpc::cbor::ContentEncoding::ALL)
            .unwrap();
        assert_eq!(stream.encoding().name(), "identity");
    }
}

#[test]
fn settings_over_their_limits_end_the_connection() {
    let mut config = ServerConfig::DEFAULT;
    config.limits.settings_size = 20;
    let mut srv = Srv::new(R0006, config);
    assert_eq!(srv.recv(&settings(EOS, LIST)), Err(E::SettingsTooLarge));
    let mut srv = Srv::new(R0006, config);
    assert_eq!(
        srv.recv(&settings(CONTINUATION, &LIST[..12])),
        want("protocol-settings-receiving")
    );
    assert_eq!(
        srv.recv(&settings(EOS, &LIST[12..])),
        Err(E::SettingsTooLarge)
    );
    config.limits.settings_frames = 2;
    let mut srv = Srv::new(R0006, config);
    for _ in 0..2 {
        assert_eq!(
            srv.recv(&settings(CONTINUATION, b"")),
            want("protocol-settings-receiving")
        );
    }
    assert_eq!(
        srv.recv(&settings(CONTINUATION, b"")),
        Err(E::SettingsTooLarge)
    );
}

#[test]
fn r5_9_incomplete_requests_are_listed_and_never_run() {
    // D11
    each(|revision, srv| {
        let mut srv = receiving(revision, srv);
        assert_eq!(srv.receiving(), [1, 3, 5]);
        // The end of input is not a state: frames are handled as ever.
        assert_eq!(srv.recv(&req(1, CONT, &C[1..])), ran(1));
    });
}

#[test]
fn before_0006_there_are_no_settings() {
    for revision in [R0003, R0005] {
        let mut srv = Srv::new(revision, ServerConfig::DEFAULT);
        assert_eq!(srv.state(), "idle");
        assert_eq!(
            srv.recv(&settings(EOS, LIST)),
            Err(E::ExpectedCommandRequest)
        );
    }
}

#[test]
fn parts_give_the_same_as_whole_frames() {
    for revision in ALL {
        for len in [1, 2, 7, 64] {
            let mut srv = Srv::idle(revision, ServerConfig::DEFAULT);
            assert_eq!(srv.recv_cut(&req(1, NEW, C), len), [ran(1)]);
            assert_eq!(
                srv.recv_cut(&req(3, NEW | MORE, &C[..3]), len),
                [want("command-receiving")]
            );
            assert_eq!(srv.recv_cut(&req(3, CONT, &C[3..]), len), [ran(3)]);
            assert_eq!(
                srv.recv_cut(&req(5, NEW, b"\xa0"), len),
                [Err(E::MissingName)]
            );
            // What follows an error inside of a frame is dropped.
            let mut srv = Srv::idle(revision, ServerConfig::DEFAULT);
            let seen = srv.recv_cut(&frame(1, 1, 0, 15, 0, b"abcdefg"), len);
            assert_eq!(seen.first(), Some(&Err(E::ExpectedCommandRequest)));
        }
    }
}
