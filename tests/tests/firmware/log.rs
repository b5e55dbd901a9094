//! What the firmware logs with defmt: every action, error and refusal, by name.

use std::fs;

use defmt_decoder::{DecodeError, Table};

use crate::board::{Pattern, ask, call, connect, stat};
use crate::emulator::{Emulator, Line, build, is_possible};
use crate::host;

/// The lines of a log that is complete up to its last frame.
fn decode(elf: &[u8], log: &[u8]) -> Vec<String> {
    let table = Table::parse(elf).unwrap().expect("it has a log");
    let mut decoder = table.new_stream_decoder();
    decoder.received(log);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display(false).to_string()),
            Err(DecodeError::UnexpectedEof) => return lines,
            Err(DecodeError::Malformed) => panic!("malformed after {lines:#?}"),
        }
    }
}

#[test]
fn actions_errors_and_refusals_are_logged() {
    if !is_possible() {
        return;
    }
    let board = "lm3s6965evb";
    let elf = build(board, &["--defmt"]);
    let emulator = Emulator::run(board, &elf, Line::Tcp);

    let client = connect(&emulator);
    assert_eq!(
        ask(call(&client, "led").value("on", &true)).unwrap(),
        "true"
    );
    ask(call(&client, "digest").data(Pattern::new(10))).unwrap();
    ask(call(&client, "echo").arg("text", [b'x'; 300])).unwrap_err();
    drop(client);
    // An even stream is the server's.
    let frame = b"\0\0\0\x01\0\x02\x01\x11";
    host::send_frames(&host::line(&emulator.address), frame);
    // Whatever was said is written by then.
    stat(&connect(&emulator), "starts");

    let lines = decode(&fs::read(elf).unwrap(), &emulator.output());
    let expect = |parts: &[&str]| {
        let is_found = lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(is_found, "{parts:?} is not in {lines:#?}");
    };
    expect(&["INFO", "connected"]);
    expect(&["INFO", "WantFrame"]);
    expect(&["INFO", "RunCommand", "data_follows: false"]);
    expect(&["INFO", "RunCommand", "data_follows: true"]);
    expect(&["INFO", "CommandData", "is_last: true"]);
    expect(&["INFO", "RejectRequest"]);
    expect(&["WARN", "refused: RequestTooLarge"]);
    expect(&["WARN", "the connection is over", "Link(LinkLost)"]);
    expect(&["WARN", "the connection is over", "Peer(StreamParity)"]);
}
