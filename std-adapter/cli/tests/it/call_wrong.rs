//! `hgrpc call` where something is wrong: one line that helps, and the right exit code.

use std::io::{Read, Write};
use std::sync::LazyLock;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc_std::blocking::Config;

use crate::server::{Run, call, call_with, peer, saying, server, server_of};

static SERVER: LazyLock<String> = LazyLock::new(|| server_of(Revision::R0006));

/// Nothing but one line on the error output, with that in it.
#[track_caller]
fn says(run: &Run, code: i32, piece: &str, what: &str) {
    let err = &run.err;
    assert_eq!(run.code, Some(code), "{what}: {err}");
    assert_eq!(err.lines().count(), 1, "{what}: {err}");
    assert!(
        err.starts_with("hgrpc: ") && err.ends_with('\n'),
        "{what}: {err}"
    );
    assert!(err.contains(piece), "{what}: {err}\nwithout {piece:?}");
    assert!(!err.contains("panicked"), "{what}: {err}");
    let is_safe = err.chars().all(|c| c == '\n' || !c.is_control());
    assert!(is_safe, "{what}: {err:?}");
}

/// The words after `hgrpc call`, the exit code, a piece of the line. `@` is the address of a server.
const CASES: &[(&[&str], i32, &str)] = &[
    // The command line.
    (
        &[],
        2,
        "the address is missing, and HGRPC_ADDRESS is not set",
    ),
    (&["@"], 2, "the command's name is missing"),
    (&["@", ""], 2, "the command's name is empty"),
    (
        &["@", "msg=x"],
        2,
        "\"msg=x\" is an argument; the command's name comes before it",
    ),
    (&["@", "echo", "--josn"], 2, "'--json'"),
    (&["@", "echo", "--json", "--raw"], 2, "cannot be used with"),
    (&["@", "echo", "--revision", "0004"], 2, "0003, 0005, 0006"),
    (
        &["@", "echo", "--timeout", "soon"],
        2,
        "is not a duration such as 250ms",
    ),
    (&["@", "echo", "--timeout", "0"], 2, "no time is too little"),
    (&["@", "echo", "--max-frame", "1"], 2, "256..=16777215"),
    (
        &["@", "echo", "--accept-encoding", "gzip"],
        2,
        "zlib, identity",
    ),
    (&["@", "echo", "--jobs", "4"], 2, "--jobs is for --batch"),
    (
        &["@", "--batch", "/no/such", "echo"],
        2,
        "cannot be used with",
    ),
    (
        &["@", "x", "--revision", "0005", "--accept-encoding", "zlib"],
        2,
        "--accept-encoding is for revision 0006",
    ),
    // Arguments.
    (
        &["@", "echo", "msg"],
        2,
        "KEY=TEXT, KEY:=LITERAL or KEY@=FILE was expected",
    ),
    (&["@", "echo", "=x"], 2, "a key was expected"),
    (&["@", "echo", "msg:=[1, 2"], 2, "argument \"msg\": column"),
    (&["@", "echo", "msg:=yes"], 2, "did you mean true?"),
    (&["@", "echo", "msg:="], 2, "expected a value"),
    (&["@", "echo", "msg=1", "msg=2"], 2, "given before"),
    (&["@", "echo", "msg@=/no/such"], 1, "cannot open /no/such"),
    (&["@", "echo", "msg@=-"], 2, "--data -"),
    // Files.
    (
        &["@", "cat", "--data", "/no/such"],
        1,
        "--data: cannot open /no/such",
    ),
    (
        &["@", "cat", "--data", "/"],
        1,
        "--data: cannot open /: is a directory",
    ),
    (
        &["@", "cat", "--output", "/no/such/file"],
        1,
        "--output: cannot write /no/such/file",
    ),
    (
        &["@", "cat", "--output", "/"],
        1,
        "--output: cannot write /",
    ),
    (
        &["@", "cat", "--output", "-"],
        2,
        "results are printed without it",
    ),
    (
        &["@", "--batch", "/no/such"],
        1,
        "--batch: cannot open /no/such",
    ),
    (&["@", "--batch", "/"], 1, "--batch: cannot open /"),
    (
        &["stdio:", "cat", "--data", "-"],
        2,
        "standard input is the connection",
    ),
    (
        &["stdio:", "--batch", "-"],
        2,
        "standard input is the connection",
    ),
    // Addresses.
    (&["", "x"], 2, "an address begins with its kind"),
    (
        &["localhost:7070", "x"],
        2,
        "did you mean \"tcp://localhost:7070\"?",
    ),
    (
        &["http://localhost", "x"],
        2,
        "web addresses are not spoken here",
    ),
    (&["tcp://localhost", "x"], 2, "the port is missing"),
    (&["unix:x", "x"], 2, "two slashes are missing"),
    (&["exec:'x", "x"], 2, "a quote is not closed"),
    (&["ssh://host", "x"], 2, "exec:ssh host hgrpc serve stdio:"),
    // Nobody there.
    (
        &["tcp://127.0.0.1:1", "x"],
        3,
        "connection refused: is a server running there?",
    ),
    (
        &["tcp://no-such-host.invalid:1", "x"],
        3,
        "no-such-host.invalid",
    ),
    (
        &["unix:///no/such/socket", "x"],
        3,
        "is a server running there?",
    ),
    (
        &["serial:///no/such/port", "x"],
        3,
        "no such file: is it plugged in?",
    ),
    (&["exec:/no/such/program", "x"], 3, "there is no program"),
    (
        &["exec:sh -c 'exit 7'", "x"],
        3,
        "no answer to x: the program ended with exit status: 7",
    ),
    (
        &["exec:true", "cat", "--data", "/dev/zero"],
        3,
        "the program ended with exit status: 0",
    ),
    (
        &["exec:cat", "x"],
        3,
        "the peer broke the protocol, stream-parity",
    ),
    (
        &["exec:sleep 9", "x", "--timeout", "300ms"],
        3,
        "no answer to x within 300 ms",
    ),
    // What the server says.
    (
        &["@", "nope"],
        2,
        "the server has no command nope; call capabilities to list",
    ),
    (
        &["@", "nope", "--data", "/dev/zero"],
        2,
        "the server has no command nope",
    ),
    (
        &["@", "no\u{1b}pe"],
        2,
        "the server has no command no\\x1bpe",
    ),
    (&["@", "echo"], 1, "echo: argument `msg` is missing"),
    (&["@", "big", "size=x"], 1, "big: argument `size` is "),
    (&["@", "fail"], 1, "fail: cannot open no/such\\x1b\\nfile"),
    (
        &["@", "fail-late", "-o", "/dev/null"],
        1,
        "fail-late: the disk is full",
    ),
    (
        &["@", "trouble"],
        1,
        "trouble failed at the server: the database is away",
    ),
    (
        &["@", "bytes-then-value", "--raw", "-o", "/dev/null"],
        2,
        "has values after its bytes",
    ),
    // What breaks.
    (
        &["@", "never", "--timeout", "200ms"],
        3,
        "no answer to never within 200 ms",
    ),
    (
        &["@", "half", "-o", "/dev/null", "--timeout", "2s"],
        3,
        "the response to half was not complete within 2 s: 7",
    ),
    (
        &["@", "cut", "after:=0"],
        3,
        "no answer to cut: the peer closed the connection",
    ),
    (
        &["@", "cut", "after:=70000", "-o", "/dev/null"],
        3,
        "the response to cut was lost after 7",
    ),
];

