//! The asynchronous driver: however little the halves do at a time, and whenever a future is
//! dropped, the same frames go over.
#![cfg(feature = "embedded-io-async-v0_7")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

#[path = "kit/scripted.rs"]
mod scripted;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{CallData, ClientAction, ClientConfig, Request};
use hgrpc::io::asynch::{ClientConnection, NextError, SendError, ServerConnection};
use hgrpc::server::{Body, Failure, Responder, ServerAction, ServerConfig};
use hgrpc::{ApiMisuse, REVISIONS, Revision};
use proptest::prelude::*;
use scripted::{Pipe, Script, in_pieces, run};

type Server<R, W> = ServerConnection<R, W, 4, 2048, 24, 96>;
type Client<R, W> = ClientConnection<R, W, 4, 2048, 24, 96>;

/// A call: an argument, and data.
#[derive(Clone, Debug)]
struct Job {
    argument: Vec<u8>,
    data: Option<Vec<u8>>,
    fails: bool,
}

enum Event {
    Run(Responder, Vec<u8>, Vec<u8>, bool),
    Data(Vec<u8>, bool),
    Other,
}

/// Serves so many calls: gives back the arguments and then the data, with text and progress beside.
async fn serve<R: Read, W: Write>(
    connection: &mut Server<R, W>,
    script: &Script,
    mut calls: usize,
) {
    let mut uploads: VecDeque<(Responder, Vec<u8>)> = VecDeque::new();
    while calls > 0 {
        let event = in_pieces!(script, async {
            match connection.next_action().await {
                Ok(Some((ServerAction::RunCommand(command), _))) => Event::Run(
                    command.responder,
                    command.name.chunks().flatten().copied().collect(),
                    command.args.as_cbor().to_vec(),
                    command.data_follows,
                ),
                Ok(Some((ServerAction::CommandData { bytes, is_last, .. }, _))) => {
                    Event::Data(bytes.to_vec(), is_last)
                }
                Ok(Some((ServerAction::RejectRequest(_), _)) | None) => panic!(),
                Ok(Some(_)) => Event::Other,
                Err(_) => panic!(),
            }
        });
        let (responder, body) = match event {
            Event::Run(responder, name, args, has_data) => {
                if name == b"fail" {
                    let failure = Failure::command(b"asked to");
                    let body = Body::Failure(failure);
                    let mut answer = connection.replies().answer(responder, body).unwrap();
                    in_pieces!(script, connection.replies().send(&mut answer))
                        .ok()
                        .unwrap();
                    calls -= 1;
                    continue;
                }
                if has_data {
                    uploads.push_back((responder, args));
                    continue;
                }
                (responder, args)
            }
            Event::Data(bytes, is_last) => {
                let (_, body) = uploads.front_mut().unwrap();
                body.extend(bytes);
                if !is_last {
                    continue;
                }
                uploads.pop_front().unwrap()
            }
            Event::Other => continue,
        };
        let replies = connection.replies();
        let (atom, progress) = (Atom::new("text"), Progress::new("topic", 1, 2));
        let beside = in_pieces!(script, replies.text_output(&responder, &[atom]));
        beside.ok().unwrap();
        let beside = in_pieces!(script, replies.progress(&responder, &progress));
        beside.ok().unwrap();
        if body.len() % 2 == 0 {
            let mut answer = replies.answer(responder, Body::Cbor(&body)).unwrap();
            in_pieces!(script, replies.send(&mut answer)).ok().unwrap();
        } else {
            let mut writer = replies.begin(responder).unwrap();
            for piece in body.chunks(50) {
                in_pieces!(script, replies.write(&mut writer, piece))
                    .ok()
                    .unwrap();
            }
            in_pieces!(script, replies.finish(&mut writer))
                .ok()
                .unwrap();
        }
        calls -= 1;
    }
    in_pieces!(script, connection.replies().flush())
        .ok()
        .unwrap();
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    bytes: Vec<u8>,
    failure: bool,
    beside: usize,
}

