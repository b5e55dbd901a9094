//! The asynchronous driver: however little the halves do at a time, and whenever a future is
//! dropped, the same frames go over.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use hgrpc::Error;
use hgrpc::cbor::{Atom, EncodedArgs, Progress};
use hgrpc::client::{Event as Answered, Request};
use hgrpc::connection::{Drive, Outgoing};
use hgrpc::drive::asynch::Driver;
use hgrpc::server::{Event as Asked, Failure, Reply};
use hgrpc::{ApiMisuse, REVISIONS, Revision};
use proptest::prelude::*;

use crate::blocking::HELLO;
use crate::memory::{self, buffers};
use crate::scripted::{Pipe, Script, in_pieces, run, yield_now};

type Server<R, W> = Driver<memory::Server<Revision>, R, W>;
type Client<R, W> = Driver<memory::Client<Revision>, R, W>;

fn server<R, W>(revision: Revision, input: R, output: W) -> Server<R, W> {
    let connection = memory::server(revision, buffers(24, 2048, 96));
    Driver::new(connection, input, output)
}

fn client<R, W>(revision: Revision, input: R, output: W) -> Client<R, W> {
    let connection = memory::client(revision, buffers(24, 2048, 96));
    Driver::new(connection, input, output)
}

/// A call: an argument, and data.
#[derive(Clone, Debug)]
struct Job {
    argument: Vec<u8>,
    data: Option<Vec<u8>>,
    fails: bool,
}

enum Event {
    Run(Reply, Vec<u8>, Vec<u8>, bool),
    Data(Vec<u8>, bool),
    Other,
}