#[test]
fn wrong_calls_are_told_in_one_line() {
    for (args, code, piece) in CASES {
        let args: Vec<&str> = args
            .iter()
            .map(|&arg| if arg == "@" { &SERVER[..] } else { arg })
            .collect();
        let run = call(&args);
        says(&run, *code, piece, &args.join(" "));
        assert_eq!(run.text(), "", "{args:?}");
    }
}

#[test]
fn failures_are_told_in_every_revision() {
    for revision in [Revision::R0003, Revision::R0005] {
        let address = server_of(revision);
        for (args, code, piece) in [
            (&["nope"][..], 2, "the server has no command nope"),
            (&["fail"], 1, "fail: cannot open no/such\\x1b\\nfile"),
            (
                &["fail-late", "-o", "/dev/null"],
                1,
                "fail-late: the disk is full",
            ),
            (&["trouble"], 1, "trouble: the database is away"),
            (
                &["cut", "after:=0"],
                3,
                "no answer to cut: the peer closed the connection",
            ),
        ] {
            let run = call(&[&[&address[..], "--revision", revision.name()], args].concat());
            says(&run, code, piece, &format!("{revision} {args:?}"));
        }
    }
}

#[test]
fn peers_of_another_revision_are_suspected() {
    for spoken in crate::server::REVISIONS {
        let address = server_of(spoken);
        for tried in crate::server::REVISIONS {
            if tried == spoken {
                continue;
            }
            for words in [&["echo", "msg=x"][..], &["cat", "--data", "/etc/passwd"]] {
                let args = [&[&address[..], "--revision", tried.name()], words].concat();
                let run = call(&args);
                let what = format!("{tried} to {spoken} {words:?}");
                says(&run, 3, "--revision", &what);
                assert!(run.err.contains(spoken.name()), "{what}: {}", run.err);
            }
        }
    }
}

