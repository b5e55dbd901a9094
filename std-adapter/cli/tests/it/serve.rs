//! `hgrpc serve` as a user runs it: built-in commands, programs, limits, ends.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::served::{Served, binary, client, eventually, ids, is_running, text};
use hgrpc::{REVISIONS, Revision};
use hgrpc_std::blocking::{CallError, Client, Response};
use hgrpc_std::diagnostic::{Diagnostic, parse};
use hgrpc_std::value::Value;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

const R: Revision = Revision::R0006;

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(60);

/// Bytes that do not repeat soon.
struct Pattern(u64, u64);

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.1).map_or(buffer.len(), |left| left.min(buffer.len()));
        for chunk in buffer[..len].chunks_mut(8) {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bytes = self.0.to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        self.1 -= u64::try_from(len).unwrap();
        Ok(len)
    }
}

fn digest(mut source: impl Read) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer).unwrap() {
            0 => return base16ct::lower::encode_string(&hasher.finalize()),
            len => hasher.update(&buffer[..len]),
        }
    }
}

/// The message of a command's failure; before 0006 there is one kind of error only.
fn command_error(result: Result<String, CallError>) -> String {
    match result {
        Err(CallError::Command(failure)) => failure.to_string(),
        Err(CallError::Server(failure)) if failure.kind.is_empty() => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

fn server_error(result: Result<String, CallError>) -> String {
    match result {
        Err(CallError::Server(failure)) => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A shell script as a command.
fn script(name: &str, script: &str) -> String {
    format!("{name}=sh -c '{script}'")
}

// --- built-in commands ---

fn check_builtins(client: &Client) {
    assert_eq!(
        text(client.call("echo").arg("msg", "hello").send()).unwrap(),
        "hello"
    );
    assert_eq!(text(client.call("echo").send()).unwrap(), "");
    assert_eq!(
        text(client.call("echo").bytes("data").send()).unwrap(),
        "data"
    );
    let mut response = client.call("echo").value("msg", &[1, 2]).send().unwrap();
    let value = response.next_value().unwrap().unwrap();
    assert_eq!(Diagnostic::new(&value).to_string(), "[1, 2]");
    assert_eq!(response.next_value().unwrap(), None);

    let size = 1 << 20;
    let sent = client.call("digest").data(Pattern(1, size)).send();
    assert_eq!(text(sent).unwrap(), digest(Pattern(1, size)));
    assert_eq!(
        text(client.call("digest").send()).unwrap(),
        digest(io::empty())
    );

    let (texts, positions) = (
        Arc::new(Mutex::new(String::new())),
        Arc::new(Mutex::new(vec![])),
    );
    let (shown, seen) = (Arc::clone(&texts), Arc::clone(&positions));
    let mut response = client
        .call("count")
        .value("to", &3)
        .on_text(move |atoms| shown.lock().unwrap().push_str(&atoms.to_string()))
        .on_progress(move |p| {
            seen.lock()
                .unwrap()
                .push((p.topic.as_str().unwrap().to_owned(), p.pos, p.total))
        })
        .send()
        .unwrap();
    assert_eq!(response.next_value().unwrap().unwrap(), [3]);
    assert_eq!(*texts.lock().unwrap(), "counting to 3\ndone\n");
    let expected = [1, 2, 3, -1].map(|pos| ("count".to_owned(), pos, 3));
    assert_eq!(*positions.lock().unwrap(), expected);

    let began = Instant::now();
    assert_eq!(
        text(client.call("sleep").arg("ms", "30").send()).unwrap(),
        ""
    );
    assert!(began.elapsed() >= Duration::from_millis(30));

    let mut response = client.call("capabilities").send().unwrap();
    let value = Value::decode(&response.next_value().unwrap().unwrap()).unwrap();
    let Value::Map(entries) = value else {
        panic!("{value:?}")
    };
    let of = |key: &str| {
        &entries
            .iter()
            .find(|(k, _)| *k == Value::Bytes(key.into()))
            .unwrap()
            .1
    };
    assert_eq!(
        *of("revision"),
        Value::Bytes(client.revision().name().into())
    );
    let Value::Map(commands) = of("commands") else {
        panic!()
    };
    let names: Vec<_> = commands.iter().map(|(name, _)| name.clone()).collect();
    for name in ["capabilities", "count", "digest", "echo", "sleep"] {
        assert!(names.contains(&Value::Bytes(name.into())), "{name}");
    }

    assert!(
        command_error(text(client.call("nothing").send())).contains("unknown command: nothing")
    );
    assert_eq!(
        command_error(text(client.call("echo").arg("mgs", "x").send())),
        "unknown argument: mgs (there are msg)"
    );
    assert_eq!(
        command_error(text(client.call("sleep").arg("ms", "soon").send())),
        "argument `ms` is not a number up to 3600000"
    );
}

#[test]
fn builtin_commands_in_every_revision() {
    for revision in REVISIONS {
        let served = Served::tcp(&["--revision", revision.name()]);
        check_builtins(&served.client(revision));
    }
}

#[test]
fn every_kind_of_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let served = Served::start(&format!("unix://{}", path.display()), &[]);
    check_builtins(&served.client(R));
    drop(served);
    assert!(!path.exists(), "the socket's file is removed");
    let exec = format!("exec:'{}' serve stdio:", binary().display());
    check_builtins(&client(&exec, R));
}

// --- programs ---

fn check_cat(client: &Client, seed: u64, size: u64) {
    let mut response = client.call("cat").data(Pattern(seed, size)).send().unwrap();
    let mut expected = Pattern(seed, size);
    let (mut read, mut sent) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let len = response.read(&mut read).unwrap();
        // Whole words, as the pattern is made.
        let more = len.next_multiple_of(8).min(read.len()) - len;
        response.read_exact(&mut read[len..len + more]).unwrap();
        let len = len + more;
        expected.read_exact(&mut sent[..len]).unwrap();
        assert!(read[..len] == sent[..len]);
        if len == 0 {
            return assert_eq!(expected.1, 0);
        }
    }
}

#[test]
fn a_program_gets_data_while_it_answers() {
    for revision in REVISIONS {
        let served = Served::tcp(&[
            "--command",
            "cat=cat",
            "--limit",
            "peer=32",
            "--revision",
            revision.name(),
        ]);
        let client = served.client(revision);
        let size = if revision == R { 64 << 20 } else { 4 << 20 };
        check_cat(&client, 1, size);
        thread::scope(|scope| {
            for seed in 0..20 {
                let client = client.clone();
                scope.spawn(move || check_cat(&client, seed, 1 << 20));
            }
        });
        assert_eq!(served.log(), "");
    }
}

#[test]
fn what_a_program_writes_is_there_at_once() {
    let served = Served::tcp(&[
        "--command",
        "cat=cat",
        "--command",
        &script("stay", "echo now; sleep 100"),
    ]);
    let client = served.client(R);
    let (mut upload, mut response) = client.call("cat").open().unwrap();
    for line in ["one\n", "two\n"] {
        upload.write_all(line.as_bytes()).unwrap();
        let mut read = [0; 4];
        response.read_exact(&mut read).unwrap();
        assert_eq!(read, line.as_bytes());
    }
    upload.finish();
    assert_eq!(response.read_bytes(9).unwrap(), b"");
    let mut response = client.call("stay").send().unwrap();
    let mut read = [0; 4];
    response.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"now\n");
}

#[test]
fn a_program_gets_its_arguments() {
    let program = script(
        "args",
        "env | grep -E \"^HGRPC_(ARG|COMMAND)\" | sort; wc -c <\"$HGRPC_ARGS_FILE\"; stat -c %a \"$HGRPC_ARGS_FILE\"; echo \"$HGRPC_ARGS_FILE\"",
    );
    let served = Served::tcp(&["--command", &program]);
    let sent = served
        .client(R)
        .call("args")
        .arg("msg", "$(touch /tmp/x); 'q'")
        .arg("no-delay", "yes")
        .arg("nul", b"a\0b")
        .arg("A B", "no")
        .value("n", &-7)
        .value("on", &true)
        .send();
    let output = text(sent).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    let [file, msg, n, delay, on, command, size, mode, path] = lines[..] else {
        panic!("{output}")
    };
    assert!(file.starts_with("HGRPC_ARGS_FILE=/"), "{file}");
    assert_eq!(msg, "HGRPC_ARG_msg=$(touch /tmp/x); 'q'");
    assert_eq!(n, "HGRPC_ARG_n=-7");
    assert_eq!(delay, "HGRPC_ARG_no_delay=yes");
    assert_eq!(on, "HGRPC_ARG_on=true");
    assert_eq!(command, "HGRPC_COMMAND=args");
    let args = "{b'msg': b'$(touch /tmp/x); \\'q\\'', b'no-delay': b'yes', b'nul': h'610062', b'A B': b'no', b'n': -7, b'on': true}";
    let encoded = parse(args).unwrap().encode(R.key_order()).unwrap();
    assert_eq!(size.trim().parse(), Ok(encoded.len()));
    assert_eq!(mode, "600");
    assert!(!Path::new(path).exists(), "it is removed");
}

#[test]
fn text_and_progress_of_a_program() {
    let program = script(
        "noisy",
        "echo first >&2; echo files 1 3 >&3; echo nonsense >&3; sleep 0.1; echo \"two words -1 0\" >&3; printf \"\\\\033last\" >&2; echo out",
    );
    for revision in REVISIONS {
        let served = Served::tcp(&["--command", &program, "--revision", revision.name()]);
        let (sender, seen) = mpsc::channel();
        let progress = sender.clone();
        let sent = served
            .client(revision)
            .call("noisy")
            .on_text(move |atoms| sender.send(atoms.to_string()).unwrap())
            .on_progress(move |p| {
                let line = format!("{} {} {}", p.topic.as_str().unwrap(), p.pos, p.total);
                progress.send(line).unwrap();
            })
            .send();
        assert_eq!(text(sent).unwrap(), "out\n");
        let mut seen: Vec<String> = seen.try_iter().collect();
        seen.sort();
        assert_eq!(
            seen,
            ["\u{1b}last\n", "files 1 3", "first\n", "two words -1 0"]
        );
        served.expect_log("noisy: not TOPIC POS TOTAL: nonsense");
    }
}

#[test]
fn failures_of_a_program() {
    for revision in REVISIONS {
        let served = Served::tcp(&[
            "--revision",
            revision.name(),
            "--command",
            &script("status", "cat; exit 3"),
            "--command",
            &script("signal", "kill -9 $$"),
            "--command",
            &script("late", "echo some; exit 1"),
        ]);
        let client = served.client(revision);
        let failed = |name: &str| command_error(text(client.call(name).bytes("x").send()));
        assert_eq!(failed("status"), "status failed with exit status 3");
        assert_eq!(failed("signal"), "signal was ended by SIGKILL");
        assert_eq!(failed("late"), "late failed with exit status 1");
        // What it wrote before comes first.
        let mut read = Vec::new();
        let mut response = client.call("late").send().unwrap();
        assert!(response.read_to_end(&mut read).is_err());
        assert_eq!(read, b"some\n");
    }
}

#[test]
fn a_program_that_reads_nothing_does_not_stop_others() {
    let served = Served::tcp(&[
        "--command",
        "true=true",
        "--command",
        &script("head", "head -c 3"),
    ]);
    let client = served.client(R);
    let sent = client.call("true").data(Pattern(1, 8 << 20)).send();
    assert_eq!(text(sent).unwrap(), "");
    let sent = client
        .call("head")
        .data(io::repeat(b'a').take(8 << 20))
        .send();
    assert_eq!(text(sent).unwrap(), "aaa");
    // Its data never ends, but the program does.
    let (_upload, response) = client.call("true").open().unwrap();
    assert_eq!(response.read_bytes(1).unwrap(), b"");
    assert_eq!(
        text(client.call("echo").arg("msg", "x").send()).unwrap(),
        "x"
    );
}

#[test]
fn limits_of_programs() {
    let served = Served::tcp(&[
        "--command",
        &script("slow", "echo $$ >&2; sleep 100"),
        "--command",
        "yes=yes",
        "--limit",
        "running=1",
        "--limit",
        "slow:time=2s",
        "--limit",
        "yes:output=100000",
    ]);
    let client = served.client(R);
    let (sender, ids) = mpsc::channel();
    let slow = client
        .call("slow")
        .on_text(move |atoms| sender.send(atoms.to_string()).unwrap())
        .send()
        .unwrap();
    let id: i32 = ids.recv().unwrap().trim().parse().unwrap();
    assert_eq!(
        server_error(text(client.call("slow").send())),
        "too many calls of slow at once, limit 1"
    );
    assert_eq!(
        command_error(slow.read_text(1)),
        "slow took longer than 2 s and was ended"
    );
    eventually("its process ends", || !is_running(id));
    let mut response = client.call("yes").send().unwrap();
    let mut read = Vec::new();
    let error = response.read_to_end(&mut read).unwrap_err();
    assert_eq!(read.len(), 100_000);
    assert!(
        error
            .to_string()
            .contains("yes wrote more than 100000 bytes"),
        "{error}"
    );
}

#[test]
fn what_a_program_starts_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let quiet = format!(
        "quiet=sh -c 'sleep 100 >/dev/null 2>&1 3>&1 & echo $! >{}'",
        file.display()
    );
    let loud = format!("loud=sh -c 'sleep 100 & echo $! >>{}'", file.display());
    let late = "late=sh -c '(sleep 0.3; echo late) & echo early'";
    let away = "away=sh -c 'setsid sleep 100 & echo $!'";
    let served = Served::tcp(&[
        "--command",
        &quiet,
        "--command",
        &loud,
        "--command",
        late,
        "--command",
        away,
    ]);
    let client = served.client(R);
    assert_eq!(text(client.call("quiet").send()).unwrap(), "");
    // It keeps the output open: it has a second.
    assert_eq!(text(client.call("loud").send()).unwrap(), "");
    assert_eq!(text(client.call("late").send()).unwrap(), "early\nlate\n");
    // What leaves the group on purpose is left, but not waited for.
    let away = text(client.call("away").send()).unwrap();
    let away: i32 = away.trim().parse().unwrap();
    assert!(is_running(away));
    kill_process(Pid::from_raw(away).unwrap(), Signal::KILL).unwrap();
    for id in ids(&file, 2) {
        eventually("it ends", || !is_running(id));
    }
}

