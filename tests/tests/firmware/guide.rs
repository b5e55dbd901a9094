//! The device that the guide has a new user write (`core/guide/board.md`), called.

use std::sync::{Arc, Mutex};

use hgrpc_std::blocking::{CallError, Client};

use crate::board::{Pattern, ask, call, connect};
use crate::emulator::{Emulator, Line, is_possible};
use crate::readme;
use crate::tool::switch_the_led_of;

/// The guide, whose program is short: at most 60 lines of it are hgrpc's, beside what its commands do.
#[test]
fn the_guides_device_is_short() {
    let guide = include_str!("../../../core/guide/board.md");
    let (_, program) = guide.split_once("use uart::Uart;\n").unwrap();
    let (program, _) = program.split_once("#[panic_handler]").unwrap();
    let own = [
        "set_led",
        "on && level",
        "celsius, sensor",
        "Sha256",
        "digest.",
        "STARTS",
    ];
    let lines = program.lines().filter(|line| {
        let is_code = line.trim().len() > 1 && !line.trim_start().starts_with("//");
        is_code && !own.iter().any(|own| line.contains(own))
    });
    let lines: Vec<&str> = lines.collect();
    assert!(
        lines.len() <= 60,
        "{} lines:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

fn message(error: CallError) -> String {
    match error {
        CallError::Command(failure) => failure.message,
        other => panic!("{other}"),
    }
}

#[test]
fn the_guides_device_answers() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let elf = readme::build(folder.path());
    let emulator = Emulator::run("lm3s6965evb", &elf, Line::Tcp);
    switch_the_led_of(&emulator);
    let client = connect(&emulator);

    let level = call(&client, "led").value("on", &true).value("level", &256);
    let failed = message(ask(level).unwrap_err());
    assert_eq!(failed, "argument `level` is out of range");
    let answer = ask(call(&client, "temperature")).unwrap();
    assert_eq!(answer, "{b'celsius': 21, b'sensor': \"board\"}");

    let seen = Arc::new(Mutex::new(Vec::new()));
    let progress = Arc::clone(&seen);
    let blink = call(&client, "blink").value("times", &5);
    let blink = blink.on_progress(move |p| progress.lock().unwrap().push((p.pos, p.total)));
    assert_eq!(ask(blink).unwrap(), "5");
    assert_eq!(
        *seen.lock().unwrap(),
        [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    );

    let data = Pattern::new(20_000);
    let digest = call(&client, "digest").data(data.clone());
    let digest = digest.send().unwrap().read_bytes(99).unwrap();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(format!("\"{digest}\""), data.digest());
    // Without data it does not wait for any.
    let failed = message(ask(call(&client, "digest")).unwrap_err());
    assert_eq!(failed, "takes one upload");

    the_host_goes_while_it_blinks(client, &emulator);
}

/// A call that would last for hours ends with its host's connection, and the next host is answered.
fn the_host_goes_while_it_blinks(client: Client, emulator: &Emulator) {
    let (send, blinks) = std::sync::mpsc::channel();
    let blink = call(&client, "blink").value("times", &u32::MAX);
    let blink = blink.on_progress(move |p| {
        let _ = send.send(p.pos);
    });
    let response = blink.send().unwrap();
    for pos in 1..=3 {
        assert_eq!(blinks.recv().unwrap(), pos);
    }
    client.close();
    drop((client, response));
    let client = connect(emulator);
    let led = call(&client, "led").value("on", &true);
    assert_eq!(ask(led).unwrap(), "true");
}