/// Makes all calls, and takes their answers.
async fn call_all<R: Read, W: Write>(
    connection: &mut Client<R, W>,
    script: &Script,
    jobs: &[Job],
) -> Vec<Answer> {
    let mut done = Vec::new();
    for pair in jobs.chunks(2) {
        let mut answers = BTreeMap::new();
        for job in pair {
            let name: &[u8] = if job.fails { b"fail" } else { b"echo" };
            let args = encode(&job.argument);
            let args = EncodedArgs::from_cbor(&args).unwrap();
            let data = match job.data {
                Some(_) => CallData::Stream,
                None => CallData::None,
            };
            let request = Request::new(name, args).with_data(data);
            let mut call = connection.calls().begin(request).unwrap();
            answers.insert(call.request_id(), (Answer::default(), false));
            in_pieces!(script, connection.calls().send(&mut call))
                .ok()
                .unwrap();
            if let Some(data) = &job.data {
                let mut rest = data.as_slice();
                let sent = in_pieces!(
                    script,
                    connection.calls().send_data(&mut call, &mut rest, true)
                );
                assert!(!sent.ok().unwrap() && rest.is_empty());
            }
        }
        while answers.values().any(|(_, is_done)| !is_done) {
            in_pieces!(script, async {
                match connection.next_action().await {
                    Ok(Some((action, _))) => take(action, &mut answers),
                    _ => panic!(),
                }
            });
        }
        done.extend(answers.into_values().map(|(answer, _)| answer));
    }
    done
}

fn take(action: ClientAction<'_>, answers: &mut BTreeMap<hgrpc::wire::RequestId, (Answer, bool)>) {
    match action {
        ClientAction::ResponseData {
            request_id,
            status,
            data,
            eos,
            ..
        } => {
            let (answer, is_done) = answers.get_mut(&request_id).unwrap();
            assert!(!*is_done);
            answer.failure |= matches!(status, Some(hgrpc::cbor::Status::Error(_)));
            answer.bytes.extend(data);
            *is_done = eos;
        }
        ClientAction::ErrorResponse { request_id, .. } => {
            let (answer, is_done) = answers.get_mut(&request_id).unwrap();
            (answer.failure, *is_done) = (true, true);
        }
        ClientAction::TextOutput { request_id, .. } | ClientAction::Progress { request_id, .. } => {
            answers.get_mut(&request_id).unwrap().0.beside += 1;
        }
        _ => {}
    }
}

/// An argument map of one byte string.
fn encode(argument: &[u8]) -> Vec<u8> {
    let len = u16::try_from(argument.len()).unwrap().to_be_bytes();
    [b"\xa1Aa\x59", len.as_slice(), argument].concat()
}

fn expected(job: &Job) -> Answer {
    if job.fails {
        return Answer {
            failure: true,
            ..Answer::default()
        };
    }
    Answer {
        bytes: [encode(&job.argument), job.data.clone().unwrap_or_default()].concat(),
        failure: false,
        beside: 2,
    }
}

fn configs() -> (ServerConfig, ClientConfig) {
    let mut server = ServerConfig::STREAMING;
    server.always_side_frames = true;
    (server, ClientConfig::FULL_DUPLEX)
}

fn carries(jobs: &[Job], revision: Revision, io: &[u8], drops: &[u8], room: usize) {
    let (io, drops) = (Script::new(io), Script::new(drops));
    // The client calls before it reads.
    let (there, back) = (Pipe::new(&io, room), Pipe::new(&io, 1 << 20));
    let (server_config, client_config) = configs();
    let mut server = Server::new(there.clone(), back.clone(), revision, server_config);
    let mut client = Client::new(back, there, revision, client_config);
    let mut answers = Vec::new();
    run(
        pin!(serve(&mut server, &drops, jobs.len())),
        pin!(async { answers = call_all(&mut client, &drops, jobs).await }),
    );
    // What went with a call that failed is not wanted.
    let expected: Vec<_> = jobs.iter().map(expected).collect();
    assert_eq!(answers, expected);
}

