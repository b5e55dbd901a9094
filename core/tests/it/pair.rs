//! The reactors against each other, in all revisions, over every split: what one sends the other
//! understands.

use hgrpc::cbor::{Atom, Progress, STATUS_OK, Status};
use hgrpc::client::{CallData, CallQueue, Client, ClientAction, ClientConfig, Request};
use hgrpc::server::{
    Answer, Body, DataMode, Deferred, DeferredQueue, Failure, Object, OutputStream, Push,
    ResponseWriter, Server, ServerAction, ServerConfig,
};
use hgrpc::store::FixedStore;
use hgrpc::wire::{FrameReader, RequestId};
use hgrpc::{REVISIONS, Revision};
use proptest::prelude::*;

use crate::script::{args, chunks, encoded, output};

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
    scratch: usize,
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
            |(revision, specs, client_frame, server_frame, scratch, flags, turns)| {
                let [buffered, takes_status, streaming, deferred] = flags;
                Scenario {
                    revision,
                    specs,
                    client_frame,
                    server_frame,
                    scratch,
                    buffered,
                    takes_status,
                    streaming,
                    deferred,
                    turns,
                }
            },
        )
}

type Store = FixedStore<8, 8192>;

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

/// The bytes of all calls, in frames whose order the turns decide.
fn send_calls(scenario: &Scenario, client: &mut Client, store: &mut Store) -> Vec<u8> {
    let (table, _) = store.split();
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
    let mut queue: CallQueue<'_, 8> = CallQueue::new();
    for (spec, encoding) in scenario.specs.iter().zip(&encodings) {
        let streams = spec.streams && !scenario.buffered;
        let data = match &spec.data {
            None => CallData::None,
            Some(_) if streams => CallData::Stream,
            Some(data) => CallData::Bytes(data),
        };
        let request = Request::new(b"echo", encoded(encoding)).with_data(data);
        let (call, _) = client.call(table, request).unwrap();
        if scenario.buffered {
            queue.push(call).unwrap();
        } else {
            calls.push((call, spec, 0usize));
        }
    }
    let _ = client.flush().unwrap();
    let mut out = client.output(table);
    while let Some(frame) = queue.next_frame(&mut out) {
        bytes.extend(frame.as_slices().concat());
    }
    for turn in scenario.turns.iter().cycle() {
        if calls.is_empty() {
            break;
        }
        let at = turn % calls.len();
        let (call, spec, sent) = &mut calls[at];
        if call.wants_data() {
            let data = spec.data.as_deref().unwrap();
            let end = data
                .len()
                .min(*sent + scenario.client_frame.min(70) as usize);
            let piece = &data[*sent..end];
            *sent = end;
            let frame = call.data_frame(&mut out, piece, end == data.len());
            bytes.extend(frame.unwrap().unwrap().as_slices().concat());
        } else if let Some(frame) = call.next_frame(&mut out) {
            bytes.extend(frame.as_slices().concat());
        }
        if call.is_ended() {
            drop(calls.remove(at));
        }
    }
    bytes
}

enum Source<'a> {
    Answer(Answer<'a>),
    Writer(ResponseWriter, Vec<&'a [u8]>, Option<Failure<'a>>),
}

