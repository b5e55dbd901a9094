//! The blocking driver: any reads and writes, however short, interrupted or failing, carry the same
//! frames.

use embedded_io::{ErrorKind, ErrorType, Write};
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{
    ClientConnection, NextError, ReceiveError, Receiver, SendError, Sender, ServerConnection,
};
use hgrpc::server::{Body, ServerAction, ServerConfig};
use hgrpc::wire::{FrameHeader, OutFrame, RequestId, StreamFlags, StreamId, TypeFlags};
use hgrpc::{ApiMisuse, ProtocolError, R0003, R0005, REVISIONS, Revision};
use proptest::prelude::*;

use crate::pipe::Pipe;

fn frame(id: u16, payload: &[u8]) -> OutFrame<'_> {
    let (flags, kind) = (StreamFlags::BEGIN, TypeFlags::from_bits(1));
    let (id, stream) = (RequestId::new(id), StreamId::new(1));
    let header = FrameHeader::new(payload.len() as u32, id, stream, flags, 1, kind);
    let (a, b) = payload.split_at(payload.len() / 3);
    OutFrame::new(header, [a, &[], b, &[], &[], &[]])
}

type Payloads = Vec<Vec<u8>>;

fn carry<const OUT: usize, const IN: usize>(payloads: &Payloads, moods: &[usize]) {
    let pipe = Pipe::new(moods);
    let mut sender: Sender<_, OUT> = Sender::new(pipe.clone());
    for (id, payload) in payloads.iter().enumerate() {
        let frame = frame(id as u16, payload);
        while let Err(error) = sender.send(&frame) {
            assert_eq!(error, SendError::Io(ErrorKind::Interrupted));
            assert!(sender.is_unfinished());
        }
    }
    while sender.flush().is_err() {}
    let expected: Vec<u8> = payloads
        .iter()
        .enumerate()
        .flat_map(|(id, p)| frame(id as u16, p).as_slices().concat())
        .collect();
    assert!(pipe.bytes.borrow().iter().eq(&expected), "{moods:?}");

    let mut receiver: Receiver<_, IN> = Receiver::new(pipe, 0x00ff_ffff);
    let mut received: Payloads = Vec::new();
    loop {
        match receiver.next_part() {
            Ok(Some(part)) => {
                let length = part.header.length() as usize;
                assert!(
                    length + 8 > IN || (part.is_first && part.is_last),
                    "a frame that fits comes whole"
                );
                if part.is_first {
                    assert_eq!(
                        usize::from(part.header.request_id().value()),
                        received.len()
                    );
                    received.push(Vec::new());
                }
                received.last_mut().unwrap().extend_from_slice(part.bytes);
                assert_eq!(part.is_last, received.last().unwrap().len() == length);
            }
            Ok(None) => break,
            Err(error) => assert_eq!(error, ReceiveError::Io(ErrorKind::Interrupted)),
        }
    }
    assert_eq!(&received, payloads);
}

proptest! {
    #[test]
    fn any_reads_and_writes_carry_the_same_frames(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..12),
        mut moods in prop::collection::vec(prop_oneof![1 => Just(0usize), 4 => 1usize..40], 1..6),
    ) {
        moods.push(7);
        carry::<0, 8>(&payloads, &moods);
        carry::<1, 9>(&payloads, &moods);
        carry::<20, 64>(&payloads, &moods);
        carry::<64, 16>(&payloads, &moods);
        carry::<512, 512>(&payloads, &moods);
    }
}

#[test]
fn small_frames_are_joined() {
    let mut sender: Sender<_, 64> = Sender::new(Pipe::new(&[]));
    for id in 0..4 {
        sender.send(&frame(id, b"12345678")).unwrap();
    }
    assert_eq!(sender.io_mut().writes, 0);
    sender.flush().unwrap();
    assert_eq!(sender.io_mut().writes, 1);
    sender.send(&frame(5, &[0; 3000])).unwrap();
    sender.flush().unwrap();
    // The buffer with the frame's beginning, what is left of the first slice, the second slice.
    assert_eq!(sender.io_mut().writes, 4);
}