/// What the program behind a response has written first: now it runs.
fn first_line(response: &mut Response) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        response.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

// --- clients that go away ---

/// A program that ignores being asked to end, with a child.
fn stubborn(file: &Path) -> String {
    format!(
        "slow=sh -c 'trap \"\" TERM; sleep 100 & echo $$ $! >>{}; wait; sleep 100'",
        file.display()
    )
}

/// This test program again, as a client that can be killed: see `helper`.
fn spawn_client(address: &str, how: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve::helper", "--nocapture", "--ignored"])
        .env("HGRPC_TEST_ADDRESS", address)
        .env("HGRPC_TEST_HOW", how)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "a process for other tests"]
fn helper() {
    let Ok(address) = std::env::var("HGRPC_TEST_ADDRESS") else {
        return;
    };
    let client = client(&address, R);
    let call = client.call("slow");
    let response = match std::env::var("HGRPC_TEST_HOW").unwrap().as_str() {
        "data" => call.data(io::repeat(7)).send(),
        "open" => call.open().map(|(upload, response)| {
            std::mem::forget(upload);
            response
        }),
        _ => call.send(),
    };
    let _ = io::copy(&mut response.unwrap(), &mut io::sink());
}

#[test]
fn a_client_that_is_killed_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let served = Served::tcp(&["--command", &stubborn(&file)]);
    let socket = directory.path().join("socket");
    let unix = Served::start(
        &format!("unix://{}", socket.display()),
        &["--command", &stubborn(&file)],
    );
    let exec = format!(
        "exec:'{}' serve stdio: --command \"{}\"",
        binary().display(),
        stubborn(&file)
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$")
    );
    let cases = [
        (served.address.as_str(), "plain"),
        (&served.address, "open"),
        (&served.address, "data"),
        (&unix.address, "plain"),
        (&unix.address, "data"),
        (&exec, "plain"),
    ];
    thread::scope(|scope| {
        let mut children = Vec::new();
        for (index, (address, how)) in cases.into_iter().enumerate() {
            children.push(spawn_client(address, how));
            ids(&file, 2 * (index + 1));
        }
        // Long enough for all buffers to be full.
        thread::sleep(Duration::from_millis(1000));
        for mut child in children {
            scope.spawn(move || {
                child.kill().unwrap();
                child.wait().unwrap();
            });
        }
    });
    for id in ids(&file, 2 * cases.len()) {
        assert!(id > 1);
        eventually("its processes end", || !is_running(id));
    }
    served.expect_log("slow was ended: its client has gone");
}

