//! Every row of the client's tables: client.md; revision-0006.md, 6. Tests are named after the rows.
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
use hgrpc::cbor::{ContentEncoding, EncodedArgs};
use hgrpc::client::{Announcement, ClientConfig, Event, Request, SendAction};
use kit::*;

type Cli = kit::Cli<8, 4096>;

fn config(multiple_sends: bool, buffer_sends: bool) -> ClientConfig {
    let mut config = ClientConfig::DEFAULT;
    config.multiple_sends = multiple_sends;
    config.buffer_sends = buffer_sends;
    config
}

/// A client with request 1 sent.
fn sent(revision: Revision) -> Cli {
    let mut cli = Cli::new(revision, config(true, false));
    assert_eq!(cli.sent(), 1);
    assert_eq!(cli.state(1), Some("sent"));
    cli
}

/// A response frame on stream 2.
fn res(revision: Revision, id: u16, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(id, 2, BEGIN, response_kind(revision), flags, bytes)
}

fn data(id: u16, bytes: &[u8], more: bool, eos: bool) -> Result<Got, Wrong> {
    Ok(Got::Data {
        id,
        status: None,
        data: bytes.to_vec(),
        more,
        eos,
    })
}

fn each(test: impl Fn(Revision, Cli)) {
    for revision in ALL {
        test(revision, sent(revision));
    }
}

// Calling and flushing

#[test]
fn calls_and_flushes() {
    for revision in ALL {
        // One send, at once.
        let mut cli = Cli::new(revision, config(false, false));
        let (mut call, action) = cli.call(CallData::None).unwrap();
        assert_eq!(
            (action, cli.state(1)),
            (SendAction::SendFrames, Some("pending"))
        );
        assert_eq!(
            cli.call(CallData::None).err(),
            Some(ApiMisuse::CannotIssueCommands)
        );
        assert!(cli.next(&mut call).is_some());
        assert_eq!((cli.state(1), cli.active()), (Some("sent"), vec![1]));
        assert_eq!(cli.client.flush(), Ok(SendAction::Noop));
        // Any number of sends, at once.
        let mut cli = Cli::new(revision, config(true, false));
        for id in [1, 3, 5] {
            let (call, action) = cli.call(CallData::None).unwrap();
            assert_eq!(
                (action, call.request_id().value()),
                (SendAction::SendFrames, id)
            );
        }
        // One send, buffered: a flush of nothing is not that one.
        let mut cli = Cli::new(revision, config(false, true));
        assert_eq!(cli.client.flush(), Ok(SendAction::Noop));
        let mut queue = Vec::new();
        for _ in 0..2 {
            let (call, action) = cli.call(CallData::None).unwrap();
            assert_eq!(action, SendAction::Noop);
            queue.push(call);
        }
        assert_eq!(cli.active(), [0u16; 0]);
        assert_eq!(cli.client.flush(), Ok(SendAction::SendFrames));
        assert_eq!(
            cli.call(CallData::None).err(),
            Some(ApiMisuse::CannotIssueCommands)
        );
        // Not yet taken, so still queued.
        assert_eq!(cli.client.flush(), Err(ApiMisuse::CannotSend));
        assert_eq!(cli.take(&mut queue).len(), 2);
        assert_eq!(cli.client.flush(), Ok(SendAction::Noop));
        // Any number, buffered and lazily: a call before the last frame is included.
        let mut cli = Cli::new(revision, config(true, true));
        let mut queue = vec![cli.call(CallData::None).unwrap().0];
        assert_eq!(cli.client.flush(), Ok(SendAction::SendFrames));
        queue.push(cli.call(CallData::None).unwrap().0);
        assert_eq!(cli.take(&mut queue).len(), 2);
        assert_eq!(cli.active(), [1, 3]);
        assert_eq!(cli.client.flush(), Ok(SendAction::Noop));
    }
}