#[test]
fn an_unfinished_frame_is_not_torn_apart() {
    let mut sender: Sender<_, 0> = Sender::new(Pipe::new(&[3, 0]));
    let (first, second) = (frame(1, b"payload"), frame(3, b"payload"));
    assert!(sender.send(&first).is_err());
    assert_eq!(
        sender.send(&second),
        Err(SendError::Misuse(ApiMisuse::OutOfOrder))
    );
    while sender.send(&first).is_err() {}
    while sender.send(&second).is_err() {}
    let expected = [first.as_slices().concat(), second.as_slices().concat()].concat();
    assert!(sender.io_mut().bytes.borrow().iter().eq(&expected));
}

#[test]
fn a_writer_that_takes_nothing_is_an_error() {
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
    let mut sender: Sender<_, 16> = Sender::new(Full);
    let payload = [0; 100];
    assert_eq!(
        sender.send(&frame(1, &payload)),
        Err(SendError::WroteNothing)
    );
}

#[test]
fn an_end_inside_a_frame_says_how_much_is_missing() {
    let bytes = frame(1, &[7; 30]).as_slices().concat();
    for (buffered, cut) in (0..bytes.len()).flat_map(|cut| [(false, cut), (true, cut)]) {
        let expected = match cut {
            0 => Ok(()),
            1..8 => Err((ProtocolError::ShortHeader, cut, 8 - cut)),
            _ => Err((ProtocolError::ShortPayload, cut - 8, 38 - cut)),
        };
        let expected = expected.map_err(|(error, received, missing)| ReceiveError::Truncated {
            error,
            received: received as u32,
            missing: missing as u32,
        });
        let end = if buffered {
            drain(&mut Receiver::<_, 64>::new(&bytes[..cut], 100))
        } else {
            drain(&mut Receiver::<_, 16>::new(&bytes[..cut], 100))
        };
        assert_eq!(end, expected, "cut at {cut}");
    }
}

fn drain<const N: usize>(
    receiver: &mut Receiver<&[u8], N>,
) -> Result<(), ReceiveError<core::convert::Infallible>> {
    while receiver.next_part()?.is_some() {}
    Ok(())
}

#[test]
fn a_frame_over_the_maximum_is_refused_before_its_payload() {
    let bytes = frame(1, &[7; 30]).as_slices().concat();
    let mut receiver: Receiver<_, 64> = Receiver::new(&bytes[..8], 29);
    for _ in 0..2 {
        let error = ReceiveError::Protocol(ProtocolError::FrameTooLarge);
        assert_eq!(receiver.next_part().unwrap_err(), error);
    }
}

/// A device's main loop: echo while the arguments are borrowed, text and progress beside it, a
/// digest of streamed data.
fn serve(connection: &mut ServerConnection<Pipe, Pipe, 4, 256>) {
    let mut digests: Vec<(hgrpc::server::Responder, u32)> = Vec::new();
    loop {
        let (action, replies) = match connection.next_action() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(NextError::Receive(ReceiveError::Io(ErrorKind::Interrupted))) => continue,
            Err(error) => panic!("{error}"),
        };
        match action {
            ServerAction::RunCommand(command) if command.data_follows => {
                digests.push((command.responder, 0));
            }
            ServerAction::RunCommand(command) => {
                let text = [Atom::new("echo\n")];
                replies.text_output(&command.responder, &text).unwrap();
                let update = Progress::new("echo", 1, 1);
                replies.progress(&command.responder, &update).unwrap();
                let body = Body::Bytes(command.args.as_cbor());
                replies.respond(command.responder, body).unwrap();
            }
            ServerAction::CommandData {
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
                    let (responder, sum) = digests.remove(at);
                    let mut writer = replies.begin(responder).unwrap();
                    replies.write(&mut writer, &sum.to_be_bytes()).unwrap();
                    replies.finish(writer).unwrap();
                }
            }
            ServerAction::RejectRequest(rejection) => replies.reject(rejection).unwrap(),
            _ => {}
        }
    }
    assert_eq!(connection.receiving().count(), 0);
}

#[test]
fn two_connections_talk_in_every_revision() {
    for revision in REVISIONS {
        for moods in [&[][..], &[1], &[0, 5, 3], &[0, 0, 30]] {
            talk(revision, moods);
        }
    }
}

