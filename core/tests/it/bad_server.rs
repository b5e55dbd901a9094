//! What a client makes of bad servers: random frames that are nearly right. Whatever they send,
//! however it is cut, wherever it is kept: the same events, no panic, no leak
//! (client.md, "A frame arrives"; revision-0006.md, 6).

use std::collections::BTreeSet;

use hgrpc::client::{Call, CallData, Client, ClientAction, ClientConfig, ClientError, Request};
use hgrpc::store::{Arena, FixedArena, FixedTable, Table};
use hgrpc::wire::{FrameKind, FrameReader, RequestId};
use hgrpc::{REVISIONS, Revision};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::oracle::{OracleArena, OracleTable};
use crate::script::{Frame, chunks, encoded};

#[derive(Clone, Debug)]
pub enum Step {
    Frame(Frame),
    /// Takes a frame of one of the calls.
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
    Error(ClientError),
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

/// Runs the steps; the events, the frames taken, what is still awaited.
fn run<T: Table, A: Arena>(
    (revision, config): (Revision, ClientConfig),
    mut table: T,
    mut arena: A,
    steps: &[Step],
    sizes: &[usize],
) -> (Vec<Event>, Vec<u8>, Vec<RequestId>, A) {
    let mut client: Client = Client::new(revision, config);
    let mut events = Vec::new();
    let mut sent = Vec::new();
    let mut reader = FrameReader::new(0x00ff_ffff);
    let mut calls: Vec<Call<'_>> = [
        CallData::None,
        CallData::Bytes(b"some data"),
        CallData::Stream,
    ]
    .into_iter()
    .map(|data| {
        let request = Request::new(b"command", encoded(b"\xa0")).with_data(data);
        client.call(&mut table, request).unwrap().0
    })
    .collect();
    for step in steps {
        match step {
            Step::Frame(frame) => {
                let mut of_frame = Vec::new();
                for mut piece in chunks(&frame.bytes(), sizes) {
                    while let Some(part) = reader.next(&mut piece).unwrap() {
                        note(client.handle(part, &mut table, &mut arena), &mut of_frame);
                    }
                }
                assert!(of_frame.len() <= 2, "{of_frame:?}");
                events.append(&mut of_frame);
            }
            Step::Take(which) => take(&mut calls, *which, &mut client, &mut table, &mut sent),
            Step::Cancel(id) => drop(client.cancel(&mut table, &mut arena, RequestId::new(*id))),
        }
    }
    // However they ended, every call can be sent to its end.
    while !calls.is_empty() {
        take(&mut calls, 0, &mut client, &mut table, &mut sent);
    }
    let mut awaited = Vec::new();
    while let Some(id) = client.handle_eof(&mut table) {
        awaited.push(id);
    }
    assert!(table.next_after(None).is_none(), "everything is forgotten");
    (events, sent, awaited, arena)
}

fn take<T: Table>(
    calls: &mut Vec<Call<'_>>,
    which: usize,
    client: &mut Client,
    table: &mut T,
    sent: &mut Vec<u8>,
) {
    if calls.is_empty() {
        return;
    }
    let at = which % calls.len();
    let call = &mut calls[at];
    let mut out = client.output(table);
    let frame = if call.wants_data() {
        call.data_frame(&mut out, b"piece", which.is_multiple_of(2))
            .unwrap()
    } else {
        call.next_frame(&mut out)
    };
    if let Some(frame) = frame {
        sent.extend(frame.as_slices().concat());
    }
    if call.is_ended() {
        drop(calls.remove(at));
    }
}

fn note(action: Result<ClientAction<'_>, ClientError>, events: &mut Vec<Event>) {
    match action {
        Ok(ClientAction::Noop) => {}
        Ok(ClientAction::ResponseData {
            request_id,
            status,
            data,
            expect_more,
            eos,
        }) => {
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
                (*more, *end) = (expect_more, eos);
                return;
            }
            events.push(Event::Data {
                id: request_id,
                status,
                bytes: data.to_vec(),
                expect_more,
                eos,
            });
        }
        Ok(ClientAction::MessageTooLarge { kind, .. }) => {
            assert_ne!(kind, FrameKind::CommandResponse);
            panic!("messages fit");
        }
        Ok(other) => events.push(Event::Other(format!("{other:?}"))),
        Err(error) => events.push(Event::Error(error)),
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
            run((revision, config), OracleTable::new(4), OracleArena::new(8, 400), &steps, sizes)
        };
        let (events, sent, awaited, arena) = oracle(&[usize::MAX]);
        prop_assert!(arena.chunks.len() <= 4, "{:?}", arena.chunks);
        for sizes in [&sizes[..], &[1]] {
            let (a, b, c, _) = oracle(sizes);
            prop_assert_eq!(&a, &events);
            prop_assert_eq!(&b, &sent);
            prop_assert_eq!(&c, &awaited);
        }
        for sizes in [&sizes[..], &[usize::MAX]] {
            let (table, arena) = (FixedTable::<4>::new(), FixedArena::<8, 400>::new());
            let (a, b, c, _) = run((revision, config), table, arena, &steps, sizes);
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
            let (table, arena) = (OracleTable::new(4), OracleArena::new(8, 400));
            let (events, ..) = run((revision, config), table, arena, &steps, &[usize::MAX]);
            seen.extend(events.iter().map(|event| match event {
                Event::Data { status, eos, .. } => format!("data {} {eos}", status.is_some()),
                Event::Other(text) => text.split(' ').next().unwrap().to_owned(),
                Event::Error(error) => error.error.name().to_owned(),
            }));
        }
    }
    let expected = [
        "data true true",
        "data true false",
        "data false true",
        "data false false",
        "ErrorResponse",
        "TextOutput",
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
