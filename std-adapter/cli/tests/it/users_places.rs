//! Places of `hgrpc serve`, as users meet them: nobody keeps the others out, and what is freed is given
//! back.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::served::{Served, binary, eventually};
use hgrpc_std::diagnostic::parse;
use rustix::net::{self, AddressFamily, SocketType, bind, socket};

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(60);

fn address(served: &Served) -> SocketAddr {
    let address = served.socket();
    let (address, _) = address.split_once('?').unwrap_or((address, ""));
    address.parse().unwrap()
}

fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(address(served)).unwrap()
}

/// Connects as somebody else: from another address of this machine's.
fn connect_from(from: &str, served: &Served) -> TcpStream {
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    let file = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&file, &from).unwrap();
    net::connect(&file, &address(served)).unwrap();
    file.into()
}

/// A number of the server's `/proc/…/status`.
fn status(served: &Served, name: &str) -> usize {
    let id = served.id().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The frames of these lines, as `hgrpc encode` has them.
fn encode(lines: &str) -> Vec<u8> {
    let mut child = Command::new(binary())
        .arg("encode")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().stdout
}

/// A request whose data follows.
fn announced(name: &str) -> Vec<u8> {
    encode(&format!(
        "1 1 stream-begin command-request new|have-data cbor:{{b'name': b'{name}'}}\n"
    ))
}

fn call(address: &str, args: &[&str]) -> Output {
    Command::new(binary())
        .args(["call", "--timeout", "60s", address])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Reads until this has come; `false` if the connection ends before.
fn has_come(stream: &mut TcpStream, text: &str) -> bool {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 1000]);
    while !answer
        .windows(text.len())
        .any(|window| window == text.as_bytes())
    {
        match stream.read(&mut buffer) {
            Ok(len @ 1..) => answer.extend_from_slice(&buffer[..len]),
            _ => return false,
        }
    }
    true
}

/// Calls `echo` over this connection; whether the answer has this text.
fn is_answered(stream: &mut TcpStream, text: &str) -> bool {
    let line = "1 1 stream-begin command-request new cbor:{b'name': b'echo', b'args': {b'msg': b'hello'}}\n";
    // A connection that is refused may be closed by now.
    let _ = stream.write_all(&encode(line));
    has_come(stream, text)
}

