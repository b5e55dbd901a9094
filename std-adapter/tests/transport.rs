//! Connections of every kind, as a library user has them.
#![cfg(all(unix, feature = "transport"))]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc_std::transport::{Address, Connection, Listener};

const LONG: Duration = Duration::from_secs(60);

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn connect(address: &Address) -> Connection {
    address.connect(Some(LONG)).unwrap()
}

fn accept(listener: &Listener) -> Connection {
    listener.accept().unwrap().unwrap()
}

fn connect_error(address: &Address) -> (ErrorKind, String) {
    let error = address.connect(Some(LONG)).unwrap_err();
    (error.kind(), error.to_string())
}

fn listen_error(address: &Address) -> (ErrorKind, String) {
    let error = address.listen().unwrap_err();
    (error.kind(), error.to_string())
}

/// Whether the process is there and not a zombie of ours.
fn is_alive(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok()
}

/// Answers every connection with what it sends, until the listener is closed.
fn echo(listener: &Listener) -> u32 {
    let mut count = 0;
    while let Some(connection) = listener.accept().unwrap() {
        let (mut reader, mut writer, _) = connection.into_parts();
        std::io::copy(&mut reader, &mut writer).unwrap();
        count += 1;
    }
    count
}

/// More than any buffer of the system, both ways at once; the end comes when the writer is dropped.
fn goes_through(connection: Connection) {
    let (mut reader, mut writer, _handle) = connection.into_parts();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let sending = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    sending.join().unwrap();
    assert!(received == expected);
}

fn serves(listen_on: &Address) {
    let listener = listen_on.listen().unwrap();
    let (address, handle) = (listener.address().clone(), listener.handle());
    let server = thread::spawn(move || echo(&listener));
    for _ in 0..3 {
        let connection = connect(&address);
        assert_eq!(connection.peer(), address.to_string());
        assert!(connection.handle().exit_status().is_none());
        goes_through(connection);
    }
    handle.close();
    assert_eq!(server.join().unwrap(), 3);
}

#[test]
fn tcp_carries_bytes_both_ways() {
    serves(&address("tcp://127.0.0.1:0"));
    serves(&address("tcp://localhost:0"));
    if TcpListener::bind("[::1]:0").is_ok() {
        serves(&address("tcp://[::1]:0"));
    }
}

#[test]
fn unix_sockets_carry_bytes_both_ways_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a socket");
    let address = Address::Unix(path.clone());
    serves(&address);
    assert!(!path.exists());
    let listener = address.listen().unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What took the socket's place is not removed.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    drop(listener);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn only_a_socket_that_nobody_listens_on_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let address = Address::Unix(path.clone());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = address.listen().unwrap();
    assert_eq!(
        listen_error(&address),
        (
            ErrorKind::AddrInUse,
            format!("{address}: address in use: is a server running there already?")
        )
    );
    // Asking was a connection, too, which is gone.
    let _ = accept(&listener);
    goes_away(&listener, &address);
    drop(listener);
    fs::write(&path, "mine").unwrap();
    assert_eq!(
        listen_error(&address),
        (
            ErrorKind::AlreadyExists,
            format!("{address}: a file that is not a socket is there")
        )
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

/// A client that goes is read as the end.
fn goes_away(listener: &Listener, address: &Address) {
    let client = connect(address);
    let (mut reader, _writer, _) = accept(listener).into_parts();
    drop(client);
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
}

#[test]
fn closing_ends_reads_and_writes_that_wait() {
    let listener = address("tcp://127.0.0.1:0").listen().unwrap();
    let client = connect(listener.address());
    let peer = accept(&listener);
    assert!(peer.peer().starts_with("tcp://127.0.0.1:"));
    close_ends(client);
    let (mut reader, mut writer, handle) = peer.into_parts();
    drop((reader.read_to_end(&mut Vec::new()), writer.write(b"x")));
    drop((reader, writer));
    handle.close();
    // A child that does not read, does not write, and does not want to end.
    close_ends(connect(&address(
        "exec:sh -c 'trap \"\" TERM; sleep 5 & wait; wait'",
    )));
}

fn close_ends(connection: Connection) {
    let began = Instant::now();
    let (mut reader, mut writer, handle) = connection.into_parts();
    let reading = thread::spawn(move || reader.read(&mut [0; 9]).unwrap());
    let writing = thread::spawn(move || {
        let big = vec![0; 1 << 20];
        while writer.write_all(&big).is_ok() {}
    });
    thread::sleep(Duration::from_millis(100));
    handle.close();
    assert_eq!(reading.join().unwrap(), 0);
    writing.join().unwrap();
    handle.close();
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_listener_that_is_closed_accepts_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for address in [
        address("tcp://127.0.0.1:0"),
        Address::Unix(folder.path().join("s")),
        Address::Stdio,
    ] {
        let listener = address.listen().unwrap();
        listener.handle().close();
        assert!(listener.accept().unwrap().is_none());
    }
}

#[test]
fn programs_carry_bytes_both_ways() {
    let connection = connect(&address("exec:cat"));
    assert_eq!(connection.peer(), "exec:cat");
    goes_through(connection);
    let (mut reader, _writer, _) =
        connect(&address(r"exec:printf '%s.' 'a  b' $x \*")).into_parts();
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, "a  b.$x.*.");
}

