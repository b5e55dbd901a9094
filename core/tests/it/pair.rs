//! The reactors against each other, in all revisions, over every split: what one sends the other
//! understands.

use std::collections::VecDeque;

use hgrpc::cbor::{Atom, Pieces, Progress, STATUS_OK, Status, Value};
use hgrpc::client::{self, Client, ClientConfig, Request, Upload};
use hgrpc::connection::{Frames, HeldBack};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{self, DataMode, Failure, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::wire::{HEADER_LEN, RequestId};
use hgrpc::{REVISIONS, Revision};
use proptest::prelude::*;

use crate::script::{args, chunks, encoded};

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Echo of the argument and the data, as a whole.
    Whole,
    /// The same as one encoded value.
    Object,
    /// The same, written in pieces of this many bytes.
    Written(usize),
    /// The same, then a failure.
    Broken(usize),
    CommandFailure,
    ServerFailure,
}

#[derive(Clone, Debug)]
struct Spec {
    value: Vec<u8>,
    data: Option<Vec<u8>>,
    /// Data is handed in, not known.
    streams: bool,
    kind: Kind,
    /// Text and progress beside the answer.
    talks: bool,
}

#[derive(Clone, Debug)]
struct Scenario {
    revision: Revision,
    specs: Vec<Spec>,
    client_frame: u32,
    server_frame: u32,
    /// Bytes of the output buffer beyond what is needed.
    spare: usize,
    buffered: bool,
    takes_status: bool,
    streaming: bool,
    deferred: bool,
    /// Whose turn it is to send a frame.
    turns: Vec<usize>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let kind = prop_oneof![
        2 => Just(Kind::Whole),
        2 => Just(Kind::Object),
        2 => (1usize..50).prop_map(Kind::Written),
        1 => (1usize..50).prop_map(Kind::Broken),
        1 => Just(Kind::CommandFailure),
        1 => Just(Kind::ServerFailure),
    ];
    let spec = (
        bytes(80),
        prop::option::of(bytes(200)),
        any::<bool>(),
        kind,
        any::<bool>(),
    )
        .prop_map(|(value, data, streams, kind, talks)| Spec {
            value,
            data,
            streams,
            kind,
            talks,
        });
    (
        prop::sample::select(REVISIONS.to_vec()),
        prop::collection::vec(spec, 1..6),
        prop_oneof![1u32..40, Just(0x8000)],
        prop_oneof![80u32..120, Just(0x8000)],
        prop_oneof![Just(0usize), 1usize..64],
        any::<[bool; 4]>(),
        prop::collection::vec(0usize..8, 1..12),
    )
        .prop_map(
            |(revision, specs, client_frame, server_frame, spare, flags, turns)| {
                let [buffered, takes_status, streaming, deferred] = flags;
                Scenario {
                    revision,
                    specs,
                    client_frame,
                    server_frame,
                    spare,
                    buffered,
                    takes_status,
                    streaming,
                    deferred,
                    turns,
                }
            },
        )
}

type Host = Client<Revision, FixedRequests<8>>;
type Device = Server<Revision, FixedRequests<8>>;

/// Bytes of memory of each.
const MEMORY: usize = 8192;

/// What the server saw of a request.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    name: Vec<u8>,
    value: Vec<u8>,
    data: Option<Vec<u8>>,
    is_whole: bool,
}

/// What the client heard of a request.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    status: Option<String>,
    data: Vec<u8>,
    error: Option<String>,
    text: String,
    positions: Vec<i64>,
    has_ended: bool,
}

/// A call that is sent.
struct Call<'a> {
    upload: Upload,
    request: Request<'a>,
    /// Data that is handed in piece by piece, or known.
    data: Option<&'a [u8]>,
    streams: bool,
    is_requested: bool,
    is_over: bool,
}

impl Call<'_> {
    /// Makes the next frame. Pieces that are handed in are at most so long.
    fn step(&mut self, client: &mut Host, most: usize, out: &mut Output<'_>, bytes: &mut Vec<u8>) {
        let is_done = match &mut self.data {
            _ if !self.is_requested => client.send(&self.upload, &self.request, out),
            Some(data) if self.streams => {
                let (mut piece, rest) = data.split_at(most.min(data.len()));
                *data = rest;
                let is_last = data.is_empty();
                loop {
                    let is_taken = client
                        .send_data(&self.upload, &mut piece, is_last, out)
                        .unwrap();
                    bytes.extend_from_slice(out.frame());
                    if is_taken {
                        break;
                    }
                }
                self.is_over = is_last;
                return;
            }
            Some(data) => client.send_data(&self.upload, data, true, out),
            None => Ok(true),
        }
        .unwrap();
        bytes.extend_from_slice(out.frame());
        self.is_over = is_done && (self.is_requested || self.data.is_none());
        self.is_requested |= is_done;
    }
}