#[test]
fn states_while_sending_d6_and_the_frame_size() {
    for revision in ALL {
        let mut config = config(true, false);
        config.send_frame_size = 4;
        let mut cli = Cli::new(revision, config);
        let (mut call, _) = cli.call(CallData::Bytes(b"01234567")).unwrap();
        let mut frames = Vec::new();
        assert_eq!(cli.state(1), Some("pending"));
        while let Some(frame) = cli.next(&mut call) {
            frames.push(frame);
            let expected = if call.is_ended() { "sent" } else { "sending" };
            assert_eq!(cli.state(1), Some(expected));
        }
        let kind = data_kind(revision);
        let piece = |flags, kind, bytes: &[u8]| frame(1, 1, 0, kind, flags, bytes);
        assert_eq!(
            frames,
            [
                frame(1, 1, BEGIN, 1, NEW | MORE | DATA, &C[..4]),
                piece(CONT | DATA, 1, &C[4..]),
                // Full pieces are never the last (messages.md, "Command data").
                piece(CONTINUATION, kind, b"0123"),
                piece(CONTINUATION, kind, b"4567"),
                piece(EOS, kind, b""),
            ]
        );
    }
}

#[test]
fn streamed_data() {
    for revision in ALL {
        let mut config = config(true, false);
        config.send_frame_size = 8;
        let mut cli = Cli::new(revision, config);
        let (mut call, _) = cli.call(CallData::Stream).unwrap();
        assert_eq!(cli.data(&mut call, b"x", false), Err(ApiMisuse::OutOfOrder));
        while cli.next(&mut call).is_some() {}
        assert!(call.wants_data() && !call.is_ended());
        let kind = data_kind(revision);
        for (chunk, last) in [(&b"ab"[..], false), (b"c", true)] {
            let sent = cli.data(&mut call, chunk, last).unwrap().unwrap();
            let flags = if last { EOS } else { CONTINUATION };
            assert_eq!(sent, frame(1, 1, 0, kind, flags, chunk));
        }
        assert_eq!(cli.data(&mut call, b"x", true), Ok(None));
        // A piece without a byte that ends nothing is no frame.
        let (mut call, _) = cli.call(CallData::Stream).unwrap();
        while cli.next(&mut call).is_some() {}
        assert_eq!(cli.data(&mut call, b"", false), Ok(None));
        assert!(call.wants_data());
    }
}

// D8, K-09
#[test]
fn d8_request_ids_wrap_and_skip_those_in_use() {
    for revision in ALL {
        let mut cli = sent(revision);
        for expected in (3..=u16::MAX).step_by(2) {
            let (call, _) = cli.call(CallData::None).unwrap();
            assert_eq!(call.request_id().value(), expected);
            cli.cancel(expected).unwrap();
        }
        // 1 is in use.
        let (kept, _) = cli.call(CallData::None).unwrap();
        assert_eq!(kept.request_id().value(), 3);
        let (next, _) = cli.call(CallData::None).unwrap();
        assert_eq!(next.request_id().value(), 5);
    }
}

#[test]
fn d8_with_all_in_use_a_call_is_refused() {
    for revision in ALL {
        let mut cli = Cli::new(revision, config(true, true));
        for _ in 0..8 {
            let _ = cli.call(CallData::None).unwrap();
        }
        assert_eq!(
            cli.call(CallData::None).err(),
            Some(ApiMisuse::RequestIdsExhausted)
        );
        // Nothing changed: the next ID is the same.
        cli.cancel(1).unwrap();
        assert_eq!(cli.call(CallData::None).unwrap().0.request_id().value(), 17);
    }
}

// A frame arrives

#[test]
fn row_1_odd_stream() {
    each(|revision, mut cli| {
        for stream in [1, 3, 255] {
            let bytes = frame(1, stream, BEGIN, response_kind(revision), EOS, b"");
            assert_eq!(cli.recv(&bytes), fatal(E::StreamParity));
        }
        assert_eq!((cli.open(), cli.state(1)), (vec![], Some("sent")));
        // Errors do not latch.
        assert_eq!(
            cli.recv(&res(revision, 1, EOS, b"x")),
            data(1, b"x", false, true)
        );
    });
}

