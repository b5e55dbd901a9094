//! Connections of every kind on tokio, as a library user has them.
#![cfg(all(unix, feature = "transport", feature = "tokio"))]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hgrpc_std::tokio::transport::{Connection, Listener};
use hgrpc_std::tokio::{Call, Client, Config, Router, Server};
use hgrpc_std::transport::Address;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

async fn connect(address: &Address) -> Connection {
    address.connect_async(Some(LONG)).await.unwrap()
}

async fn accept(listener: &Listener) -> Connection {
    listener.accept().await.unwrap().unwrap()
}

async fn connect_error(address: &Address) -> String {
    let error = address.connect_async(Some(LONG)).await.unwrap_err();
    // The blocking one says the same.
    let blocking = address.connect(Some(LONG)).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (blocking.kind(), blocking.to_string())
    );
    error.to_string()
}

/// Whether the process is there and not a zombie of ours.
fn is_alive(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok()
}

/// More than any buffer of the system, both ways at once.
async fn goes_through(connection: Connection) {
    let (mut reader, mut writer) = connection.into_split();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut received = Vec::new();
    let sending = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let ((), result) = tokio::join!(sending, reader.read_to_end(&mut received));
    result.unwrap();
    assert!(received == sent);
}

async fn serves(listen_on: &Address) {
    let listener = listen_on.listen_async().await.unwrap();
    let address = listener.address().clone();
    tokio::spawn(async move {
        while let Some(connection) = listener.accept().await.unwrap() {
            let (mut reader, mut writer) = connection.into_split();
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        }
    });
    for _ in 0..3 {
        let connection = connect(&address).await;
        assert_eq!(connection.name(), address.to_string());
        assert!(connection.program().is_none());
        timeout(LONG, goes_through(connection)).await.unwrap();
    }
}

#[tokio::test]
async fn sockets_carry_bytes_both_ways() {
    serves(&address("tcp://127.0.0.1:0")).await;
    serves(&address("tcp://localhost:0")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a socket");
    let address = Address::Unix(path.clone());
    serves(&address).await;
    let listener = address.listen_async().await.unwrap_err();
    assert_eq!(listener.kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_listener_that_is_dropped_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let address = Address::Unix(path.clone());
    let listener = address.listen_async().await.unwrap();
    let client = connect(&address).await;
    let peer = accept(&listener).await;
    assert_eq!(peer.name(), address.to_string());
    let id = i32::try_from(std::process::id()).unwrap();
    assert_eq!(peer.peer().credentials.unwrap().pid, Some(id));
    drop(client);
    let (mut reader, _writer) = peer.into_split();
    assert_eq!(reader.read(&mut [0; 9]).await.unwrap(), 0);
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn programs_carry_bytes_both_ways_and_tell_how_they_ended() {
    let connection = connect(&address("exec:cat")).await;
    assert_eq!(connection.name(), "exec:cat");
    timeout(LONG, goes_through(connection)).await.unwrap();
    let connection = connect(&address("exec:sh -c 'exit 7'")).await;
    let program = connection.program().unwrap().clone();
    let left = connection.left();
    let (mut reader, mut writer) = connection.into_split();
    assert_eq!(reader.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(program.exit_status().await.unwrap().code(), Some(7));
    let error = writer.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    drop((reader, writer));
    left.wait().await;
    assert_eq!(program.exit_status().await.unwrap().code(), Some(7));
}

/// The process number that the child tells in its first line.
async fn told_id(connection: &mut Connection) -> String {
    let mut id = String::new();
    loop {
        match connection.read_u8().await.unwrap() {
            b'\n' => return id,
            byte => id.push(byte.into()),
        }
    }
}

#[tokio::test]
async fn no_program_is_left_behind() {
    for script in [
        // Ends with its input.
        "echo $$; exec cat",
        // Has to be asked to.
        "echo $$; exec sleep 100",
        // Has to be killed.
        "trap '' TERM; echo $$; while :; do sleep 1; done",
    ] {
        for is_ended in [false, true] {
            let address = Address::Exec {
                program: "sh".into(),
                args: vec!["-c".into(), script.into()],
            };
            let mut connection = connect(&address).await;
            let id = told_id(&mut connection).await;
            let program = connection.program().unwrap().clone();
            let left = connection.left();
            assert!(is_alive(&id));
            assert!(program.exit_status().await.is_none());
            let began = Instant::now();
            if is_ended {
                program.end();
            }
            drop(connection);
            left.wait().await;
            assert!(!is_alive(&id), "{script}");
            assert!(began.elapsed() < LONG, "{script}");
        }
    }
}

#[tokio::test]
async fn errors_are_those_of_blocking_connections() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = address(&format!("tcp://{}", unused.local_addr().unwrap()));
    let error = tcp.listen_async().await.unwrap_err().to_string();
    let expected = format!("{tcp}: address in use: is a server running there already?");
    assert_eq!(error, expected);
    drop(unused);
    let expected = format!("{tcp}: connection refused: is a server running there?");
    assert_eq!(connect_error(&tcp).await, expected);
    connect_error(&address("tcp://no-such-host.invalid:1")).await;
    connect_error(&address("unix:///nowhere/s")).await;
    connect_error(&address("exec:no-such-program x")).await;
    let error = address("exec:cat").listen_async().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_server_that_accepts_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    let address = Address::Unix(path);
    let mut held = Vec::new();
    let error = loop {
        let limit = Some(Duration::from_millis(300));
        match address.connect_async(limit).await {
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = Address::Stdio.listen_async().await.unwrap();
        let (mut reader, mut writer) = accept(&listener).await.into_split();
        println!("not between the frames");
        assert!(listener.accept().await.unwrap().is_none());
        connect_error(&Address::Stdio).await;
        writer.write_all(b"<<").await.unwrap();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.write_all(b">>").await.unwrap();
        writer.shutdown().await.unwrap();
    });
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
    let sent = "hello".repeat(100_000);
    let mut input = child.stdin.take().unwrap();
    let bytes = sent.clone();
    let sending = std::thread::spawn(move || input.write_all(bytes.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    sending.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with(&format!("<<{sent}>>")),
        "{} bytes",
        text.len()
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("not between the frames"), "{errors}");
}

#[tokio::test]
async fn a_server_serves_any_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let unix = Address::Unix(folder.path().join("s"));
    let router = Router::new().command("who", |call: Call| async move {
        let peer = call.peer();
        peer.address.is_some().to_string()
    });
    let mut addresses = vec![
        (address("tcp://127.0.0.1:0"), "true"),
        (unix, "false"),
        // Lines with a link.
        (address("tcp://127.0.0.1:0?link=cobs"), "true"),
    ];
    if cfg!(feature = "serial") {
        addresses.push((address("pty:"), "false"));
    }
    let server = Server::new(router);
    for (on, expected) in addresses {
        let listener = on.listen_async().await.unwrap();
        let address = listener.address().clone();
        tokio::spawn(server.clone().serve(listener));
        for _ in 0..2 {
            let connection = connect(&address).await;
            let left = connection.left();
            let client = Client::spawn(connection, &Config::default());
            let response = client.call("who").send().await.unwrap();
            let answer = timeout(LONG, response.read_text(9)).await.unwrap();
            assert_eq!(answer.unwrap(), expected, "{address}");
            drop(client);
            timeout(LONG, left.wait()).await.unwrap();
        }
    }
    let shutdown = server.shutdown(LONG).await;
    assert!(shutdown.cut.is_empty(), "{shutdown:?}");
}
