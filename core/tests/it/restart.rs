//! A reader, a server and a client that begin anew are as new ones, whatever came before: half a
//! frame, an error, open requests.

use hgrpc::cbor::EncodingSet;
use hgrpc::client::{Client, ClientConfig, SendAction};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{self, DataMode, Server, ServerConfig, ServerState};
use hgrpc::store::{FixedRequests, Requests};
use hgrpc::wire::{FrameReader, RequestId};
use hgrpc::{ApiMisuse, ProtocolError, REVISIONS, Revision};
use proptest::prelude::*;

use crate::kit::{Call, CallData, output};
use crate::script::{Event, Frame, Reply, answer, chunks, note, request};
use crate::{bad_client, bad_server};

/// Less than some of the frames have.
const MAX_FRAME: u32 = 180;

/// Bytes of a server's memory, and of a client's.
const SERVER_MEMORY: usize = 200;
const CLIENT_MEMORY: usize = 400;

/// A server and what is beside it.
struct Device {
    server: Server<Revision, FixedRequests<3>>,
    memory: [u8; SERVER_MEMORY],
    out: Output<'static>,
    replies: Vec<server::Reply>,
    events: Vec<Event>,
    sent: Vec<u8>,
}

impl Device {
    fn new(revision: Revision, mut config: ServerConfig) -> Self {
        config.limits.max_frame_size = MAX_FRAME;
        Self {
            server: Server::new(revision, config, FixedRequests::new()),
            memory: [0; SERVER_MEMORY],
            out: output(Stream::ONLY, config.send_frame_size),
            replies: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The next connection; the tokens of the last one.
    fn restart(&mut self, revision: Revision) -> Vec<server::Reply> {
        self.server.restart(revision, &mut self.memory);
        self.out = output(Stream::ONLY, 0x8000);
        self.events.clear();
        self.sent.clear();
        std::mem::take(&mut self.replies)
    }

    /// Bytes of the memory that are free.
    fn room(&self) -> usize {
        self.server.requests().room(&self.memory)
    }

    /// Requests with every other ID are answered at once, the others stay open.
    fn feed(&mut self, bytes: &[u8], sizes: &[usize]) {
        for mut piece in chunks(bytes, sizes) {
            while let Some(event) = self.server.next(&mut piece, &mut self.memory) {
                let refusal = note(event, &mut self.events, &mut self.replies);
                if let Some(refusal) = refusal {
                    assert_eq!(self.server.refuse(&refusal, &mut self.out), Ok(true));
                    self.sent.extend_from_slice(self.out.frame());
                }
                let is_due = |reply: &mut server::Reply| reply.request_id().value() % 4 == 1;
                for reply in self.replies.extract_if(.., is_due) {
                    let (out, sent) = (&mut self.out, &mut self.sent);
                    // Or refused while its data came.
                    let _ = answer(&mut self.server, &reply, Reply::Bytes(3), out, sent);
                }
            }
        }
        self.events.push(Event::Frame(self.server.state()));
    }

    /// All that can be asked of it.
    fn seen(&mut self) -> impl PartialEq + core::fmt::Debug + use<> {
        let server = &self.server;
        (
            (server.revision(), server.state(), server.peer_encodings()),
            (server.peer_takes_notes(), server.frames(), server.finish()),
            server.open_streams().collect::<Vec<_>>(),
            server.receiving().collect::<Vec<_>>(),
            server.active().collect::<Vec<_>>(),
            self.room(),
            (self.events.clone(), self.sent.clone()),
        )
    }
}

/// Frames one behind another, the last one cut.
fn cut(frames: &[Frame], at: &prop::sample::Index) -> Vec<u8> {
    let mut bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
    bytes.truncate(at.index(bytes.len() + 1));
    bytes
}

/// Bytes in which there are frames.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![3 => Just(0u8), 1 => 0u8..40, 1 => any::<u8>()],
        0..80,
    )
}