#[test]
fn row_2_stream_not_begun() {
    each(|revision, mut cli| {
        let kind = response_kind(revision);
        assert_eq!(
            cli.recv(&frame(1, 2, 0, kind, EOS, b"")),
            fatal(E::StreamNotBegun)
        );
        // Stream 0 is even. Beginning an open stream changes nothing; `stream-end` closes it.
        for flags in [BEGIN, 0, BEGIN] {
            assert_eq!(
                cli.recv(&frame(1, 0, flags, kind, 0, b"")),
                data(1, b"", false, false)
            );
            assert_eq!(cli.open(), [0]);
        }
        assert_eq!(
            cli.recv(&frame(1, 0, END, kind, 0, b"")),
            data(1, b"", false, false)
        );
        assert_eq!(cli.open(), [0u8; 0]);
        assert_eq!(
            cli.recv(&frame(1, 0, 0, kind, 0, b"")),
            fatal(E::StreamNotBegun)
        );
    });
}

#[test]
fn row_3_encoded() {
    for revision in [R0003, R0005] {
        let mut cli = sent(revision);
        let bytes = frame(
            1,
            2,
            BEGIN | END | ENCODED,
            response_kind(revision),
            EOS,
            b"",
        );
        assert_eq!(cli.recv(&bytes), fatal(E::EncodingUnsupported));
        // Open, and not ended by this frame.
        assert_eq!((cli.open(), cli.state(1)), (vec![2], Some("sent")));
    }
    // 0006, 3.8: without settings the bytes are what they are.
    let mut cli = sent(R0006);
    let bytes = frame(1, 2, BEGIN | ENCODED, 3, CONTINUATION, b"ab");
    assert_eq!(cli.recv(&bytes), data(1, b"ab", true, false));
}

#[test]
fn row_4_request_not_active() {
    each(|revision, mut cli| {
        for id in [0, 2, 3, 65_535] {
            assert_eq!(
                cli.recv(&res(revision, id, EOS, b"")),
                fatal(E::RequestNotActive)
            );
            assert_eq!(
                cli.recv(&frame(id, 2, BEGIN, 15, 0, b"")),
                fatal(E::RequestNotActive)
            );
        }
        assert_eq!(cli.open(), [2]);
        // Pending is not active; ended is not either.
        let (call, _) = cli.call(CallData::None).unwrap();
        assert_eq!(
            cli.recv(&res(revision, 3, EOS, b"")),
            fatal(E::RequestNotActive)
        );
        assert_eq!(cli.state(3), Some("pending"));
        let _ = call;
        assert_eq!(
            cli.recv(&res(revision, 1, EOS, b"")),
            data(1, b"", false, true)
        );
        assert_eq!(
            cli.recv(&res(revision, 1, EOS, b"")),
            fatal(E::RequestNotActive)
        );
    });
}

#[test]
fn row_5_responses() {
    each(|revision, mut cli| {
        assert_eq!(
            cli.recv(&res(revision, 1, CONTINUATION, b"a")),
            data(1, b"a", true, false)
        );
        assert_eq!((cli.state(1), cli.active()), (Some("receiving"), vec![1]));
        // Neither bit: it stays active. Both: `eos` decides.
        assert_eq!(
            cli.recv(&res(revision, 1, 0, b"b")),
            data(1, b"b", false, false)
        );
        assert_eq!(cli.active(), [1]);
        assert_eq!(
            cli.recv(&res(revision, 1, 3, b"c")),
            data(1, b"c", true, true)
        );
        assert_eq!((cli.state(1), cli.active()), (None, vec![]));
    });
    // In parts: each with its bytes, the frame's bits with the last.
    each(|revision, mut cli| {
        let all = cli.recv_cut(&res(revision, 1, EOS, b"ab"), 1);
        let expected = [data(1, b"a", true, false), data(1, b"b", false, true)];
        assert_eq!(all, expected);
    });
}