/// The bytes of all calls, in frames whose order the turns decide.
fn send_calls(scenario: &Scenario, client: &mut Host) -> Vec<u8> {
    let encodings: Vec<Vec<u8>> = scenario
        .specs
        .iter()
        .map(|spec| {
            let mut buffer = Vec::new();
            args(&spec.value, &mut buffer);
            buffer
        })
        .collect();
    let mut bytes = Vec::new();
    let mut calls = Vec::new();
    for (spec, encoding) in scenario.specs.iter().zip(&encodings) {
        calls.push(Call {
            upload: client.request(spec.data.is_some()).unwrap().0,
            request: Request::new(b"echo", encoded(encoding)),
            data: spec.data.as_deref(),
            streams: spec.streams && !scenario.buffered,
            is_requested: false,
            is_over: false,
        });
    }
    let _ = client.flush().unwrap();
    let mut buffer = vec![0; HEADER_LEN + scenario.client_frame as usize + scenario.spare];
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    let most = scenario.client_frame.min(70) as usize;
    for turn in scenario.turns.iter().cycle() {
        if calls.is_empty() {
            break;
        }
        // What waits for a flush goes in the order of the calls.
        let at = if scenario.buffered {
            0
        } else {
            turn % calls.len()
        };
        calls[at].step(client, most, &mut out, &mut bytes);
        if calls[at].is_over {
            calls.remove(at);
        }
    }
    bytes
}

/// An answer that is made.
struct Source<'a> {
    reply: Reply,
    pieces: VecDeque<&'a [u8]>,
    /// The last piece ends the response.
    is_whole: bool,
    failure: Option<Failure<'static>>,
}

impl Source<'_> {
    /// Makes the next frame; whether it was the last.
    fn step(&mut self, server: &mut Device, out: &mut Output<'_>) -> bool {
        let is_last = self.is_whole && self.pieces.len() == 1;
        let is_done = match (self.pieces.front_mut(), &self.failure) {
            (Some(piece), _) => server.respond(&self.reply, piece, is_last, out),
            (None, Some(failure)) => server.fail(&self.reply, failure, out),
            (None, None) => server.respond(&self.reply, &mut &[][..], true, out),
        }
        .unwrap();
        if is_done && self.pieces.pop_front().is_some() {
            return is_last;
        }
        is_done
    }
}