#[test]
fn a_server_that_is_killed_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ids");
    let program = format!(
        "slow=sh -c 'trap \"\" TERM; echo $$ >{} ; echo \"$HGRPC_ARGS_FILE\"; sleep 100; sleep 100'",
        file.display()
    );
    let served = Served::tcp(&["--command", &program]);
    let client = served.client(R);
    let mut response = client.call("slow").send().unwrap();
    let path = first_line(&mut response);
    assert!(Path::new(path.trim()).exists());
    let id = ids(&file, 1)[0];
    served.signal(Signal::KILL);
    let error = CallError::from_io(response.read_exact(&mut [0]).unwrap_err()).unwrap();
    assert!(matches!(error, CallError::Connection(_)), "{error:?}");
    eventually("its process ends", || !is_running(id));
    eventually("its files go", || {
        !Path::new(path.trim()).parent().unwrap().exists()
    });
}

/// The frame of a request, for a client that is made by hand.
fn request(revision: &str, line: &str) -> Vec<u8> {
    let mut encode = Command::new(binary())
        .args(["encode", "--revision", revision])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = encode.stdin.take().unwrap();
    stdin.write_all(line.as_bytes()).unwrap();
    drop(stdin);
    encode.wait_with_output().unwrap().stdout
}

#[test]
fn a_client_that_only_ends_its_input_gets_its_answer() {
    let line = "1 1 stream-begin command-request new cbor:{b'name': b'wait'}";
    let mut server = Command::new(binary())
        .args(["serve", "stdio:", "--revision", "0005"])
        .args(["--command", "wait=sh -c 'sleep 1; echo done'"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = server.stdin.take().unwrap();
    stdin.write_all(&request("0005", line)).unwrap();
    drop(stdin);
    let output = server.wait_with_output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("done"), "{shown:?}");
}

#[test]
fn a_client_that_takes_no_text_leaves_it_to_the_log() {
    // As Mercurial's: it does not say that it is an hgrpc client.
    let line = "1 1 stream-begin command-request new cbor:{b'name': b'noisy'}";
    let served = Served::tcp(&[
        "--command",
        &script("noisy", "echo \"\\033first\" >&2; echo out"),
    ]);
    let mut socket = TcpStream::connect(served.socket()).unwrap();
    socket.write_all(&request("0006", line)).unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|window| window == b"out\n") {
        let mut buffer = [0; 100];
        let len = socket.read(&mut buffer).unwrap();
        assert!(len > 0, "{answer:?}");
        answer.extend_from_slice(&buffer[..len]);
    }
    assert!(!answer.windows(5).any(|window| window == b"first"));
    served.expect_log(": noisy: \\x1bfirst\n");
}