#[test]
fn row_6_error_responses() {
    for revision in [R0003, R0005] {
        for bits in 0..4u8 {
            let mut cli = sent(revision);
            let text = format!("no {} {}", bits & 1 != 0, bits & 2 != 0);
            let got = cli.recv(&frame(1, 2, BEGIN, 5, bits, b"no"));
            assert_eq!(got, Ok(Got::Error { id: 1, text }));
            assert_eq!((cli.state(1), cli.active()), (None, vec![]));
        }
    }
    let structured = b"\xa2\x47message\x81\xa1\x43msg\x42no\x44type\x46server";
    for (revision, flags, text) in [(R0005, 0, "no"), (R0006, 0, "no"), (R0006, 15, "no")] {
        for len in [1, 7, 99] {
            let mut cli = sent(revision);
            let all = cli.recv_cut(&frame(1, 2, BEGIN, 5, flags, structured), len);
            let expected = Ok(Got::Error {
                id: 1,
                text: text.into(),
            });
            assert_eq!(all.last(), Some(&expected));
            assert_eq!(cli.state(1), None);
        }
    }
    // A flag says that it is raw.
    let mut cli = sent(R0005);
    assert!(
        matches!(cli.recv(&frame(1, 2, BEGIN, 5, 2, structured)), Ok(Got::Error { text, .. }) if text.contains("msg"))
    );
    // The request has ended before its payload is looked at.
    for bytes in [
        &b""[..],
        b"\xa0",
        b"\x01",
        b"\xa2\x47message\x80\x44type\x46server\x00",
    ] {
        let mut cli = sent(R0006);
        assert_eq!(
            cli.recv(&frame(1, 2, BEGIN, 5, 0, bytes)),
            failed(1, E::MalformedErrorResponse)
        );
        assert_eq!(cli.state(1), None);
    }
    // A `type` that is no byte string is unusual, not malformed: it is passed through as it came.
    for revision in [R0005, R0006] {
        for kind in [&b"\x66server"[..], b"\xf6", b"\x05", b"\x81\x41x"] {
            let bytes = [&b"\xa2\x47message\x41m\x44type"[..], kind].concat();
            let mut cli = sent(revision);
            let got = cli.recv(&frame(1, 2, BEGIN, 5, 0, &bytes));
            assert_eq!(
                got,
                Ok(Got::Error {
                    id: 1,
                    text: format!("{} false false", String::from_utf8_lossy(&bytes)),
                })
            );
            assert_eq!(cli.state(1), None);
            // The connection goes on.
            let id = cli.sent();
            assert!(matches!(
                cli.recv(&frame(id, 2, 0, response_kind(revision), EOS, b"")),
                Ok(Got::Data { eos: true, .. })
            ));
        }
    }
}

// D14, D-03
#[test]
fn d14_text_output_and_progress() {
    each(|_, mut cli| {
        let text = frame(
            1,
            2,
            BEGIN,
            6,
            0,
            b"\x81\xa2\x43msg\x45hi %s\x44args\x81\x41x",
        );
        assert_eq!(
            cli.recv(&text),
            Ok(Got::Text {
                id: 1,
                text: "hi x".into()
            })
        );
        assert_eq!(cli.state(1), Some("receiving"));
        let progress = frame(1, 2, 0, 7, 0, b"\xa3\x43pos\x20\x45topic\x41t\x45total\x09");
        for len in [1, 99] {
            let all = cli.recv_cut(&progress, len);
            assert_eq!(all.last(), Some(&Ok(Got::Progress { id: 1, pos: -1 })));
            let all = cli.recv_cut(&text, len);
            assert_eq!(
                all.last(),
                Some(&Ok(Got::Text {
                    id: 1,
                    text: "hi x".into()
                }))
            );
        }
        assert_eq!(
            cli.recv(&frame(1, 2, 0, 6, 0, b"\x01")),
            failed(1, E::MalformedTextOutput)
        );
        assert_eq!(
            cli.recv(&frame(1, 2, 0, 7, 0, b"\xa0")),
            failed(1, E::MalformedProgress)
        );
        assert_eq!(cli.active(), [1]);
    });
}