/// Serves so many calls: gives back the arguments and then the data, with text and progress beside.
async fn serve<C, R: Read, W: Write>(
    driver: &mut Driver<C, R, W>,
    script: &Script,
    mut calls: usize,
) where
    C: for<'a> Drive<Event<'a> = Asked<'a>> + 'static,
    C::Sender: Outgoing<End = hgrpc::server::Server<Revision, memory::Requests>>,
{
    let mut uploads: VecDeque<(Reply, Vec<u8>)> = VecDeque::new();
    while calls > 0 {
        let event = in_pieces!(script, async {
            match driver.step().await {
                Ok(Some((Asked::Command(command), _))) => Event::Run(
                    command.reply,
                    command
                        .name
                        .as_bytes()
                        .unwrap()
                        .chunks()
                        .flatten()
                        .copied()
                        .collect(),
                    command.args.as_cbor().to_vec(),
                    command.data_follows,
                ),
                Ok(Some((Asked::Data { bytes, is_last, .. }, _))) => {
                    Event::Data(bytes.to_vec(), is_last)
                }
                Ok(Some((Asked::Refused(_), _)) | None) => panic!(),
                Ok(Some(_)) => Event::Other,
                Err(_) => panic!(),
            }
        });
        let (reply, body) = match event {
            Event::Run(reply, name, args, has_data) => {
                if name == b"fail" {
                    let mut answer = reply.fail(Failure::command(b"asked to"));
                    in_pieces!(script, driver.sender().send(&mut answer))
                        .ok()
                        .unwrap();
                    calls -= 1;
                    continue;
                }
                if has_data {
                    uploads.push_back((reply, args));
                    continue;
                }
                (reply, args)
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
        let (atoms, progress) = ([Atom::new("text")], Progress::new("topic", 1, 2));
        let mut note = reply.text(&atoms);
        in_pieces!(script, driver.sender().send(&mut note))
            .ok()
            .unwrap();
        let mut note = reply.progress(&progress);
        in_pieces!(script, driver.sender().send(&mut note))
            .ok()
            .unwrap();
        if body.len() % 2 == 0 {
            let mut answer = reply.body(&body);
            in_pieces!(script, driver.sender().send(&mut answer))
                .ok()
                .unwrap();
        } else {
            for piece in body.chunks(50) {
                let mut piece = reply.piece(piece);
                in_pieces!(script, driver.sender().send(&mut piece))
                    .ok()
                    .unwrap();
            }
            let mut end = reply.end();
            in_pieces!(script, driver.sender().send(&mut end))
                .ok()
                .unwrap();
        }
        calls -= 1;
    }
    in_pieces!(script, driver.sender().flush()).ok().unwrap();
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    bytes: Vec<u8>,
    failure: bool,
    beside: usize,
}

/// Makes all calls, and takes their answers.
macro_rules! call_all {
    ($driver:expr, $script:expr, $jobs:expr) => {{
        let driver = $driver;
        let mut done = Vec::new();
        for pair in $jobs.chunks(2) {
            let mut answers = BTreeMap::new();
            for job in pair {
                let name: &[u8] = if job.fails { b"fail" } else { b"echo" };
                let args = encode(&job.argument);
                let args = EncodedArgs::from_cbor(&args).unwrap();
                let request = Request::new(name, args);
                let mut call = driver
                    .sender()
                    .request(request, job.data.is_some())
                    .unwrap();
                answers.insert(call.request_id(), (Answer::default(), false));
                in_pieces!($script, driver.sender().send(&mut call))
                    .ok()
                    .unwrap();
                if let Some(data) = &job.data {
                    let mut data = call.data(data, true);
                    in_pieces!($script, driver.sender().send(&mut data))
                        .ok()
                        .unwrap();
                }
            }
            while answers.values().any(|(_, is_done)| !is_done) {
                in_pieces!($script, async {
                    match driver.step().await {
                        Ok(Some((event, _))) => take(event, &mut answers),
                        _ => panic!(),
                    }
                });
            }
            done.extend(answers.into_values().map(|(answer, _)| answer));
        }
        done
    }};
}

fn take(event: Answered<'_>, answers: &mut BTreeMap<hgrpc::wire::RequestId, (Answer, bool)>) {
    match event {
        Answered::Response {
            request_id,
            status,
            data,
            is_last,
            ..
        } => {
            let (answer, is_done) = answers.get_mut(&request_id).unwrap();
            assert!(!*is_done);
            answer.failure |= matches!(status, Some(hgrpc::cbor::Status::Error(_)));
            answer.bytes.extend(data);
            *is_done = is_last;
        }
        Answered::Failed { request_id, .. } => {
            let (answer, is_done) = answers.get_mut(&request_id).unwrap();
            (answer.failure, *is_done) = (true, true);
        }
        Answered::Text { request_id, .. } | Answered::Progress { request_id, .. } => {
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

fn carries(jobs: &[Job], revision: Revision, io: &[u8], drops: &[u8], room: usize) {
    let (io, drops) = (Script::new(io), Script::new(drops));
    // The client calls before it reads.
    let (there, back) = (Pipe::new(&io, room), Pipe::new(&io, 1 << 20));
    let mut server = server(revision, there.clone(), back.clone());
    let mut client = client(revision, back, there);
    let mut answers = Vec::new();
    run(
        pin!(serve(&mut server, &drops, jobs.len())),
        pin!(async { answers = call_all!(&mut client, &drops, jobs) }),
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

#[test]
fn a_writer_that_takes_nothing_is_an_error_and_no_panic() {
    let mut server = server(Revision::R0005, HELLO, Full);
    let Ok(Some((Asked::Command(command), mut replies))) = now(server.step()) else {
        panic!();
    };
    now(replies.send(command.reply.body(b"x"))).unwrap();
    assert!(matches!(now(replies.flush()), Err(Error::WroteNothing)));
    assert!(matches!(now(server.step()), Err(Error::WroteNothing)));
}

#[test]
fn a_lost_answer_leaves_its_request_open_to_be_taken_over() {
    let script = Script::new(&[0]);
    let output = Pipe::new(&script, 999);
    let mut server = server(Revision::R0005, HELLO, output.clone());
    let Ok(Some((Asked::Command(command), mut replies))) = now(server.step()) else {
        panic!();
    };
    let long = [7; 500];
    // Its first frame is made, then the future waits, and is dropped.
    let future = replies.send(command.reply.body(&long));
    assert!(
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let id = replies.end().active().next().unwrap();
    let reply = replies.end_mut().take_over(id).unwrap();
    *script.0.borrow_mut() = (vec![99], 0);
    now(replies.send(reply.fail(Failure::server(b"given up")))).unwrap();
    now(replies.flush()).unwrap();
    assert_eq!(replies.end().active().next(), None);
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
    let mut server = server(Revision::R0003, HELLO, output.clone());
    let Ok(Some((Asked::Command(command), mut replies))) = now(server.step()) else {
        panic!();
    };
    let text = "x".repeat(100);
    let atoms = [Atom::new(&text)];
    assert!(matches!(
        now(replies.send(command.reply.text(&atoms))),
        Err(Error::Misuse(ApiMisuse::TooLarge))
    ));
    now(replies.send(command.reply.body(&[7; 88 + 87]))).unwrap();
    now(replies.flush()).unwrap();
    let bytes = output.bytes.borrow();
    assert_eq!(bytes.len(), 8 + 88 + 8 + 87);
    assert_eq!((bytes[0], bytes[96]), (88, 87));
}

#[test]
fn serving_with_a_function_waits_in_it() {
    let script = Script::new(&[99]);
    let output = Pipe::new(&script, 9999);
    let mut server = server(Revision::R0005, HELLO, output.clone());
    let served = server.serve(async |event, replies| {
        if let Asked::Command(command) = event {
            yield_now().await;
            replies.send(command.reply.ok(true)).await?;
        }
        Ok(())
    });
    let mut served = pin!(served);
    let mut context = Context::from_waker(Waker::noop());
    assert!(served.as_mut().poll(&mut context).is_pending());
    assert_eq!(served.poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(output.bytes.borrow().len(), 20);
}

#[test]
fn futures_are_send_where_the_halves_are() {
    fn is_send<T: Send>(_: &T) {}
    let mut output = [0; 64];
    let mut server = server(Revision::R0005, HELLO, &mut output[..]);
    is_send(&server);
    is_send(&server.step());
    is_send(&server.sender().flush());
    let mut client = client(Revision::R0005, HELLO, Full);
    is_send(&client);
    is_send(&client.step());
    // Of answers and calls, which take what only a request gives: that it compiles is the test.
    let _ = |server: &mut Server<&[u8], Full>, reply: Reply| {
        is_send(&server.sender().send(reply.piece(b"piece")));
        is_send(&server.sender().send(reply.text(&[])));
        is_send(&server.sender().send(reply.ok(1u8)));
    };
    let _ = |client: &mut Client<&[u8], Full>, mut call: hgrpc::connection::Call<'_>| {
        is_send(&client.sender().send(&mut call));
        is_send(&client.sender().send(call.data(b"data", true)));
    };
}

#[test]
fn what_the_drivers_are_made_of_is_send() {
    fn is_send<T: Send>() {}
    is_send::<memory::Server<hgrpc::R0005>>();
    is_send::<memory::Client<Revision>>();
    is_send::<Reply>();
    is_send::<hgrpc::client::Upload>();
    #[cfg(feature = "link")]
    is_send::<hgrpc::connection::LinkedServer<'static, Revision, memory::Requests>>();
}

#[cfg(feature = "link")]
mod line {
    use hgrpc::connection::{LineEvent, LinkBuffers, LinkedClient, LinkedServer};
    use hgrpc::link::{LinkConfig, LinkError};

    use super::*;

    type Server = LinkedServer<'static, Revision, memory::Requests>;
    type Client = LinkedClient<'static, Revision, memory::Requests>;

    fn link(session: u32) -> (LinkConfig, LinkBuffers<'static>) {
        let packets = LinkBuffers {
            received: vec![0; 64].leak(),
            sent: vec![0; 64].leak(),
        };
        (LinkConfig::new(session).with_patience(0), packets)
    }

    fn server(input: &Pipe, output: &Pipe, session: u32) -> Driver<Server, Pipe, Pipe> {
        let (link, packets) = link(session);
        let connection =
            memory::linked_server(Revision::R0006, buffers(16, 2048, 96), link, packets);
        Driver::new(connection, input.clone(), output.clone())
    }

    fn client(input: &Pipe, output: &Pipe, session: u32) -> Driver<Client, Pipe, Pipe> {
        let (link, packets) = link(session);
        let connection =
            memory::linked_client(Revision::R0006, buffers(16, 2048, 96), link, packets);
        Driver::new(connection, input.clone(), output.clone())
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
            let (mut server, mut client) = (server(&there, &back, 1), client(&back, &there, 77));
            let mut answers = Vec::new();
            run(
                pin!(serve(&mut server, &drops, jobs.len())),
                pin!(async {
                    while !client.connection().is_up() {
                        in_pieces!(&drops, client.step()).unwrap();
                        yield_now().await;
                    }
                    answers = call_all!(&mut client, &drops, &jobs);
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
        let (mut server, mut client) = (server(&there, &back, 1), client(&back, &there, 77));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            // Each in turn, until both are up and nothing is on the line.
            let (mut ups, mut idle) = (0, 0);
            while idle < 8 {
                idle += 1;
                if let Poll::Ready(step) = pin!(server.step()).poll(&mut context) {
                    let event = step.unwrap().unwrap().0;
                    ups += u8::from(matches!(event, Asked::Line(LineEvent::Up)));
                    idle = 0;
                }
                if let Poll::Ready(step) = pin!(client.step()).poll(&mut context) {
                    let event = step.unwrap().unwrap().0;
                    ups += u8::from(matches!(event, Answered::Line(LineEvent::Up)));
                    idle = 0;
                }
            }
            assert_eq!(ups, 2);
            // The request comes, altered.
            let request = Request::new(b"echo", EncodedArgs::EMPTY);
            let call = client.sender().request(request, false).unwrap();
            let id = call.request_id();
            now(client.sender().send(call)).unwrap();
            now(client.sender().flush()).unwrap();
            there.bytes.borrow_mut()[20] ^= 1;
            let lost = loop {
                match now(server.step()).unwrap().unwrap().0 {
                    Asked::Line(LineEvent::Lost(error)) => break error,
                    Asked::Idle | Asked::Line(LineEvent::Console(_)) => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(lost, LinkError::LinkLost);
            // The other end hears of it, and its call has no answer.
            let lost = loop {
                if let Poll::Ready(step) = pin!(server.step()).poll(&mut context) {
                    step.unwrap();
                }
                if let Answered::Line(LineEvent::Lost(error)) =
                    now(client.step()).unwrap().unwrap().0
                {
                    break error;
                }
            };
            assert_eq!(lost, LinkError::LinkLost);
            assert!(!client.connection().is_up());
            let misuse = client
                .sender()
                .request(request, false)
                .map(|call| now(client.sender().send(call)));
            assert_eq!(misuse, Ok(Err(Error::Misuse(ApiMisuse::OutOfOrder))));
            assert_eq!(client.connection_mut().take_unanswered(), Some(id));
        }
    }

    #[test]
    fn a_tick_is_the_owners_between_steps() {
        let io = Script::new(&[0]);
        let pipe = Pipe::new(&io, 99);
        let mut server = server(&pipe, &pipe, 1);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(server.step()).poll(&mut context).is_pending());
        assert!(server.connection_mut().tick());
        *io.0.borrow_mut() = (vec![99], 0);
        assert!(pin!(server.step()).poll(&mut context).is_ready());
    }
}
