//! What a server makes of bad clients: random bytes, and random frames that are nearly right.
//! Whatever they send, however it is cut, wherever it is kept: the same events, the same answers,
//! no panic, no leak (server.md, "A frame arrives"; deviations.md, D2).

use core::borrow::BorrowMut;
use std::collections::{BTreeSet, VecDeque};

use hgrpc::server::{DataMode, Server, ServerConfig, ServerState};
use hgrpc::store::{FixedRequests, Requests};
use hgrpc::wire::FrameKind;
use hgrpc::{REVISIONS, Revision};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::oracle::Oracle;
use crate::script::{Event, Frame, Owner, Reply, request};

const REQUESTS: usize = 3;
const BYTES: usize = 200;

#[derive(Clone, Debug)]
enum Step {
    Frame(Frame),
    /// The next frame of one of the plans, with these flags if any.
    Next(usize, Option<u8>),
    Answer(usize, Reply),
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let whole = (0usize..150).prop_map(|len| request(b"command", &vec![0x61; len]));
    let cut =
        (0usize..100, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(len, at, front)| {
            let bytes = request(b"c", &vec![0x62; len]);
            let (a, b) = bytes.split_at(at.index(bytes.len()));
            if front { a.to_vec() } else { b.to_vec() }
        });
    let settings = prop_oneof![
        Just(b"\xa1Pcontentencodings\x81Hidentity".to_vec()),
        Just(b"\xa1Pcontentencodings".to_vec()),
        Just(b"\x82DzlibHidentity".to_vec()),
    ];
    let deep = Just([&b"\xa2Dname\x41xDargs\xa1\x41k"[..], &[0x81; 17], &[0x01]].concat());
    prop_oneof![
        6 => whole,
        3 => cut,
        2 => Just(Vec::new()),
        1 => settings,
        1 => deep,
        1 => prop::collection::vec(any::<u8>(), 0..230),
    ]
}

pub fn frame() -> impl Strategy<Value = Frame> {
    let request_flags = prop_oneof![
        6 => Just(0x1u8), 4 => Just(0x9), 3 => Just(0x5), 2 => Just(0xd),
        3 => Just(0x2), 2 => Just(0x6), 2 => Just(0xa), 1 => Just(0xe), 1 => 0u8..16,
    ];
    let data_flags = prop_oneof![4 => Just(1u8), 3 => Just(2u8), 1 => Just(3u8), 1 => 0u8..16];
    let kind_and_flags = prop_oneof![
        8 => request_flags.prop_map(|f| (1u8, f)),
        5 => (prop_oneof![Just(2u8), Just(3u8)], data_flags),
        2 => prop_oneof![Just((8u8, 1u8)), Just((8, 2)), (Just(8), 0u8..4)],
        1 => (0u8..16, 0u8..16),
    ];
    let stream = prop_oneof![
        30 => Just((1u8, 1u8)), 4 => Just((1, 0)), 2 => Just((3, 3)), 1 => (any::<u8>(), 0u8..16),
    ];
    let id = prop_oneof![4 => Just(1u16), 3 => Just(3), 2 => Just(5), 1 => Just(7), 1 => Just(0)];
    (id, stream, kind_and_flags, payload()).prop_map(
        |(id, (stream, stream_flags), (kind, flags), payload)| Frame {
            id,
            stream,
            stream_flags,
            kind,
            flags,
            payload,
        },
    )
}

/// A request as a good client sends it: payloads of its request frames, and of its data frames.
#[derive(Clone, Debug)]
struct Plan {
    request: Vec<Vec<u8>>,
    data: Option<Vec<Vec<u8>>>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let value = prop_oneof![4 => 0usize..40, 1 => 0usize..250];
    let pieces = prop::collection::vec(prop_oneof![3 => 0usize..30, 1 => 0usize..150], 1..4);
    (value, 20usize..200, prop::option::of(pieces)).prop_map(|(len, size, data)| Plan {
        request: request(b"command", &vec![0x61; len])
            .chunks(size)
            .map(<[u8]>::to_vec)
            .collect(),
        data: data.map(|d| d.into_iter().map(|len| vec![0x64; len]).collect()),
    })
}

