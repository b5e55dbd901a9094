//! Limits: what is over one is refused, and its neighbours go on.

use hgrpc::Revision;
use std::time::Duration;

use super::super::*;
use super::rig::{Rig, Sender, config, limits};
use crate::gate::{Refusal, ServerLimits};
use crate::host::ConnectionLimit;

fn rig(limits: ServerLimits) -> (Rig, Sender) {
    let revision = Revision::R0005;
    (
        Rig::new(config(revision, &[]), limits),
        Sender::new(revision),
    )
}

#[test]
fn a_full_buffer_stops_reading_until_there_is_room_and_nothing_is_lost() {
    let mut limits = limits();
    limits.per_connection.buffer = 1000;
    let (mut rig, mut sender) = rig(limits);
    // The peer reads nothing, so that the handler cannot write and does not read.
    rig.window = 0;
    let (id, bytes) = sender.request("cat", b"", true);
    rig.receive(&bytes);
    let data: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let bytes = sender.data(id, &data, true);
    let (next, request) = sender.request("script", b"", false);
    rig.receive(&bytes);
    assert!(rig.connection.is_stuck() && rig.connection.deadline().is_some());
    let held = rig.stats().held_bytes;
    assert!(held < 5000, "{held}");
    rig.receive(&request);
    rig.window = usize::MAX;
    rig.run();
    assert_eq!(rig.connection.deadline(), None);
    let response = rig.response(id);
    let status = response.len() - data.len();
    assert!(response[status..] == data);
    assert!(rig.says(next, "ok"));
    rig.assert_idle();
}

#[test]
fn a_handler_that_takes_no_data_is_refused_and_its_neighbours_go_on() {
    let mut limits = limits();
    limits.per_connection.buffer = 1000;
    limits.per_connection.stall = Some(Duration::from_secs(2));
    let (mut rig, mut sender) = rig(limits);
    let (id, bytes) = sender.request("wait", b"", true);
    rig.receive(&bytes);
    rig.receive(&sender.data(id, &[7; 4000], true));
    let (next, bytes) = sender.request("script", &[9], false);
    rig.receive(&bytes);
    assert!(rig.connection.is_stuck() && rig.output.is_empty());
    assert_eq!(rig.connection.deadline(), Some(2001));
    rig.now = 2000;
    rig.run();
    assert!(rig.output.is_empty());
    rig.now = 2001;
    rig.run();
    assert!(rig.says(id, "stalled, the command did not take its data for 2000 ms"));
    assert_eq!((rig.refused(Refusal::Stalled), rig.stopped.len()), (1, 1));
    assert!(rig.says(next, "ok"));
    rig.assert_idle();
}

#[test]
fn as_many_run_as_may() {
    let mut limits = limits();
    limits.per_connection.calls = 2;
    limits.requests = 1;
    let (mut rig, mut sender) = rig(limits);
    let (_, bytes) = sender.request("wait", b"", false);
    rig.receive(&bytes);
    let (second, bytes) = sender.request("script", b"", false);
    rig.receive(&bytes);
    assert!(rig.says(second, "too-many-requests, limit 1"));
    assert_eq!(rig.stats().running, 1);
    let (unknown, bytes) = sender.request("nothing", b"", false);
    rig.receive(&bytes);
    assert!(rig.says(unknown, "unknown command"));
    assert_eq!(rig.refused(Refusal::TooManyRequests), 1);
    assert_eq!(rig.refused(Refusal::UnknownCommand), 1);
}

/// Two connections that share 2,000 bytes, twice the request size.
fn scarce() -> (Rig, Rig) {
    let mut limits = limits();
    (
        limits.own_bytes,
        limits.connection_bytes,
        limits.shared_bytes,
    ) = (0, 0, 0);
    limits.per_connection.request_size = 1000;
    limits.per_connection.stall = Some(Duration::from_secs(1));
    // At least twice the request size: 2,000 bytes.
    let shared = Shared::new(config(Revision::R0005, &[]), limits, Hooks::default());
    (Rig::of(&shared), Rig::of(&shared))
}

#[test]
fn a_request_that_waits_for_bytes_when_the_input_ends_is_answered() {
    let (mut one, mut other) = scarce();
    let (mut first, mut second) = (Sender::new(Revision::R0005), Sender::new(Revision::R0005));
    for _ in 0..2 {
        one.receive(&first.request("wait", &[4; 900], false).1);
    }
    let (id, bytes) = second.request("script", &[4; 900], false);
    other.receive(&bytes);
    assert!(other.connection.is_stuck() && other.input.is_empty());
    other.connection.end_input().unwrap();
    other.run();
    assert!(other.says(id, "server-bytes"));
    assert_eq!(other.connection.progress(), Progress::Answered);
    assert_eq!(other.connection.commands(), 0);
}