/// Waits until the server has closed this connection.
fn until_closed(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    loop {
        match stream.read(&mut [0; 1000]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn one_peer_leaves_places_to_others() {
    let served = Served::tcp(&[]);
    let request = announced("digest");
    // As many as it gets: each announces data and is silent.
    let mut held: Vec<TcpStream> = (0..70).map(|_| connect(&served)).collect();
    for stream in &mut held {
        let _ = stream.write_all(&request);
    }
    eventually("it is full for this peer", || {
        served.log().contains("too many connections")
    });
    let mut other = connect_from("127.0.0.2", &served);
    assert!(is_answered(&mut other, "hello"), "{}", served.log());
    // It says whose limit it is, and how to change it; to some at a time.
    let told = "too many connections of 127.0.0.1, limit 16 of each peer (--peer-connections)";
    eventually("it is told", || is_answered(&mut connect(&served), told));
    // With what it has it goes on, and room that it makes is its own again.
    drop(held);
    eventually("there is room", || {
        call(&served.address, &["echo", "msg=x"]).status.success()
    });
}

#[test]
fn one_peer_leaves_calls_of_a_program_to_others() {
    let served = Served::tcp(&["--command", "hold=sleep 60", "--limit", "hold:running=4"]);
    let mut calls = String::new();
    for id in [1, 3, 5, 7, 9] {
        let begin = if id == 1 { "stream-begin" } else { "0" };
        calls.push_str(&format!(
            "{id} 1 {begin} command-request new cbor:{{b'name': b'hold'}}\n"
        ));
    }
    let mut greedy = connect(&served);
    greedy.write_all(&encode(&calls)).unwrap();
    assert!(has_come(
        &mut greedy,
        "too many calls of hold at once by one peer, limit 1"
    ));
    let mut other = connect_from("127.0.0.2", &served);
    let request = "1 1 stream-begin command-request new cbor:{b'name': b'hold'}\n\
                   3 1 0 command-request new cbor:{b'name': b'hold'}\n";
    other.write_all(&encode(request)).unwrap();
    // Of two, one is refused.
    assert!(has_come(&mut other, "by one peer"));
}

#[test]
fn data_that_stops_is_not_waited_for() {
    let served = Served::tcp(&["--data-timeout", "500ms"]);
    let mut stream = connect(&served);
    stream.write_all(&announced("digest")).unwrap();
    until_closed(&mut stream);
    eventually("it says why", || {
        served
            .log()
            .contains("closed: the rest of a call did not come in time (--timeout, --data-timeout)")
    });
}

#[test]
fn data_that_trickles_is_not_waited_for() {
    let served = Served::tcp(&["--data-timeout", "1s", "--min-rate", "200"]);
    // A byte five times a second: never silent for long, and never done.
    let mut slow = connect(&served);
    slow.write_all(&announced("digest")).unwrap();
    let byte = encode("1 1 0 command-data continuation x\n");
    // Ten times as much is enough.
    let mut steady = connect(&served);
    steady.write_all(&announced("digest")).unwrap();
    let piece = encode(&format!(
        "1 1 0 command-data continuation {}\n",
        "x".repeat(400)
    ));
    let end = Instant::now() + LONG;
    while !served.log().contains("--min-rate") {
        assert!(Instant::now() < end, "it goes on: {}", served.log());
        let _ = slow.write_all(&byte);
        steady.write_all(&piece).unwrap();
        thread::sleep(Duration::from_millis(200));
    }
    until_closed(&mut slow);
    let log = served.log();
    let why = "closed: data came more slowly than 200 bytes a second for 1 s (--min-rate)";
    assert_eq!(log.matches(why).count(), 1, "{log}");
    steady
        .write_all(&encode("1 1 0 command-data eos x\n"))
        .unwrap();
    // Of the digest, in hex digits, the answer is all.
    assert!(has_come(&mut steady, "status"), "{}", served.log());
}

#[test]
fn commands_that_never_end_are_ended() {
    let served = Served::tcp(&["--limit", "time=1s", "--limit", "count:time=700ms"]);
    let failed = |args: &[&str], message: &str| {
        let output = call(&served.address, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    };
    failed(
        &["sleep", "ms=3600000"],
        "sleep took longer than 1 s and was ended",
    );
    failed(
        &["count", "to=1000000", "delay-ms=1000"],
        "count took longer than 700 ms and was ended",
    );
    // Data that comes, for ever, is no excuse.
    let mut digest = connect(&served);
    digest.write_all(&announced("digest")).unwrap();
    let piece = encode("1 1 0 command-data continuation xxxxxxxx\n");
    let mut feeding = digest.try_clone().unwrap();
    let feeder = thread::spawn(move || {
        while feeding.write_all(&piece).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(has_come(
        &mut digest,
        "digest took longer than 1 s and was ended"
    ));
    digest.shutdown(Shutdown::Both).unwrap();
    feeder.join().unwrap();
    // What is quick is not touched.
    let output = call(&served.address, &["sleep", "ms=10"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn capabilities_tell_the_limits() {
    let served = Served::tcp(&["--connections", "8"]);
    let output = call(&served.address, &["capabilities"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    parse(shown.trim()).unwrap();
    for entry in [
        "b'connections': 8",
        "b'peer-connections': 2",
        "b'time-ms': 3600000",
    ] {
        assert!(shown.contains(entry), "{entry}: {shown}");
    }
}

/// Lines whose links never come up: each is a file, and no thread.
#[test]
fn a_silent_line_costs_no_thread_and_is_closed() {
    let served = Served::start(
        "tcp://127.0.0.1:0?link=cobs",
        &[
            "--timeout",
            "2s",
            "--connections",
            "100",
            "--peer-connections",
            "40",
        ],
    );
    let before = status(&served, "Threads:");
    let mut held: Vec<TcpStream> = (0..40).map(|_| connect(&served)).collect();
    let path = format!("/proc/{}/fd", served.id().as_raw_nonzero());
    eventually("all are accepted", || {
        fs::read_dir(&path).unwrap().count() > 40
    });
    let threads = status(&served, "Threads:") - before;
    assert!(threads <= 4, "{threads} threads for 40 silent lines");
    // One more of this peer is closed, those of others are not.
    let mut own = connect(&served);
    until_closed(&mut own);
    let other = connect_from("127.0.0.2", &served);
    other.set_nonblocking(true).unwrap();
    // What the link says first may be there, or not yet: the end would be `Ok(0)`.
    let read = (&other).read(&mut [0]).map_err(|error| error.kind());
    assert!(
        matches!(read, Ok(1) | Err(ErrorKind::WouldBlock)),
        "{read:?}"
    );
    // They have their time, too.
    for stream in &mut held {
        until_closed(stream);
    }
    eventually("a call finds room", || {
        call(
            &format!("tcp://{}?link=cobs", address(&served)),
            &["echo", "msg=x"],
        )
        .status
        .success()
    });
}

/// What a burst took is given back when it is over: at most twice of what the server had before, and
/// 32 MiB for what allocators and threads keep.
#[test]
fn memory_of_a_burst_is_given_back() {
    const CALLS: usize = 48;
    let served = Served::tcp(&[]);
    assert!(call(&served.address, &["echo", "msg=x"]).status.success());
    let before = status(&served, "VmRSS:");
    // Calls of `echo` whose data comes and whose answers nobody takes: all buffers get full.
    let mut requests = String::new();
    for index in 0..CALLS {
        let begin = if index == 0 { "stream-begin" } else { "0" };
        let id = 2 * index + 1;
        requests.push_str(&format!(
            "{id} 1 {begin} command-request new|have-data cbor:{{b'name': b'echo'}}\n"
        ));
    }
    let requests = encode(&requests);
    let piece = encode(&format!(
        "1 1 0 command-data continuation {}\n",
        "x".repeat(30_000)
    ));
    let mut most = 0;
    for _ in 0..2 {
        let feeders: Vec<_> = (0..16)
            .map(|_| {
                let mut stream = connect(&served);
                stream.write_all(&requests).unwrap();
                let mut piece = piece.clone();
                thread::spawn(move || {
                    stream
                        .set_write_timeout(Some(Duration::from_millis(1500)))
                        .unwrap();
                    for index in 0.. {
                        let id = u16::try_from(2 * (index % CALLS) + 1).unwrap();
                        piece[3..5].copy_from_slice(&id.to_le_bytes());
                        // Full.
                        if stream.write_all(&piece).is_err() {
                            break;
                        }
                    }
                    stream
                })
            })
            .collect();
        let held: Vec<TcpStream> = feeders.into_iter().map(|f| f.join().unwrap()).collect();
        most = most.max(status(&served, "VmRSS:"));
        drop(held);
    }
    assert!(
        most > before + (64 << 10),
        "no burst: {before} and {most} KiB"
    );
    let mut least = usize::MAX;
    let end = Instant::now() + LONG;
    let allowed = 2 * before + (32 << 10);
    while least > allowed && Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        // Something happens now and then.
        assert!(call(&served.address, &["echo", "msg=x"]).status.success());
        least = least.min(status(&served, "VmRSS:"));
    }
    assert!(
        least <= allowed,
        "{least} KiB stay, of {most} in the burst and {before} before"
    );
}
