//! Logs that nobody reads, as users meet them: real pipes, real signals, the tool that they run.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::unread::{LONG, Run, full_pipe, is_answered, serve};
use rustix::process::Signal;

/// A batch of calls, each with two frames at least.
fn batch(calls: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "echo msg=hello\n".repeat(calls)).unwrap();
    file
}

/// Makes a connection that says nothing sensible, and waits for its end.
fn bad_connection(address: &str) {
    let mut socket = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    let _ = socket.write_all(&[0xff; 8]);
    socket.set_read_timeout(Some(LONG / 2)).unwrap();
    if let Err(error) = socket.read_to_end(&mut Vec::new()) {
        let is_over = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(is_over, "the server does not close the connection: {error}");
    }
}

/// How many lines a log says were dropped, or left out.
fn missing(log: &str, what: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains(what));
    let number = |line: &str| {
        let (before, _) = line.split_once(" line").unwrap();
        before
            .split(' ')
            .next_back()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    lines.map(number).sum()
}

// --- serve ---

#[test]
fn bad_connections_do_not_stop_a_server_whose_log_nobody_reads() {
    let (mut server, address) = serve("tcp://127.0.0.1:0", &[]);
    for _ in 0..700 {
        bad_connection(&address);
    }
    assert!(is_answered(&address));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn good_calls_do_not_stop_a_server_whose_log_nobody_reads() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut server, address) = serve("tcp://127.0.0.1:0", &["-v", "--grace", "1s"]);
        // More than a pipe and the queue before it hold.
        let calls = batch(2000);
        let calls = calls.path().to_str().unwrap();
        let mut client = Run::new(&["call", "--timeout", "10s", &address, "--batch", calls]);
        let answers = client.output();
        assert_eq!(client.wait().code(), Some(0), "{signal:?}");
        assert_eq!(answers.lines().count(), 2000, "{signal:?}");
        assert!(is_answered(&address), "{signal:?}");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn what_was_dropped_is_counted_when_somebody_reads_again() {
    let (mut server, address) = serve("tcp://127.0.0.1:0", &["-v"]);
    let calls = batch(2000);
    let calls = calls.path().to_str().unwrap();
    let mut client = Run::new(&["call", "--timeout", "10s", &address, "--batch", calls]);
    client.output();
    assert_eq!(client.wait().code(), Some(0));
    let log = server.errors();
    log.expect(" lines dropped: ");
    // What comes from now on is there.
    let seen = log.text().len();
    assert!(is_answered(&address));
    log.expect_that("a new line", |text| {
        text.get(seen..).unwrap().contains("-> frame(")
    });
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let log = log.end();
    let is_frame = |line: &&str| line.contains("-> frame(") || line.contains("<- frame(");
    let shown = u64::try_from(log.lines().filter(is_frame).count()).unwrap();
    let dropped = missing(&log, " dropped: ");
    assert!(shown > 100 && dropped > 100, "{shown} {dropped}");
    // A request and a response for each call, and the settings of each connection.
    assert!(shown + dropped >= 4000, "{shown} {dropped}");
    for line in log.lines() {
        assert!(line.starts_with("hgrpc: ") && line.len() < 300, "{line:?}");
    }
}

#[test]
fn lines_have_the_time_and_the_peer() {
    let (mut server, address) = serve("tcp://127.0.0.1:0", &[]);
    bad_connection(&address);
    let log = server.errors();
    log.expect("\n");
    let text = log.text();
    let words: Vec<&str> = text.trim().split(' ').collect();
    assert_eq!(words[0], "hgrpc:", "{text}");
    // 2026-01-02T03:04:05.678Z
    let shape: String = (words[1].chars())
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
    assert!(words[2].starts_with("tcp://127.0.0.1:"), "{text}");
    assert!(words[2].ends_with(':'), "{text}");
}

#[test]
fn bad_connections_have_so_many_lines_a_second() {
    const CONNECTIONS: u64 = 300;
    let (mut server, address) = serve("tcp://127.0.0.1:0", &[]);
    let log = server.errors();
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        bad_connection(&address);
    }
    let seconds = began.elapsed().as_secs() + 2;
    let shown = |text: &str| {
        let lines = text.lines().filter(|line| line.contains(" tcp://"));
        u64::try_from(lines.count()).unwrap()
    };
    // It says so without a further line that would make it.
    log.expect_that("all connections", |text| {
        shown(text) + missing(text, " left out: ") == CONNECTIONS
    });
    let text = log.text();
    assert!(shown(&text) <= 20 * seconds, "{text}");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