/// The bytes of all answers, in frames whose order the turns decide.
fn send_answers(
    scenario: &Scenario,
    server: &mut Server,
    store: &mut Store,
    seen: &[(hgrpc::server::Responder, Seen)],
    stream: &mut Option<OutputStream>,
) -> Vec<u8> {
    let (table, _) = store.split();
    let mut bytes = Vec::new();
    let echoes: Vec<Vec<u8>> = seen.iter().map(|(_, s)| echo(s)).collect();
    let values: Vec<Vec<u8>> = echoes.iter().map(|e| cbor_bytes(e)).collect();
    let objects: Vec<[Object<'_>; 1]> = values
        .iter()
        .map(|v| [Object::Cbor(hgrpc::cbor::Value::from_cbor(v).unwrap())])
        .collect();
    let mut buffers = vec![[0u8; 128]; seen.len() * 2];
    let mut lent = buffers.iter_mut();
    let mut queue: DeferredQueue<'_, 32> = DeferredQueue::new();
    let mut sources: Vec<(Source<'_>, Vec<u8>)> = Vec::new();
    for (at, (responder, _)) in seen.iter().enumerate() {
        let id = responder.request_id();
        let spec = &scenario.specs[usize::from(id.value() / 2)];
        // The tests' owner answers from a list that it keeps.
        let responder = server.take_over(table, id).unwrap();
        if spec.talks {
            let atom = Atom {
                args: &[b"1"],
                ..Atom::new("%s of %%\n")
            };
            let text = server.text_output(&responder, &[atom], lent.next().unwrap());
            let update = Progress::new("topic", 7, 9);
            let progress = server.progress(&responder, &update, lent.next().unwrap());
            for mut side in [text.unwrap(), progress.unwrap()] {
                if scenario.deferred {
                    queue.push(Deferred::Side(side)).unwrap();
                    continue;
                }
                let mut out = output(server, table, stream);
                let frame = side.next_frame(&mut out).unwrap().unwrap();
                bytes.extend(frame.as_slices().concat());
            }
        }
        let body = match spec.kind {
            Kind::CommandFailure => Body::Failure(Failure::command(b"no %%")),
            Kind::ServerFailure => Body::Failure(Failure::server(b"on fire")),
            Kind::Object => Body::Objects(&objects[at]),
            Kind::Whole => Body::Bytes(&echoes[at]),
            Kind::Written(size) | Kind::Broken(size) if !scenario.deferred => {
                let failure = matches!(spec.kind, Kind::Broken(_));
                let source = Source::Writer(
                    server.begin_response(table, responder).unwrap(),
                    chunks(&echoes[at], &[size]),
                    failure.then(|| Failure::command(b"broke off")),
                );
                sources.push((source, vec![0; scenario.scratch]));
                continue;
            }
            Kind::Written(_) | Kind::Broken(_) => Body::Bytes(&echoes[at]),
        };
        let answer = server.respond(table, responder, body).unwrap();
        if scenario.deferred {
            queue.push(Deferred::Answer(answer)).unwrap();
        } else {
            sources.push((Source::Answer(answer), vec![0; scenario.scratch]));
        }
    }
    let mut out = output(server, table, stream);
    let mut scratch = vec![0; scenario.scratch];
    while let Some(frame) = queue.next_frame(&mut out, &mut scratch).unwrap() {
        bytes.extend(frame.as_slices().concat());
    }
    for turn in scenario.turns.iter().cycle() {
        if sources.is_empty() {
            break;
        }
        let at = turn % sources.len();
        let (source, scratch) = &mut sources[at];
        let frame = match source {
            Source::Answer(answer) => answer.next_frame(&mut out, scratch).unwrap(),
            Source::Writer(writer, pieces, failure) => match (pieces.first(), failure) {
                (Some(piece), _) => match writer.push(&mut out, scratch, piece).unwrap() {
                    Push::Frame(frame) => Some(frame),
                    Push::Taken => {
                        pieces.remove(0);
                        continue;
                    }
                },
                (None, None) => writer.finish(&mut out, scratch).unwrap(),
                (None, Some(failure)) => writer.fail(&mut out, scratch, &[], failure).unwrap(),
            },
        };
        match frame {
            Some(frame) => bytes.extend(frame.as_slices().concat()),
            None => drop(sources.remove(at)),
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
    server: &mut Server,
    store: &mut Store,
    input: &[u8],
    sizes: &[usize],
) -> Vec<(hgrpc::server::Responder, Seen)> {
    let (table, arena) = store.split();
    let mut reader = FrameReader::new(0x8000);
    let mut seen: Vec<(hgrpc::server::Responder, Seen)> = Vec::new();
    for mut piece in chunks(input, sizes) {
        while let Some(part) = reader.next(&mut piece).unwrap() {
            match server.handle(part, table, arena).unwrap() {
                ServerAction::RunCommand(command) => {
                    assert!(scenario.streaming || !command.data_follows);
                    let value: hgrpc::cbor::ByteString<'_> = command.args.value(b"value").unwrap();
                    let follows = command.data_follows;
                    let one = Seen {
                        name: command.name.chunks().flatten().copied().collect(),
                        value: value.chunks().flatten().copied().collect(),
                        data: match command.data {
                            Some(data) => Some(data.to_vec()),
                            None => follows.then(Vec::new),
                        },
                        is_whole: !follows,
                    };
                    seen.push((command.responder, one));
                }
                ServerAction::CommandData {
                    request_id,
                    bytes,
                    is_last,
                } => {
                    let (_, one) = seen
                        .iter_mut()
                        .find(|(r, _)| r.request_id() == request_id)
                        .unwrap();
                    assert!(!one.is_whole);
                    one.data.as_mut().unwrap().extend_from_slice(bytes);
                    one.is_whole = is_last;
                }
                ServerAction::RejectRequest(rejection) => panic!("{rejection:?}"),
                _ => {}
            }
        }
    }
    assert_eq!(reader.finish(), Ok(()));
    assert_eq!(server.receiving(table).count(), 0);
    seen
}

fn listen(client: &mut Client, store: &mut Store, input: &[u8], sizes: &[usize]) -> Vec<Heard> {
    let (table, arena) = store.split();
    let mut reader = FrameReader::new(0x8000);
    let mut heard = vec![Heard::default(); 8];
    let at = |id: RequestId| usize::from(id.value() / 2);
    for mut piece in chunks(input, sizes) {
        while let Some(part) = reader.next(&mut piece).unwrap() {
            match client.handle(part, table, arena).unwrap() {
                ClientAction::ResponseData {
                    request_id,
                    status,
                    data,
                    eos,
                    ..
                } => {
                    let one = &mut heard[at(request_id)];
                    assert!(!one.has_ended);
                    if let Some(status) = status {
                        assert_eq!(one.status, None);
                        one.status = Some(show(&status));
                    }
                    one.data.extend_from_slice(data);
                    one.has_ended = eos;
                }
                ClientAction::ErrorResponse {
                    request_id,
                    message,
                } => {
                    let one = &mut heard[at(request_id)];
                    assert!(!one.has_ended);
                    one.error = Some(message.to_string());
                    one.has_ended = true;
                }
                ClientAction::TextOutput { request_id, atoms } => {
                    heard[at(request_id)].text += &atoms.to_string();
                }
                ClientAction::Progress {
                    request_id,
                    progress,
                } => heard[at(request_id)]
                    .positions
                    .push(progress.progress().pos),
                ClientAction::Noop | ClientAction::SetDecoder { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(reader.finish(), Ok(()));
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
            let mut client: Client = Client::new(scenario.revision, config);
            let mut client_store = Store::new();
            let requests = send_calls(&scenario, &mut client, &mut client_store);

            let mut config = ServerConfig::DEFAULT;
            config.send_frame_size = scenario.server_frame;
            config.always_side_frames = true;
            if scenario.streaming {
                config.data_mode = DataMode::Stream;
            }
            let mut server: Server = Server::new(scenario.revision, config);
            let mut store = Store::new();
            let seen = serve(&scenario, &mut server, &mut store, &requests, up);
            prop_assert_eq!(seen.len(), scenario.specs.len());
            for (responder, one) in &seen {
                let spec = &scenario.specs[usize::from(responder.request_id().value() / 2)];
                prop_assert_eq!(&one.name, b"echo");
                prop_assert_eq!(&one.value, &spec.value);
                prop_assert_eq!(&one.data, &spec.data);
                prop_assert!(one.is_whole);
            }
            let mut stream = None;
            let answers = send_answers(&scenario, &mut server, &mut store, &seen, &mut stream);
            prop_assert_eq!(server.active(store.split().0).count(), 0);

            let heard = listen(&mut client, &mut client_store, &answers, down);
            prop_assert_eq!(client.active(client_store.split().0).count(), 0);
            prop_assert_eq!(client.handle_eof(client_store.split().0), None);
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
