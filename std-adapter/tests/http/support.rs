//! A server of a few commands, and requests and answers by hand.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hgrpc_std::blocking::{Failure, Router};
use hgrpc_std::http::server::{Permissions, Running, Server, ServerConfig, Stats};
use hgrpc_std::http::{ArgInfo, ArgType, Capabilities, Client, CommandInfo, Config};
use hgrpc_std::value::Value;

/// How long anything here may take before the test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const F: &str = "application/mercurial-exp-framing-0006";

/// A running server; what its push command was called with is counted.
pub(crate) struct Served {
    running: Option<Running>,
    pub(crate) address: SocketAddr,
    pub(crate) pushes: Arc<AtomicUsize>,
}

impl Served {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let pushes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pushes);
        let router = Router::new()
            .command("echo", |call, reply| {
                let args = call.args().as_cbor().to_vec();
                reply.cbor(&args)?;
                Ok(())
            })
            .command("pattern", |call, reply| {
                let len: u64 = call.arg("len")?;
                if call.arg("definite")? {
                    io::copy(&mut Pattern::new(len), &mut reply.byte_string(len)?)?;
                } else {
                    io::copy(&mut Pattern::new(len), reply)?;
                }
                Ok(())
            })
            .command("fail", |call, reply| {
                let late: bool = call.arg("late")?;
                if late {
                    reply.value(&1)?;
                    reply.flush()?;
                }
                Err(Failure::format("cannot do %s because %s", ["this", "that"]))
            })
            .command("short", |_, reply| {
                reply.byte_string(10)?.write_all(b"nine byte")?;
                Ok(())
            })
            .command("panic", |_, _| panic!("on purpose"))
            .command("crash", |_, _| Err(Failure::server("boom")))
            .command("data", |call, reply| {
                let data = call.read_data(1 << 20)?;
                reply.write_all(&data)?;
                Ok(())
            })
            .command("set", move |_, reply| {
                counter.fetch_add(1, Ordering::SeqCst);
                reply.value(&true)?;
                Ok(())
            });
        let len = ArgInfo::required(ArgType::Int);
        let flag = || ArgInfo::optional(ArgType::Bool, Value::Bool(false));
        let fields = ArgInfo::optional(ArgType::Set, Value::Set(vec![]));
        let echo = CommandInfo::pull()
            .arg("fields", fields)
            .arg("x", ArgInfo::default());
        let capabilities = Capabilities::new([
            ("echo", echo),
            (
                "pattern",
                CommandInfo::pull().arg("len", len).arg("definite", flag()),
            ),
            ("fail", CommandInfo::pull().arg("late", flag())),
            ("short", CommandInfo::pull()),
            ("crash", CommandInfo::pull()),
            ("panic", CommandInfo::pull()),
            ("data", CommandInfo::pull()),
            ("set", CommandInfo::push()),
        ]);
        let server = Server::new(router, capabilities, config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let running = server.start(listener).unwrap();
        Self {
            address: running.address(),
            running: Some(running),
            pushes,
        }
    }

    pub(crate) fn read_write() -> Self {
        let mut config = ServerConfig::default();
        config.authorize = Arc::new(Permissions::ReadWrite);
        Self::new(config)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.running.as_ref().unwrap().server().stats()
    }

    /// What was counted once this is so.
    pub(crate) fn wait_for(&self, is_so: impl Fn(&Stats) -> bool) -> Stats {
        let began = Instant::now();
        loop {
            let stats = self.stats();
            if is_so(&stats) {
                return stats;
            }
            assert!(began.elapsed() < PATIENCE, "{stats:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url(), Config::default()).unwrap()
    }

    /// Whether it still answers.
    pub(crate) fn is_alive(&self) -> bool {
        let command = hgrpc_std::http::Command::new("capabilities");
        self.client().call(&command).unwrap().one_value().is_ok()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// The byte at a place: no run, no period that a frame's length divides.
fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// So many bytes of the pattern.
pub(crate) struct Pattern {
    at: u64,
    len: u64,
}

impl Pattern {
    pub(crate) fn new(len: u64) -> Self {
        Self { at: 0, len }
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        for byte in &mut buffer[..len] {
            *byte = byte_at(self.at);
            self.at += 1;
        }
        Ok(len)
    }
}

/// An answer's status, head and body, read to the connection's end or by its length.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and reads one answer, whose body may be chunked.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Raw {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    read_answer(&mut stream)
}

pub(crate) fn read_answer(stream: &mut TcpStream) -> Raw {
    let mut all = Vec::new();
    // The connection closes, since every request here asks for it.
    stream.read_to_end(&mut all).unwrap();
    let end = all
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head[9..12].parse().unwrap();
    let mut body = all.split_off(end);
    if head.contains("transfer-encoding: chunked") {
        body = dechunk(&body);
    }
    Raw { status, head, body }
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let end = bytes
            .windows(2)
            .position(|w| w == b"\r\n")
            .expect("a chunk's size");
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return all;
        }
        all.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

/// A POST to a command's address.
pub(crate) fn post(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// A POST with the headers that it should have.
pub(crate) fn good_post(target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let headers = [
        ("Accept", F),
        ("Content-Type", F),
        ("Content-Length", &length),
    ];
    post(target, &headers, body)
}

/// A frame.
pub(crate) fn frame(
    request: u16,
    stream: u8,
    stream_flags: u8,
    kind: u8,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let mut bytes = length[..3].to_vec();
    bytes.extend(request.to_le_bytes());
    bytes.extend([stream, stream_flags, kind << 4 | flags]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A whole request of a command without arguments.
pub(crate) fn request(id: u16, is_first: bool, name: &str) -> Vec<u8> {
    let mut payload = b"\xa1\x44name".to_vec();
    payload.push(0x40 + u8::try_from(name.len()).unwrap());
    payload.extend_from_slice(name.as_bytes());
    frame(id, 1, u8::from(is_first), 1, 1, &payload)
}