// --- connections ---

#[test]
fn one_connection_too_many_is_told_so() {
    let served = Served::tcp(&["--connections", "2", "--peer-connections", "2"]);
    let first = served.client(R);
    let second = served.client(R);
    for client in [&first, &second] {
        assert_eq!(text(client.call("echo").send()).unwrap(), "");
    }
    let error = server_error(text(served.client(R).call("echo").send()));
    assert_eq!(error, "too many connections, limit 2");
    served.expect_log("too many connections, limit 2");
    drop(second);
    eventually("there is room again", || {
        text(served.client(R).call("echo").send()).is_ok()
    });
    assert_eq!(text(first.call("echo").send()).unwrap(), "");
}

#[test]
fn one_call_too_many_is_refused() {
    let served = Served::tcp(&["--calls", "1"]);
    let client = served.client(R);
    let (upload, response) = client.call("digest").open().unwrap();
    let error = server_error(text(client.call("echo").send()));
    assert!(error.contains("too-many-requests"), "{error}");
    upload.finish();
    assert!(text(Ok(response)).unwrap().starts_with("e3b0c442"));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let served = Served::tcp(&["--timeout", "300ms"]);
    let busy = served.client(R);
    let sleeping = busy.call("sleep").arg("ms", "1500").send().unwrap();
    // Half a frame: slow, or malicious.
    let mut slow = TcpStream::connect(served.socket()).unwrap();
    slow.write_all(&[5, 0, 0]).unwrap();
    slow.set_read_timeout(Some(LONG)).unwrap();
    match slow.read(&mut [0]) {
        Ok(len) => assert_eq!(len, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    served.expect_log("closed: nothing came for 300 ms");
    assert_eq!(sleeping.read_text(1).unwrap(), "");
}

#[test]
fn a_client_that_takes_no_answers_is_closed() {
    let served = Served::tcp(&["--timeout", "500ms", "--command", "yes=yes"]);
    let client = served.client(R);
    let _unread = client.call("yes").send().unwrap();
    served.expect_log("closed: it took no answer for 500 ms");
    served.expect_log("yes was ended: its client has gone");
}

#[test]
fn other_protocols_are_turned_away_with_one_line() {
    let served = Served::tcp(&[]);
    let mut http = TcpStream::connect(served.socket()).unwrap();
    http.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(http.read(&mut [0]).unwrap_or(0), 0);
    served.expect_log("the peer speaks HTTP, not hgrpc");
    let mut other = TcpStream::connect(served.socket()).unwrap();
    other.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J").unwrap();
    assert_eq!(other.read(&mut [0]).unwrap_or(0), 0);
    eventually("a line for each", || served.log().lines().count() == 2);
    assert!(!served.log().contains('\x1b'));
    assert_eq!(text(served.client(R).call("echo").send()).unwrap(), "");
    assert_eq!(served.log().lines().count(), 2);
}

#[test]
fn a_client_of_another_revision_is_told_by_the_end() {
    let served = Served::tcp(&["--revision", "0003"]);
    let sent = text(served.client(R).call("echo").send());
    assert!(matches!(sent, Err(CallError::Connection(_))), "{sent:?}");
    served.expect_log("does it speak the same revision?");
    assert_eq!(
        text(served.client(Revision::R0003).call("echo").send()).unwrap(),
        ""
    );
}

#[test]
fn frames_are_shown_and_limited() {
    let served = Served::tcp(&["-v", "--max-frame", "1000"]);
    let client = served.client(R);
    assert_eq!(
        text(client.call("echo").arg("msg", "a".repeat(600)).send())
            .unwrap()
            .len(),
        600
    );
    served.expect_log("connected");
    served.expect_log(" -> frame(size=");
    let is_named = |line: &str| line.contains("Z tcp://") && line.contains(": -> frame(size=");
    assert!(served.log().lines().any(is_named), "whose frames they are");
    served.expect_log("type=command-request; flags=new)");
    served.expect_log(" <- frame(size=");
    let sent = client.call("digest").bytes(vec![0; 5000]).send();
    assert!(text(sent).is_err());
    served.expect_log("frame-too-large");
}

// --- the end ---

#[test]
fn it_ends_in_order() {
    let mut served = Served::tcp(&[
        "--command",
        "slow=sh -c 'echo runs; sleep 100'",
        "--command",
        "quick=sh -c 'echo runs; cat'",
        "--grace",
        "3s",
    ]);
    let idle = served.client(R);
    assert_eq!(text(idle.call("echo").send()).unwrap(), "");
    let client = served.client(R);
    let mut slow = client.call("slow").send().unwrap();
    let (upload, mut quick) = client.call("quick").open().unwrap();
    first_line(&mut slow);
    first_line(&mut quick);
    served.signal(Signal::INT);
    served.expect_log("ending: 2 calls may go on for 3 s");
    upload.finish();
    assert_eq!(quick.read_text(9).unwrap(), "");
    assert_eq!(
        server_error(text(client.call("echo").send())),
        "shutting-down, the server is being ended"
    );
    eventually("it listens no more", || {
        TcpStream::connect(served.socket()).is_err()
    });
    eventually("the idle connection is closed", || idle.ended().is_some());
    assert!(matches!(slow.read_text(1), Err(CallError::Connection(_))));
    assert_eq!(served.wait().code(), Some(0));
    let log = served.log();
    assert!(
        log.contains("cut 1 call: slow of tcp://127.0.0.1:"),
        "{log}"
    );
}

#[test]
fn asked_twice_it_ends_at_once() {
    let slow = "slow=sh -c 'echo runs; sleep 100'";
    let mut served = Served::tcp(&["--command", slow, "--grace", "100s"]);
    let client = served.client(R);
    let mut slow = client.call("slow").send().unwrap();
    first_line(&mut slow);
    served.signal(Signal::TERM);
    served.expect_log("ending: 1 call may go on for 100 s");
    let began = Instant::now();
    served.signal(Signal::TERM);
    assert_eq!(served.wait().code(), Some(0));
    assert!(began.elapsed() < LONG);
    assert!(served.log().contains("cut 1 call: slow of tcp://"));
}

// --- the command line ---

fn refused(args: &[&str], code: i32, message: &str) {
    let output = Command::new(binary())
        .arg("serve")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(message), "{args:?}: {stderr}");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn wrong_command_lines_are_told_in_one_line() {
    let any = "tcp://127.0.0.1:0";
    refused(&["localhost:70"], 2, "did you mean \"tcp://localhost:70\"");
    refused(&["exec:cat"], 2, "a program cannot be listened on");
    refused(&[any, "--command", "cat"], 2, "it is not NAME=PROGRAM ARGS");
    refused(
        &[any, "--command", "a=no-such-program"],
        2,
        "there is no program",
    );
    refused(&[any, "--command", "a=true 'x"], 2, "a quote is not closed");
    refused(
        &[any, "--limit", "a:time=1s"],
        2,
        "there is no --command \"a\"",
    );
    refused(&[any, "--limit", "size=1"], 2, "is not running=N");
    let served = Served::tcp(&[]);
    refused(&[&served.address], 3, "is a server running there already?");
    refused(
        &["tcp://192.0.2.1:1"],
        3,
        "it is not an address of this machine",
    );
}

#[test]
fn a_broken_peer_on_standard_input_is_exit_code_3() {
    let mut server = Command::new(binary())
        .args(["serve", "stdio:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server
        .stdin
        .take()
        .unwrap()
        .write_all(b"GET / HTTP/1.0\r\n\r\n")
        .unwrap();
    let output = server.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "hgrpc: stdio: the peer speaks HTTP, not hgrpc\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary())
        .args(["serve", "stdio:", "--command", "cat=cat"])
        .env("TMPDIR", directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("its directory is there", || {
        fs::read_dir(directory.path()).unwrap().count() == 1
    });
    kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    eventually("it is removed", || {
        fs::read_dir(directory.path()).unwrap().count() == 0
    });
}
