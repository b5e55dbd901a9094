//! The program that the documentation begins with, and its like on a small device.

use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{Event as Answer, Request};
use hgrpc::connection::{Drive, Outgoing};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Reply};
use hgrpc::{REVISIONS, RefusalReason, Revision};

use crate::memory::{self, buffers};
use crate::pipe::Pipe;

/// At most 25 lines of it are hgrpc's, without a byte of CBOR or an `unwrap`. README has it too.
#[test]
fn the_first_program_is_short() {
    let program = include_str!("../../src/drive/device.md");
    assert!(include_str!("../../examples/device.rs").contains(program.trim()));
    assert!(include_str!("../../../README.md").contains(program.trim()));
    let (_, serve) = program.split_once("fn serve").unwrap();
    let lines = serve.lines().filter(|line| {
        [
            "Buffers",
            "Connection",
            "Driver",
            "Event",
            "replies",
            "reply",
            "device",
        ]
        .iter()
        .any(|word| line.contains(word))
    });
    assert!(lines.count() <= 25);
    assert!(!program.contains("unwrap") && !program.contains("\\x"));
}

const MIB: usize = 1 << 20;

/// A hash that is kept from piece to piece (FNV-1a).
fn hash(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// One argument of so many bytes.
fn args(len: usize, byte: u8) -> Vec<u8> {
    let head = u32::try_from(len).unwrap().to_be_bytes();
    [b"\xa1Avz".as_slice(), &head, &vec![byte; len]].concat()
}

/// 1 KiB for all requests, 64 bytes of input, 96 of output: 1 MiB of data streams through, a request
/// of 1 MiB is refused by name, and two others are answered meanwhile, all interleaved.
#[test]
fn a_small_device_serves_large_and_small_requests_at_once() {
    for revision in REVISIONS {
        serve(revision);
    }
}

fn serve(revision: Revision) {
    let upload: Vec<u8> = (0..MIB).map(|n| ((n * 31) >> 3) as u8).collect();
    let (small, large, other) = (args(300, 0x61), args(MIB, 0x62), args(200, 0x63));
    // The client's frames, at most 32 KiB each, one of each call in turn.
    let mut client = memory::client(revision, buffers(0, 256, 0x8000 + 8));
    let mut input = Vec::new();
    let request = |name, args| Request::new(name, EncodedArgs::from_cbor(args).unwrap());
    let calls = client.sender();
    let mut digest = calls.request(request(b"digest", b"\xa0"), true).unwrap();
    let mut oversized = calls.request(request(b"echo", &large), false).unwrap();
    let mut echo = calls.request(request(b"echo", &small), false).unwrap();
    let [digest_id, oversized_id, echo_id] = [&digest, &oversized, &echo].map(|c| c.request_id());
    calls
        .make_all(&mut digest, |bytes| input.extend_from_slice(bytes))
        .unwrap();
    let mut late_id = None;
    let mut data = digest.data(&upload, true);
    let (mut is_done, mut turns) = ([false; 3], 0);
    while is_done != [true; 3] {
        turns += 1;
        let is_turn = |n: usize| turns % 3 == n;
        let made = match turns % 3 {
            0 if !is_done[0] => calls.make(&mut data),
            1 if !is_done[1] => calls.make(&mut oversized),
            2 if !is_done[2] => calls.make(&mut echo),
            _ => Ok(is_done[turns % 3]),
        };
        for (n, done) in is_done.iter_mut().enumerate() {
            *done |= is_turn(n) && made.unwrap();
        }
        calls.write_all(|bytes| input.extend_from_slice(bytes));
        if turns == 30 {
            // One more comes in the midst of the others.
            let mut late = calls.request(request(b"echo", &other), false).unwrap();
            late_id = Some(late.request_id());
            calls
                .make_all(&mut late, |bytes| input.extend_from_slice(bytes))
                .unwrap();
            calls.write_all(|bytes| input.extend_from_slice(bytes));
        }
    }
    let late_id = late_id.unwrap();

    let (up, down) = (Pipe::new(&[61, 7, 64]), Pipe::new(&[]));
    up.bytes.borrow_mut().extend(&input);
    let connection = memory::server(revision, buffers(64, 1024, 96));
    let mut server = Driver::new(connection, up, down.clone());
    let mut digest: Option<(Reply, u64)> = None;
    let (mut order, mut longest) = (Vec::new(), 0);
    while let Some((event, mut replies)) = server.step().unwrap() {
        match event {
            Event::Command(command) => {
                order.push(command.reply.request_id());
                if command.is("digest") {
                    assert!(command.data_follows);
                    digest = Some((command.reply, SEED));
                } else if command.is("echo") {
                    // Answered while its arguments are borrowed.
                    replies
                        .send(command.reply.body(command.args.as_cbor()))
                        .unwrap();
                } else {
                    replies.send(command.unknown()).unwrap();
                }
            }
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => {
                assert_eq!(request_id, digest_id);
                longest = longest.max(bytes.len());
                let (reply, state) = digest.take().unwrap();
                let state = hash(state, bytes);
                if is_last {
                    order.push(request_id);
                    replies.send(reply.body(&state.to_be_bytes())).unwrap();
                } else {
                    digest = Some((reply, state));
                }
            }
            Event::Refused(refusal) => {
                assert_eq!(refusal.request_id(), oversized_id);
                assert_eq!(refusal.reason(), RefusalReason::RequestTooLarge);
                assert!(refusal.limit() <= 1024);
            }
            Event::Idle => {}
            other => panic!("{other:?}"),
        }
        assert!(server.connection().free_memory() <= 1024);
    }
    assert!(longest <= 64);
    let end = server.connection().end();
    assert_eq!((end.receiving().count(), end.active().count()), (0, 0));
    // The small ones ran while the upload was on its way.
    assert_eq!(order.pop(), Some(digest_id));
    order.sort_unstable();
    assert_eq!(order, [digest_id, echo_id, late_id]);

    let answers: Vec<u8> = down.bytes.borrow().iter().copied().collect();
    let mut rest = &answers[..];
    let mut bodies = std::collections::BTreeMap::<_, Vec<u8>>::new();
    let mut refusal = None;
    while let Some((event, _)) = client.take(&mut rest).unwrap() {
        match event {
            Answer::Response {
                request_id, data, ..
            } => bodies
                .entry(request_id)
                .or_default()
                .extend_from_slice(data),
            Answer::Failed {
                request_id,
                message,
            } => refusal = Some((request_id, message.to_string())),
            _ => {}
        }
    }
    let (refused, message) = refusal.unwrap();
    assert_eq!(refused, oversized_id);
    assert!(
        message.starts_with("request-too-large, limit "),
        "{message}"
    );
    assert_eq!(bodies[&echo_id], small);
    assert_eq!(bodies[&late_id], other);
    assert_eq!(bodies[&digest_id], hash(SEED, &upload).to_be_bytes());
    assert_eq!(client.take_unanswered(), None);
}