#[test]
fn bytes_that_are_not_free_are_waited_for_and_then_refused() {
    let (mut one, mut other) = scarce();
    let (mut first, mut second) = (Sender::new(Revision::R0005), Sender::new(Revision::R0005));
    let steps = [4; 900];
    for _ in 0..2 {
        one.receive(&first.request("wait", &steps, false).1);
    }
    assert_eq!(one.commands.len(), 2);
    let (id, bytes) = second.request("script", &steps, false);
    other.receive(&bytes);
    assert!(other.connection.is_stuck() && other.commands.is_empty());
    other.now = 1001;
    other.run();
    assert!(other.says(
        id,
        "server-bytes, limit 2000 of the connection, 2000 of all"
    ));
    let (id, bytes) = second.request("script", &steps, false);
    other.receive(&bytes);
    assert!(other.output.len() < 200 && other.connection.is_stuck());
    one.commands.clear();
    other.run();
    assert!(other.says(id, "ok"));
    assert!(other.connection.is_idle());
    // One that comes in parts is refused by the core, alone.
    other.commands.clear();
    let (_, bytes) = second.request("script", &steps, false);
    one.receive(&first.request("wait", &steps, false).1);
    one.receive(&first.request("wait", &steps, false).1);
    let (next, small) = second.request("script", b"", false);
    other.receive(&bytes[..500]);
    assert!(other.connection.is_stuck());
    other.now += 1000;
    other.run();
    other.receive(&bytes[500..]);
    assert_eq!(other.refused(Refusal::ServerBytes), 2);
    other.receive(&small);
    assert!(other.says(next, "ok") && other.connection.is_idle());
}

#[test]
fn refusals_that_nobody_reads_and_frames_without_progress_end_it() {
    let mut limits = limits();
    limits.refusals = 3;
    limits.per_connection.request_size = 20;
    let (mut rig, mut sender) = rig(limits);
    rig.window = 0;
    let large = [0; 100];
    for _ in 0..2000 {
        rig.receive(&sender.request("script", &large, false).1);
    }
    assert!(matches!(
        rig.error,
        Some(ConnectionError::Limit(ConnectionLimit::Refusals))
    ));
    // Read in time, they end nothing.
    let (mut rig, mut sender) = self::rig(limits);
    for _ in 0..100 {
        rig.receive(&sender.request("script", &large, false).1);
    }
    assert!(rig.error.is_none());
    assert_eq!(rig.refused(Refusal::RequestTooLarge), 100);

    limits.empty_frames = 5;
    limits.per_connection.request_size = 1000;
    let (mut rig, mut sender) = self::rig(limits);
    let (_, request) = sender.request("wait", b"", true);
    rig.receive(&request);
    // Empty data frames that go on.
    for _ in 0..6 {
        assert!(rig.error.is_none());
        rig.receive(b"\0\0\0\x01\0\x01\0\x21");
    }
    assert!(
        matches!(
            rig.error,
            Some(ConnectionError::Limit(ConnectionLimit::NoProgress))
        ),
        "{:?}",
        rig.error
    );
}

#[test]
fn responses_share_the_line_in_bytes_from_when_they_begin() {
    let (mut rig, mut sender) = rig(limits());
    rig.window = 0;
    let (early, bytes) = sender.request("script", &[255; 400], false);
    rig.receive(&bytes);
    for _ in 0..50 {
        rig.window = 5000;
        rig.run();
    }
    let (late, bytes) = sender.request("script", &[255; 100], false);
    rig.receive(&bytes);
    rig.window = usize::MAX;
    rig.run();
    let frames = rig.frames();
    let is_late = |frame: &(u16, u8, u8, Vec<u8>)| frame.0 == late;
    let start = frames.iter().position(is_late).unwrap();
    let end = frames.iter().rposition(is_late).unwrap();
    let bytes = [early, late].map(|id| {
        let of = frames[start..end].iter().filter(|(other, ..)| *other == id);
        of.map(|(.., payload)| payload.len() + 8).sum::<usize>()
    });
    assert!(bytes[0].abs_diff(bytes[1]) < 2000, "{bytes:?}");
    assert!(end < frames.len() - 100);
    assert_eq!(rig.stats().most_waiting, 2);
}

#[test]
fn memory_is_given_back_when_nothing_happens() {
    let (mut rig, mut sender) = rig(limits());
    for _ in 0..50 {
        rig.receive(&sender.request("script", &[255, 255], false).1);
    }
    rig.assert_idle();
    rig.connection.shrink();
    let connection = &rig.connection;
    assert_eq!(connection.commands.keys().len(), 0);
    assert_eq!(connection.batch.capacity(), 0);
    rig.output.clear();
    let (id, bytes) = sender.request("script", &[255], false);
    rig.receive(&bytes);
    assert!(rig.says(id, "ok"));
}