#[test]
fn row_7_anything_else() {
    each(|revision, mut cli| {
        let mut kinds = vec![0, 1, data_kind(revision), 10, 15];
        kinds.extend(if revision == R0006 {
            vec![4, 8]
        } else {
            vec![9, 8]
        });
        for kind in kinds {
            let got = cli.recv(&frame(1, 2, BEGIN, kind, 0, b"x"));
            assert_eq!(got, failed(1, E::UnhandledFrameType));
            assert_eq!(cli.state(1), Some("receiving"));
        }
    });
}

// revision-0006.md, 6.1 and 6.3

fn decoding(encodings: &[ContentEncoding]) -> Cli {
    let mut config = config(true, false);
    for encoding in encodings {
        config.decoders = config.decoders.with(*encoding);
    }
    let mut cli = Cli::new(R0006, config);
    assert_eq!(cli.sent(), 1);
    cli
}

fn settings(id: u16, stream_flags: u8, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(id, 2, stream_flags, 9, flags, bytes)
}

#[test]
fn r6_3_stream_settings() {
    let zlib = Ok(Got::Decoder {
        stream: 2,
        name: "zlib",
    });
    let mut cli = decoding(&[ContentEncoding::Zlib]);
    // Whatever the request ID, any number of times, in any number of frames.
    for id in [0, 1, 77] {
        assert_eq!(cli.recv(&settings(id, BEGIN, EOS, b"\x44zlib")), zlib);
        assert_eq!(
            cli.recv(&settings(id, 0, CONTINUATION, b"\x44z")),
            Ok(Got::Noop)
        );
        assert_eq!(cli.recv(&settings(id, 0, CONTINUATION, b"")), Ok(Got::Noop));
        assert_eq!(
            cli.recv_cut(&settings(id, 0, EOS, b"lib"), 1).last(),
            Some(&zlib)
        );
    }
    assert_eq!(cli.state(1), Some("sent"));
    for (flags, bytes, error) in [
        (3, &b"\x44zlib"[..], E::SettingsBothFlags),
        (0, b"\x44zlib", E::SettingsNoFlags),
        (12, b"\x44zlib", E::SettingsNoFlags),
        (EOS, b"", E::SettingsEmpty),
        (EOS, b"\x44zl", E::SettingsEmpty),
        (EOS, b"\xff", E::MalformedSettings),
        (CONTINUATION, b"\x61", E::MalformedSettings),
        (EOS, b"\x41x", E::EncodingUnusable),
        (EOS, b"\x01", E::EncodingUnusable),
        (EOS, b"\x44zlib\x01", E::EncodingUnusable),
        (EOS, b"\x5f\x44zlib\xff", E::EncodingUnusable),
        // Known, but the owner has no decoder for it.
        (EOS, b"\x48zstd-8mb", E::EncodingUnusable),
    ] {
        let mut cli = decoding(&[ContentEncoding::Zlib]);
        assert_eq!(
            cli.recv(&settings(1, BEGIN, flags, bytes)),
            fatal(error),
            "{bytes:x?}"
        );
    }
    // The stream ends with this very frame.
    let mut cli = decoding(&[ContentEncoding::Zlib]);
    assert_eq!(
        cli.recv(&settings(1, BEGIN | END, EOS, b"\x44zlib")),
        fatal(E::EncodingUnusable)
    );
}

