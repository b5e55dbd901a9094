//! One test per attack on an HTTP server: a well-behaved neighbour is answered meanwhile, what is
//! refused is counted, and memory stays within the documented formula.
//!
//! Attackers have addresses of their own, as all of 127.0.0.0/8 is this machine on Linux.
#![cfg(all(
    target_os = "linux",
    feature = "http",
    feature = "http-server",
    feature = "zlib",
    feature = "zstd"
))]
#![allow(missing_docs, reason = "a test")]

#[allow(dead_code, reason = "not all of it is of use here")]
#[path = "http/support.rs"]
mod support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use hgrpc_std::http::server::{ConnectionLimit, Refusal, ServerConfig};
use peak_alloc::PeakAlloc;
use support::{PATIENCE, Served, exchange, frame, good_post, read_answer, request};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const TARGET: &str = "/api/exp-http-v2-0003/ro/echo";

fn echo() -> Vec<u8> {
    good_post(TARGET, &request(1, true, "echo"))
}

/// Connects from 127.0.0.`host`; the neighbour's is 1.
fn connect_from(host: u8, address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The neighbour asks a few times and is answered.
fn neighbour(served: &Served) {
    for _ in 0..5 {
        assert_eq!(exchange(served.address, &echo()).status, 200);
    }
}

/// Whether the other end has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// An answer's status; what follows is read, and not kept.
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    io::copy(stream, &mut io::sink()).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

/// A head and a byte at a time: such requests take no place of those that are answered, and come
/// to an end.
#[test]
fn slow_bodies() {
    let _alone = alone();
    let mut config = ServerConfig::default();
    config.limits.requests = 2;
    let most = config.limits.peer_connections;
    let served = Served::new(config.clone());
    let whole = echo();
    let (begun, rest) = whole.split_at(whole.len() - 18);
    let attack = |served: &Served| -> Vec<TcpStream> {
        (0..most)
            .map(|_| {
                let mut stream = connect_from(2, served.address);
                stream.write_all(begun).unwrap();
                stream
            })
            .collect()
    };
    let attackers = attack(&served);
    served.wait_for(|stats| stats.requests == most as u64);
    neighbour(&served);
    // Who comes to an end after all is answered.
    for mut stream in attackers {
        stream.write_all(rest).unwrap();
        assert_eq!(read_answer(&mut stream).status, 200);
    }
    // Nobody goes on so for long.
    config.limits.slow_frame = Some(Duration::from_millis(200));
    let served = Served::new(config);
    let mut attackers = attack(&served);
    for bytes in rest.chunks(1).take(17) {
        thread::sleep(Duration::from_millis(20));
        for stream in &mut attackers {
            // It may be over already.
            let _ = stream.write_all(bytes);
        }
    }
    let stats = served.wait_for(|stats| stats.answered_with(408) == most as u64);
    assert_eq!(stats.refused_for(Refusal::Slow), most as u64);
    assert_eq!(stats.running, 0);
    neighbour(&served);
}

/// Connections that say nothing: so many of one address, so many in all, so long.
#[test]
fn silent_connections() {
    let _alone = alone();
    let mut config = ServerConfig::default();
    config.limits.peer_connections = 8;
    config.limits.connections = 20;
    let served = Served::new(config.clone());
    let silent = |served: &Served, host| -> Vec<TcpStream> {
        (0..8).map(|_| connect_from(host, served.address)).collect()
    };
    let first = silent(&served, 2);
    for number in 1..=5 {
        assert!(is_closed(&mut connect_from(2, served.address)));
        assert_eq!(served.stats().closed_for(ConnectionLimit::PeerFull), number);
    }
    neighbour(&served);
    let second = silent(&served, 3);
    neighbour(&served);
    // As many as there may be at all: one more is told so at once, and does not hang.
    let third: Vec<_> = silent(&served, 4).into_iter().take(4).collect();
    let mut stream = connect_from(5, served.address);
    assert!(is_closed(&mut stream));
    drop((first, second, third));
    served.wait_for(|stats| stats.connections == 0);
    neighbour(&served);
    let stats = served.stats();
    assert!(stats.closed_for(ConnectionLimit::ServerFull) >= 1);
    assert_eq!(stats.most_connections, 20);

    // Nobody is silent for long.
    config.limits.first_frame = Some(Duration::from_millis(100));
    config.limits.idle = Some(Duration::from_millis(100));
    let served = Served::new(config);
    let mut silent = silent(&served, 2);
    // Part of a head is no more.
    silent[0].write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert!(silent.iter_mut().all(is_closed));
    served.wait_for(|stats| {
        let first = stats.closed_for(ConnectionLimit::FirstFrame);
        let idle = stats.closed_for(ConnectionLimit::Idle);
        first + idle == 8 && stats.connections == 0
    });
    // Nor after a request.
    let mut stream = connect_from(2, served.address);
    stream
        .write_all(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(status(&mut stream), 200);
    served.wait_for(|stats| stats.closed_for(ConnectionLimit::Idle) >= 1);
    neighbour(&served);
}

/// Who does not read leaves others their places, and does not keep its own.
#[test]
fn answers_that_are_not_read() {
    let _alone = alone();
    let mut config = ServerConfig::default();
    config.limits.requests = 4;
    config.limits.peer_requests = 2;
    let mut payload = b"\xa2\x44args\xa1\x43len\x1a\x10\x00\x00\x00\x44name\x47pattern".to_vec();
    payload = frame(1, 1, 1, 1, 1, &payload);
    let pattern = good_post("/api/exp-http-v2-0003/ro/pattern", &payload);
    let unread = |served: &Served| -> Vec<TcpStream> {
        (0..2)
            .map(|_| {
                let mut stream = connect_from(2, served.address);
                stream.write_all(&pattern).unwrap();
                stream
            })
            .collect()
    };
    let served = Served::new(config.clone());
    let attackers = unread(&served);
    served.wait_for(|stats| stats.running == 2);
    let mut third = connect_from(2, served.address);
    third.write_all(&echo()).unwrap();
    let refused = read_answer(&mut third);
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    neighbour(&served);
    drop(attackers);
    served.wait_for(|stats| stats.running == 0);

    config.limits.not_reading = Some(Duration::from_millis(200));
    let served = Served::new(config);
    let _attackers = unread(&served);
    let stats = served
        .wait_for(|stats| stats.closed_for(ConnectionLimit::NotReading) == 2 && stats.running == 0);
    assert_eq!((stats.commands, stats.connections), (2, 0));
    neighbour(&served);
}

/// A request with one argument, in frames as large as they may be.
fn large(argument: &[u8]) -> Vec<u8> {
    let mut payload = b"\xa2\x44args\xa1\x41x".to_vec();
    payload.extend_from_slice(argument);
    payload.extend_from_slice(b"\x44name\x44echo");
    let mut body = Vec::new();
    let mut pieces = payload.chunks(65_000).peekable();
    let (mut begin, mut kind) = (1, 1);
    while let Some(piece) = pieces.next() {
        let more = if pieces.peek().is_some() { 4 } else { 0 };
        body.extend(frame(1, 1, begin, 1, kind | more, piece));
        (begin, kind) = (0, 2);
    }
    good_post(TARGET, &body)
}

/// Bodies share one budget: over it there is 503, and a modest request is answered all the same.
#[test]
fn bodies_that_fill_memory() {
    let _alone = alone();
    let mut config = ServerConfig::default();
    let limits = &mut config.limits;
    (limits.connections, limits.peer_connections) = (16, 8);
    (limits.requests, limits.per_connection.compressed_streams) = (4, 0);
    (
        limits.per_connection.gathered,
        limits.per_connection.request_size,
    ) = (1 << 20, 1 << 20);
    limits.shared_bytes = 8 << 20;
    let most = limits.most_http_bytes();
    let mut argument = b"\x5a\x00\x0f\x00\x00".to_vec();
    argument.resize(5 + 0xf_0000, 7);
    let whole = large(&argument);
    let last = whole.len() - 1;
    let served = Served::new(config);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    // Each takes three times its 960 KiB, so that two fit.
    let mut holding = Vec::new();
    for number in 1..=2 {
        let mut stream = connect_from(2, served.address);
        stream.write_all(&whole[..last]).unwrap();
        served.wait_for(|stats| stats.bytes_in == number * last as u64);
        holding.push(stream);
    }
    for number in 1..=20 {
        let mut stream = connect_from(3, served.address);
        stream.write_all(&whole).unwrap();
        assert_eq!(status(&mut stream), 503);
        let stats = served.stats();
        assert_eq!(stats.refused_for(Refusal::ServerBytes), number);
    }
    neighbour(&served);
    for mut stream in holding {
        stream.write_all(&whole[last..]).unwrap();
        assert_eq!(status(&mut stream), 200);
    }
    let mut stream = connect_from(3, served.address);
    stream.write_all(&whole).unwrap();
    assert_eq!(status(&mut stream), 200);
    let peak = MEMORY.peak_usage() - before;
    let stats = served.wait_for(|stats| stats.held_bytes == 0);
    println!("{peak} bytes, at most {most}; bodies {}", stats.most_bytes);
    assert!(peak < most, "{peak} of {most}");
    assert!(stats.most_bytes > 5 << 20, "{stats:?}");
}

/// Arguments of a byte each, which as values are 33 times as many.
#[test]
fn arguments_that_grow() {
    let _alone = alone();
    let mut config = ServerConfig::default();
    let limits = &mut config.limits;
    (limits.connections, limits.peer_connections) = (16, 16);
    (limits.requests, limits.peer_requests) = (8, 8);
    limits.shared_bytes = 32 << 20;
    limits.per_connection.compressed_streams = 0;
    let most = limits.most_http_bytes();
    let mut argument = b"\x9a\x00\x0f\x00\x00".to_vec();
    argument.resize(5 + 0xf_0000, 7);
    let whole = large(&argument);
    let served = Served::new(config);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = connect_from(2, served.address);
                stream.write_all(&whole).unwrap();
                assert_eq!(status(&mut stream), 200);
            });
        }
    });
    let peak = MEMORY.peak_usage() - before;
    println!("{peak} bytes, at most {most}");
    assert!(peak < most, "{peak} of {most}");
}
