//! The blocking driver: any reads and writes, however short, interrupted or failing, carry the same
//! frames.

use embedded_io::{ErrorKind, ErrorType, Write};
use hgrpc::Error;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{Event as Answer, Request};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Reply};
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, ProtocolError, REVISIONS, Revision};
use proptest::prelude::*;

use crate::memory::{self, buffers};
use crate::pipe::Pipe;

type Server<R, W> = Driver<memory::Server<Revision>, R, W>;
type Client<R, W> = Driver<memory::Client<Revision>, R, W>;

/// A device's main loop: echo while the arguments are borrowed, text and progress beside it, a
/// digest of streamed data.
fn serve(driver: &mut Server<Pipe, Pipe>) {
    let mut digests: Vec<(Reply, u32)> = Vec::new();
    loop {
        let (event, mut replies) = match driver.step() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(Error::Read(ErrorKind::Interrupted)) => continue,
            Err(error) => panic!("{error}"),
        };
        match event {
            Event::Command(command) if command.data_follows => digests.push((command.reply, 0)),
            Event::Command(command) => {
                let text = [Atom::new("echo\n")];
                replies.send(command.reply.text(&text)).unwrap();
                let update = Progress::new("echo", 1, 1);
                replies.send(command.reply.progress(&update)).unwrap();
                let body = command.args.as_cbor();
                replies.send(command.reply.body(body)).unwrap();
            }
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => {
                let at = digests
                    .iter()
                    .position(|(r, _)| r.request_id() == request_id);
                let at = at.unwrap();
                digests[at].1 += bytes.iter().map(|b| u32::from(*b)).sum::<u32>();
                if is_last {
                    let (reply, sum) = digests.remove(at);
                    replies.send(reply.piece(&sum.to_be_bytes())).unwrap();
                    replies.send(reply.end()).unwrap();
                }
            }
            Event::Idle => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(driver.connection().end().receiving().count(), 0);
    assert_eq!(driver.connection().end().active().count(), 0);
}

#[derive(Debug)]
struct Sizes {
    input: usize,
    output: usize,
}

fn talk(revision: Revision, moods: &[usize], sizes: &Sizes, first: usize, second: usize) {
    let (up, down) = (Pipe::new(moods), Pipe::new(moods));
    let memory = || buffers(sizes.input, 256, sizes.output);
    let connection = memory::client(revision, memory());
    let mut client = Client::new(connection, down.clone(), up.clone());
    let mut server = Server::new(memory::server(revision, memory()), up, down);

    let args = b"\xa1BonXG45678901234567890123456789012345678901234567890123456789012345678901234"
        .as_slice();
    let args = EncodedArgs::from_cbor(args).unwrap();
    let mut calls = client.sender();
    let echo = calls.request(Request::new(b"echo", args), false).unwrap();
    let echo_id = echo.request_id();
    calls.send(echo).unwrap();
    let digest = Request::new(b"digest", EncodedArgs::EMPTY);
    let mut open = Vec::new();
    for len in [first, second] {
        let mut call = calls.request(digest, true).unwrap();
        calls.send(&mut call).unwrap();
        calls.send(call.data(&vec![3; len / 2], false)).unwrap();
        open.push((call, len));
    }
    for (call, len) in &open {
        let rest = vec![3; len - len / 2];
        calls.send(call.data(&rest, true)).unwrap();
        // Nothing follows the end.
        calls.send(call.data(b"late", false)).unwrap();
    }
    calls.flush().unwrap();

    serve(&mut server);
    assert!(client.is_ready().unwrap());
    let mut heard = String::new();
    let mut bodies = [Vec::new(), Vec::new(), Vec::new()];
    let ids = [echo_id, open[0].0.request_id(), open[1].0.request_id()];
    loop {
        let (event, calls) = match client.step() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(Error::Read(ErrorKind::Interrupted)) => continue,
            Err(error) => panic!("{error}"),
        };
        match event {
            Answer::Response {
                request_id,
                data,
                is_last,
                ..
            } => {
                let at = ids.iter().position(|id| *id == request_id).unwrap();
                bodies[at].extend_from_slice(data);
                assert_eq!(is_last, !calls.end().active().any(|id| id == request_id));
            }
            Answer::Text { atoms, .. } => heard += &atoms.to_string(),
            Answer::Progress { progress, .. } => heard += &progress.progress().pos.to_string(),
            Answer::Idle | Answer::SetDecoder { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, "echo\n1");
    assert_eq!(bodies[0], args.as_cbor());
    assert_eq!(bodies[1], (first as u32 * 3).to_be_bytes());
    assert_eq!(bodies[2], (second as u32 * 3).to_be_bytes());
    assert_eq!(client.connection_mut().take_unanswered(), None);
}

#[test]
fn two_connections_talk_in_every_revision() {
    let sizes = Sizes {
        input: 64,
        output: 64,
    };
    for revision in REVISIONS {
        for moods in [&[][..], &[1], &[0, 5, 3], &[0, 0, 30]] {
            talk(revision, moods, &sizes, 999, 7_005);
        }
    }
}

proptest! {
    #[test]
    fn any_reads_and_writes_and_buffers_carry_the_same(
        revision in prop::sample::select(REVISIONS.to_vec()),
        mut moods in prop::collection::vec(prop_oneof![1 => Just(0usize), 4 => 1usize..40], 1..6),
        input in 1usize..100,
        output in 64usize..200,
        lens in any::<[u8; 2]>(),
    ) {
        moods.push(7);
        let [first, second] = lens.map(usize::from);
        talk(revision, &moods, &Sizes { input, output }, first, second);
    }
}

#[test]
fn a_cancelled_call_is_ended_and_its_answer_swallowed() {
    let (up, down) = (Pipe::new(&[]), Pipe::new(&[]));
    let memory = || buffers(64, 256, 64);
    let connection = memory::client(Revision::R0005, memory());
    let mut client = Client::new(connection, down.clone(), up.clone());
    let mut server = Server::new(memory::server(Revision::R0005, memory()), up, down);
    let request = Request::new(b"digest", EncodedArgs::EMPTY);
    let mut call = client.sender().request(request, true).unwrap();
    client.sender().send(&mut call).unwrap();
    let id = call.request_id();
    client.connection_mut().cancel(id).unwrap();
    let again = client.connection_mut().cancel(id);
    assert_eq!(again, Err(ApiMisuse::RequestNotActive));
    client.sender().send(call.data(b"late", false)).unwrap();
    client.sender().flush().unwrap();
    serve(&mut server);
    while let Some((event, _)) = client.step().unwrap() {
        assert!(matches!(event, Answer::Idle), "{event:?}");
    }
}

/// What never takes a byte.
struct Full;

impl ErrorType for Full {
    type Error = ErrorKind;
}

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> Result<usize, ErrorKind> {
        Ok(0)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

pub const HELLO: &[u8] = b"\x0b\0\0\x01\0\x01\x01\x11\xa1DnameDecho";

#[test]
fn a_writer_that_takes_nothing_is_an_error() {
    let connection = memory::server(Revision::R0005, buffers(64, 64, 64));
    let mut server = Server::new(connection, HELLO, Full);
    let Ok(Some((Event::Command(command), mut replies))) = server.step() else {
        panic!();
    };
    replies.send(command.reply.ok(1u8)).unwrap();
    assert_eq!(replies.flush(), Err(Error::WroteNothing));
    assert!(matches!(server.step(), Err(Error::WroteNothing)));
}

/// What fails after so many bytes, once.
#[derive(Debug)]
struct Broken {
    bytes: Vec<u8>,
    left: usize,
}

impl ErrorType for Broken {
    type Error = ErrorKind;
}

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.left == 0 {
            self.left = usize::MAX;
            return Err(ErrorKind::Other);
        }
        let len = bytes.len().min(self.left);
        self.left -= len;
        self.bytes.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What is said after an error waits for the frame that it came in: none is torn.
#[test]
fn an_unfinished_frame_is_not_torn_apart() {
    let input = [HELLO, b"\x0b\0\0\x03\0\x01\0\x11\xa1DnameDecho"].concat();
    let expected = {
        let mut out = Vec::new();
        two_answers(&input, usize::MAX, &mut out);
        out
    };
    for left in 0..expected.len() {
        let mut out = Vec::new();
        two_answers(&input, left, &mut out);
        assert_eq!(out, expected, "failed at {left}");
    }
}

fn two_answers(input: &[u8], left: usize, out: &mut Vec<u8>) {
    let connection = memory::server(Revision::R0005, buffers(200, 64, 64));
    let broken = Broken {
        bytes: Vec::new(),
        left,
    };
    let mut server = Server::new(connection, input, broken);
    loop {
        match server.step() {
            Ok(Some((Event::Command(command), mut replies))) => {
                let mut answer = command.reply.body(&[7; 100]);
                while replies.send(&mut answer).is_err() {}
            }
            Ok(Some((Event::Idle, _))) | Err(Error::Write(ErrorKind::Other)) => {}
            Ok(None) => break,
            other => panic!("{other:?}"),
        }
    }
    *out = server.into_halves().1.bytes;
}

#[test]
fn an_end_inside_a_frame_says_how_much_is_missing() {
    for cut in 0..HELLO.len() {
        let expected = match cut {
            0 => Ok(()),
            1..8 => Err((ProtocolError::ShortHeader, cut, 8 - cut)),
            _ => Err((ProtocolError::ShortPayload, cut - 8, 19 - cut)),
        };
        let connection = memory::server(Revision::R0005, buffers(3, 64, 64));
        let mut server = Driver::new(connection, &HELLO[..cut], Full);
        let end = loop {
            match server.step() {
                Ok(Some((Event::Idle, _))) => {}
                Ok(Some((event, _))) => panic!("{event:?}"),
                Ok(None) => break Ok(()),
                Err(Error::Protocol(error)) => {
                    let server = server.connection().end();
                    break Err((error, server.received() as usize, server.missing() as usize));
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(end, expected, "cut at {cut}");
    }
}

#[test]
fn a_frame_over_the_maximum_is_refused_before_its_payload() {
    let header = b"\x01\0\x01\x01\0\x01\x01\x11";
    let connection = memory::server(Revision::R0005, buffers(64, 64, 64));
    let mut server = Driver::new(connection, &header[..], Full);
    let error = server.step().map(|_| ()).unwrap_err();
    assert_eq!(error, Error::Protocol(ProtocolError::FrameTooLarge));
    let error = server.step().map(|_| ()).unwrap_err();
    assert_eq!(error, Error::Protocol(ProtocolError::FrameTooLarge));
}

#[test]
fn what_was_accepted_is_answered_after_the_peers_error() {
    let input = [HELLO, b"\0\0\0\x03\0\x02\x01\x11"].concat();
    let connection = memory::server(Revision::R0005, buffers(64, 64, 64));
    let output = Pipe::new(&[]);
    let mut server = Driver::new(connection, &input[..], output.clone());
    let Ok(Some((Event::Command(command), _))) = server.step() else {
        panic!();
    };
    let reply = command.reply;
    let error = server.step().map(|_| ()).unwrap_err();
    assert_eq!(error, Error::Protocol(ProtocolError::StreamParity));
    server.sender().send(reply.ok(true)).unwrap();
    server.sender().flush().unwrap();
    assert_eq!(output.bytes.borrow().len(), 20);
}

#[test]
fn serving_with_a_function_ends_with_the_input_or_its_error() {
    let run = |input: &[u8]| {
        let connection = memory::server(Revision::R0005, buffers(64, 64, 64));
        let output = Pipe::new(&[]);
        let mut server = Driver::new(connection, input, output.clone());
        let mut commands = 0;
        let result = server.serve(|event, replies| {
            if let Event::Command(command) = event {
                commands += 1;
                let body = "x".repeat(100);
                return replies.send(command.reply.ok(body.as_str()));
            }
            Ok(())
        });
        (result, commands)
    };
    assert_eq!(run(b"").0, Ok(()));
    // A value must fit a frame.
    assert_eq!(run(HELLO), (Err(Error::Misuse(ApiMisuse::TooLarge)), 1));
}

#[test]
fn the_write_half_is_flushed_only_after_writes() {
    let output = Pipe::new(&[]);
    let connection = memory::server(Revision::R0005, buffers(4, 64, 64));
    let mut server = Driver::new(connection, HELLO, output);
    let mut id = None;
    while let Some((event, mut replies)) = server.step().unwrap() {
        if let Event::Command(command) = event {
            id = Some(command.reply.request_id());
            replies.send(command.reply.ok(1u8)).unwrap();
        }
    }
    assert_eq!(id, Some(RequestId::new(1)));
    assert_eq!(server.halves().1.flushes, 1);
}