// --- call ---

/// A server that is not to be judged here; it tells what it is asked.
fn helper() -> (Run, String) {
    serve("tcp://127.0.0.1:0", &["-v"])
}

/// What nobody reads.
#[derive(Clone, Copy, Debug)]
enum Unread {
    Errors,
    Output,
    /// One pipe for both, as after `2>&1 |`.
    Both,
}

/// A call whose output nobody reads ends, with code 3 when its time is up and with those of signals.
fn ends_early(words: &[&str], unread: Unread) {
    let (mut server, address) = helper();
    let log = server.errors();
    let words = [&["call", "-v", &address], words].concat();
    let timed = [&words, &["--timeout", "1s"][..]].concat();
    let start = |words: &[&str]| {
        let (pipe, full) = full_pipe();
        let run = match unread {
            Unread::Errors => Run::with(words, Stdio::null(), full),
            Unread::Output => Run::with(words, full, Stdio::null()),
            Unread::Both => Run::with(words, full.try_clone().unwrap(), full),
        };
        (run, pipe)
    };
    let (mut call, _pipe) = start(&timed);
    assert_eq!(call.wait().code(), Some(3), "{unread:?}");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let seen = log.text().len();
        let (mut call, _pipe) = start(&words);
        log.expect_that("the call", |text| {
            text.get(seen..).unwrap().contains("=command-request")
        });
        call.signal(signal);
        assert_eq!(call.wait().code(), Some(code), "{unread:?}");
    }
}

#[test]
fn a_call_whose_frames_nobody_reads_is_made() {
    let (_server, address) = helper();
    let mut call = Run::new(&["call", "-v", &address, "count", "to:=5000"]);
    assert_eq!(call.output(), "5000\n");
    assert_eq!(call.wait().code(), Some(0));
}

#[test]
fn a_call_whose_text_nobody_reads_is_made() {
    let lines = "lines=sh -c 'seq -f %01000g 1000 >&2; echo done'";
    let (_server, address) = serve("tcp://127.0.0.1:0", &["--command", lines]);
    let mut call = Run::new(&["call", &address, "lines", "--raw"]);
    assert_eq!(call.output(), "done\n");
    assert_eq!(call.wait().code(), Some(0));
}

#[test]
fn text_that_somebody_reads_slowly_is_whole() {
    let lines = "lines=sh -c 'seq -f %01000g 1000 >&2; echo done'";
    let (_server, address) = serve("tcp://127.0.0.1:0", &["--command", lines]);
    let mut call = Run::new(&["call", &address, "lines", "--raw"]);
    let mut err = call.err.take().unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 20_000];
    loop {
        match err.read(&mut buffer).unwrap() {
            0 => break,
            len => text.extend_from_slice(&buffer[..len]),
        }
        thread::sleep(Duration::from_millis(2));
    }
    let mut expected = String::new();
    for number in 1..=1000 {
        writeln!(expected, "remote: {number:01000}").unwrap();
    }
    assert!(
        text == expected.as_bytes(),
        "{} of {}",
        text.len(),
        expected.len()
    );
    assert_eq!(call.wait().code(), Some(0));
}

#[test]
fn timeouts_and_signals_end_a_call_whose_frames_nobody_reads() {
    ends_early(&["sleep", "ms:=600000"], Unread::Errors);
}

#[test]
fn timeouts_and_signals_end_a_call_whose_result_nobody_reads() {
    let endless = ["echo", "--data", "/dev/zero", "--raw"];
    ends_early(&endless, Unread::Output);
    ends_early(&endless, Unread::Both);
}

#[test]
fn timeouts_and_signals_end_a_batch_whose_results_nobody_reads() {
    let calls = batch(1000);
    let words = ["--batch", calls.path().to_str().unwrap()];
    ends_early(&words, Unread::Output);
    ends_early(&words, Unread::Both);
}

#[test]
fn a_server_whose_output_nobody_reads_serves_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/socket", folder.path().display());
    for signal in [Signal::TERM, Signal::INT] {
        let (_pipe, full) = full_pipe();
        let words = ["serve", "-v", &address];
        let mut server = Run::with(&words, full.try_clone().unwrap(), full);
        let end = Instant::now() + LONG;
        while !is_answered(&address) {
            assert!(Instant::now() < end, "it does not serve");
        }
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal:?}");
    }
}