/// The process number that the child tells in its first line.
fn told_id(reader: &mut impl Read) -> String {
    let mut id = String::new();
    loop {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        match byte {
            [b'\n'] => return id,
            [byte] => id.push(byte.into()),
        }
    }
}

#[test]
fn no_program_is_left_behind() {
    for script in [
        // Ends with its input.
        "echo $$; exec cat",
        // Has to be asked to.
        "echo $$; exec sleep 100",
        // Has to be killed.
        "trap '' TERM; echo $$; while :; do sleep 1; done",
    ] {
        for is_closed in [false, true] {
            let address = Address::Exec {
                program: "sh".into(),
                args: vec!["-c".into(), script.into()],
            };
            let (mut reader, writer, handle) = connect(&address).into_parts();
            let id = told_id(&mut reader);
            assert!(is_alive(&id));
            assert!(handle.exit_status().is_none());
            let began = Instant::now();
            if is_closed {
                handle.close();
                assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
            }
            drop((reader, writer));
            assert!(!is_alive(&id), "{script}");
            assert!(began.elapsed() < LONG, "{script}");
        }
    }
}

#[test]
fn a_program_that_ends_tells_its_status() {
    let (mut reader, mut writer, handle) = connect(&address("exec:sh -c 'exit 7'")).into_parts();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(handle.exit_status().unwrap().code(), Some(7));
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    drop((reader, writer));
    assert!(handle.exit_status().is_none());
}

#[test]
fn errors_name_the_address_and_a_reason() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = address(&format!("tcp://{}", unused.local_addr().unwrap()));
    assert_eq!(
        listen_error(&tcp).1,
        format!("{tcp}: address in use: is a server running there already?")
    );
    drop(unused);
    let refused = format!("{tcp}: connection refused: is a server running there?");
    assert_eq!(connect_error(&tcp), (ErrorKind::ConnectionRefused, refused));
    let (_, error) = connect_error(&address("tcp://no-such-host.invalid:1"));
    let start = "tcp://no-such-host.invalid:1: the host \"no-such-host.invalid\" is not found: ";
    assert!(error.starts_with(start), "{error}");
    assert_eq!(
        connect_error(&address("unix:///nowhere/s")),
        (
            ErrorKind::NotFound,
            "unix:///nowhere/s: no such file: is a server running there?".into()
        )
    );
    assert_eq!(
        listen_error(&address("unix:///nowhere/s")).1,
        "unix:///nowhere/s: no such file: is its directory there?"
    );
    assert_eq!(
        connect_error(&address("exec:no-such-program x")),
        (
            ErrorKind::NotFound,
            "exec:no-such-program x: there is no program \"no-such-program\"".into()
        )
    );
    assert_eq!(
        connect_error(&address("exec:/etc/passwd")).1,
        "exec:/etc/passwd: \"/etc/passwd\" may not be run: permission denied"
    );
    assert_eq!(
        listen_error(&address("exec:cat")),
        (
            ErrorKind::Unsupported,
            "exec:cat: a program cannot be listened on, only connected to".into()
        )
    );
    assert_eq!(
        listen_error(&address("tcp://192.0.2.1:0")).1,
        "tcp://192.0.2.1:0: address not available: it is not an address of this machine"
    );
}

#[test]
fn a_server_that_accepts_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let address = Address::Unix(path);
    let mut held = Vec::new();
    let error = loop {
        match address.connect(Some(Duration::from_millis(300))) {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() < 10_000);
    };
    assert_eq!(
        error.to_string(),
        format!("{address}: no answer within 300ms")
    );
}

/// What the test below runs as a child: the process's own standard input and output.
#[test]
#[ignore = "run by the test below"]
fn child_that_serves_stdio() {
    let listener = Address::Stdio.listen().unwrap();
    let (mut reader, mut writer, _) = accept(&listener).into_parts();
    println!("not between the frames");
    assert_eq!(std::io::stdin().read(&mut [0; 9]).unwrap(), 0);
    assert!(listener.accept().unwrap().is_none());
    assert_eq!(
        connect_error(&Address::Stdio),
        (
            ErrorKind::ResourceBusy,
            "stdio: a connection has standard input and output already".into()
        )
    );
    writer.write_all(b"<<").unwrap();
    std::io::copy(&mut reader, &mut writer).unwrap();
    writer.write_all(b">>").unwrap();
    drop(writer);
    // The peer has read the end, not this process's.
    thread::sleep(Duration::from_millis(50));
}

#[test]
fn standard_input_and_output_are_a_connection() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_serves_stdio",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("<<hello>>"), "{text}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("not between the frames"), "{errors}");
}
