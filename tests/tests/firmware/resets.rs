//! Either side begins anew in the middle of calls: they end with the link's word for it, and the
//! next call works.

use hgrpc::link::LinkError;
use hgrpc_std::blocking::{CallError, ConnectionError};

use crate::board::{Pattern, ask, call, connect, lost, next, stat, values};
use crate::emulator::{Emulator, is_possible};

fn link_error(error: CallError) -> LinkError {
    match lost(error) {
        ConnectionError::Link(error) => error,
        other => panic!("{other}"),
    }
}

fn recovers_from_resets(board: &str) {
    if !is_possible() {
        return;
    }
    let mut emulator = Emulator::start(board);

    // The board's button, while one call is open and another's data is on its way.
    let client = connect(&emulator);
    let mut events = call(&client, "events").send().unwrap();
    next(&mut events).unwrap();
    let digest = call(&client, "digest")
        .data(Pattern::new(8 << 20))
        .send()
        .unwrap();
    emulator.reset();
    // A packet may have been cut by the reset: then bytes are lost before the restart is heard of.
    let expected = [LinkError::PeerRestarted, LinkError::LinkLost];
    assert!(expected.contains(&link_error(values(events).unwrap_err())));
    assert!(expected.contains(&link_error(values(digest).unwrap_err())));
    drop(client);
    let client = connect(&emulator);
    assert_eq!(
        ask(call(&client, "led").value("on", &true)).unwrap(),
        "true"
    );
    assert_eq!(stat(&client, "starts"), 2);

    // By command, while the line is quiet but for events.
    let mut events = call(&client, "events").send().unwrap();
    next(&mut events).unwrap();
    assert_eq!(ask(call(&client, "reset")).unwrap(), "true");
    assert_eq!(
        link_error(values(events).unwrap_err()),
        LinkError::PeerRestarted
    );
    drop(client);
    let client = connect(&emulator);
    assert_eq!(stat(&client, "starts"), 3);
    let connections = stat(&client, "connections");

    // The host goes away in the middle of an upload, and comes back.
    let mut events = call(&client, "events").send().unwrap();
    next(&mut events).unwrap();
    let digest = call(&client, "digest")
        .data(Pattern::new(8 << 20))
        .send()
        .unwrap();
    next(&mut events).unwrap();
    client.close();
    assert!(matches!(
        lost(values(digest).unwrap_err()),
        ConnectionError::Shutdown
    ));
    drop((client, events));
    let client = connect(&emulator);
    let data = Pattern::new(10_000);
    let answer = ask(call(&client, "digest").data(data.clone()));
    let answer = answer.unwrap_or_else(|error| panic!("{board}: {error}"));
    assert_eq!(answer, data.digest());
    assert_eq!(stat(&client, "connections"), connections + 1);
    assert_eq!(stat(&client, "starts"), 3);
}

#[test]
fn the_lm3s6965evb_recovers_from_resets() {
    recovers_from_resets("lm3s6965evb");
}

#[test]
fn the_mps2_an386_recovers_from_resets() {
    recovers_from_resets("mps2-an386");
}

#[test]
fn the_mps2_an500_recovers_from_resets() {
    recovers_from_resets("mps2-an500");
}

#[test]
fn the_microbit_recovers_from_resets() {
    recovers_from_resets("microbit");
}