fn job() -> impl Strategy<Value = Job> {
    let bytes = |most: usize| prop::collection::vec(any::<u8>(), 0..most);
    let data = prop_oneof![Just(None), bytes(700).prop_map(Some)];
    (bytes(400), data, 0..5u8).prop_map(|(argument, data, kind)| {
        let fails = kind == 0;
        let data = data.filter(|_| !fails);
        Job {
            argument,
            data,
            fails,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn dropped_futures_lose_nothing(
        jobs in prop::collection::vec(job(), 1..6),
        revision in prop::sample::select(REVISIONS.to_vec()),
        mut io in prop::collection::vec(0u8..9, 1..30),
        drops in prop::collection::vec(any::<u8>(), 0..30),
        room in 1usize..200,
    ) {
        io.push(1);
        carries(&jobs, revision, &io, &drops, room);
    }
}

#[test]
fn whatever_is_moved_at_a_time() {
    let jobs: Vec<Job> = [(3, None), (300, Some(500)), (0, Some(0)), (1, Some(1))]
        .into_iter()
        .map(|(argument, data)| Job {
            argument: vec![7; argument],
            data: data.map(|len| vec![9; len]),
            fails: false,
        })
        .collect();
    for revision in REVISIONS {
        for piece in 1..=100 {
            carries(&jobs, revision, &[piece], &[1], 128);
            carries(&jobs, revision, &[0, piece], &[0], 128);
        }
    }
}

/// What never takes a byte.
struct Full;

impl ErrorType for Full {
    type Error = Infallible;
}

impl Write for Full {
    async fn write(&mut self, _: &[u8]) -> Result<usize, Infallible> {
        Ok(0)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

const HELLO: &[u8] = b"\x0b\0\0\x01\0\x01\x01\x11\xa1DnameDecho";

#[test]
fn a_writer_that_takes_nothing_is_an_error_and_no_panic() {
    let mut server = Server::new(HELLO, Full, Revision::R0005, ServerConfig::STREAMING);
    let Ok(Some((ServerAction::RunCommand(command), replies))) = now(server.next_action()) else {
        panic!();
    };
    now(replies.respond(command.responder, Body::Bytes(b"x"))).unwrap();
    assert!(matches!(now(replies.flush()), Err(SendError::WroteNothing)));
    assert!(matches!(
        now(server.next_action()),
        Err(NextError::Send(SendError::WroteNothing))
    ));
}

#[test]
fn a_lost_answer_leaves_its_request_open_to_be_taken_over() {
    let script = Script::new(&[0]);
    let output = Pipe::new(&script, 999);
    let mut server = Server::new(
        HELLO,
        output.clone(),
        Revision::R0005,
        ServerConfig::STREAMING,
    );
    let Ok(Some((ServerAction::RunCommand(command), replies))) = now(server.next_action()) else {
        panic!();
    };
    let long = [7; 500];
    // Its first frame is taken, then the future waits, and is dropped.
    let future = replies.respond(command.responder, Body::Bytes(&long));
    assert!(
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let id = replies.active().next().unwrap();
    let responder = replies.take_over(id).unwrap();
    *script.0.borrow_mut() = (vec![99], 0);
    let failure = Failure::server(b"given up");
    now(replies.respond(responder, Body::Failure(failure))).unwrap();
    now(replies.flush()).unwrap();
    assert_eq!(replies.active().next(), None);
    // Whole frames: the status, and the error.
    let mut bytes = output.bytes.borrow().iter().copied().collect::<Vec<u8>>();
    let mut kinds = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
        kinds.push(bytes[7] >> 4);
        bytes.drain(..8 + length);
    }
    assert_eq!(kinds, [3, 5]);
}

#[test]
fn frames_are_as_large_as_the_buffer() {
    let output = Pipe::new(&Script::new(&[99]), 9999);
    let mut server = Server::new(
        HELLO,
        output.clone(),
        Revision::R0003,
        ServerConfig::STREAMING,
    );
    let Ok(Some((ServerAction::RunCommand(command), replies))) = now(server.next_action()) else {
        panic!();
    };
    let text = "x".repeat(100);
    let atom = Atom::new(&text);
    assert!(matches!(
        now(replies.text_output(&command.responder, &[atom])),
        Err(SendError::Misuse(ApiMisuse::TooLarge))
    ));
    now(replies.respond(command.responder, Body::Bytes(&[7; 88 + 87]))).unwrap();
    now(replies.flush()).unwrap();
    let bytes = output.bytes.borrow();
    assert_eq!(bytes.len(), 8 + 88 + 8 + 87);
    assert_eq!((bytes[0], bytes[96]), (88, 87));
}

#[test]
fn futures_are_send_where_the_halves_are() {
    fn is_send<T: Send>(_: &T) {}
    let mut output = [0; 64];
    let mut server = Server::new(
        HELLO,
        &mut output[..],
        Revision::R0005,
        ServerConfig::STREAMING,
    );
    is_send(&server);
    is_send(&server.next_action());
    is_send(&server.replies().flush());
    let mut client = Client::new(HELLO, Full, Revision::R0005, ClientConfig::FULL_DUPLEX);
    is_send(&client);
    is_send(&client.next_action());
    // Of answers and calls, which take what only a request gives: that it compiles is the test.
    let _ = |replies: &mut ServerHalf<'_>,
             responder,
             mut writer,
             mut answer: hgrpc::server::Answer<'_>| {
        is_send(&replies.send(&mut answer));
        is_send(&replies.write(&mut writer, b"piece"));
        is_send(&replies.finish(&mut writer));
        is_send(&replies.fail(&mut writer, &mut Failure::command(b"no")));
        is_send(&replies.text_output(&responder, &[]));
        is_send(&replies.respond(responder, Body::Bytes(b"")));
    };
    let _ = |calls: &mut ClientHalf, mut call: hgrpc::client::Call<'_>, mut data: &[u8]| {
        is_send(&calls.send(&mut call));
        is_send(&calls.send_data(&mut call, &mut data, true));
        is_send(&calls.call(Request::new(b"c", EncodedArgs::EMPTY)));
    };
}

type ServerHalf<'a> = hgrpc::io::asynch::Replies<&'a mut [u8], 4, 96>;
type ClientHalf = hgrpc::io::asynch::Calls<Full, 4, 96>;

#[test]
fn what_the_drivers_are_made_of_is_send() {
    fn is_send<T: Send>() {}
    is_send::<hgrpc::server::Server<hgrpc::R0005>>();
    is_send::<hgrpc::client::Client>();
    is_send::<hgrpc::store::FixedStore<4, 256>>();
    is_send::<hgrpc::wire::FrameReader>();
    is_send::<Responder>();
    is_send::<hgrpc::server::ResponseWriter>();
    #[cfg(feature = "link")]
    is_send::<hgrpc::link::Link>();
}

#[cfg(feature = "link")]
mod line {
    use hgrpc::io::asynch::{LineError, LinkedLine, ReceiveError};
    use hgrpc::link::{LinkConfig, LinkError};

    use super::*;

    type Line<C> = LinkedLine<Pipe, Pipe, C, 64, 16>;

    fn line(input: &Pipe, output: &Pipe, session: u32) -> Line<impl FnMut(&[u8])> {
        let mut config = LinkConfig::new(session);
        config.patience = 0;
        LinkedLine::new(input.clone(), output.clone(), |_: &[u8]| {}, config)
    }

    async fn connected<C: FnMut(&[u8])>(
        line: &Line<C>,
    ) -> (
        impl Read<Error = LineError<Infallible, Infallible>>,
        impl Write<Error = LineError<Infallible, Infallible>>,
    ) {
        line.connect().await.unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn dropped_futures_lose_nothing_over_a_line(
            jobs in prop::collection::vec(job(), 1..5),
            mut io in prop::collection::vec(0u8..40, 1..30),
            drops in prop::collection::vec(any::<u8>(), 0..30),
            room in 1usize..200,
        ) {
            io.push(1);
            let (io, drops) = (Script::new(&io), Script::new(&drops));
            let (there, back) = (Pipe::new(&io, room), Pipe::new(&io, 1 << 20));
            let (server_line, client_line) = (line(&there, &back, 1), line(&back, &there, 77));
            let (server_config, client_config) = configs();
            let mut answers = Vec::new();
            run(
                pin!(async {
                    let (input, output) = connected(&server_line).await;
                    let mut server = Server::new(input, output, Revision::R0006, server_config);
                    serve(&mut server, &drops, jobs.len()).await;
                }),
                pin!(async {
                    let (input, output) = connected(&client_line).await;
                    let mut client = Client::new(input, output, Revision::R0006, client_config);
                    answers = call_all(&mut client, &drops, &jobs).await;
                }),
            );
            let expected: Vec<_> = jobs.iter().map(expected).collect();
            prop_assert_eq!(answers, expected);
        }
    }

    #[test]
    fn a_loss_is_told_and_the_next_connection_begins() {
        let io = Script::new(&[99]);
        let (there, back) = (Pipe::new(&io, 999), Pipe::new(&io, 999));
        let (device, mut host) = (line(&there, &back, 1), line(&back, &there, 77));
        for _ in 0..3 {
            let (mut ends, mut others) = (None, None);
            run(
                pin!(async { ends = Some(device.connect().await.unwrap()) }),
                pin!(async { others = Some(host.connect().await.unwrap()) }),
            );
            let ((input, output), (_, mut to)) = (ends.unwrap(), others.unwrap());
            let mut server = Server::new(input, output, Revision::R0005, ServerConfig::STREAMING);
            // The request comes, altered.
            now(to.write(HELLO)).unwrap();
            now(to.flush()).unwrap();
            there.bytes.borrow_mut()[20] ^= 1;
            let lost = loop {
                match now(server.next_action()) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(
                lost,
                NextError::Receive(ReceiveError::Io(LineError::Link(LinkError::LinkLost)))
            );
            assert!(host.tick() && host.link().is_up());
        }
    }

    #[test]
    fn one_future_at_a_time() {
        let io = Script::new(&[0]);
        let pipe = Pipe::new(&io, 99);
        let line = line(&pipe, &pipe, 1);
        let mut waiting = pin!(line.connect());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(!line.tick());
        assert!(matches!(now(line.connect()), Err(LineError::InUse)));
    }
}