fn talk(revision: Revision, moods: &[usize]) {
    let (up, down) = (Pipe::new(moods), Pipe::new(moods));
    let mut client: ClientConnection<_, _, 4, 256> = ClientConnection::new(
        down.clone(),
        up.clone(),
        revision,
        ClientConfig::FULL_DUPLEX,
    );
    let mut server = ServerConnection::new(up, down, revision, ServerConfig::STREAMING);

    let args = EncodedArgs::from_cbor(
        b"\xa1BonXG4567890123456789012345678901234567890123456789012345678901234567890",
    )
    .ok();
    let args = args.unwrap_or(EncodedArgs::EMPTY);
    let calls = client.calls();
    let echo = calls.call(Request::new(b"echo", args)).unwrap();
    let known = Request::new(b"digest", EncodedArgs::EMPTY).with_data(CallData::Bytes(&[3; 999]));
    let known = calls.call(known).unwrap();
    let streamed = Request::new(b"digest", EncodedArgs::EMPTY).with_data(CallData::Stream);
    assert_eq!(
        calls.call(streamed),
        Err(SendError::Misuse(ApiMisuse::OutOfOrder))
    );
    let mut call = calls.open(streamed).unwrap();
    assert!(calls.send_data(&mut call, &[1; 70_000], false).unwrap());
    assert!(!calls.send_data(&mut call, &[1; 5], true).unwrap());
    calls.flush().unwrap();
    let streamed = call.request_id();

    serve(&mut server);
    assert!(client.is_ready().unwrap());
    let mut heard = String::new();
    let mut bodies = [Vec::new(), Vec::new(), Vec::new()];
    loop {
        let (action, calls) = match client.next_action() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(NextError::Receive(ReceiveError::Io(ErrorKind::Interrupted))) => continue,
            Err(error) => panic!("{error}"),
        };
        match action {
            ClientAction::ResponseData {
                request_id,
                data,
                eos,
                ..
            } => {
                let ids = [echo, known, streamed];
                let at = ids.iter().position(|id| *id == request_id).unwrap();
                bodies[at].extend_from_slice(data);
                assert_eq!(eos, !calls.active().any(|id| id == request_id));
            }
            ClientAction::TextOutput { atoms, .. } => heard += &atoms.to_string(),
            ClientAction::Progress { progress, .. } => {
                heard += &progress.progress().pos.to_string()
            }
            _ => {}
        }
    }
    assert_eq!(heard, "echo\n1");
    assert_eq!(bodies[0], args.as_cbor());
    assert_eq!(bodies[1], (999u32 * 3).to_be_bytes());
    assert_eq!(bodies[2], 70_005u32.to_be_bytes());
    assert_eq!(client.take_unanswered(), None);
}

#[test]
fn a_cancelled_call_is_ended_and_its_answer_swallowed() {
    let (up, down) = (Pipe::new(&[]), Pipe::new(&[]));
    let mut client: ClientConnection<_, _, 4, 256> = ClientConnection::new(
        down.clone(),
        up.clone(),
        Revision::R0005,
        ClientConfig::FULL_DUPLEX,
    );
    let mut server = ServerConnection::new(up, down, Revision::R0005, ServerConfig::STREAMING);
    let request = Request::new(b"digest", EncodedArgs::EMPTY).with_data(CallData::Stream);
    let mut call = client.calls().open(request).unwrap();
    client.cancel(call.request_id()).unwrap();
    assert_eq!(
        client.cancel(call.request_id()),
        Err(ApiMisuse::RequestNotActive)
    );
    assert!(!client.calls().send_data(&mut call, b"late", false).unwrap());
    client.calls().flush().unwrap();
    serve(&mut server);
    while let Some((action, _)) = client.next_action().unwrap() {
        assert!(matches!(action, ClientAction::Noop), "{action:?}");
    }
}

// A connection of const halves fits in a `static`, and says how large it is.
type Device = ServerConnection<&'static [u8], &'static [u8], 4, 256, 64, 64, R0005>;
const _: () = assert!(Device::SIZE < 1_024);
const IDLE: ServerConnection<(), (), 2, 128, 32, 0, R0003> =
    ServerConnection::new((), (), R0003, ServerConfig::STREAMING);
static STATIC: std::sync::Mutex<ServerConnection<(), (), 2, 128, 32, 0, R0003>> =
    std::sync::Mutex::new(IDLE);

#[test]
fn a_static_connection_is_idle() {
    let state = STATIC.lock().unwrap().server().state();
    assert_eq!(state, hgrpc::server::ServerState::Idle);
}
