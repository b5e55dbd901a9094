//! `hgrpc call` as users meet it on a bad day: the path to the server dies, the server is slow or
//! hostile, the terminal is closed, the result goes to a link.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hgrpc_std::blocking::{Config, Router, Transport, serve};
use hgrpc_std::encoding::ContentEncoding;

use crate::tool::tool;

/// No run takes as long, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

fn hgrpc() -> Command {
    let mut command = Command::new(tool());
    command
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A process that does not outlive its test.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its end, which it comes to by itself.
    #[track_caller]
    fn end(mut self) -> Run {
        let began = Instant::now();
        while self.child().try_wait().unwrap().is_none() {
            assert!(began.elapsed() < HANGS, "it hangs");
            thread::sleep(Duration::from_millis(20));
        }
        Run::new(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a run ended, and what it printed.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Run {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its last line of the error output, which has this in it.
    #[track_caller]
    fn failed(&self, code: i32, piece: &str) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.err);
        let line = self.err.lines().last().unwrap_or_default();
        assert!(line.contains(piece), "{line}\nwithout {piece:?}");
        line
    }
}

#[track_caller]
fn call(args: &[&str]) -> Run {
    Running::start(hgrpc().arg("call").args(args)).end()
}

/// A server of the tool's, and its address.
fn server(command: &mut Command) -> (Running, String) {
    let mut server = Running::start(command.stderr(Stdio::null()));
    let mut line = String::new();
    let out = server.child().stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    (server, address.to_owned())
}

/// Waits until a running call has sent its request, which `-v` shows; what it says meanwhile and
/// later is thrown away.
fn wait_until_sent(call: &mut Running) -> mpsc::Receiver<String> {
    let (said, lines) = mpsc::channel();
    let err = BufReader::new(call.child().stderr.take().unwrap());
    thread::spawn(move || {
        for line in err.lines() {
            let _ = said.send(line.unwrap());
        }
    });
    while !lines.recv_timeout(HANGS).unwrap().contains("-> ") {}
    // It has left the process, and the peer's system has said that it has it.
    thread::sleep(Duration::from_millis(300));
    lines
}

/// Listens on loopback and gives each connection to `peer`; the address. The thread goes with the
/// process.
fn peer(peer: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let peer = peer.clone();
            thread::spawn(move || peer(stream.unwrap()));
        }
    });
    address
}

/// A path between two network namespaces, which can be cut without a word.
struct NetPath {
    here: String,
    there: String,
}

