//! Calls over lines that flip, drop, double, insert and reorder bytes: a link lets no wrong result
//! through, neither end panics, and on a line that is quiet again the next call works.
//!
//! 10,000 calls on each kind of line; what came up is printed:
//! `cargo test -p hgrpc-cli --test it noise -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::served::Served;
use crate::wire::Wire;
use hgrpc_std::tokio::transport::Left;
use hgrpc_std::tokio::{Call, CallError, Client, Config, Data, Failure, Reply, Router, Server};
use hgrpc_std::transport::Address;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A guard against hanging.
const LONG: Duration = Duration::from_secs(120);

/// A small generator (xorshift64*): the same numbers from the same seed.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `end`.
    fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.next()) * u128::try_from(end).unwrap();
        usize::try_from(wide >> 64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// How often a line did what.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    flips: usize,
    drops: usize,
    doubles: usize,
    insertions: usize,
    swaps: usize,
    delays: usize,
}

impl Counts {
    fn all(&self) -> [(&'static str, usize); 6] {
        [
            ("flipped", self.flips),
            ("dropped", self.drops),
            ("doubled", self.doubles),
            ("inserted", self.insertions),
            ("swapped", self.swaps),
            ("delayed", self.delays),
        ]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.flips += other.flips;
        self.drops += other.drops;
        self.doubles += other.doubles;
        self.insertions += other.insertions;
        self.swaps += other.swaps;
        self.delays += other.delays;
    }
}

/// One direction of a line.
struct Noise {
    rng: Rng,
    /// One piece in so many is damaged; 0: none is.
    one_in: usize,
    /// What comes behind the next piece.
    held: Vec<u8>,
    counts: Counts,
}

impl Noise {
    /// Damages a piece of what is under way, or does not.
    fn harm(&mut self, bytes: &mut Vec<u8>) {
        bytes.append(&mut self.held);
        if self.one_in == 0 || bytes.is_empty() || self.rng.below(self.one_in) != 0 {
            return;
        }
        let at = self.rng.below(bytes.len());
        let len = 1 + self.rng.below((bytes.len() - at).min(40));
        match self.rng.below(6) {
            0 => {
                for _ in 0..=self.rng.below(4) {
                    let at = self.rng.below(bytes.len());
                    bytes[at] ^= 1 << self.rng.below(8);
                }
                self.counts.flips += 1;
            }
            1 => {
                bytes.drain(at..at + len);
                self.counts.drops += 1;
            }
            2 => {
                let twice = bytes[at..at + len].to_vec();
                bytes.splice(at..at, twice);
                self.counts.doubles += 1;
            }
            3 => {
                let new = self.rng.bytes(len);
                bytes.splice(at..at, new);
                self.counts.insertions += 1;
            }
            4 if bytes.len() > 1 => {
                let middle = 1 + self.rng.below(bytes.len() - 1);
                bytes.rotate_left(middle);
                self.counts.swaps += 1;
            }
            _ => {
                self.held = bytes.split_off(at);
                self.counts.delays += 1;
            }
        }
    }
}

/// Both directions.
#[derive(Clone)]
struct Line([Arc<Mutex<Noise>>; 2]);

impl Line {
    fn new(seed: u64) -> Self {
        let noise = |seed| Noise {
            rng: Rng::new(seed),
            one_in: 0,
            held: Vec::new(),
            counts: Counts::default(),
        };
        Self([seed * 2, seed * 2 + 1].map(|seed| Arc::new(Mutex::new(noise(seed)))))
    }

    fn set(&self, one_in: usize) {
        for noise in &self.0 {
            let mut noise = noise.lock().unwrap();
            noise.one_in = one_in;
            if one_in == 0 {
                // What was delayed is lost: it must not come in the middle of what is quiet.
                noise.held.clear();
            }
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for noise in &self.0 {
            counts += noise.lock().unwrap().counts;
        }
        counts
    }
}

/// Listens on loopback; what comes in goes over the line to the server at `to`, and back.
fn proxy(to: &str, line: &Line) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (to, line) = (to.to_owned(), line.clone());
    thread::spawn(move || {
        for here in listener.incoming() {
            let here = here.unwrap();
            let Ok(there) = TcpStream::connect(&to) else {
                return;
            };
            let [out, back] = line.0.clone();
            for (from, to, noise) in [(&here, &there, out), (&there, &here, back)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || carry(from, to, &noise));
            }
        }
    });
    format!("tcp://{address}?link=cobs")
}