/// The bytes of all answers, in frames whose order the turns decide.
fn send_answers(scenario: &Scenario, server: &mut Device, seen: &[(RequestId, Seen)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let echoes: Vec<Vec<u8>> = seen.iter().map(|(_, s)| echo(s)).collect();
    let values: Vec<Vec<u8>> = echoes.iter().map(|e| cbor_bytes(e)).collect();
    let mut buffer = vec![0; HEADER_LEN + scenario.server_frame as usize + scenario.spare];
    let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
    let mut held = HeldBack::<8>::new();
    let mut sources: Vec<Source<'_>> = Vec::new();
    for (at, (id, _)) in seen.iter().enumerate() {
        let spec = &scenario.specs[usize::from(id.value() / 2)];
        // The tests' owner answers from a list that it keeps.
        let reply = server.take_over(*id).unwrap();
        if spec.talks {
            let atom = Atom {
                args: &[b"1"],
                ..Atom::new("%s of %%\n")
            };
            assert_eq!(server.text(&reply, &[atom], &mut out), Ok(true));
            bytes.extend_from_slice(out.frame());
            let update = Progress::new("topic", 7, 9);
            assert_eq!(server.progress(&reply, &update, &mut out), Ok(true));
            bytes.extend_from_slice(out.frame());
        }
        let mut source = Source {
            reply,
            pieces: VecDeque::new(),
            is_whole: false,
            failure: None,
        };
        match spec.kind {
            Kind::CommandFailure => source.failure = Some(Failure::command(b"no %%")),
            Kind::ServerFailure => source.failure = Some(Failure::server(b"on fire")),
            Kind::Object if scenario.deferred => source.pieces.push_back(&values[at]),
            Kind::Object => {
                let value = Value::from_cbor(&values[at]).unwrap();
                source.pieces.extend(Pieces::new(value));
            }
            Kind::Written(size) | Kind::Broken(size) if !scenario.deferred => {
                source.pieces.extend(chunks(&echoes[at], &[size]));
                if matches!(spec.kind, Kind::Broken(_)) {
                    source.failure = Some(Failure::command(b"broke off"));
                }
            }
            _ => {
                source.pieces.push_back(&echoes[at]);
                source.is_whole = true;
            }
        }
        if !scenario.deferred {
            sources.push(source);
            continue;
        }
        let result = match source.failure {
            Some(failure) => held.fail(source.reply, failure),
            None => held.body(source.reply, source.pieces[0]),
        };
        assert_eq!(result, Ok(()));
    }
    if scenario.deferred {
        while !held.next_frame(server, &mut out).unwrap() {
            bytes.extend_from_slice(out.frame());
        }
        bytes.extend_from_slice(out.frame());
    }
    for turn in scenario.turns.iter().cycle() {
        if sources.is_empty() {
            break;
        }
        let at = turn % sources.len();
        let is_over = sources[at].step(server, &mut out);
        bytes.extend_from_slice(out.frame());
        if is_over {
            drop(sources.remove(at));
        }
    }
    bytes
}

fn echo(seen: &Seen) -> Vec<u8> {
    [&seen.value[..], seen.data.as_deref().unwrap_or(b"none")].concat()
}

fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut value = hgrpc::cbor::Head::new(2, bytes.len() as u64)
        .as_slice()
        .to_vec();
    value.extend_from_slice(bytes);
    value
}

