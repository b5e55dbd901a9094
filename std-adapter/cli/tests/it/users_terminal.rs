//! `hgrpc call` on a terminal: what a person sees once all has been drawn.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use hgrpc::cbor::Progress;
use hgrpc_std::blocking::{Config, Router, Transport, serve};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::tool::tool;

const ROWS: u16 = 60;

/// A terminal, so wide; what shows it, and what a program is given.
fn terminal(columns: u16) -> (File, OwnedFd) {
    let shown = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&shown).unwrap();
    unlockpt(&shown).unwrap();
    let size = Winsize {
        ws_row: ROWS,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&shown, size).unwrap();
    let path = ptsname(&shown, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let given = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    (shown.into(), given)
}

fn screen(rows: u16, columns: u16) -> vt100::Parser {
    let [rows, columns] = [rows, columns].map(|size| NonZero::new(size).unwrap());
    vt100::Parser::new(rows, columns, 0)
}

/// The screen after a run, and all that it ever showed.
struct Screen {
    last: String,
    all: Vec<String>,
}

/// Runs the tool on a terminal.
fn run(args: &[&str], columns: u16) -> Screen {
    let (mut shown, given) = terminal(columns);
    let stdio = || Stdio::from(given.try_clone().unwrap());
    let mut child = Command::new(tool())
        .args(args)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(stdio())
        .stderr(stdio())
        .spawn()
        .unwrap();
    drop(given);
    let mut parser = screen(ROWS, columns);
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    // Its end is an error.
    while let Ok(len) = shown.read(&mut buffer)
        && len > 0
    {
        parser.process(&buffer[..len]);
        all.push(parser.screen().contents());
    }
    assert!(child.wait().unwrap().success());
    let last = parser.screen().contents();
    Screen { last, all }
}

/// A server of `mixed`, which answers numbers with progress between them, and of `slow`, which takes
/// its time to read.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .command("mixed", |_, reply| {
            let side = reply.notes();
            for number in 1..=20 {
                side.progress(&Progress::new("counting", number, 20))?;
                reply.value(&number)?;
                reply.flush()?;
                thread::sleep(Duration::from_millis(5));
            }
            side.progress(&Progress::new("counting", -1, 20))?;
            Ok(())
        })
        .command("slow", |call, reply| {
            let mut buffer = vec![0; 1 << 20];
            let mut all = 0;
            loop {
                let len = call.read(&mut buffer)?;
                if len == 0 {
                    reply.value(&all)?;
                    return Ok(());
                }
                all += len;
                thread::sleep(Duration::from_millis(20));
            }
        });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let transport = Transport::tcp(stream.unwrap()).unwrap();
            let router = router.clone();
            thread::spawn(move || serve(transport, &router, &Config::default()));
        }
    });
    address
}

#[test]
fn results_and_bars_have_lines_of_their_own() {
    let address = server();
    let expected: String = (1..=20).map(|number| format!("{number}\n")).collect();
    let mut bars = 0;
    for _ in 0..20 {
        let screen = run(&["call", &address, "mixed"], 80);
        assert_eq!(screen.last.trim_end(), expected.trim_end());
        for shown in &screen.all {
            assert!(!shown.contains("0/0"), "{shown}");
            bars += shown.matches("remote: counting [").count();
        }
    }
    assert!(bars > 0);
}

#[test]
fn uploads_have_a_bar() {
    let address = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, vec![7; 24 << 20]).unwrap();
    let data = path.to_str().unwrap();
    let screen = run(&["call", &address, "slow", "--data", data], 80);
    assert_eq!(screen.last.trim_end(), (24 << 20).to_string());
    let has_bar = |shown: &String| shown.contains("sending [") && shown.contains("/24.00 MiB");
    assert!(screen.all.iter().any(has_bar), "{:?}", screen.all.last());
    // Not where it was asked to be quiet.
    let screen = run(&["call", "-q", &address, "slow", "--data", data], 80);
    assert!(!screen.all.iter().any(|shown| shown.contains("sending")));
}

#[test]
fn help_is_as_wide_as_the_terminal() {
    for columns in [60, 100] {
        let (mut shown, given) = terminal(columns);
        let mut child = Command::new(tool())
            .args(["call", "--help"])
            .env_remove("COLUMNS")
            .stdin(Stdio::from(given.try_clone().unwrap()))
            .stdout(Stdio::from(given.try_clone().unwrap()))
            .stderr(Stdio::from(given))
            .spawn()
            .unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(len) = shown.read(&mut buffer)
            && len > 0
        {
            text.extend_from_slice(&buffer[..len]);
        }
        assert!(child.wait().unwrap().success());
        let mut parser = screen(1000, 200);
        parser.process(&text);
        let help = parser.screen().contents();
        assert!(help.contains("HGRPC_ADDRESS"));
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(columns.into()), "{longest:?} of {columns}");
    }
}