fn revision() -> impl Strategy<Value = Revision> {
    prop::sample::select(REVISIONS.to_vec())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..40, Just(usize::MAX)], 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_reader(
        before in bytes(),
        after in bytes(),
        sizes in sizes(),
    ) {
        let read = |reader: &mut FrameReader| {
            // No payload of before is left to be skipped.
            let mut all = Vec::new();
            assert_eq!(reader.skip(1), 0);
            for mut piece in chunks(&after, &sizes) {
                while let Some(part) = reader.next(&mut piece).transpose() {
                    all.push(part.map(|part| (part, part.bytes.to_vec())));
                    if all.last().is_some_and(Result::is_err) {
                        break;
                    }
                }
            }
            let end = (reader.finish(), reader.received(), reader.missing(), reader.current());
            (format!("{all:?}"), end)
        };
        let mut used = FrameReader::new(MAX_FRAME);
        let mut input = before.as_slice();
        while let Ok(Some(_)) = used.next(&mut input) {}
        used.restart();
        prop_assert_eq!(used.max_frame_size(), MAX_FRAME);
        prop_assert_eq!(read(&mut used), read(&mut FrameReader::new(MAX_FRAME)));
    }

    #[test]
    fn a_server(
        revisions in (revision(), revision()),
        streams: bool,
        before in prop::collection::vec(bad_client::frame(), 0..8),
        at: prop::sample::Index,
        after in prop::collection::vec(bad_client::frame(), 0..8),
        sizes in sizes(),
    ) {
        let mut config = ServerConfig::DEFAULT;
        config.data_mode = if streams { DataMode::Stream } else { DataMode::Collect };
        let mut used = Device::new(revisions.0, config);
        used.feed(&cut(&before, &at), &sizes);
        let stale = used.restart(revisions.1);
        let mut new = Device::new(revisions.1, config);
        prop_assert_eq!(used.seen(), new.seen());
        let after: Vec<u8> = after.iter().flat_map(Frame::bytes).collect();
        used.feed(&after, &sizes);
        new.feed(&after, &sizes);
        prop_assert_eq!(used.seen(), new.seen());
        for reply in stale {
            let refused = used.server.respond(&reply, &mut &[][..], true, &mut used.out);
            prop_assert_eq!(refused, Err(ApiMisuse::RequestNotActive));
        }
    }

    #[test]
    fn a_client(
        revisions in (revision(), revision()),
        takes_status: bool,
        before in prop::collection::vec(bad_server::step(), 0..12),
        at: prop::sample::Index,
        after in prop::collection::vec(bad_server::step(), 0..12),
        sizes in sizes(),
    ) {
        let mut config = ClientConfig::FULL_DUPLEX;
        config.takes_status = takes_status;
        let mut used = Host::new(revisions.0, config);
        let mut calls = used.calls();
        let (steps, last) = before.split_at(at.index(before.len() + 1));
        used.run(&mut calls, steps, &sizes);
        if let Some(bad_server::Step::Frame(frame)) = last.first() {
            used.feed(&cut(core::slice::from_ref(frame), &at), &sizes);
        }
        used.restart(revisions.1);
        let mut new = Host::new(revisions.1, config);
        for host in [&mut used, &mut new] {
            prop_assert_eq!(host.client.open_streams().count(), 0);
            let mut calls = host.calls();
            host.run(&mut calls, &after, &sizes);
        }
        // Calls of before give nothing.
        for mut call in calls {
            let made = call.next(&mut used.client, &mut used.out);
            prop_assert_eq!(made.ok().flatten(), None);
        }
        prop_assert_eq!(used.seen(), new.seen());
    }
}

/// A client and what is beside it.
struct Host {
    client: Client<Revision, FixedRequests<4>>,
    memory: [u8; CLIENT_MEMORY],
    out: Output<'static>,
    events: Vec<String>,
    sent: Vec<u8>,
}

