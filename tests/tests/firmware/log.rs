//! What the firmware logs with defmt: every action, error and refusal, by name.

use std::fs;
use std::path::Path;

use defmt_decoder::{DecodeError, Table};

use crate::board::{Pattern, ask, call, connect, stat};
use crate::client::serve_device;
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

/// What a program has logged.
struct Log(Vec<String>);

impl Log {
    fn of(elf: &Path, emulator: &Emulator) -> Self {
        Self(decode(&fs::read(elf).unwrap(), &emulator.output()))
    }

    /// One of the lines has all of these parts.
    fn expect(&self, parts: &[&str]) {
        let is_found = self
            .0
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(is_found, "{parts:?} is not in {:#?}", self.0);
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
    host::send_frames(&mut host::line(&emulator.address), 1, frame);
    // Whatever was said is written by then.
    stat(&connect(&emulator), "starts");

    let log = Log::of(&elf, &emulator);
    log.expect(&["INFO", "connected"]);
    log.expect(&["INFO", "Command", "data_follows: false"]);
    log.expect(&["INFO", "Command", "data_follows: true"]);
    log.expect(&["INFO", "Data", "is_last: true"]);
    log.expect(&["INFO", "Refused"]);
    log.expect(&["WARN", "refused: RequestTooLarge"]);
    log.expect(&["WARN", "the connection is over", "LinkLost"]);
    log.expect(&["WARN", "the connection is over", "Protocol(StreamParity)"]);
}

#[test]
fn a_client_logs_its_actions() {
    if !is_possible() {
        return;
    }
    let program = "lm3s6965evb-client";
    let elf = build(program, &["--defmt"]);
    let mut emulator = Emulator::run(program, &elf, Line::Tcp);
    serve_device(&mut emulator);
    let log = Log::of(&elf, &emulator);
    log.expect(&["INFO", "SetDecoder", "encoding: Identity"]);
    log.expect(&["INFO", "Response", "status: Some(Ok)", "is_last: false"]);
    log.expect(&["INFO", "Response", "status: None", "is_last: true"]);
    log.expect(&["hello lm3s6965evb"]);
}