#[test]
fn settings_that_were_not_completed_end_with_their_stream() {
    for ending in [
        settings(1, END, CONTINUATION, b"zz"),
        frame(1, 2, END, 3, CONTINUATION, b""),
    ] {
        let mut cli = decoding(&[ContentEncoding::Zlib]);
        assert_eq!(
            cli.recv(&settings(1, BEGIN, CONTINUATION, b"\x58")),
            Ok(Got::Noop)
        );
        let _ = cli.recv(&ending).unwrap();
        assert_eq!(cli.open(), [0u8; 0]);
        let got = cli.recv(&settings(1, BEGIN, EOS, b"\x44zlib"));
        assert_eq!(
            got,
            Ok(Got::Decoder {
                stream: 2,
                name: "zlib"
            })
        );
    }
}

#[test]
fn settings_have_a_limit() {
    let mut config = config(true, false);
    config.status_size = 8;
    let mut cli = Cli::new(R0006, config);
    assert_eq!(
        cli.recv(&settings(1, BEGIN, EOS, b"\x48identity")),
        fatal(E::SettingsTooLarge)
    );
    // What was held of them is free; the rest of the frame is dropped.
    assert_eq!(
        cli.recv_cut(&settings(1, 0, EOS, &[0x41; 30]), 9),
        [fatal(E::SettingsTooLarge)]
    );
    assert_eq!(
        cli.recv(&settings(1, 0, EOS, b"\x44zlib")),
        fatal(E::EncodingUnusable)
    );
}

#[test]
fn r6_1_the_decoder_sees_all_that_is_encoded() {
    let mut cli = decoding(&[ContentEncoding::Zlib]);
    let zlib = cli.recv(&settings(1, BEGIN, EOS, b"\x44zlib"));
    assert!(matches!(zlib, Ok(Got::Decoder { .. })));
    // Wanted or not: of a response, of a request that is not active, of an unknown type, of an error.
    for bytes in [
        frame(1, 2, BEGIN | ENCODED, 3, 0, b"abc"),
        frame(77, 2, ENCODED, 3, 0, b"abc"),
        frame(1, 2, ENCODED, 15, 0, b"abc"),
        frame(1, 2, ENCODED | END, 5, 0, b"abc"),
    ] {
        let (front, back) = bytes.split_at(9);
        let ends_stream = bytes[6] & END != 0;
        for (part, last) in [(front, false), (back, true)] {
            let encoded = Ok(Got::Encoded {
                stream: 2,
                last,
                ends_stream,
            });
            assert_eq!(cli.recv_part(part), [encoded]);
            // Nothing comes out of the decoder before the frame's end.
            let event = cli.client.decoded(b"", last, &mut cli.memory);
            assert!(event.is_none() || last);
        }
    }
    // What breaks the rules before decoding does not reach it.
    assert_eq!(
        cli.recv(&frame(1, 3, ENCODED, 3, 0, b"x")),
        fatal(E::StreamParity)
    );
    assert_eq!(
        cli.recv(&frame(1, 4, ENCODED, 3, 0, b"x")),
        fatal(E::StreamNotBegun)
    );
    // Nor does what is not encoded.
    assert_eq!(
        cli.recv(&frame(77, 2, BEGIN, 3, 0, b"x")),
        fatal(E::RequestNotActive)
    );
}

#[test]
fn a_decoder_that_fails_drops_the_rest_of_the_frame_and_leaves_nothing() {
    let mut cli = decoding(&[ContentEncoding::Zlib]);
    let error = frame(1, 2, BEGIN | ENCODED, 5, 0, b"garbage");
    let (front, back) = error.split_at(11);
    assert!(matches!(
        cli.recv_part(front)[..],
        [Ok(Got::Encoded { last: false, .. })]
    ));
    assert!(
        cli.client
            .decoded(b"\xa2garbage", false, &mut cli.memory)
            .is_none()
    );
    let event = cli.client.handle_decode_error(E::DecodeFailed);
    assert!(matches!(
        event,
        Event::Error {
            error: E::DecodeFailed,
            request_id: None
        }
    ));
    assert_eq!(cli.recv_part(back), []);
    // The next message is not spoilt by what was gathered of this one.
    let id = cli.sent();
    let text = frame(id, 2, 0, 6, 0, b"\x81\xa1\x43msg\x42hi");
    let expected = Ok(Got::Text {
        id,
        text: "hi".into(),
    });
    assert_eq!(cli.recv_cut(&text, 3).last(), Some(&expected));
}

