//! A peer's text in front of users: what of it is escaped, and that it is never taken for the tool's.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::tool::tool;
use crate::unread::{Errors, Run};
use hgrpc::Revision;
use hgrpc_std::blocking::{Config, Failure, Progress, Router, Transport, serve};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Some of what does not show, or turns the direction of what does.
const HIDDEN: &str = "\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\u{180b}\u{180e}\u{200b}\u{200d}\u{200e}\
    \u{2028}\u{2029}\u{202e}\u{2060}\u{2064}\u{2066}\u{206f}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\
    \u{1d173}\u{e0001}\u{e0041}\u{e007f}\u{e0100}";

/// What the tool's own lines look like.
const LIKE_OURS: &str = "hgrpc: line 1: all is well\n-> frame(size=0)\nremote\nhgrpc: done\n";

/// A server whose every text is meant to deceive; its address.
fn deceiver(revision: Revision) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let transport = Transport::tcp(stream.unwrap()).unwrap();
            thread::spawn(move || serve(transport, &router(), &Config::new(revision)));
        }
    });
    address
}

fn router() -> Router {
    Router::new()
        .command("whole", |_, reply| {
            reply.text(LIKE_OURS)?;
            reply.text(HIDDEN)?;
            Ok(reply.write_all(b"done")?)
        })
        .command("pieces", |_, reply| {
            let side = reply.notes();
            for piece in ["a", "b\nhgrpc: ", "c", "\n", "\nd"] {
                side.labelled(piece, &["ui.warning"])?;
            }
            side.progress(&Progress::new("hgrpc", 1, 2))?;
            side.text("hgrpc: e")?;
            Ok(reply.write_all(b"done")?)
        })
        .command("progress", |_, reply| {
            let topic = format!("hgrpc: {HIDDEN}")
                .chars()
                .take(25)
                .collect::<String>();
            reply.notes().progress(&Progress::new(&topic, 1, 2))?;
            Ok(reply.write_all(b"done")?)
        })
        .command("fail", |_, reply| {
            reply.text("hgrpc: not ended")?;
            Err(Failure::command(format!("{HIDDEN}\nhgrpc: fine")))
        })
        .command("result", |_, reply| {
            Ok(reply.write_all(format!("a text {HIDDEN}\n").as_bytes())?)
        })
        .command("value", |_, reply| {
            reply.value(&HIDDEN)?;
            Ok(())
        })
}

/// What a run printed: on its output, and on its error output.
fn call(words: &[&str]) -> (String, String) {
    let mut run = Run::of(Command::new(tool()).arg("call").args(words));
    let errors = run.errors();
    let out = run.output();
    run.wait();
    (out, errors.end())
}

/// Nothing in it is hidden.
#[track_caller]
fn is_plain(text: &str) {
    let hidden = text.chars().find(|c| HIDDEN.contains(*c));
    assert_eq!(hidden, None, "{text:?}");
}

#[test]
fn every_line_of_a_servers_text_is_marked() {
    for revision in hgrpc::REVISIONS {
        let address = deceiver(revision);
        let words = ["--revision", revision.name(), &address];
        let (out, err) = call(&[&words[..], &["whole", "--raw"]].concat());
        assert_eq!(out, "done");
        is_plain(&err);
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 5, "{err}");
        for (line, expected) in lines.iter().zip(LIKE_OURS.lines()) {
            assert_eq!(*line, format!("remote: {expected}"));
        }
        assert!(lines[4].starts_with("remote: \\u{00ad}\\u{034f}"), "{err}");
        assert!(
            lines[4].ends_with("\\u{e0041}\\u{e007f}\\u{e0100}"),
            "{err}"
        );
    }
}

#[test]
fn lines_that_come_in_pieces_are_marked_once() {
    let address = deceiver(Revision::R0006);
    let (_, err) = call(&[&address, "pieces"]);
    assert_eq!(
        err,
        "remote: ab\nremote: hgrpc: c\nremote: \nremote: d\nremote: hgrpc: 1/2\nremote: hgrpc: e\n"
    );
}

#[test]
fn in_a_batch_the_text_is_marked_too() {
    let address = deceiver(Revision::R0006);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "whole\npieces\nprogress\nfail\n").unwrap();
    let (_, err) = call(&[&address, "--batch", file.path().to_str().unwrap()]);
    is_plain(&err);
    let (ours, theirs): (Vec<&str>, _) = err.lines().partition(|line| line.starts_with("hgrpc: "));
    assert_eq!(ours.len(), 1, "{err}");
    assert!(ours[0].starts_with("hgrpc: line 4: fail: "), "{err}");
    assert!(ours[0].ends_with("\\nhgrpc: fine"), "{err}");
    for line in &theirs {
        let mark = line.get(..11).unwrap_or_default();
        let is_marked =
            ["remote: 1: ", "remote: 2: ", "remote: 3: ", "remote: 4: "].contains(&mark);
        assert!(is_marked, "{line:?} of\n{err}");
    }
    assert!(theirs.contains(&"remote: 1: hgrpc: done"), "{err}");
}

