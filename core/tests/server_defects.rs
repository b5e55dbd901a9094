//! What random connections found in the server: one test for each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use hgrpc::output::Output;
use hgrpc::server::{DataMode, Event, Failure, Refusal, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, Protocol, Revision};

type Tested = Server<Revision, FixedRequests<4>>;

/// A server that streams data, with so much payload in a frame.
fn server(revision: Revision, send_frame_size: u32) -> (Tested, [u8; 64]) {
    let mut config = ServerConfig::DEFAULT;
    config.send_frame_size = send_frame_size;
    config.data_mode = DataMode::Stream;
    config.limits.request_frames = 2;
    (Server::new(revision, config, FixedRequests::new()), [0; 64])
}

/// A frame of a client; the first has `stream-begin`.
fn frame(id: u8, stream_flags: u8, kind_and_flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![len, 0, 0, id, 0, 1, stream_flags, kind_and_flags];
    frame.extend_from_slice(payload);
    frame
}

/// A request, and whether data follows.
fn request(id: u8, has_data: bool) -> Vec<u8> {
    let flags = if has_data { 0x19 } else { 0x11 };
    frame(id, 1, flags, b"\xa1\x44name\x41c")
}

fn command<P: Protocol>(
    server: &mut Server<P, FixedRequests<4>>,
    memory: &mut [u8],
    input: &[u8],
) -> Reply {
    let event = server.next(&mut &*input, memory);
    let Some(Event::Command(command)) = event else {
        panic!("{event:?}")
    };
    command.reply
}

/// The refusal of a command that runs: more empty data frames than the limit.
fn refused(server: &mut Tested, memory: &mut [u8], id: u8) -> Refusal {
    for _ in 0..3 {
        let input = frame(id, 0, 0x21, b"");
        match server.next(&mut input.as_slice(), memory) {
            None => {}
            Some(Event::Refused(refusal)) => return refusal,
            other => panic!("{other:?}"),
        }
    }
    panic!("not refused")
}

#[test]
fn no_refusal_is_larger_than_a_frame() {
    for revision in [Revision::R0005, Revision::R0006] {
        let (mut server, mut memory) = server(revision, 12);
        let _ = command(&mut server, &mut memory, &request(1, true));
        let refusal = refused(&mut server, &mut memory, 1);
        let mut buffer = [0; 128];
        let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
        let answer = server.refuse(&refusal, &mut out);
        assert_eq!(answer, Err(ApiMisuse::TooLarge));
        assert!(out.frame().is_empty());
    }
}

#[test]
fn what_is_too_large_is_known_before_the_streams_settings_go_out() {
    let (mut server, mut memory) = server(Revision::R0006, 10);
    let reply = command(&mut server, &mut memory, &request(1, false));
    let mut buffer = [0; 64];
    let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
    let answer = server.respond(&reply, &mut &b"x"[..], true, &mut out);
    assert_eq!(answer, Err(ApiMisuse::TooLarge));
    assert!(!out.stream().is_begun());
}

/// A server of 0006 whose peer decodes zlib, a stream with that encoding, and two commands.
#[test]
fn a_failure_needs_no_encoded_stream_for_itself() {
    let (mut server, mut memory) = server(Revision::R0006, 64);
    let settings = frame(0, 1, 0x82, b"\xa1\x50contentencodings\x81\x44zlib");
    assert!(server.next(&mut settings.as_slice(), &mut memory).is_none());
    let first = command(&mut server, &mut memory, &request(1, false));
    let second = command(&mut server, &mut memory, &request(3, false));
    let mut buffer = [0; 128];
    let stream = server.open_stream(&hgrpc::cbor::ContentEncoding::ALL);
    let mut out = Output::new(stream.unwrap(), &mut buffer);
    assert_eq!(
        server.respond(&first, &mut &b""[..], false, &mut out),
        Ok(false)
    );
    let occupied = server.respond(&second, &mut &b""[..], false, &mut out);
    assert_eq!(occupied, Err(ApiMisuse::StreamOccupied));
    let failure = Failure::command(b"no");
    assert_eq!(server.fail(&second, &failure, &mut out), Ok(true));
    assert!(out.frame().ends_with(b"FstatusEerror"));
    assert_eq!(
        server.respond(&first, &mut &b"x"[..], true, &mut out),
        Ok(true)
    );
}

/// revision-0006.md, 7.4: output has begun.
#[test]
fn a_failure_behind_the_streams_settings_is_an_error_response() {
    let (mut server, mut memory) = server(Revision::R0006, 64);
    let reply = command(&mut server, &mut memory, &request(1, false));
    let mut buffer = [0; 128];
    let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
    let opened = server.respond(&reply, &mut &b"x"[..], true, &mut out);
    assert_eq!(opened, Ok(false));
    let failure = Failure::command(b"no");
    assert_eq!(server.fail(&reply, &failure, &mut out), Ok(true));
    assert_eq!(out.frame().get(7), Some(&0x50));
    assert!(out.frame().ends_with(b"DtypeGcommand"));
}

/// Neither goes into the response of a later request with the same ID.
#[test]
fn what_was_joined_for_a_refused_command_is_dropped() {
    let (mut server, mut memory) = server(Revision::R0006, 64);
    let first = command(&mut server, &mut memory, &request(1, true));
    let mut buffer = [0; 128];
    let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
    let mut piece: &[u8] = b"stale";
    while server.respond(&first, &mut piece, false, &mut out) == Ok(false) {}
    assert!(piece.is_empty() && out.frame().is_empty());
    let _ = refused(&mut server, &mut memory, 1);
    let second = command(&mut server, &mut memory, &request(1, false));
    let mut frames = Vec::new();
    let mut body: &[u8] = b"\x07";
    while server.respond(&second, &mut body, true, &mut out) == Ok(false) {
        frames.extend_from_slice(out.frame());
    }
    frames.extend_from_slice(out.frame());
    let expected = [
        b"\x0b\0\0\x01\0\x02\x04\x31\xa1FstatusBok".as_slice(),
        b"\x01\0\0\x01\0\x02\x04\x31\x07",
        b"\0\0\0\x01\0\x02\0\x32",
    ];
    assert_eq!(frames, expected.concat());
}

/// Its bytes are still lent, and their room is free with the next frame.
#[test]
fn a_request_that_is_taken_over_keeps_no_memory() {
    let (mut server, mut memory) = server(Revision::R0005, 64);
    for id in (1..9).step_by(2) {
        let request = request(id, false);
        // In two parts, so that it is gathered.
        let (first, last) = request.split_at(12);
        assert!(server.next(&mut &*first, &mut memory[..16]).is_none());
        let _ = command(&mut server, &mut memory[..16], last);
        assert!(server.take_over(RequestId::new(id.into())).is_some());
    }
}