fn carry(mut from: TcpStream, mut to: TcpStream, noise: &Mutex<Noise>) {
    let mut buffer = [0; 256];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let mut bytes = buffer[..len].to_vec();
        noise.lock().unwrap().harm(&mut bytes);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What became of calls.
#[derive(Default)]
struct Tally {
    calls: usize,
    right: usize,
    connections: usize,
    /// Why calls failed, and connections did not come up.
    failures: BTreeMap<String, usize>,
    noise: Counts,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.right += other.right;
        self.connections += other.connections;
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
        self.noise += other.noise;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls over {} connections, {} answered",
            self.calls, self.connections, self.right
        )?;
        for (failure, count) in &self.failures {
            writeln!(f, "  {count} ended by: {failure}")?;
        }
        write!(f, "  noise:")?;
        for (what, count) in self.noise.all() {
            write!(f, " {what} {count}")?;
        }
        Ok(())
    }
}

/// A client of one line.
struct Caller {
    rng: Rng,
    address: Address,
    line: Line,
    client: Option<Client>,
    /// Tells when the port is free again.
    left: Option<Left>,
    tally: Tally,
}

impl Caller {
    fn new(seed: u64, address: &str, line: Line) -> Self {
        Self {
            rng: Rng::new(seed ^ 0xca11),
            address: address.parse().unwrap(),
            line,
            client: None,
            left: None,
            tally: Tally::default(),
        }
    }

    /// Makes so many calls, most of them while the line is noisy. After one that has failed, the
    /// line is quiet for the next, which works.
    async fn run(mut self, calls: usize) -> Tally {
        let mut is_quiet = true;
        while self.tally.calls < calls {
            self.line.set(match (is_quiet, self.rng.below(4)) {
                (true, _) => 0,
                (_, 0) => 20,
                (_, 1) => 60,
                _ => 300,
            });
            let is_right = timeout(LONG, self.calls()).await.expect("it hangs");
            assert!(
                is_right || !is_quiet,
                "{}, quiet again: {}",
                self.address,
                self.tally
            );
            is_quiet = !is_right;
        }
        self.tally.noise = self.line.counts();
        self.tally
    }

    /// Makes one call, or two at once; whether all have worked. What has lost its link is left, and
    /// the quiet line's next call connects anew.
    async fn calls(&mut self) -> bool {
        if self.client.as_ref().is_none_or(|c| c.ended().is_some()) {
            self.client = None;
            if let Some(left) = self.left.take() {
                left.wait().await;
            }
            let connection = match self.address.connect_async(Some(LONG)).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.tally.calls += 1;
                    self.failed(error.to_string());
                    return false;
                }
            };
            self.left = Some(connection.left());
            self.client = Some(Client::spawn(connection, &Config::default()));
            self.tally.connections += 1;
        }
        let mut calls = Vec::new();
        for _ in 0..=self.rng.below(2) {
            let len = [10, 200, 2000, 20_000][self.rng.below(4)];
            let len = self.rng.below(len);
            calls.push((self.rng.below(3), self.rng.bytes(len)));
        }
        let client = self.client.clone().unwrap();
        let calls = calls.into_iter().map(|(which, content)| {
            let client = &client;
            async move { call(client, which, content).await }
        });
        let mut is_right = true;
        for result in futures_util::future::join_all(calls).await {
            self.tally.calls += 1;
            match result {
                Ok(()) => self.tally.right += 1,
                Err(error) => {
                    // Only the connection fails: whatever else were wrong would be a wrong result.
                    let CallError::Connection(lost) = error else {
                        panic!("{error:?}");
                    };
                    self.failed(lost.error.to_string());
                    self.client = None;
                    is_right = false;
                }
            }
        }
        is_right
    }

    fn failed(&mut self, why: String) {
        *self.tally.failures.entry(why).or_default() += 1;
    }
}

/// Calls a command; a result that is not the right one ends the test.
async fn call(client: &Client, which: usize, content: Vec<u8>) -> Result<(), CallError> {
    let (result, expected) = match which {
        0 => {
            let call = client.call("echo").arg("msg", &content);
            (call.send().await?.read_bytes(1 << 20).await?, content)
        }
        1 => {
            let call = client.call("echo").bytes(content.clone());
            (call.send().await?.read_bytes(1 << 20).await?, content)
        }
        _ => {
            let digest = hex(&Sha256::digest(&content));
            let call = client.call("digest").bytes(content);
            (call.send().await?.read_bytes(1 << 20).await?, digest)
        }
    };
    assert!(result == expected, "a wrong result");
    Ok(())
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()
}

