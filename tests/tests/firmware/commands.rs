//! Every command, on every board.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread;

use hgrpc_std::blocking::{CallError, Client};

use crate::board::{Pattern, ask, call, connect, next, stat, values};
use crate::emulator::{Emulator, Line, build, is_possible};
use crate::large::statics;

fn message(error: CallError) -> String {
    match error {
        CallError::Command(failure) => failure.message,
        other => panic!("{other}"),
    }
}

fn echo(client: &Client) {
    let request = call(client, "echo").arg("text", "x").value("n", &-7);
    assert_eq!(ask(request).unwrap(), "{b'n': -7, b'text': b'x'}");
    // Data comes back while more of it goes there.
    let mut sent = Vec::new();
    Pattern::new(9000).read_to_end(&mut sent).unwrap();
    let response = call(client, "echo")
        .data(Pattern::new(9000))
        .send()
        .unwrap();
    assert_eq!(response.read_bytes(10_000).unwrap(), sent);
}

fn led(client: &Client) {
    let on = |on| call(client, "led").value("on", &on);
    assert_eq!(ask(on(true)).unwrap(), "true");
    assert_eq!(ask(on(true).value("level", &0u8)).unwrap(), "false");
    assert_eq!(
        message(ask(on(true).value("level", &256u16)).unwrap_err()),
        "argument `level` is out of range"
    );
    assert_eq!(
        message(ask(call(client, "led")).unwrap_err()),
        "argument `on` is missing"
    );
    assert_eq!(
        message(ask(call(client, "fly")).unwrap_err()),
        "unknown command: fly"
    );
}

fn digest(client: &Client) {
    assert_eq!(
        ask(call(client, "digest")).unwrap(),
        Pattern::new(0).digest()
    );
    // Lengths around a block's end.
    for len in [1, 55, 56, 63, 64, 65, 64 * 1024] {
        let data = Pattern::new(len);
        let request = call(client, "digest").data(data.clone());
        assert_eq!(ask(request).unwrap(), data.digest(), "{len} bytes");
    }
}

fn count(client: &Client) {
    let seen = Arc::new(Mutex::new((Vec::new(), String::new())));
    let (progress, text) = (Arc::clone(&seen), Arc::clone(&seen));
    let request = call(client, "count")
        .value("to", &20u8)
        .on_progress(move |p| progress.lock().unwrap().0.push((p.pos, p.total)))
        .on_text(move |atoms| text.lock().unwrap().1 += &atoms.escaped().to_string());
    assert_eq!(ask(request).unwrap(), "20");
    let (progress, text) = &*seen.lock().unwrap();
    assert_eq!(*progress, (1..=20).map(|n| (n, 20)).collect::<Vec<_>>());
    assert!(text.contains("counted"), "{text}");
}

fn fault(client: &Client) {
    let failure = message(ask(call(client, "fault")).unwrap_err());
    assert_eq!(failure, "a fault, as asked for");
    // Late: a value has come when it fails.
    let request = call(client, "fault").value("late", &true);
    let mut response = request.send().unwrap();
    assert_eq!(next(&mut response).unwrap(), "42");
    let error = values(response).unwrap_err().to_string();
    assert!(error.contains("a fault, as asked for"), "{error}");
}

/// Two responses stay open and report, while others come and go before them.
fn events(client: &Client) {
    let mut open = call(client, "events").send().unwrap();
    assert!(next(&mut open).unwrap().contains("tick"));
    let few = call(client, "events").value("most", &3u8);
    let few = thread::spawn(move || ask(few).unwrap());
    assert_eq!(ask(call(client, "led").value("on", &true)).unwrap(), "true");
    let led = loop {
        let event = next(&mut open).unwrap();
        if event.contains("led") {
            break event;
        }
    };
    assert_eq!(led, "{b'led': 1}");
    assert_eq!(few.join().unwrap().matches(": ").count(), 3);
    assert_eq!(ask(call(client, "stop")).unwrap(), "true");
    // What was on its way, then the end.
    values(open).unwrap();
}

fn stats(client: &Client) {
    assert!(stat(client, "hgrpc-ram") < 2048);
    assert!(stat(client, "commands") > 20);
    assert!((2..=4).contains(&stat(client, "most-requests")));
    assert!(stat(client, "frames") > stat(client, "commands"));
    assert_eq!(stat(client, "refused"), 0);
    assert_eq!(stat(client, "connections"), 1);
    assert_eq!(stat(client, "connections-ended"), 0);
    assert_eq!(stat(client, "starts"), 1);
    // Something was painted over, and something was not.
    assert!((500..12_000).contains(&stat(client, "most-stack")));
}

fn every_command(board: &str) {
    if !is_possible() {
        return;
    }
    let elf = build(board, &[]);
    for line in [Line::Tcp, Line::Unix] {
        let emulator = Emulator::run(board, &elf, line);
        let client = connect(&emulator);
        echo(&client);
        led(&client);
        digest(&client);
        count(&client);
        fault(&client);
        events(&client);
        stats(&client);
        assert_eq!(stat(&client, "hgrpc-ram"), statics(&elf));
    }
}

#[test]
fn every_command_on_the_lm3s6965evb() {
    every_command("lm3s6965evb");
}

#[test]
fn every_command_on_the_mps2_an386() {
    every_command("mps2-an386");
}

#[test]
fn every_command_on_the_mps2_an500() {
    every_command("mps2-an500");
}

#[test]
fn every_command_on_the_microbit() {
    every_command("microbit");
}

#[test]
fn a_mebibyte_goes_through_a_few_hundred_bytes() {
    if !is_possible() {
        return;
    }
    let emulator = Emulator::start("microbit");
    let client = connect(&emulator);
    let data = Pattern::new(1 << 20);
    // Two at once, and a third call that does not wait for them.
    let first = call(&client, "digest").data(data.clone()).send().unwrap();
    let second = call(&client, "digest")
        .data(Pattern::new(50_000))
        .send()
        .unwrap();
    let led = call(&client, "led").value("on", &true);
    assert_eq!(ask(led).unwrap(), "true");
    assert_eq!(values(second).unwrap(), Pattern::new(50_000).digest());
    assert_eq!(values(first).unwrap(), data.digest());
    assert!(stat(&client, "hgrpc-ram") < 2048);
    assert!(stat(&client, "most-store") <= 256);
}