impl Plan {
    fn frames(&self, id: u16, revision: Revision) -> Vec<Frame> {
        let frame = |kind, flags, payload: &Vec<u8>| Frame {
            id,
            stream: 1,
            stream_flags: 1,
            kind,
            flags,
            payload: payload.clone(),
        };
        let mut frames = Vec::new();
        for (at, payload) in self.request.iter().enumerate() {
            let more = if at + 1 < self.request.len() { 4 } else { 0 };
            let has_data = if self.data.is_some() { 8 } else { 0 };
            let first = if at == 0 { 1 } else { 2 };
            frames.push(frame(1, first | more | has_data, payload));
        }
        let data = revision.kind_number(FrameKind::CommandData).unwrap();
        for (at, payload) in self.data.iter().flatten().enumerate() {
            let is_last = at + 1 == self.data.as_ref().map_or(0, Vec::len);
            frames.push(frame(data, if is_last { 2 } else { 1 }, payload));
        }
        frames
    }
}

/// What a 0006 client may begin with.
fn opening() -> impl Strategy<Value = Vec<Step>> {
    let payload = prop_oneof![
        6 => Just(b"\xa1Pcontentencodings\x81Hidentity".to_vec()),
        1 => Just(b"\xa2Pcontentencodings\x81HidentityEhgrpc\x01".to_vec()),
        1 => payload(),
    ];
    let flags = prop_oneof![8 => Just(2u8), 2 => Just(1), 1 => 0u8..16];
    let settings = (payload, flags).prop_map(|(payload, flags)| {
        Step::Frame(Frame {
            id: 1,
            stream: 1,
            stream_flags: 1,
            kind: 8,
            flags,
            payload,
        })
    });
    prop::collection::vec(settings, 0..3)
}

fn steps(revision: Revision) -> impl Strategy<Value = Vec<Step>> {
    let noise = prop_oneof![4 => Just(0u32), 4 => Just(1), 2 => Just(20)];
    let plans = prop::collection::vec(plan(), 6);
    let opening = if revision.has_settings() {
        opening().boxed()
    } else {
        Just(Vec::new()).boxed()
    };
    (noise, plans, opening).prop_flat_map(move |(noise, plans, opening)| {
        let reply = prop_oneof![
            (0usize..300).prop_map(Reply::Bytes),
            Just(Reply::CommandFailure),
            Just(Reply::ServerFailure),
        ];
        let step = prop_oneof![
            noise => frame().prop_map(Step::Frame),
            16 => (0usize..6).prop_map(|which| Step::Next(which, None)),
            noise.div_ceil(9) => (0usize..6, 0u8..16).prop_map(|(which, f)| Step::Next(which, Some(f))),
            4 => (any::<usize>(), reply).prop_map(|(which, reply)| Step::Answer(which, reply)),
        ];
        prop::collection::vec(step, 0..30).prop_map(move |steps| {
            let steps = opening.iter().cloned().chain(steps).collect();
            expand(&plans, steps, revision)
        })
    })
}

/// Puts frames in place of [`Step::Next`]. A plan that is done begins again with another ID.
fn expand(plans: &[Plan], mut steps: Vec<Step>, revision: Revision) -> Vec<Step> {
    let mut queues: Vec<(u16, VecDeque<Frame>)> = (0..6).map(|n| (2 * n + 1, [].into())).collect();
    for step in &mut steps {
        if let Step::Next(which, flags) = *step {
            let (id, queue) = &mut queues[which];
            if queue.is_empty() {
                queue.extend(plans[which].frames(*id, revision));
                *id += 12;
            }
            let mut frame = queue.pop_front().unwrap();
            frame.flags = flags.unwrap_or(frame.flags);
            *step = Step::Frame(frame);
        }
    }
    steps
}

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    sent: Vec<u8>,
    receiving: Vec<u16>,
    state: ServerState,
}

fn run<T: Requests, M: BorrowMut<T::Memory>>(
    mut owner: Owner<T, M>,
    steps: &[Step],
    sizes: &[usize],
) -> (Outcome, M) {
    for step in steps {
        match step {
            Step::Frame(frame) => owner.feed(&frame.bytes(), sizes),
            Step::Next(..) => panic!("these are expanded"),
            Step::Answer(which, reply) => drop(owner.answer(*which, *reply)),
        }
        owner.check();
    }
    while owner.answer(0, Reply::Bytes(3)).is_some() {
        owner.check();
    }
    let outcome = Outcome {
        receiving: owner.server.receiving().map(u16::from).collect(),
        state: owner.server.state(),
        events: owner.events,
        sent: owner.sent,
    };
    (outcome, owner.memory)
}