/// The library's server, on TCP; whether a connection's task has panicked is for its owner to see.
async fn library() -> (String, JoinSet<()>) {
    async fn echo(call: Call, mut data: Data, mut reply: Reply) -> Result<(), Failure> {
        if let Ok(msg) = call.arg_bytes("msg") {
            tokio::io::AsyncWriteExt::write_all(&mut reply, &msg).await?;
        } else {
            tokio::io::copy_buf(&mut data, &mut reply).await?;
        }
        Ok(reply.finish()?)
    }
    async fn digest(mut data: Data) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        data.read_to_end(&mut all).await?;
        Ok(hex(&Sha256::digest(&all)))
    }
    let router = Router::new()
        .command("echo", echo)
        .command("digest", digest);
    let server = Server::new(router);
    let address: Address = "tcp://127.0.0.1:0?link=cobs".parse().unwrap();
    let listener = address.listen_async().await.unwrap();
    let address = listener.address().to_string();
    let (failed, mut failures) = mpsc::unbounded_channel();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok(Some(connection)) = listener.accept().await {
            let (server, peer) = (server.clone(), connection.peer());
            // How it ends is the line's business.
            let connection = tokio::spawn(async move {
                let _ = server.serve_connection(connection, peer).await;
            });
            let failed = failed.clone();
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    let _ = failed.send(error);
                }
            });
        }
    });
    serving.spawn(async move {
        if let Some(error) = failures.recv().await {
            panic!("a connection's task: {error:?}");
        }
    });
    (address, serving)
}

/// All lines at once, each with a part of the calls; the callers' tasks and the server's.
async fn run(callers: Vec<Caller>, calls: usize, mut serving: JoinSet<()>) -> Tally {
    let each = calls.div_ceil(callers.len());
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(caller.run(each));
    }
    let mut tally = Tally::default();
    loop {
        tokio::select! {
            Some(ended) = serving.join_next() => panic!("the server has ended: {ended:?}"),
            ended = running.join_next() => match ended {
                Some(ended) => tally += ended.unwrap(),
                None => break,
            }
        }
    }
    println!("{tally}");
    for (what, count) in tally.noise.all() {
        assert!(count > 0, "nothing was {what}");
    }
    assert!(tally.calls >= calls && tally.right * 2 > calls, "{tally}");
    assert!(!tally.failures.is_empty());
    tally
}

/// TCP, where one half of the lines goes to the library's server and the other to the tool's.
async fn over_tcp(calls: usize, lines: u64) {
    let (library, serving) = library().await;
    let tool = Served::start("tcp://127.0.0.1:0?link=cobs", &[]);
    let socket = |address: &str| {
        let address = address.strip_prefix("tcp://").unwrap();
        address.split('?').next().unwrap().to_owned()
    };
    let servers = [socket(&library), socket(&tool.address)];
    let callers = (0..lines).zip(servers.iter().cycle()).map(|(seed, to)| {
        let line = Line::new(seed);
        Caller::new(seed, &proxy(to, &line), line)
    });
    run(callers.collect(), calls, serving).await;
    ends_well(tool);
}

/// Pseudo-terminals, each with a server of its own.
async fn over_terminals(calls: usize, lines: u64) {
    let mut tools = Vec::new();
    let mut callers = Vec::new();
    let mut wires = Vec::new();
    for seed in 100..100 + lines {
        let wire = Wire::new();
        let [at_server, at_client] = &wire.ends;
        let line = Line::new(seed);
        for (way, noise) in [&wire.back, &wire.there].into_iter().zip(line.0.clone()) {
            way.harm(move |bytes| noise.lock().unwrap().harm(bytes));
        }
        tools.push(Served::start(at_server, &[]));
        callers.push(Caller::new(seed, at_client, line));
        wires.push(wire);
    }
    run(callers, calls, JoinSet::new()).await;
    tools.into_iter().for_each(ends_well);
}

/// The server has not panicked, still runs, and ends when it is asked to.
fn ends_well(mut tool: Served) {
    assert!(!tool.log().contains("panicked"), "{}", tool.log());
    assert!(crate::served::is_running(tool.id().as_raw_nonzero().get()));
    tool.signal(rustix::process::Signal::TERM);
    assert!(tool.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_noisy_socket_are_right_or_fail() {
    over_tcp(500, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_noisy_terminal_are_right_or_fail() {
    over_terminals(500, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn ten_thousand_calls_over_noisy_sockets() {
    over_tcp(10_000, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn ten_thousand_calls_over_noisy_terminals() {
    over_terminals(10_000, 12).await;
}