fn serve(
    scenario: &Scenario,
    server: &mut Device,
    input: &[u8],
    sizes: &[usize],
) -> Vec<(RequestId, Seen)> {
    let mut memory = [0; MEMORY];
    let mut seen: Vec<(RequestId, Seen)> = Vec::new();
    for mut piece in chunks(input, sizes) {
        while let Some(event) = server.next(&mut piece, &mut memory) {
            match event {
                server::Event::Command(command) => {
                    assert!(scenario.streaming || !command.data_follows);
                    let value: hgrpc::cbor::ByteString<'_> = command.args.value(b"value").unwrap();
                    let name = command.name.as_bytes().unwrap();
                    let follows = command.data_follows;
                    let one = Seen {
                        name: name.chunks().flatten().copied().collect(),
                        value: value.chunks().flatten().copied().collect(),
                        data: match command.data {
                            Some(data) => Some(data.to_vec()),
                            None => follows.then(Vec::new),
                        },
                        is_whole: !follows,
                    };
                    seen.push((command.reply.request_id(), one));
                }
                server::Event::Data {
                    request_id,
                    bytes,
                    is_last,
                } => {
                    let (_, one) = seen.iter_mut().find(|(id, _)| *id == request_id).unwrap();
                    assert!(!one.is_whole);
                    one.data.as_mut().unwrap().extend_from_slice(bytes);
                    one.is_whole = is_last;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(server.finish(), Ok(()));
    assert_eq!(server.receiving().count(), 0);
    seen
}

fn listen(client: &mut Host, input: &[u8], sizes: &[usize]) -> Vec<Heard> {
    let mut memory = [0; MEMORY];
    let mut heard = vec![Heard::default(); 8];
    let at = |id: RequestId| usize::from(id.value() / 2);
    for mut piece in chunks(input, sizes) {
        while let Some(event) = client.next(&mut piece, &mut memory) {
            match event {
                client::Event::Response {
                    request_id,
                    status,
                    data,
                    is_last,
                    ..
                } => {
                    let one = &mut heard[at(request_id)];
                    assert!(!one.has_ended);
                    if let Some(status) = status {
                        assert_eq!(one.status, None);
                        one.status = Some(show(&status));
                    }
                    one.data.extend_from_slice(data);
                    one.has_ended = is_last;
                }
                client::Event::Failed {
                    request_id,
                    message,
                } => {
                    let one = &mut heard[at(request_id)];
                    assert!(!one.has_ended);
                    one.error = Some(message.to_string());
                    one.has_ended = true;
                }
                client::Event::Text { request_id, atoms } => {
                    heard[at(request_id)].text += &atoms.to_string();
                }
                client::Event::Progress {
                    request_id,
                    progress,
                } => heard[at(request_id)]
                    .positions
                    .push(progress.progress().pos),
                client::Event::SetDecoder { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(client.finish(), Ok(()));
    heard
}

fn show(status: &Status<'_>) -> String {
    match status {
        Status::Ok => "ok".into(),
        Status::Error(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// What the client should have heard; a status that was not asked for is in the data.
fn expected(scenario: &Scenario, spec: &Spec) -> Heard {
    let echo = echo(&Seen {
        value: spec.value.clone(),
        data: spec.data.clone(),
        ..Seen::default()
    });
    let revision = scenario.revision;
    let status_on = revision.has_status_map();
    let mut heard = Heard {
        has_ended: true,
        ..Heard::default()
    };
    if spec.talks {
        heard.text = "1 of %\n".into();
        heard.positions = vec![7];
    }
    match spec.kind {
        Kind::ServerFailure => {
            heard.error = Some("on fire".into());
            return heard;
        }
        Kind::CommandFailure if !status_on => {
            heard.error = Some("no %%".into());
            return heard;
        }
        Kind::CommandFailure => {
            heard.status = Some("no %".into());
            return heard;
        }
        Kind::Broken(_) if !scenario.deferred => {
            heard.error = Some("broke off".into());
            heard.data = echo;
        }
        Kind::Object => heard.data = cbor_bytes(&echo),
        _ => heard.data = echo,
    }
    if status_on {
        heard.status = Some("ok".into());
    }
    heard
}

/// Takes a status that was not asked for off the data.
fn split_status(revision: Revision, mut heard: Heard) -> Heard {
    if revision.has_status_map() && heard.status.is_none() && !heard.data.is_empty() {
        let (status, len) = Status::decode(&heard.data).unwrap();
        heard.status = Some(show(&status));
        assert!(heard.status.as_deref() != Some("ok") || heard.data.starts_with(STATUS_OK));
        heard.data.drain(..len);
    }
    heard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_one_sends_the_other_understands(
        scenario in scenario(),
        up in prop::collection::vec(1usize..60, 1..5),
        down in prop::collection::vec(1usize..60, 1..5),
    ) {
        let mut first: Option<(Vec<u8>, Vec<Heard>)> = None;
        for (up, down) in [(&up[..], &down[..]), (&[usize::MAX], &[usize::MAX]), (&[1], &[1])] {
            let mut config = ClientConfig::FULL_DUPLEX;
            config.buffer_sends = scenario.buffered;
            config.takes_status = scenario.takes_status;
            config.send_frame_size = scenario.client_frame;
            if scenario.client_frame < 36 {
                // The settings would not fit one frame.
                config.announcement = None;
            }
            let mut client = Client::new(scenario.revision, config, FixedRequests::new());
            let requests = send_calls(&scenario, &mut client);

            let mut config = ServerConfig::DEFAULT;
            config.send_frame_size = scenario.server_frame;
            config.always_side_frames = true;
            if scenario.streaming {
                config.data_mode = DataMode::Stream;
            }
            let mut server = Server::new(scenario.revision, config, FixedRequests::new());
            let seen = serve(&scenario, &mut server, &requests, up);
            prop_assert_eq!(seen.len(), scenario.specs.len());
            for (id, one) in &seen {
                let spec = &scenario.specs[usize::from(id.value() / 2)];
                prop_assert_eq!(&one.name, b"echo");
                prop_assert_eq!(&one.value, &spec.value);
                prop_assert_eq!(&one.data, &spec.data);
                prop_assert!(one.is_whole);
            }
            let answers = send_answers(&scenario, &mut server, &seen);
            prop_assert_eq!(server.active().count(), 0);

            let heard = listen(&mut client, &answers, down);
            prop_assert_eq!(client.active().count(), 0);
            prop_assert_eq!(client.handle_eof(&mut [0; MEMORY]), None);
            for (spec, heard) in scenario.specs.iter().zip(&heard) {
                let heard = split_status(scenario.revision, heard.clone());
                prop_assert_eq!(heard, expected(&scenario, spec));
            }
            match &first {
                None => first = Some((answers, heard)),
                Some((bytes, same)) => {
                    prop_assert!(*bytes == answers, "the answers depend on the split");
                    prop_assert_eq!(same, &heard);
                }
            }
        }
    }
}