impl Host {
    fn new(revision: Revision, mut config: ClientConfig) -> Self {
        config.max_frame_size = MAX_FRAME;
        Self {
            client: Client::new(revision, config, FixedRequests::new()),
            memory: [0; CLIENT_MEMORY],
            out: output(Stream::CLIENT, config.send_frame_size),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn restart(&mut self, revision: Revision) {
        self.client.restart(revision, &mut self.memory);
        self.out = output(Stream::CLIENT, 0x8000);
        self.events.clear();
        self.sent.clear();
    }

    fn calls(&mut self) -> Vec<Call> {
        [CallData::None, CallData::Bytes(b"some data")]
            .into_iter()
            .map(|data| Call::new(&mut self.client, data).unwrap().0)
            .collect()
    }

    fn run(&mut self, calls: &mut [Call], steps: &[bad_server::Step], sizes: &[usize]) {
        for step in steps {
            match step {
                bad_server::Step::Frame(frame) => self.feed(&frame.bytes(), sizes),
                bad_server::Step::Take(which) => {
                    let at = which % calls.len();
                    let frame = calls[at].next(&mut self.client, &mut self.out);
                    self.sent.extend(frame.unwrap().into_iter().flatten());
                }
                bad_server::Step::Cancel(id) => {
                    let id = RequestId::new(*id);
                    let result = self.client.cancel(id, &mut self.memory);
                    self.events.push(format!("{result:?}"));
                }
            }
        }
    }

    fn feed(&mut self, bytes: &[u8], sizes: &[usize]) {
        for mut piece in chunks(bytes, sizes) {
            while let Some(event) = self.client.next(&mut piece, &mut self.memory) {
                self.events.push(format!("{event:?}"));
            }
        }
    }

    /// All that can be asked of it; nothing is awaited then.
    fn seen(&mut self) -> impl PartialEq + core::fmt::Debug + use<> {
        let client = &mut self.client;
        let states = [1, 3, 5].map(|id| client.request_state(RequestId::new(id)));
        let active: Vec<RequestId> = client.active().collect();
        let unanswered: Vec<_> =
            core::iter::from_fn(|| client.handle_eof(&mut self.memory)).collect();
        (
            (client.revision(), states, active, unanswered),
            (client.frames(), client.finish()),
            client.open_streams().collect::<Vec<_>>(),
            (self.events.clone(), self.sent.clone()),
        )
    }
}

/// A frame on stream 1.
fn frame(id: u16, kind: u8, flags: u8, stream_flags: u8, payload: &[u8]) -> Vec<u8> {
    let (stream, payload) = (1, payload.to_vec());
    Frame {
        id,
        stream,
        stream_flags,
        kind,
        flags,
        payload,
    }
    .bytes()
}

#[test]
fn a_server_after_half_a_frame_an_error_and_open_requests() {
    let mut device = Device::new(Revision::R0005, ServerConfig::DEFAULT);
    let whole = request(b"command", b"value");
    // One is answered, one open, one partly received; then a stream that was not begun.
    device.feed(&frame(1, 1, 1, 1, &whole), &[5]);
    device.feed(&frame(3, 1, 1, 0, &whole), &[5]);
    device.feed(&frame(7, 1, 1 | 4, 0, &whole[..9]), &[5]);
    assert_eq!(device.server.state(), ServerState::CommandReceiving);
    assert!(device.room() < SERVER_MEMORY);
    let mut bad = frame(9, 1, 1, 0, &whole);
    bad[5] = 3;
    device.feed(&bad, &[5]);
    let error = Event::Error(ProtocolError::StreamNotBegun);
    assert!(device.events.contains(&error), "{:?}", device.events);
    assert_eq!(device.server.state(), ServerState::Errored);
    device.feed(&frame(11, 1, 1, 0, &whole)[..13], &[5]);
    assert!(device.server.finish().is_err());
    let sent = core::mem::take(&mut device.sent);

    assert_eq!(device.restart(Revision::R0005).len(), 1);
    assert_eq!(device.server.state(), ServerState::Idle);
    assert_eq!(device.room(), SERVER_MEMORY);
    device.feed(&frame(1, 1, 1, 1, &whole), &[5]);
    assert!(matches!(
        device.events[..],
        [Event::Run { .. }, Event::Frame(ServerState::Idle)]
    ));
    // Stream 2 begins anew, too.
    assert_eq!(device.sent, b"\x0e\0\0\x01\0\x02\x01\x32\xa1FstatusBok@@@");
    assert_eq!(device.sent, sent);
}

#[test]
fn a_server_knows_nothing_of_its_next_peer() {
    let mut config = ServerConfig::DEFAULT;
    config.limits.settings_frames = 2;
    let mut device = Device::new(Revision::R0006, config);
    for _ in 0..3 {
        assert_eq!(device.server.state(), ServerState::Initial);
        assert_eq!(device.server.peer_encodings(), EncodingSet::IDENTITY);
        assert!(!device.server.peer_takes_notes());
        // As many frames as may be.
        device.feed(&frame(1, 8, 1, 1, b"\xa2Pcontentencodings\x82Dzlib"), &[5]);
        device.feed(&frame(1, 8, 2, 0, b"HidentityEhgrpc\x01"), &[5]);
        assert_eq!(
            device.server.state(),
            ServerState::Idle,
            "{:?}",
            device.events
        );
        assert_ne!(device.server.peer_encodings(), EncodingSet::IDENTITY);
        assert!(device.server.peer_takes_notes());
        device.restart(Revision::R0006);
    }
}

#[test]
fn a_client_with_a_single_send() {
    let mut host = Host::new(Revision::R0005, ClientConfig::DEFAULT);
    for _ in 0..3 {
        // Calls that wait are forgotten.
        assert_eq!(host.client.flush(), Ok(SendAction::Noop));
        let calls = host.calls();
        assert_eq!(host.client.flush(), Ok(SendAction::SendFrames));
        let spent = host.client.request(false);
        assert_eq!(spent.err(), Some(ApiMisuse::CannotIssueCommands));
        drop(calls);
        host.restart(Revision::R0005);
    }
}