type Case = (Revision, ServerConfig, Vec<Step>);

fn case() -> impl Strategy<Value = Case> {
    configs().prop_flat_map(|(revision, config)| {
        steps(revision).prop_map(move |steps| (revision, config, steps))
    })
}

fn configs() -> impl Strategy<Value = (Revision, ServerConfig)> {
    (
        prop::sample::select(REVISIONS.to_vec()),
        any::<bool>(),
        prop_oneof![Just(16_384u16), 1u16..4],
        prop_oneof![Just(0x8000u32), 100u32..200],
    )
        .prop_map(|(revision, streams, frames, size)| {
            let mut config = ServerConfig::DEFAULT;
            if streams {
                config.data_mode = DataMode::Stream;
            }
            config.limits.request_frames = frames;
            config.send_frame_size = size;
            (revision, config)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_and_any_store_give_the_same_events(
        (revision, config, steps) in case(),
        sizes in prop::collection::vec(1usize..90, 1..5),
    ) {
        let oracle = || Owner::new(revision, config, Oracle::new(REQUESTS, BYTES));
        let (whole, memory) = run(oracle(), &steps, &[usize::MAX]);
        for sizes in [&sizes[..], &[1]] {
            let (parts, _) = run(oracle(), &steps, sizes);
            prop_assert_eq!(&parts, &whole);
        }
        for sizes in [&sizes[..], &[usize::MAX]] {
            let fixed = (FixedRequests::<REQUESTS>::new(), vec![0; BYTES]);
            let (fixed, _) = run(Owner::new(revision, config, fixed), &steps, sizes);
            prop_assert_eq!(&fixed, &whole);
        }
        // Nothing is kept of requests that are not being received.
        prop_assert!(memory.chunks.len() <= whole.receiving.len() + 1);
        if whole.receiving.is_empty() && whole.state == ServerState::Idle {
            prop_assert!(memory.chunks.is_empty());
        }
    }

    #[test]
    fn random_bytes_do_no_harm(
        revision in prop::sample::select(REVISIONS.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut server = Server::new(
            revision,
            ServerConfig::STREAMING,
            FixedRequests::<REQUESTS>::new(),
        );
        let mut memory = [0; BYTES];
        let mut input = &bytes[..];
        while server.next(&mut input, &mut memory).is_some() {}
        prop_assert!(input.is_empty());
    }
}

/// The scripts are worth something only if they get far.
#[test]
fn the_scripts_reach_every_event() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..1500 {
        let (revision, config, steps) = case().new_tree(&mut runner).unwrap().current();
        let owner = Owner::new(revision, config, Oracle::new(REQUESTS, BYTES));
        let (outcome, _) = run(owner, &steps, &[usize::MAX]);
        seen.extend(outcome.events.iter().map(|event| match event {
            Event::Run {
                data, data_follows, ..
            } => format!("run {} {data_follows}", data.is_some()),
            Event::Data { is_last, .. } => format!("data {is_last}"),
            Event::Reject { reason, .. } => reason.name().to_owned(),
            Event::Error(error) => error.name().to_owned(),
            Event::Frame(state) => state.name().to_owned(),
        }));
    }
    let expected = [
        "run true false",
        "run false true",
        "run false false",
        "data true",
        "data false",
        "too-many-requests",
        "request-too-large",
        "data-too-large",
        "nested-too-deep",
        "too-many-frames",
        "stream-parity",
        "stream-not-begun",
        "encoding-unsupported",
        "unexpected-initial-frame",
        "expected-settings",
        "settings-both-flags",
        "settings-no-flags",
        "malformed-settings",
        "settings-empty",
        "settings-too-large",
        "expected-command-request",
        "new-and-continuation",
        "neither-new-nor-continuation",
        "request-already-receiving",
        "request-already-active",
        "expected-new-request",
        "request-still-active",
        "request-not-receiving",
        "request-frames-done",
        "expect-data-mismatch",
        "unexpected-command-data",
        "command-data-without-flags",
        "request-frames-unfinished",
        "unexpected-frame-type",
        "malformed-request",
        "already-errored",
        "protocol-settings-receiving",
        "idle",
        "command-receiving",
        "errored",
    ];
    let missing: Vec<_> = expected
        .iter()
        .filter(|kind| !seen.contains(**kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:?}");
}
