//! The link on a host: pseudo-terminals carry `hgrpc call serial://…` to `hgrpc serve serial://…`,
//! whatever happens on the line and at its ends.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::served::{Served, binary};
use crate::wire::Wire;
use rustix::process::Signal;

/// What a run of `hgrpc call` gave.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn start(address: &str, words: &[&str]) -> Child {
    Command::new(binary())
        .args(["call", address])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn call(address: &str, words: &[&str]) -> Run {
    end(start(address, words))
}

#[track_caller]
fn answers(address: &str) {
    let run = call(address, &["echo", "msg=hello"]);
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(0), "b'hello'\n", "")
    );
}

/// The call has failed, and its one line says so.
#[track_caller]
fn fails(run: &Run, what: &str) {
    assert_eq!((run.code, run.out.as_str()), (Some(3), ""), "{run:?}");
    let last = run.err.lines().last().unwrap_or_default();
    assert!(last.contains(what), "{run:?}");
}

/// A file that takes a while on any line, and its digest.
fn large() -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..400_000u32).map(|n| n.to_le_bytes()[1]).collect();
    fs::write(file.path(), bytes).unwrap();
    let server = Served::tcp(&[]);
    let run = call(&server.address, &digest(&file));
    assert_eq!(run.code, Some(0));
    (file, run.out)
}

fn digest(file: &tempfile::NamedTempFile) -> [&str; 3] {
    ["digest", "--data", file.path().to_str().unwrap()]
}

#[test]
fn a_pseudo_terminal_carries_calls_one_client_after_the_other() {
    let (file, expected) = large();
    for address in ["pty:", "pty:?packet=32"] {
        let mut server = Served::start(address, &[]);
        assert!(server.address.starts_with("serial:///dev/"));
        answers(&server.address);
        answers(&server.address);
        let run = call(&server.address, &digest(&file));
        assert_eq!((run.code, &run.out), (Some(0), &expected), "{run:?}");
        let run = call(&server.address, &["count", "to:=3"]);
        assert_eq!((run.code, run.out.as_str()), (Some(0), "3\n"), "{run:?}");
        assert!(run.err.contains("counting to 3\n"), "{run:?}");
        // Clients have gone between calls: nothing to complain of.
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        assert_eq!(server.log(), "", "{address}");
    }
}

#[test]
fn without_a_link_frames_go_over_the_line_as_they_are() {
    let (file, expected) = large();
    let server = Served::start("pty:?link=none", &[]);
    let run = call(&server.address, &digest(&file));
    assert_eq!((run.code, &run.out), (Some(0), &expected), "{run:?}");
}

#[test]
fn the_port_is_for_one_program() {
    let server = Served::start("pty:", &["--verbose"]);
    let mut first = start(&server.address, &["sleep", "ms:=60000"]);
    server.expect_log("command-request");
    let run = call(&server.address, &["echo", "msg=x"]);
    fails(&run, "another program has it open");
    first.kill().unwrap();
    first.wait().unwrap();
    answers(&server.address);
}

#[test]
fn text_and_noise_between_packets_are_shown_and_harm_nothing() {
    let wire = Wire::new();
    let [at_server, at_client] = &wire.ends;
    let server = Served::start(at_server, &[]);
    wire.there.put(b"boot v1.2\r\nok\x1b[2J\r\n");
    let mut child = start(at_client, &["sleep", "ms:=300"]);
    // The other way, and the beginning of a line that never ends.
    wire.back.put(b"AT\r\n\r\nlogin: ");
    let mut err = String::new();
    let status = child.wait().unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(status.success(), "{err}");
    assert_eq!(
        err,
        format!("remote: {at_client}: boot v1.2\nremote: {at_client}: ok\\x1b[2J\n")
    );
    server.expect_log(&format!("{at_server}: AT\n"));
}