// revision-0006.md, 4.1: the client's own settings

#[test]
fn r4_1_settings_go_out_once_before_the_first_request() {
    let all = ContentEncoding::ALL.map(Some);
    let cases: [(Option<Announcement>, &[u8]); 4] = [
        (None, b""),
        (
            Some(Announcement {
                encodings: all,
                is_hgrpc: false,
            }),
            b"\xa1\x50contentencodings\x83\x48zstd-8mb\x44zlib\x48identity",
        ),
        (
            Some(Announcement {
                encodings: [None, all[1], None],
                is_hgrpc: false,
            }),
            b"\xa1\x50contentencodings\x81\x44zlib",
        ),
        (
            ClientConfig::DEFAULT.announcement,
            b"\xa2\x50contentencodings\x81\x48identity\x45hgrpc\x01",
        ),
    ];
    for (announcement, payload) in cases {
        for revision in ALL {
            let mut config = config(true, false);
            config.announcement = announcement;
            let mut cli = Cli::announcing(revision, config);
            let mut frames = Vec::new();
            for _ in 0..2 {
                let (call, _) = cli.call(CallData::None).unwrap();
                frames.extend(cli.take(&mut [call]));
            }
            if revision == R0006 && !payload.is_empty() {
                assert_eq!(frames.remove(0), frame(1, 1, BEGIN, 8, EOS, payload));
                assert_eq!(frames[0][6], 0);
            }
            assert_eq!(frames.len(), 2);
        }
    }
}

#[test]
fn d3_settings_that_do_not_fit_a_frame_are_an_error() {
    let mut config = config(true, false);
    config.announcement = ClientConfig::DEFAULT.announcement;
    config.send_frame_size = 20;
    for (revision, expected) in [(R0006, Err(ApiMisuse::TooLarge)), (R0005, Ok(()))] {
        let mut cli = Cli::announcing(revision, config);
        let (mut call, _) = cli.call(CallData::None).unwrap();
        assert_eq!(cli.try_next(&mut call).map(|_| ()), expected);
    }
}

#[test]
fn d3_frames_are_at_most_what_the_header_can_say() {
    let mut config = config(true, false);
    config.send_frame_size = u32::MAX;
    let mut cli = Cli::new(R0005, config);
    let large: &'static [u8] = Box::leak(vec![0; 0x0100_0000].into_boxed_slice());
    let (mut call, _) = cli.call(CallData::Bytes(large)).unwrap();
    let mut lengths = Vec::new();
    while let Some(frame) = cli.next(&mut call) {
        assert_eq!(header(&frame).length() as usize, frame.len() - 8);
        lengths.push(frame.len() - 8);
    }
    assert_eq!(lengths, [C.len(), 0x00ff_ffff, 1]);
}

#[test]
fn redirects_are_of_0006() {
    for (revision, error) in [(R0003, true), (R0005, true), (R0006, false)] {
        let mut cli = Cli::new(revision, config(true, false));
        let mut send = |redirect| {
            let mut request = Request::new(b"c", EncodedArgs::EMPTY);
            request.redirect = Some(redirect);
            let (upload, _) = cli.client.request(false).unwrap();
            cli.client.send(&upload, &request, &mut cli.out)
        };
        let sent = send(b"\xa1\x41k\x01");
        assert_eq!(sent.err(), error.then_some(ApiMisuse::NotInThisRevision));
        // An empty one is left out everywhere.
        assert_eq!(send(b"\xa0"), Ok(true));
    }
}
