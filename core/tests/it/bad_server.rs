//! What a client makes of bad servers: random frames that are nearly right. Whatever they send,
//! however it is cut, wherever it is kept: the same events, no panic, no leak
//! (client.md, "A frame arrives"; revision-0006.md, 6).

use core::borrow::BorrowMut;
use std::collections::BTreeSet;

use hgrpc::client::{self, Client, ClientConfig};
use hgrpc::output::{Output, Stream};
use hgrpc::store::{FixedRequests, Requests};
use hgrpc::wire::{FrameKind, RequestId};
use hgrpc::{ProtocolError, REVISIONS, Revision};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::kit::{Call, CallData, output};
use crate::oracle::Oracle;
use crate::script::{Frame, chunks};

#[derive(Clone, Debug)]
pub enum Step {
    Frame(Frame),
    /// Makes a frame of one of the calls.
    Take(usize),
    Cancel(u16),
}

/// What a frame meant, its pieces put together.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Data {
        id: RequestId,
        status: Option<String>,
        bytes: Vec<u8>,
        expect_more: bool,
        eos: bool,
    },
    Other(String),
    Error(ProtocolError, Option<RequestId>),
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = [
        &b"\xa1FstatusBok"[..],
        b"\xa1FstatusBokhello",
        b"\xa2Eerror\xa1GmessageBnoFstatusEerror",
        b"\xa1FstatusBo",
        b"k",
        b"\xa2Gmessage\x81\xa1CmsgAxDtypeFserver",
        b"\x81\xa2Dargs\x81AaCmsgC%s!",
        b"\xa3Cpos\x01EtopicAtEtotal\x02",
        b"\xa3Cpos\x01EtopicatEtotal\x02",
        b"Hidentity",
        b"Dzlib",
        b"Hiden",
        b"tity",
        b"",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    prop_oneof![
        8 => prop::sample::select(known),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let stream = prop_oneof![
        20 => Just((2u8, 1u8)), 3 => Just((2, 0)), 2 => Just((4, 3)), 1 => Just((2, 5)),
        1 => (any::<u8>(), 0u8..16),
    ];
    let kind_and_flags = prop_oneof![
        6 => (prop_oneof![Just(3u8), Just(4u8)], prop_oneof![2 => Just(1u8), 1 => Just(2), 1 => 0u8..16]),
        3 => (5u8..8, prop_oneof![Just(0u8), 0u8..16]),
        2 => (8u8..10, prop_oneof![Just(1u8), Just(2), 0u8..16]),
        1 => (0u8..16, 0u8..16),
    ];
    let id = prop_oneof![3 => Just(1u16), 3 => Just(3), 2 => Just(5), 1 => Just(7), 1 => Just(0)];
    let frame = (id.clone(), stream, kind_and_flags, payload()).prop_map(
        |(id, (stream, stream_flags), (kind, flags), payload)| {
            Step::Frame(Frame {
                id,
                stream,
                stream_flags,
                kind,
                flags,
                payload,
            })
        },
    );
    prop_oneof![8 => frame, 3 => any::<usize>().prop_map(Step::Take), 1 => id.prop_map(Step::Cancel)]
}

/// Runs the steps; the events, the frames made, what is still awaited.
fn run<T: Requests, M: BorrowMut<T::Memory>>(
    (revision, config): (Revision, ClientConfig),
    (requests, mut memory): (T, M),
    steps: &[Step],
    sizes: &[usize],
) -> (Vec<Event>, Vec<u8>, Vec<RequestId>, M) {
    let mut client = Client::new(revision, config, requests);
    let mut out = output(Stream::CLIENT, config.send_frame_size);
    let mut events = Vec::new();
    let mut sent = Vec::new();
    let mut calls: Vec<Call> = [
        CallData::None,
        CallData::Bytes(b"some data"),
        CallData::Stream,
    ]
    .into_iter()
    .map(|data| Call::new(&mut client, data).unwrap().0)
    .collect();
    for step in steps {
        match step {
            Step::Frame(frame) => {
                let mut of_frame = Vec::new();
                for mut piece in chunks(&frame.bytes(), sizes) {
                    while let Some(event) = client.next(&mut piece, memory.borrow_mut()) {
                        note(event, &mut of_frame);
                    }
                }
                assert_eq!(client.finish(), Ok(()));
                assert!(of_frame.len() <= 2, "{of_frame:?}");
                events.append(&mut of_frame);
            }
            Step::Take(which) => take(&mut calls, *which, &mut client, &mut out, &mut sent),
            Step::Cancel(id) => drop(client.cancel(RequestId::new(*id), memory.borrow_mut())),
        }
    }
    // However they ended, every call can be sent to its end.
    while !calls.is_empty() {
        take(&mut calls, 0, &mut client, &mut out, &mut sent);
    }
    let mut awaited = Vec::new();
    while let Some(id) = client.handle_eof(memory.borrow_mut()) {
        awaited.push(id);
    }
    for id in 0..8 {
        let state = client.request_state(RequestId::new(id));
        assert_eq!(state, None, "everything is forgotten");
    }
    (events, sent, awaited, memory)
}

fn take<T: Requests>(
    calls: &mut Vec<Call>,
    which: usize,
    client: &mut Client<Revision, T>,
    out: &mut Output<'_>,
    sent: &mut Vec<u8>,
) {
    if calls.is_empty() {
        return;
    }
    let at = which % calls.len();
    let call = &mut calls[at];
    let frame = if call.wants_data() {
        call.data(client, b"piece", which.is_multiple_of(2), out)
    } else {
        call.next(client, out)
    };
    sent.extend(frame.unwrap().into_iter().flatten());
    if call.is_ended() {
        calls.remove(at);
    }
}

fn note(event: client::Event<'_>, events: &mut Vec<Event>) {
    match event {
        client::Event::Response {
            request_id,
            status,
            data,
            expects_more,
            is_last,
        } => {
            let status = status.map(|s| format!("{s:?}"));
            if let Some(Event::Data {
                status: before,
                bytes,
                expect_more: more,
                eos: end,
                ..
            }) = events.last_mut()
            {
                assert!(!*end && *more, "nothing follows the end");
                assert!(before.is_none() || status.is_none());
                *before = before.take().or(status);
                bytes.extend_from_slice(data);
                (*more, *end) = (expects_more, is_last);
                return;
            }
            events.push(Event::Data {
                id: request_id,
                status,
                bytes: data.to_vec(),
                expect_more: expects_more,
                eos: is_last,
            });
        }
        client::Event::MessageTooLarge { kind, .. } => {
            assert_ne!(kind, FrameKind::CommandResponse);
            panic!("messages fit");
        }
        client::Event::Error { error, request_id } => {
            events.push(Event::Error(error, request_id));
        }
        other => events.push(Event::Other(format!("{other:?}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_and_any_store_give_the_same_events(
        revision in prop::sample::select(REVISIONS.to_vec()),
        takes_status: bool,
        steps in prop::collection::vec(step(), 0..24),
        sizes in prop::collection::vec(1usize..40, 1..5),
    ) {
        let mut config = ClientConfig::FULL_DUPLEX;
        config.takes_status = takes_status;
        let oracle = |sizes: &[usize]| {
            run((revision, config), Oracle::new(4, 400), &steps, sizes)
        };
        let (events, sent, awaited, memory) = oracle(&[usize::MAX]);
        prop_assert!(memory.chunks.len() <= 4, "{:?}", memory.chunks);
        for sizes in [&sizes[..], &[1]] {
            let (a, b, c, _) = oracle(sizes);
            prop_assert_eq!(&a, &events);
            prop_assert_eq!(&b, &sent);
            prop_assert_eq!(&c, &awaited);
        }
        for sizes in [&sizes[..], &[usize::MAX]] {
            let fixed = (FixedRequests::<4>::new(), vec![0; 400]);
            let (a, b, c, _) = run((revision, config), fixed, &steps, sizes);
            prop_assert_eq!(&a, &events);
            prop_assert_eq!(&b, &sent);
            prop_assert_eq!(&c, &awaited);
        }
    }
}

/// The scripts are worth something only if they get far.
#[test]
fn the_scripts_reach_every_event() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..600 {
        let steps = prop::collection::vec(step(), 0..24);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        for revision in REVISIONS {
            let config = ClientConfig::FULL_DUPLEX;
            let oracle = Oracle::new(4, 400);
            let (events, ..) = run((revision, config), oracle, &steps, &[usize::MAX]);
            seen.extend(events.iter().map(|event| match event {
                Event::Data { status, eos, .. } => format!("data {} {eos}", status.is_some()),
                Event::Other(text) => text.split(' ').next().unwrap().to_owned(),
                Event::Error(error, _) => error.name().to_owned(),
            }));
        }
    }
    let expected = [
        "data true true",
        "data true false",
        "data false true",
        "data false false",
        "Failed",
        "Text",
        "Progress",
        "SetDecoder",
        "stream-parity",
        "stream-not-begun",
        "encoding-unsupported",
        "request-not-active",
        "unhandled-frame-type",
        "malformed-error-response",
        "malformed-text-output",
        "malformed-progress",
        "bad-status",
        "truncated-response",
        "encoding-unusable",
        "settings-both-flags",
        "settings-no-flags",
    ];
    for kind in expected {
        assert!(seen.contains(kind), "{kind} is missing in {seen:?}");
    }
}