#[test]
fn a_loss_ends_calls_by_name_at_both_ends_and_the_next_call_goes_through() {
    let (file, expected) = large();
    let wire = Wire::new();
    let [at_server, at_client] = &wire.ends;
    let server = Served::start(at_server, &[]);
    type Harm = fn(&mut Vec<u8>);
    let harms: [Harm; 4] = [
        |bytes| bytes[100] ^= 0x20,
        |bytes| _ = bytes.remove(100),
        |bytes| bytes.insert(100, 0x55),
        |bytes| bytes.extend_from_within(..),
    ];
    for harm in harms {
        answers(at_client);
        let mut after = 100_000_usize;
        wire.back.harm(move |bytes| {
            let is_due = after > 0 && bytes.len() > 100;
            after = after.saturating_sub(if is_due { bytes.len() } else { 0 });
            if is_due && after == 0 {
                harm(bytes);
            }
        });
        let run = call(at_client, &digest(&file));
        fails(&run, "link-lost");
        wire.back.heal();
        let run = call(at_client, &digest(&file));
        assert_eq!((run.code, &run.out), (Some(0), &expected), "{run:?}");
    }
    server.expect_log("link-lost");
}

#[test]
fn a_server_that_restarts_in_mid_call_is_told_apart_from_a_loss() {
    let wire = Wire::new();
    let [at_server, at_client] = &wire.ends;
    let server = Served::start(at_server, &["--verbose"]);
    let waiting = start(at_client, &["sleep", "ms:=60000"]);
    server.expect_log("command-request");
    server.signal(Signal::KILL);
    drop(server);
    wire.there.put(b"panicked at main.rs\r\nboot\r\n");
    let server = Served::start(at_server, &[]);
    let run = end(waiting);
    fails(&run, "no answer to sleep: peer-restarted");
    assert!(
        run.err
            .contains(&format!("{at_client}: panicked at main.rs\n")),
        "{run:?}"
    );
    answers(at_client);
    drop(server);
}

#[test]
fn a_client_that_restarts_in_mid_call_leaves_nothing_behind() {
    let wire = Wire::new();
    let [at_server, at_client] = &wire.ends;
    let server = Served::start(at_server, &["--verbose"]);
    let mut waiting = start(at_client, &["sleep", "ms:=60000"]);
    server.expect_log("command-request");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    answers(at_client);
    server.expect_log("peer-restarted");
}

#[test]
fn a_silent_line_is_said_to_be_one() {
    let wire = Wire::new();
    let run = call(&wire.ends[0], &["echo", "msg=x", "--timeout", "300ms"]);
    fails(&run, "no answer within 300ms");
    // It was there, and is not any more.
    let at_client = format!("{}?patience=1", wire.ends[1]);
    let server = Served::start(&wire.ends[0], &["--verbose"]);
    let waiting = start(&at_client, &["sleep", "ms:=60000"]);
    server.expect_log("command-request");
    wire.there.harm(Vec::clear);
    fails(&end(waiting), "link-lost");
}

#[test]
fn what_is_no_serial_port_is_said_to_be_none() {
    let run = call("serial:///no/such", &["echo"]);
    fails(&run, "serial:///no/such: no such file");
    let run = call("serial:///dev/null", &["echo"]);
    fails(&run, "serial:///dev/null: it is not a serial port");
    let run = call("pty:", &["echo"]);
    fails(&run, "pty: it is made by listening");
}

#[test]
fn sockets_carry_links_too() {
    let (file, expected) = large();
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix://{}/s?link=cobs&packet=64", folder.path().display());
    for address in ["tcp://127.0.0.1:0?link=cobs", &path] {
        let server = Served::start(address, &[]);
        assert!(server.address.contains("link=cobs"));
        let waiting = start(&server.address, &["sleep", "ms:=1000"]);
        // Each line is one of its own.
        answers(&server.address);
        let run = call(&server.address, &digest(&file));
        assert_eq!((run.code, &run.out), (Some(0), &expected), "{run:?}");
        assert_eq!(end(waiting).code, Some(0));
    }
}