#[test]
fn topics_and_failures_are_marked_and_escaped() {
    let address = deceiver(Revision::R0006);
    let (_, err) = call(&[&address, "progress"]);
    is_plain(&err);
    assert!(err.starts_with("remote: hgrpc: \\u{00ad}"), "{err}");
    let (_, err) = call(&[&address, "fail"]);
    is_plain(&err);
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines[0], "remote: hgrpc: not ended");
    assert!(lines[1].starts_with("hgrpc: fail: \\u{00ad}"), "{err}");
    assert_eq!(lines.len(), 2, "{err}");
}

#[test]
fn results_for_people_hide_nothing() {
    let address = deceiver(Revision::R0005);
    let words = ["--revision", "0005", &address];
    let (out, _) = call(&[&words[..], &["result"]].concat());
    is_plain(&out);
    assert!(out.starts_with("a text \\u{00ad}\\u{034f}"), "{out}");
    let (out, _) = call(&[&words[..], &["value"]].concat());
    is_plain(&out);
    assert!(out.starts_with("\"\\u00ad\\u034f"), "{out}");
    assert!(out.ends_with("\\udb40\\udd00\"\n"), "{out}");
    let (out, _) = call(&[&words[..], &["value", "--json"]].concat());
    is_plain(&out);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json, HIDDEN);
    // Bytes are bytes.
    let (out, _) = call(&[&words[..], &["result", "--raw"]].concat());
    assert_eq!(out, format!("a text {HIDDEN}\n"));
}

/// Runs it with its error output on a terminal; what came there.
fn on_a_terminal(words: &[&str]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options()
        .write(true)
        .open(path.to_str().unwrap())
        .unwrap();
    let mut child = Command::new(tool())
        .arg("call")
        .args(words)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(slave)
        .spawn()
        .unwrap();
    let reading = thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        // The end of a terminal without another end is an error.
        while let Ok(len @ 1..) = File::from(master.try_clone().unwrap()).read(&mut buffer) {
            text.extend_from_slice(&buffer[..len]);
        }
        String::from_utf8(text).unwrap()
    });
    assert!(child.wait().unwrap().success());
    reading.join().unwrap()
}

#[test]
fn on_a_terminal_the_text_is_marked_and_coloured_behind_the_mark() {
    let address = deceiver(Revision::R0006);
    let shown = on_a_terminal(&[&address, "whole"]);
    is_plain(&shown);
    for line in LIKE_OURS.lines() {
        assert!(shown.contains(&format!("remote: {line}\r\n")), "{shown:?}");
    }
    assert_eq!(shown.lines().count(), 5, "{shown:?}");
    let shown = on_a_terminal(&[&address, "pieces"]);
    let first = "remote: \x1b[33ma\x1b[0m\x1b[33mb\x1b[0m\r\nremote: \x1b[33mhgrpc: \x1b[0m\x1b[33mc\x1b[0m\r\n";
    assert!(shown.starts_with(first), "{shown:?}");
    // The bar too.
    assert!(shown.contains("remote: hgrpc ["), "{shown:?}");
}

#[test]
fn what_devices_print_is_marked_in_the_servers_log() {
    let (mut server, address) = crate::unread::serve("tcp://127.0.0.1:0?link=cobs", &[]);
    let errors: Errors = server.errors();
    let (host, _) = address.split_once('?').unwrap();
    let mut socket = TcpStream::connect(host.strip_prefix("tcp://").unwrap()).unwrap();
    socket
        .write_all(format!("{LIKE_OURS}x{HIDDEN}\n").as_bytes())
        .unwrap();
    errors.expect("\\u{e0100}\n");
    let log = errors.text();
    is_plain(&log);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 5, "{log}");
    for line in lines {
        assert!(line.starts_with("remote: 20"), "{log}");
        assert!(line.contains(" tcp://127.0.0.1:"), "{log}");
    }
    server.signal(rustix::process::Signal::TERM);
    server.wait();
}

#[test]
fn what_programs_print_is_one_line_of_the_servers_log() {
    // Mercurial's clients take no text: it goes there.
    let program = "noisy=printf 'x\\342\\200\\250y\\r\\nhgrpc: fine\\n' >&2";
    let program = program.replacen("=printf", "=sh -c \"printf", 1) + "\"";
    let (mut server, address) = crate::unread::serve("tcp://127.0.0.1:0", &["--command", &program]);
    let errors = server.errors();
    let line = "1 1 stream-begin command-request new cbor:{b'name': b'noisy'}";
    let frame = hgrpc_std::human::parse_frame(line.as_bytes(), Revision::R0006).unwrap();
    let mut socket = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    socket.write_all(frame.header().emit()).unwrap();
    socket.write_all(frame.payload()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    errors.expect("hgrpc: fine");
    let log = errors.text();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].ends_with(": noisy: x\\u{2028}y"), "{log}");
    assert!(lines[1].ends_with(": noisy: hgrpc: fine"), "{log}");
    assert!(
        lines.iter().all(|line| line.starts_with("hgrpc: 20")),
        "{log}"
    );
}