#[test]
fn peers_of_other_protocols_are_told() {
    for (said, piece) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
            "the peer speaks HTTP, not hgrpc: is this a web server's port?",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x46",
            "the peer speaks TLS, not hgrpc",
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "the peer speaks SSH, not hgrpc"),
        (
            b"220 mail ESMTP\r\n",
            "the peer speaks SMTP or FTP, not hgrpc",
        ),
        (
            b"-ERR unknown command\r\n",
            "the peer speaks Redis, not hgrpc",
        ),
        (b"what do you want from me?\n", "is it an hgrpc server?"),
        (
            b"\x04\0\0\x01\0\x02\x01",
            "the connection was cut in the middle of a frame",
        ),
        (
            b"\x04\0\0\x01\0\x02\x01\x32\xa1",
            "the connection was cut in the middle of a frame, 3 bytes before its end",
        ),
        (b"\x01\0\0\x01\0\x02\x01\x51x", "malformed-error-response"),
        (b"\x01\0\0\x01\0\x03\x01\x32x", "stream-parity"),
        (b"\x01\0\0\x09\0\x02\x01\x32x", "request-not-active"),
        (
            b"",
            "the peer closed the connection before it sent anything",
        ),
    ] {
        let address = saying(said);
        let run = call(&[&address, "x"]);
        says(&run, 3, piece, &String::from_utf8_lossy(said));
        assert!(run.err.contains(" to x"), "{}", run.err);
    }
}

#[test]
fn silent_and_rude_peers_are_told() {
    let silent = peer(|stream| {
        std::thread::sleep(Duration::from_secs(20));
        drop(stream);
    });
    let run = call(&[&silent, "x", "--timeout", "300ms"]);
    says(
        &run,
        3,
        "within 300 ms; the peer has sent nothing at all: is it an hgrpc server?",
        "silent",
    );
    // The connection's buffers fill up.
    let run = call(&[&silent, "x", "--data", "/dev/zero", "--timeout", "1s"]);
    says(
        &run,
        3,
        "no answer to x within 1 s; the peer has sent nothing at all",
        "silent",
    );
    // Closed at once, whatever is noticed first.
    let rude = peer(drop);
    let run = call(&[&rude, "x", "--data", "/dev/zero"]);
    says(&run, 3, "before it sent anything", "rude");
    // The whole time in bytes that say nothing.
    let chatty = peer(|mut stream| {
        while stream
            .write_all(b"\x02\0\0\x01\0\x02\x01\x61\x80\x80")
            .is_ok()
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let run = call(&[&chatty, "x", "--timeout", "300ms"]);
    assert_eq!(run.code, Some(3));
}

#[test]
fn frames_over_the_limit_name_the_option() {
    let mut config = Config::new(Revision::R0006);
    config.limits.send_frame_size = 1 << 20;
    let address = server(&config);
    let run = call(&[&address, "big", "size:=900000", "-o", "/dev/null"]);
    says(
        &run,
        3,
        "frame-too-large; --max-frame takes larger ones",
        "large",
    );
}

#[test]
fn what_is_lost_of_an_upload_is_told() {
    // It reads a lot and goes away.
    let address = peer(|mut stream| {
        let mut buffer = vec![0; 1 << 16];
        for _ in 0..100 {
            stream.read_exact(&mut buffer).unwrap();
        }
    });
    let run = call(&[&address, "put", "--data", "/dev/zero"]);
    says(&run, 3, "bytes of its data were read): ", "upload");
}

#[test]
fn a_batch_tells_what_was_not_done() {
    let lines = format!("echo msg=1\ncut after:=0\n{}", "wait ms:=1\n".repeat(500));
    let run = call_with(&[&SERVER[..], "--batch", "-", "--jobs", "1"], lines);
    assert_eq!((run.code, run.text()), (Some(3), "1: b'1'\n"));
    assert_eq!(
        run.err,
        "hgrpc: line 2: no answer to cut: the peer closed the connection\n\
         hgrpc: the calls after line 2 were not made\n"
    );
    let run = call_with(
        &[&SERVER[..], "--batch", "-", "--timeout", "2s"],
        "never\necho msg=1\n",
    );
    assert_eq!((run.code, run.text()), (Some(3), "2: b'1'\n"));
    assert_eq!(
        run.err,
        "hgrpc: line 1: no complete answer to never within 2 s; the server is there, but slow: \
         --timeout gives it longer\n"
    );
}

#[test]
fn arguments_over_the_servers_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
    let argument = format!("msg@={}", path.display());
    for revision in crate::server::REVISIONS {
        let address = server_of(revision);
        let run = call(&[&address, "--revision", revision.name(), "echo", &argument]);
        says(&run, 1, "request-too-large, limit 1048576", revision.name());
    }
}

#[test]
fn text_that_does_not_end_is_no_part_of_the_message() {
    let run = call(&[&SERVER, "say-and-fail"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.err,
        "remote: no newline\nhgrpc: say-and-fail: it failed\n"
    );
}

#[test]
fn help_is_for_standard_output() {
    let run = call(&["--help"]);
    let help = run.done();
    for piece in [
        "hgrpc call tcp://127.0.0.1:7070 echo msg=hello",
        "KEY:=LITERAL",
        "--batch",
        "Exit codes:",
    ] {
        assert!(help.contains(piece), "{piece}");
    }
    assert!(call(&["-h"]).done().lines().count() < help.lines().count());
}