impl NetPath {
    /// `None`, with the reason said: not root, or no `ip`. With `HGRPC_CI` that is a failure.
    fn new(name: &str) -> Option<Self> {
        let pid = std::process::id();
        let net = Self {
            here: format!("hgrpc-{name}-{pid}-a"),
            there: format!("hgrpc-{name}-{pid}-b"),
        };
        let (here, there) = (net.here.clone(), net.there.clone());
        let steps: [&[&str]; 9] = [
            &["netns", "add", &here],
            &["netns", "add", &there],
            &["-n", &here, "link", "set", "lo", "up"],
            &[
                "-n", &here, "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns",
                &there,
            ],
            &["-n", &here, "addr", "add", "10.66.0.1/24", "dev", "va"],
            &["-n", &there, "addr", "add", "10.66.0.2/24", "dev", "vb"],
            &["-n", &here, "link", "set", "va", "up"],
            &["-n", &there, "link", "set", "lo", "up"],
            &["-n", &there, "link", "set", "vb", "up"],
        ];
        for step in steps {
            let why = match Command::new("ip").args(step).output() {
                Ok(output) if output.status.success() => continue,
                Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
                Err(error) => format!("no program ip: {error}"),
            };
            let why = format!("network namespaces cannot be made ({})", why.trim());
            assert!(std::env::var_os("HGRPC_CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        Some(net)
    }

    fn command(namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", namespace])
            .arg(tool())
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn server(&self, args: &[&str]) -> (Running, String) {
        let mut command = Self::command(&self.there);
        server(command.args(["serve", "tcp://10.66.0.2:0"]).args(args))
    }

    fn call(&self, args: &[&str]) -> Command {
        let mut command = Self::command(&self.here);
        command.arg("call").args(args);
        command
    }

    /// From now on nothing gets through, and nobody is told.
    fn cut(&self) {
        let step = ["-n", &self.there, "link", "set", "vb", "down"];
        assert!(Command::new("ip").args(step).status().unwrap().success());
    }
}

impl Drop for NetPath {
    fn drop(&mut self) {
        for namespace in [&self.here, &self.there] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .stderr(Stdio::null())
                .status();
        }
    }
}

#[test]
fn a_call_that_waits_ends_when_the_path_dies() {
    let Some(net) = NetPath::new("wait") else {
        return;
    };
    let (_server, address) = net.server(&[]);
    let args = [&*address, "sleep", "ms:=3600000", "-v", "--keepalive", "2"];
    let mut call = Running::start(&mut net.call(&args));
    let lines = wait_until_sent(&mut call);
    net.cut();
    let run = call.end();
    let said: Vec<String> = lines.iter().collect();
    let line = said.last().unwrap();
    assert_eq!(run.code, Some(3), "{said:?}");
    assert!(line.contains("no answer to sleep"), "{line}");
    assert!(line.contains("the path to the server is dead"), "{line}");
    assert!(line.contains("--keepalive"), "{line}");
    assert!(!line.contains("is it an hgrpc server?"), "{line}");
    assert!(!line.contains("--revision"), "{line}");
}

#[test]
fn connecting_over_a_dead_path_ends() {
    let Some(net) = NetPath::new("connect") else {
        return;
    };
    net.cut();
    let args = ["tcp://10.66.0.2:7070", "echo", "--connect-timeout", "1s"];
    let run = Running::start(&mut net.call(&args)).end();
    run.failed(3, "tcp://10.66.0.2:7070: no answer within 1s");
}

#[test]
fn a_call_that_sends_ends_when_the_path_dies() {
    let Some(net) = NetPath::new("send") else {
        return;
    };
    let (_server, address) = net.server(&[]);
    let args = [&*address, "digest", "--data", "-", "-v", "--keepalive", "2"];
    let mut call = Running::start(net.call(&args).stdin(Stdio::piped()));
    let mut input = call.child().stdin.take().unwrap();
    // It goes on for ever; slowly, so that there is always something that has to be acknowledged.
    thread::spawn(move || {
        while input.write_all(&[7; 1000]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let lines = wait_until_sent(&mut call);
    net.cut();
    // Nobody has to read what it shows.
    let said = thread::spawn(move || lines.iter().last().unwrap());
    let run = call.end();
    let line = said.join().unwrap();
    assert_eq!(run.code, Some(3), "{line}");
    assert!(line.contains("the path to the server is dead"), "{line}");
}

#[test]
fn a_server_ends_a_program_when_the_path_dies() {
    let Some(net) = NetPath::new("serve") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (started, ended) = (folder.path().join("started"), folder.path().join("ended"));
    let script = folder.path().join("wait.sh");
    let text = format!(
        "trap 'echo > {}; exit' TERM\necho > {}\nwhile :; do sleep 0.1; done\n",
        ended.display(),
        started.display()
    );
    fs::write(&script, text).unwrap();
    let command = format!("wait=sh {}", script.display());
    let (_server, address) = net.server(&["--keepalive", "2", "--command", &command]);
    let _call = Running::start(&mut net.call(&[&address, "wait", "--keepalive", "0"]));
    wait_for(&started);
    net.cut();
    wait_for(&ended);
}

#[track_caller]
fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < HANGS, "{} does not come", path.display());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn keepalive_is_on_without_an_option() {
    let Some(net) = NetPath::new("default") else {
        return;
    };
    let (_server, address) = net.server(&[]);
    let mut call = Running::start(&mut net.call(&[&address, "sleep", "ms:=60000", "-v"]));
    wait_until_sent(&mut call);
    // Of sockets that are connected (01), the timer and when it is over, in hundredths of a second.
    for namespace in [&net.here, &net.there] {
        let table = Command::new("ip")
            .args(["netns", "exec", namespace, "cat", "/proc/net/tcp"])
            .output()
            .unwrap();
        let table = String::from_utf8(table.stdout).unwrap();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        let timers: Vec<String> = (table.lines().map(fields))
            .filter(|fields: &Vec<String>| fields.get(3).is_some_and(|state| state == "01"))
            .map(|fields| fields[5].clone())
            .collect();
        assert_eq!(timers.len(), 1, "{table}");
        let (kind, when) = timers[0].split_once(':').unwrap();
        assert_eq!(kind, "02", "a keepalive timer: {table}");
        let when = u64::from_str_radix(when, 16).unwrap();
        assert!(when <= 2000, "{when} hundredths: {table}");
    }
}

#[test]
fn a_quiet_call_is_not_cut() {
    let (_server, address) =
        server(hgrpc().args(["serve", "tcp://127.0.0.1:0", "--keepalive", "1"]));
    let run = call(&[&address, "sleep", "ms:=5000", "--keepalive", "1"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

/// The kernel's own limit counts the time in which a peer takes nothing, too.
#[test]
fn a_server_that_takes_its_time_to_read_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("slow.sh");
    fs::write(&script, "sleep 6; wc -c\n").unwrap();
    let data = folder.path().join("data");
    // More than all buffers on the way take.
    let len: u64 = 64 << 20;
    fs::File::create(&data).unwrap().set_len(len).unwrap();
    let command = format!("slow=sh {}", script.display());
    let (_server, address) =
        server(hgrpc().args(["serve", "tcp://127.0.0.1:0", "--command", &command]));
    let data = data.to_str().unwrap();
    let run = call(&[
        &address,
        "slow",
        "--data",
        data,
        "--raw",
        "--keepalive",
        "1",
    ]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(String::from_utf8(run.out).unwrap().trim(), len.to_string());
}

#[test]
fn a_reader_that_takes_its_time_is_not_cut() {
    let args = ["serve", "tcp://127.0.0.1:0", "--keepalive", "1"];
    let (_server, address) = server(
        hgrpc()
            .args(args)
            .args(["--command", "zeros=head -c 67108864 /dev/zero"]),
    );
    let mut call =
        Running::start(hgrpc().args(["call", &address, "zeros", "--raw", "--keepalive", "1"]));
    // A pager, say.
    thread::sleep(Duration::from_secs(6));
    let mut out = call.child().stdout.take().unwrap();
    let len = std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    let run = call.end();
    assert_eq!((run.code, len, run.err.as_str()), (Some(0), 64 << 20, ""));
}

#[test]
fn a_call_ends_when_the_other_end_of_a_line_goes_silent() {
    let (mut server, address) = server(hgrpc().args(["serve", "pty:"]));
    let address = format!("{address}?patience=2");
    let mut call = Running::start(hgrpc().args(["call", &address, "sleep", "ms:=3600000", "-v"]));
    let lines = wait_until_sent(&mut call);
    server.signal(rustix::process::Signal::STOP);
    let run = call.end();
    server.signal(rustix::process::Signal::CONT);
    let line = lines.iter().last().unwrap();
    assert_eq!(run.code, Some(3), "{line}");
    assert!(line.contains("link-lost"), "{line}");
    assert!(line.contains("silent"), "{line}");
    assert!(!line.contains("is it an hgrpc server?"), "{line}");
}

#[test]
fn a_quiet_call_over_a_line_is_not_cut() {
    let (_server, address) = server(hgrpc().args(["serve", "pty:"]));
    let run = call(&[&format!("{address}?patience=1"), "sleep", "ms:=4000"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

/// A server of this process whose answers are compressed: zeros, as many as its argument says.
fn zeros_server(encoding: ContentEncoding) -> String {
    let mut config = Config::default();
    config.encodes = vec![encoding];
    peer(move |stream| {
        let router = Router::new().command("zeros", |call, reply| {
            let mut zeros = std::io::repeat(0).take(call.arg("size")?);
            std::io::copy(&mut zeros, reply)?;
            Ok(())
        });
        let _ = serve(Transport::tcp(stream).unwrap(), &router, &config);
    })
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_decompression_bomb_is_given_up() {
    let address = zeros_server(ContentEncoding::Zstd8Mb);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let out = file.to_str().unwrap();
    let bomb = [&*address, "zeros", "size:=100663296", "--output", out];
    let run = call(&bomb);
    let line = run.failed(3, "--max-decode-ratio");
    assert!(line.contains("200 times"), "{line}");
    assert!(!line.contains("--revision"), "{line}");
    assert_eq!(names(folder.path()), [""; 0]);
    // It is what was asked for.
    let run = call(&[&bomb[..], &["--max-decode-ratio", "0"]].concat());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_663_296);
    // What is small is no bomb.
    let run = call(&[&address, "zeros", "size:=16777216", "--output", out]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(fs::metadata(&file).unwrap().len(), 16_777_216);
}

#[test]
fn a_result_over_a_size_is_given_up() {
    for encoding in [ContentEncoding::Zstd8Mb, ContentEncoding::Identity] {
        let address = zeros_server(encoding);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let out = file.to_str().unwrap();
        let args = [
            &*address,
            "zeros",
            "size:=5000000",
            "-o",
            out,
            "--max-filesize",
        ];
        let run = call(&[&args[..], &["4M"]].concat());
        let line = run.failed(3, "--max-filesize");
        assert!(line.contains("zeros") && line.contains("4 MiB"), "{line}");
        assert_eq!(names(folder.path()), [""; 0]);
        let run = call(&[&args[..], &["5M"]].concat());
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        assert_eq!(fs::metadata(&file).unwrap().len(), 5_000_000);
    }
}

#[test]
fn an_empty_string_is_an_answer() {
    let (_server, address) = server(hgrpc().args(["serve", "tcp://127.0.0.1:0"]));
    let said = |args: &[&str]| {
        let run = call(&[&[&*address, "echo"], args].concat());
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{args:?}");
        String::from_utf8(run.out).unwrap()
    };
    assert_eq!(said(&["msg="]), "b''\n");
    assert_eq!(said(&["msg=", "--json"]), "\"\"\n");
    assert_eq!(said(&["msg=", "--raw"]), "");
    assert_eq!(said(&["msg=x"]), "b'x'\n");
    assert_eq!(said(&["msg:=\"\""]), "\"\"\n");
}

#[test]
fn a_closed_terminal_leaves_no_temporary_file() {
    let (_server, address) = server(hgrpc().args(["serve", "tcp://127.0.0.1:0"]));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::write(&out, "before").unwrap();
    let args = [
        "call",
        &address,
        "sleep",
        "ms:=60000",
        "-v",
        "-o",
        out.to_str().unwrap(),
    ];
    let mut call = Running::start(hgrpc().args(args));
    wait_until_sent(&mut call);
    call.signal(rustix::process::Signal::HUP);
    let run = call.end();
    assert_eq!(names(folder.path()), ["out"]);
    assert_eq!(fs::read(&out).unwrap(), b"before");
    assert_eq!(run.code, Some(129), "128 and the signal's number");
}

/// `nohup` has the signal ignored, and the call goes on.
#[test]
fn a_call_under_nohup_outlives_its_terminal() {
    let (_server, address) = server(hgrpc().args(["serve", "tcp://127.0.0.1:0"]));
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(tool())
        .args(["call", &address, "sleep", "ms:=2000", "-v"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut call = Running::start(&mut shell);
    wait_until_sent(&mut call);
    call.signal(rustix::process::Signal::HUP);
    assert_eq!(call.end().code, Some(0));
}

#[test]
fn output_goes_through_links() {
    let (_server, address) = server(hgrpc().args(["serve", "tcp://127.0.0.1:0"]));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("deep")).unwrap();
    fs::write(path("old"), "old").unwrap();
    symlink("old", path("to-old")).unwrap();
    // Two links to what is not there yet.
    symlink("deep/second", path("first")).unwrap();
    symlink("new", path("deep/second")).unwrap();
    let absolute = path("deep/absolute");
    symlink(&absolute, path("to-absolute")).unwrap();
    for (name, target) in [
        ("to-old", "old"),
        ("first", "deep/new"),
        ("to-absolute", "deep/absolute"),
    ] {
        let out = path(name);
        let run = call(&[&address, "echo", "msg=hello", "-o", out.to_str().unwrap()]);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{name}");
        assert!(out.is_symlink(), "{name} is replaced");
        assert_eq!(fs::read(path(target)).unwrap(), b"hello", "{name}");
    }
    // One that leads nowhere is left.
    symlink("loop-b", path("loop-a")).unwrap();
    symlink("loop-a", path("loop-b")).unwrap();
    symlink("no/such/file", path("lost")).unwrap();
    for name in ["loop-a", "lost"] {
        let out = path(name);
        let run = call(&[&address, "echo", "msg=hello", "-o", out.to_str().unwrap()]);
        run.failed(1, "--output: cannot write ");
        assert!(out.is_symlink(), "{name} is replaced");
    }
}

#[test]
fn a_slow_server_is_told_from_a_silent_peer() {
    let doubt = "is it an hgrpc server?";
    let (_server, address) = server(hgrpc().args(["serve", "tcp://127.0.0.1:0"]));
    let sleep = ["sleep", "ms:=30000", "--timeout", "1s"];
    for revision in ["0003", "0005", "0006"] {
        // The server knows one only.
        let args = ["serve", "tcp://127.0.0.1:0", "--revision", revision];
        let (_server, address) = self::server(hgrpc().args(args));
        let run = call(&[&[&*address], &sleep[..], &["--revision", revision]].concat());
        let line = run.failed(3, "no answer to sleep within 1 s");
        assert!(line.contains("slow") && !line.contains(doubt), "{line}");
    }
    // What came beside says it, too.
    let run = call(&[
        &address,
        "count",
        "to:=1000",
        "delay-ms:=200",
        "--timeout",
        "1s",
    ]);
    let line = run.failed(3, "no answer to count within 1 s");
    assert!(line.contains("slow") && !line.contains(doubt), "{line}");
    // In a batch each call has its own time.
    let folder = tempfile::tempdir().unwrap();
    let batch = folder.path().join("batch");
    fs::write(&batch, "sleep ms:=30000\n").unwrap();
    let run = call(&[
        &address,
        "--batch",
        batch.to_str().unwrap(),
        "--timeout",
        "1s",
    ]);
    let line = run.failed(3, "sleep within 1 s");
    assert!(line.contains("slow") && !line.contains(doubt), "{line}");
    // Over a link whoever answers speaks hgrpc's own.
    let (_server, address) = self::server(hgrpc().args(["serve", "pty:"]));
    let run = call(&[&[&*address], &sleep[..]].concat());
    let line = run.failed(3, "no answer to sleep within 1 s");
    assert!(line.contains("slow") && !line.contains(doubt), "{line}");

    let address = peer(|mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())));
    let run = call(&[&[&*address], &sleep[..]].concat());
    run.failed(
        3,
        "the peer has sent nothing at all: is it an hgrpc server?",
    );
    let address = peer(|mut stream| {
        let _ = stream.write_all(b"abcde");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let run = call(&[&[&*address], &sleep[..]].concat());
    run.failed(
        3,
        "5 bytes came, and no whole frame: is it an hgrpc server?",
    );
}

/// A served address.
fn served() -> (Running, String) {
    let mut command = hgrpc();
    command.args(["serve", "tcp://127.0.0.1:0"]);
    let mut server = Running::start(&mut command);
    let mut line = String::new();
    let out = server.child().stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let address = line.split_whitespace().find(|word| word.contains("://"));
    (server, address.unwrap().to_owned())
}

#[test]
fn the_address_may_come_from_the_environment() {
    let (_server, address) = served();
    let call = |environment: Option<&str>, args: &[&str]| {
        let mut command = hgrpc();
        command.arg("call").args(args).env_remove("HGRPC_ADDRESS");
        if let Some(environment) = environment {
            command.env("HGRPC_ADDRESS", environment);
        }
        Running::start(&mut command).end()
    };
    let run = call(Some(&address), &["echo", "msg=x"]);
    assert_eq!((run.code, &*run.out), (Some(0), &b"b'x'\n"[..]), "{run:?}");
    // One on the command line is the one.
    let run = call(Some("tcp://127.0.0.1:1"), &[&address, "echo", "msg=x"]);
    assert_eq!((run.code, &*run.out), (Some(0), &b"b'x'\n"[..]), "{run:?}");
    let run = call(Some("nowhere"), &["echo", "msg=x"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.err.starts_with("hgrpc: HGRPC_ADDRESS: \"nowhere\""),
        "{run:?}"
    );
    // What is meant to be one is not a command.
    let run = call(Some(&address), &["tcp//x:1", "echo"]);
    assert!(run.err.contains("no such kind of address"), "{run:?}");
    let run = call(None, &["echo"]);
    assert!(
        run.err.contains("an address begins with its kind"),
        "{run:?}"
    );
}

#[test]
fn quiet_calls_show_their_result_and_errors_only() {
    let (_server, address) = served();
    let call = |args: &[&str]| {
        let mut command = hgrpc();
        command.args(["call", "--quiet", &address]).args(args);
        Running::start(&mut command).end()
    };
    let run = call(&["count", "to:=3"]);
    assert_eq!((&*run.out, &*run.err), (&b"3\n"[..], ""));
    let run = call(&["nosuch"]);
    assert!(
        run.err
            .starts_with("hgrpc: the server has no command nosuch"),
        "{run:?}"
    );
}

#[test]
fn a_server_without_a_link_is_called_so() {
    let (_server, address) = served();
    let mut command = hgrpc();
    command.args(["call", &format!("{address}?link=cobs"), "echo", "msg=x"]);
    let run = Running::start(&mut command).end();
    let said =
        "the peer does not speak the link, and has closed the line: try it without link=cobs";
    assert!(run.code == Some(3) && run.err.contains(said), "{run:?}");
}

/// A device that goes on with a call of a client that has left: packets of that connection, whole, and
/// nothing else; it does not read.
fn busy_device() -> String {
    use hgrpc::link::{Link, LinkConfig};

    let mut ends: [Link; 2] = [1, 2].map(|session| Link::new(LinkConfig::new(session)));
    let mut out = [0; 256];
    for turn in 0..4 {
        let [a, b] = &mut ends;
        let (from, to) = if turn % 2 == 0 { (a, b) } else { (b, a) };
        while let Some(mut packet) = from.control_packet(&mut out) {
            while to.handle_bytes(&mut packet).is_some() {}
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let [_, mut device] = ends;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            loop {
                let mut frame: &[u8] = b"\0\0\0\x01\0\x02\0\x70";
                let packet = device.packet(&mut frame, true, &mut out).unwrap();
                if stream.write_all(packet).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
    });
    format!("tcp://{address}?link=cobs")
}

#[test]
fn a_device_that_is_busy_with_an_earlier_call_is_called_so() {
    let address = busy_device();
    let mut command = hgrpc();
    command.args(["call", &address, "echo", "--timeout", "1s"]);
    let run = Running::start(&mut command).end();
    let expected = format!("hgrpc: {address}: still busy with a call of an earlier connection\n");
    assert_eq!((run.code, run.err), (Some(3), expected));
}

#[test]
fn what_one_notation_prints_another_reads() {
    let (_server, address) = served();
    let output = |args: &[&str], input: &str| {
        let mut command = hgrpc();
        let mut run = command.args(args).stdin(Stdio::piped()).spawn().unwrap();
        run.stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let said = |value: &str| {
        let argument = format!("msg:={value}");
        String::from_utf8(output(&["call", &address, "echo", &argument], "")).unwrap()
    };
    for value in [
        "b'\u{e9}'",
        r"b'a\nb'",
        "[1, b'x', \"\u{e9}\"]",
        "{b'k': h'00ff'}",
        "[true, null]",
    ] {
        // As it is printed it is read, by `call` and by `encode`.
        assert_eq!(said(value), format!("{value}\n"));
        let line = format!("1 1 stream-begin command-request new cbor:{value}\n");
        let frame = output(&["encode"], &line);
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), frame).unwrap();
        let path = path.path().to_str().unwrap();
        let shown = String::from_utf8(output(&["decode", "--cbor", path], "")).unwrap();
        assert!(shown.ends_with(&format!(" {value}\n")), "{shown}");
        // And so is what `decode --human` prints.
        let human = String::from_utf8(output(&["decode", "--human", path], "")).unwrap();
        let (_, literal) = human.trim_end().split_once("cbor:").unwrap();
        assert_eq!(said(literal), format!("{value}\n"), "{literal}");
    }
}
