//! How commands and connections end.

use hgrpc::{ProtocolError, Revision};

use super::super::*;
use super::rig::{Rig, Sender, config, limits};
use crate::host::ConnectionError;

fn rig() -> (Rig, Sender) {
    let revision = Revision::R0006;
    (
        Rig::new(config(revision, &[]), limits()),
        Sender::new(revision),
    )
}

#[test]
fn what_was_accepted_is_answered_after_the_input_has_ended() {
    let (mut rig, mut sender) = rig();
    let (id, bytes) = sender.request("script", &[200, 200, 200], false);
    let (upload, data) = sender.request("cat", b"", true);
    rig.window = 0;
    rig.receive(&bytes);
    rig.receive(&data);
    rig.receive(&sender.data(upload, b"some", false));
    assert!(rig.connection.end_input().is_ok());
    assert_eq!(rig.connection.progress(), Progress::Answering);
    rig.run();
    assert_eq!(rig.connection.progress(), Progress::Answering);
    rig.window = usize::MAX;
    rig.run();
    assert_eq!(rig.connection.progress(), Progress::Answered);
    assert!(rig.says(id, "ok"));
    // Its data was cut.
    assert!(rig.says(upload, crate::host::DATA_CUT));
    rig.assert_idle();
}

#[test]
fn an_end_inside_of_a_frame_is_no_end() {
    let (_, request) = Sender::new(Revision::R0006).request("script", b"", false);
    for len in 1..request.len() {
        let (mut rig, _) = rig();
        rig.receive(&request[..len]);
        let settings = 8 + usize::from(request[0]);
        let end = rig.connection.end_input();
        let missing = match len {
            _ if len == settings => None,
            _ if len < 8 => Some(8 - len),
            _ if len < settings => Some(settings - len),
            _ if len < settings + 8 => Some(settings + 8 - len),
            _ => Some(request.len() - len),
        };
        match (end, missing) {
            (Ok(()), None) => {}
            (Err(ConnectionError::Cut { missing }), Some(expected)) => {
                assert_eq!(usize::try_from(missing).unwrap(), expected, "{len}");
            }
            (end, missing) => panic!("{len}: {end:?} {missing:?}"),
        }
    }
}

#[test]
fn a_fault_ends_the_input_and_not_what_runs() {
    let (mut rig, mut sender) = rig();
    let (id, bytes) = sender.request("wait", b"", false);
    rig.receive(&bytes);
    rig.receive(b"\0\0\0\x03\0\x02\x01\x11");
    assert!(matches!(
        rig.error,
        Some(ConnectionError::Protocol(ProtocolError::StreamParity))
    ));
    rig.connection.end_input().unwrap();
    let key = rig.commands[0].0;
    let script = rig.scripts.remove(&key).unwrap();
    assert!(rig.connection.answer(key, b"late"));
    script.drop_all(&mut rig.connection, key);
    rig.connection.handler_ended(key, Outcome::Done);
    rig.run();
    assert!(rig.says(id, "late"));
    assert_eq!(rig.connection.progress(), Progress::Answered);
}

#[test]
fn the_end_of_a_connection_ends_all() {
    let (mut rig, mut sender) = rig();
    rig.window = 0;
    let (_, wait) = sender.request("wait", b"", false);
    let (upload, cat) = sender.request("cat", b"", true);
    let (_, full) = sender.request("script", &[255; 250], false);
    for bytes in [wait, cat, full, sender.data(upload, &[1; 100], false)] {
        rig.receive(&bytes);
    }
    assert_eq!(rig.connection.unanswered().len(), 3);
    assert_eq!(rig.stats().running, 3);
    rig.connection.end(ConnectionError::Shutdown);
    assert_eq!(rig.stats().running, 0);
    rig.run();
    assert_eq!(rig.stopped.len(), 3);
    assert_eq!(rig.connection.progress(), Progress::Ended);
    assert!(!rig.connection.has_output());
    assert_eq!(rig.connection.commands.len(), 0);
    assert_eq!(rig.stats().held_bytes, rig.held());
    rig.commands.clear();
    assert_eq!(rig.stats().held_bytes, 0);
}

#[test]
fn a_server_that_stops_lets_what_runs_end() {
    let (mut rig, mut sender) = rig();
    let (_, bytes) = sender.request("wait", b"", false);
    rig.receive(&bytes);
    rig.connection.shared().stop();
    let (late, bytes) = sender.request("script", b"", false);
    rig.receive(&bytes);
    assert!(rig.says(late, "shutting-down, the server is being ended"));
    assert_eq!(rig.connection.progress(), Progress::Open);
    let key = rig.commands[0].0;
    rig.scripts.remove(&key);
    rig.connection.reply_dropped(key, false);
    rig.connection.handler_ended(key, Outcome::Done);
    rig.run();
    assert_eq!(rig.connection.progress(), Progress::Answered);
    assert_eq!(rig.stats().unanswered, 1);
}

#[test]
fn each_way_to_give_no_answer_is_told_apart() {
    let (mut rig, mut sender) = rig();
    let (panicked, bytes) = sender.request("panic", b"", false);
    rig.receive(&bytes);
    assert!(rig.says(panicked, "the command panicked"));
    let (failed, bytes) = sender.request("script", &[5], false);
    rig.receive(&bytes);
    assert!(rig.says(failed, "no %s there"));
    let (server, bytes) = sender.request("script", &[6], false);
    rig.receive(&bytes);
    assert!(rig.says(server, "the disk is full of"));
    // A reply that outlives its handler.
    let (later, bytes) = sender.request("wait", b"", false);
    rig.receive(&bytes);
    let key = rig.commands[3].0;
    rig.scripts.remove(&key);
    rig.connection.handler_ended(key, Outcome::Done);
    rig.run();
    assert!(rig.response(later).is_empty());
    rig.connection.reply_dropped(key, false);
    rig.run();
    assert!(rig.says(later, "the command gave no answer"));
    let stats = rig.stats();
    let counts = [
        stats.panicked,
        stats.failed,
        stats.failed_server,
        stats.unanswered,
    ];
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!(rig.connection.command(key), None);
    rig.assert_idle();
}
