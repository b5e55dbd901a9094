//! A host that asks too much, or that talks nonsense: one request is refused, or one connection
//! ends, and the device goes on.

use std::io::Write;
use std::net::TcpStream;

use hgrpc_std::blocking::{CallError, Client};

use crate::board::{Pattern, ask, call, connect, next, stat, values};
use crate::emulator::{Emulator, is_possible};
use crate::host;

/// What the server says of a call that it refuses.
fn refusal(error: CallError) -> String {
    match error {
        CallError::Server(failure) => failure.message,
        other => panic!("{other}"),
    }
}

fn works(client: &Client) {
    assert_eq!(ask(call(client, "led").value("on", &true)).unwrap(), "true");
}

fn refuses_what_is_too_much(board: &str) {
    if !is_possible() {
        return;
    }
    let emulator = Emulator::start(board);
    let client = connect(&emulator);

    // A request that the store cannot hold, in one frame and in two of which the second is long.
    for len in [300, 60_000] {
        let error = ask(call(&client, "echo").arg("text", vec![b'x'; len])).unwrap_err();
        let message = refusal(error);
        assert!(message.contains("request-too-large"), "{message}");
        assert!(message.contains("256"), "{message}");
        works(&client);
    }

    // Frames of 32 KiB through a buffer of 64 bytes.
    let data = Pattern::new(3 * 0x8000 + 1);
    let seen = stat(&client, "frames");
    let frames = client.traffic().frames_out;
    let request = call(&client, "digest").data(data.clone());
    assert_eq!(ask(request).unwrap(), data.digest());
    let sent = client.traffic().frames_out - frames;
    assert!(sent <= 6);
    // The device has counted them, and the one that asked before.
    assert_eq!(stat(&client, "frames") - seen, sent + 1);

    // More requests than slots: the fifth is refused, the four go on.
    let mut open = Vec::new();
    for _ in 0..2 {
        let (upload, response) = call(&client, "digest").open().unwrap();
        open.push((upload, response));
    }
    // A limit of the command's own is an answer like any.
    let error = ask(call(&client, "digest").data(Pattern::new(1000))).unwrap_err();
    assert_eq!(error.to_string(), "two digests are being taken");
    let mut events = Vec::new();
    for _ in 0..2 {
        let mut response = call(&client, "events").send().unwrap();
        assert!(next(&mut response).unwrap().contains("tick"));
        events.push(response);
    }
    let message = refusal(ask(call(&client, "led").value("on", &true)).unwrap_err());
    assert!(message.contains("too-many-requests"), "{message}");
    for (mut upload, response) in open {
        upload.write_all(b"abc").unwrap();
        upload.finish();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(values(response).unwrap(), format!("\"{digest}\""));
    }
    works(&client);
    assert_eq!(ask(call(&client, "stop")).unwrap(), "true");
    for response in events {
        values(response).unwrap();
    }
    works(&client);
    assert_eq!(stat(&client, "refused"), 3);
    assert_eq!(stat(&client, "connections"), 1);
    assert_eq!(stat(&client, "most-requests"), 4);
}

#[test]
fn the_lm3s6965evb_refuses_what_is_too_much() {
    refuses_what_is_too_much("lm3s6965evb");
}

#[test]
fn the_mps2_an386_refuses_what_is_too_much() {
    refuses_what_is_too_much("mps2-an386");
}

#[test]
fn the_mps2_an500_refuses_what_is_too_much() {
    refuses_what_is_too_much("mps2-an500");
}

#[test]
fn the_microbit_refuses_what_is_too_much() {
    refuses_what_is_too_much("microbit");
}

/// Bytes of every kind, with delimiters among them.
fn garbage(len: u32) -> Vec<u8> {
    (0..len)
        .map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()[0])
        .map(|byte| if byte < 40 { 0 } else { byte })
        .map(|byte| if (40..60).contains(&byte) { 0xf8 } else { byte })
        .collect()
}

/// Whoever talks nonsense loses the connection, and the next one is as good as any.
fn survives_garbage(board: &str) {
    if !is_possible() {
        return;
    }
    let emulator = Emulator::start(board);
    let socket = emulator.address.strip_prefix("tcp://").unwrap();
    // Before there is a link.
    let mut line = TcpStream::connect(socket).unwrap();
    line.write_all(&garbage(4096)).unwrap();
    drop(line);

    // In the middle of a connection: on the line, and as frames.
    let mut line = host::line(&emulator.address);
    for n in 0..3 {
        host::connect(&mut line);
        assert_eq!(host::echo(&mut line, n).unwrap(), host::echoed(n));
        host::write_raw(&mut line, &garbage(500));

        host::connect(&mut line);
        assert_eq!(host::echo(&mut line, n).unwrap(), host::echoed(n));
        assert_eq!(
            host::send_frames(&mut line, n + 1, &garbage(64)),
            hgrpc::link::LinkError::LinkLost
        );
    }
    drop(line);

    let client = connect(&emulator);
    works(&client);
    assert!(stat(&client, "connections-ended") >= 6);
    assert_eq!(stat(&client, "starts"), 1);
}

#[test]
fn the_lm3s6965evb_survives_garbage() {
    survives_garbage("lm3s6965evb");
}

#[test]
fn the_mps2_an386_survives_garbage() {
    survives_garbage("mps2-an386");
}

#[test]
fn the_microbit_survives_garbage() {
    survives_garbage("microbit");
}

#[test]
fn the_mps2_an500_survives_garbage() {
    survives_garbage("mps2-an500");
}
