//! One test per attack. Each says what ended it and what it cost: bytes held, and how much longer a
//! well-behaved neighbour waits for its answer while the attack goes on.
//!
//! Time is virtual, so that nothing depends on the machine. The neighbour's wait is counted twice:
//! in rounds of the scheduler, and in work: the bytes and frames, of anybody, that the server takes
//! and makes between the neighbour's request and its answer. The first tells whether the neighbour's
//! turn comes as often as ever, the second how long the others' turns are. A server that read from
//! an attacker as long as there is something would do 4 MiB of work in one turn, which is many times
//! what is allowed here.
//!
//! `cargo test … -- --nocapture` shows the figures; `tests/tokio_latency.rs` has the same in real
//! time.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

mod raw;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hgrpc_std::tokio::{
    Call, Client, Config, ConnectionError, ConnectionLimit, Data, Failure, Gone, Peer, Refusal,
    Reply, Router, Server, ServerLimits, Stats,
};
use peak_alloc::PeakAlloc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Bytes that a socket between an attacker and the server holds.
const SOCKET: usize = 16 << 10;

/// Longer than any limit, in virtual time.
const LONG: Duration = Duration::from_secs(3600);

/// Work for others, in bytes, that the neighbour may have to wait for: a turn of reading (64 KiB,
/// and the 32 KiB read that goes over it) and a batch that is written (64 KiB and a frame), twice.
const OTHERS: u64 = 2 * ((64 + 32) + (64 + 4)) * 1024;

fn router() -> Router {
    Router::new()
        .command("echo", |call: Call| async move {
            Ok::<_, Failure>(call.arg_bytes("msg")?.into_owned())
        })
        .command("stuck", |gone: Gone, data: Data| async move {
            gone.wait().await;
            drop(data);
        })
        .command("flood", |mut reply: Reply| async move {
            let piece = [7; 1000];
            while reply.write_all(&piece).await.is_ok() {}
        })
}

/// What happens between a request and its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    rounds: u64,
    frames: u64,
    bytes: u64,
}

impl Wait {
    fn max(self, other: Self) -> Self {
        Self {
            rounds: self.rounds.max(other.rounds),
            frames: self.frames.max(other.frames),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// Lets everybody run once, and no more: `yield_now` waits until nobody has anything to do.
async fn next_round() {
    let mut is_next = false;
    poll_fn(|cx| match std::mem::replace(&mut is_next, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

fn frames(stats: &Stats) -> u64 {
    stats.frames_in + stats.frames_out
}

fn bytes(stats: &Stats) -> u64 {
    stats.bytes_in + stats.bytes_out
}

/// A well-behaved client.
#[derive(Clone)]
struct Neighbour {
    client: Client,
    server: Server,
}

impl Neighbour {
    /// What it waits for an answer.
    async fn ask(&self) -> Wait {
        // Everything that is ready runs once in each round. Time stands still meanwhile.
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rounds);
        let ticker = tokio::spawn(poll_fn::<(), _>(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let (before, since) = (rounds.load(Ordering::Relaxed), self.server.stats());
        let call = self.client.call("echo").arg("msg", "still here?").send();
        let answer = call.await.unwrap().read_text(100).await.unwrap();
        assert_eq!(answer, "still here?");
        let stats = self.server.stats();
        ticker.abort();
        Wait {
            rounds: rounds.load(Ordering::Relaxed) - before,
            frames: frames(&stats) - frames(&since),
            bytes: bytes(&stats) - bytes(&since),
        }
    }

    /// The longest of so many. In a task of its own: the test's own future takes part in rounds
    /// only now and then.
    async fn asks(&self, times: u64, every: Duration) -> Wait {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut longest = Wait::default();
            for _ in 0..times {
                longest = longest.max(this.ask().await);
                match every.is_zero() {
                    true => next_round().await,
                    false => sleep(every).await,
                }
            }
            longest
        });
        task.await.unwrap()
    }
}

/// How often somebody has connected, and how the last connection ended.
type Repeated = (u64, Result<(), ConnectionError>);

/// A server, an attacker and a neighbour.
struct Rig {
    server: Server,
    neighbour: Neighbour,
    normal: Wait,
    attacked: Wait,
    before: usize,
    limits: ServerLimits,
    began: Instant,
}

/// Limits under which one attack can use up what the formula allows, so that it is of use as a
/// bound.
fn limits() -> ServerLimits {
    let mut limits = ServerLimits::DEFAULT;
    limits.connections = 2;
    // As many as one connection may have, and the neighbour's.
    limits.requests = 65;
    limits.refusals = 64;
    limits.own_bytes = 16 << 10;
    limits.shared_bytes = 512 << 10;
    limits.connection_bytes = 512 << 10;
    limits.peer_accepts = u32::MAX;
    limits.per_connection.calls = 64;
    limits.per_connection.send_frame_size = 4096;
    limits.per_connection.request_size = 70_000;
    limits.per_connection.gathered = 512 << 10;
    limits
}

impl Rig {
    async fn new(limits: ServerLimits) -> Self {
        let server = Server::builder(router()).limits(limits).build();
        let (here, there) = tokio::io::duplex(SOCKET);
        let served = server.clone();
        tokio::spawn(async move { served.serve_connection(there, Peer::UNKNOWN).await });
        let neighbour = Neighbour {
            client: Client::spawn(here, &Config::default()),
            server: server.clone(),
        };
        // The first one comes with settings.
        neighbour.ask().await;
        let mut rig = Self {
            server,
            normal: neighbour.asks(20, Duration::ZERO).await,
            neighbour,
            attacked: Wait::default(),
            before: 0,
            limits,
            began: Instant::now(),
        };
        MEMORY.reset_peak_usage();
        rig.before = MEMORY.current_usage();
        rig
    }

    /// Lets an attacker connect.
    fn connect(&self) -> (DuplexStream, JoinHandle<Result<(), ConnectionError>>) {
        let (here, there) = tokio::io::duplex(SOCKET);
        let server = self.server.clone();
        let task = tokio::spawn(async move { server.serve_connection(there, Peer::UNKNOWN).await });
        (here, task)
    }

    /// Attacks again and again, from a new connection each time. Told to stop, it says how often
    /// and how the last one ended.
    fn repeat(
        &self,
        attack: impl Fn() -> Endless + Send + 'static,
    ) -> (Arc<AtomicBool>, JoinHandle<Repeated>) {
        let server = self.server.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut times = 1;
            loop {
                let mut io = attack();
                io.stop = Arc::clone(&is_over);
                let result = server.serve_connection(io, Peer::UNKNOWN).await;
                if is_over.load(Ordering::Relaxed) {
                    return (times, result);
                }
                result.unwrap_err();
                times += 1;
                next_round().await;
            }
        });
        (stop, task)
    }

    /// While the attack goes on: the neighbour asks a hundred times. What the server does for the
    /// attacker meanwhile, in bytes.
    async fn endure(&mut self, every: Duration) -> u64 {
        const TIMES: u64 = 100;
        let before = bytes(&self.server.stats());
        self.attacked = self.neighbour.asks(TIMES, every).await;
        (bytes(&self.server.stats()) - before).saturating_sub(TIMES * self.normal.bytes)
    }

    /// The attack is over: what it came to. It is to hold so many of a hundred parts of the memory
    /// that it may.
    async fn report(self, attack: &str, ended: &str, least: usize) -> Stats {
        let peak = MEMORY.peak_usage().saturating_sub(self.before);
        self.neighbour.ask().await;
        let stats = self.server.stats();
        let after = self.began.elapsed().as_secs();
        let allowed = self.limits.most_bytes();
        let (normal, attacked) = (self.normal, self.attacked);
        println!(
            "{attack}: {ended} after {after} s, {} frames, {} bytes in; held at most {} bytes of \
             requests, {peak} of memory ({allowed} allowed); the neighbour waited {} rounds, {} \
             frames and {} bytes, else {}, {} and {}",
            stats.frames_in,
            stats.bytes_in,
            stats.most_bytes,
            attacked.rounds,
            attacked.frames,
            attacked.bytes,
            normal.rounds,
            normal.frames,
            normal.bytes,
        );
        assert!(attacked.rounds <= 2 * normal.rounds);
        assert!(attacked.bytes <= normal.bytes + OTHERS);
        // A frame has 8 bytes at least.
        assert!(attacked.frames <= normal.frames + OTHERS / 8);
        // What the sockets hold, which are memory here, is not the server's.
        assert!(peak <= allowed + 2 * SOCKET * self.limits.connections);
        assert!(100 * peak >= least * allowed, "it proves little");
        let shared = self.limits.shared_bytes + self.limits.connections * self.limits.own_bytes;
        assert!(stats.most_bytes <= u64::try_from(shared).unwrap());
        let shutdown = self.server.shutdown(LONG).await;
        assert!(shutdown.cut.is_empty(), "{shutdown:?}");
        let end = self.server.stats();
        assert_eq!((end.connections, end.running, end.held_bytes), (0, 0, 0));
        stats
    }
}

/// A peer that always has something to say, at once: the server never waits for it. It reads its
/// answers, or none.
struct Endless {
    make: Box<dyn FnMut() -> Vec<u8> + Send>,
    bytes: Vec<u8>,
    reads: bool,
    stop: Arc<AtomicBool>,
}

impl Endless {
    fn new(reads: bool, make: impl FnMut() -> Vec<u8> + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            bytes: Vec::new(),
            reads,
            stop: Arc::default(),
        }
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stop.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        while self.bytes.len() < buf.remaining() {
            let more = (self.make)();
            self.bytes.extend_from_slice(&more);
        }
        let len = buf.remaining();
        buf.put_slice(&self.bytes[..len]);
        self.bytes.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.reads {
            true => Poll::Ready(Ok(bytes.len())),
            false => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Endless requests that run until the connection ends.
fn requests() -> impl FnMut() -> Vec<u8> + Send + 'static {
    let mut number = 0u16;
    move || {
        let request = raw::request(2 * number + 1, raw::NEW, &raw::command("stuck"));
        // The first ones run; the IDs of refused ones are free again.
        number = if number == 30_000 { 1000 } else { number + 1 };
        request
    }
}

/// Waits until the connection is ended for this limit.
async fn ended(task: JoinHandle<Result<(), ConnectionError>>, limit: ConnectionLimit) -> String {
    let result = timeout(LONG, task).await.expect("it is not ended").unwrap();
    match result {
        Err(ConnectionError::Limit(found)) if found == limit => {
            format!("closed ({})", limit.name())
        }
        other => panic!("{other:?}"),
    }
}

/// Writes until the other end has closed.
async fn write_on(io: &mut DuplexStream, bytes: &[u8]) -> bool {
    io.write_all(bytes).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_header_and_then_nothing() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(limits()).await;
    let (mut io, task) = rig.connect();
    io.write_all(&raw::header(65_535, 1, 1, raw::NEW))
        .await
        .unwrap();
    rig.endure(Duration::from_millis(90)).await;
    assert!(!task.is_finished());
    let how = ended(task, ConnectionLimit::FirstFrame).await;
    let stats = rig.report("a header and then nothing", &how, 0).await;
    assert_eq!(stats.closed_for(ConnectionLimit::FirstFrame), 1);
}

#[tokio::test(start_paused = true)]
async fn a_byte_per_second() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(limits()).await;
    let (mut io, task) = rig.connect();
    // One good request first, so that this is not a matter of the first frame.
    let good = raw::request(1, raw::NEW, &raw::command("nothing"));
    io.write_all(&good).await.unwrap();
    io.write_all(&raw::header(65_535, 3, 1, raw::NEW))
        .await
        .unwrap();
    let attacker = tokio::spawn(async move {
        while write_on(&mut io, b"\xa1").await {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let done = rig.endure(Duration::from_millis(90)).await;
    assert!(done >= 9 && !task.is_finished(), "{done}");
    let how = ended(task, ConnectionLimit::SlowFrame).await;
    rig.report("a byte per second", &how, 0).await;
    attacker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn endless_empty_continuation_frames() {
    let _alone = ALONE.lock().await;
    for kind in ["request", "data"] {
        let mut rig = Rig::new(limits()).await;
        let (stop, task) = rig.repeat(move || {
            let (start, next) = match kind {
                "request" => (
                    raw::request(1, raw::NEW | raw::MORE, b"\xa1"),
                    raw::request(1, raw::CONTINUATION | raw::MORE, b""),
                ),
                _ => (
                    raw::request(1, raw::NEW | raw::HAVE_DATA, &raw::command("stuck")),
                    raw::data(1, raw::DATA_CONTINUATION, b""),
                ),
            };
            let mut start = Some(start);
            Endless::new(true, move || start.take().unwrap_or_else(|| next.clone()))
        });
        let done = rig.endure(Duration::ZERO).await;
        stop.store(true, Ordering::Relaxed);
        let (times, _) = timeout(LONG, task).await.unwrap().unwrap();
        assert!(done > 0 && times > 2, "{done}, {times}");
        let name = format!("endless empty continuation frames ({kind}), {times} times");
        let stats = rig.report(&name, "closed (no-progress)", 0).await;
        assert!(stats.closed_for(ConnectionLimit::NoProgress) >= times - 1);
        assert!(stats.frames_in < (1024 + 10) * times + 1000, "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_new_requests() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(limits()).await;
    let (stop, task) = rig.repeat(|| Endless::new(true, requests()));
    let done = rig.endure(Duration::ZERO).await;
    stop.store(true, Ordering::Relaxed);
    let (times, result) = timeout(LONG, task).await.unwrap().unwrap();
    // It may stop inside a frame.
    assert!(matches!(result, Ok(()) | Err(ConnectionError::Cut { .. })));
    assert!(done > 0 && times == 1, "{done}, {times}");
    let stats = rig
        .report("endless new requests", "refused (too-many-requests)", 0)
        .await;
    let refused = stats.refused_for(Refusal::TooManyRequests);
    assert!(refused > 1000, "{refused}");
    assert!(stats.most_running <= 65);
}

#[tokio::test(start_paused = true)]
async fn endless_new_requests_of_one_who_reads_no_refusal() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(limits()).await;
    let (stop, task) = rig.repeat(|| Endless::new(false, requests()));
    let done = rig.endure(Duration::ZERO).await;
    stop.store(true, Ordering::Relaxed);
    let (times, _) = timeout(LONG, task).await.unwrap().unwrap();
    assert!(done > 0 && times > 2, "{done}, {times}");
    let name = format!("endless new requests, answers unread, {times} times");
    let stats = rig.report(&name, "closed (refusals)", 0).await;
    assert!(stats.closed_for(ConnectionLimit::Refusals) >= times - 1);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_never_finished() {
    let _alone = ALONE.lock().await;
    const STEP: Duration = Duration::from_millis(50);
    let mut limits = limits();
    limits.shared_bytes = 2 << 20;
    limits.connection_bytes = 2 << 20;
    limits.per_connection.gathered = 2 << 20;
    let mut rig = Rig::new(limits).await;
    let (io, task) = rig.connect();
    let (mut read, mut write) = tokio::io::split(io);
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    // With each question of the neighbour's ten requests, of which 64 are gathered: nearly all
    // that the connection may hold. It then stays.
    let attacker = tokio::spawn(async move {
        for number in 0..1000 {
            let request = raw::request(2 * number + 1, raw::NEW | raw::MORE, &[0xa1; 30_000]);
            write.write_all(&request).await.unwrap();
            if number % 10 == 9 {
                sleep(STEP).await;
            }
        }
        write
    });
    let done = rig.endure(STEP).await;
    assert!(done > 25_000_000 && !task.is_finished(), "{done}");
    let how = ended(task, ConnectionLimit::Unfinished).await;
    let _ = reader.await.unwrap();
    drop(attacker.await.unwrap());
    let stats = rig
        .report("requests that are never finished", &how, 20)
        .await;
    assert_eq!(stats.refused_for(Refusal::TooManyRequests), 1000 - 64);
}

#[tokio::test(start_paused = true)]
async fn never_reading_answers() {
    let _alone = ALONE.lock().await;
    const STEP: Duration = Duration::from_millis(500);
    let mut limits = limits();
    limits.requests = 257;
    limits.per_connection.calls = 256;
    let mut rig = Rig::new(limits).await;
    let (mut io, task) = rig.connect();
    let attacker = tokio::spawn(async move {
        for number in 0..256 {
            let request = raw::request(2 * number + 1, raw::NEW, &raw::command("flood"));
            io.write_all(&request).await.unwrap();
            if number % 32 == 31 {
                sleep(STEP).await;
            }
        }
        io
    });
    let done = rig.endure(STEP).await;
    assert!(done > 4000 && !task.is_finished(), "{done}");
    let how = ended(task, ConnectionLimit::NotReading).await;
    rig.report("never reading answers", &how, 20).await;
    drop(attacker.await.unwrap());
}

/// What is swallowed is over no limit: it may go on, but not at the others' cost. This is the case
/// in which a server without turns does 4 MiB of work in each of its own.
#[tokio::test(start_paused = true)]
async fn endless_data_for_a_refused_request() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(limits()).await;
    let (stop, task) = rig.repeat(|| {
        let request = raw::request(1, raw::NEW | raw::HAVE_DATA, &raw::command("nothing"));
        let mut request = Some(request);
        let data = raw::data(1, raw::DATA_CONTINUATION, &[7; 30_000]);
        Endless::new(true, move || request.take().unwrap_or_else(|| data.clone()))
    });
    let done = rig.endure(Duration::ZERO).await;
    stop.store(true, Ordering::Relaxed);
    let (times, _) = timeout(LONG, task).await.unwrap().unwrap();
    assert!(done > u64::from(u16::MAX) && times == 1, "{done}, {times}");
    rig.report("endless data for a refused request", "swallowed", 0)
        .await;
}

/// Not an attack of its own: peers that send as fast as they can to handlers that take nothing.
#[tokio::test(start_paused = true)]
async fn endless_data_for_handlers_that_take_none() {
    let _alone = ALONE.lock().await;
    const STEP: Duration = Duration::from_millis(500);
    let mut limits = limits();
    limits.idle = None;
    limits.data_silence = None;
    limits.connections = 5;
    limits.shared_bytes = 4 << 20;
    limits.connection_bytes = 2 << 20;
    let mut rig = Rig::new(limits).await;
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let (io, task) = rig.connect();
        let (mut read, mut write) = tokio::io::split(io);
        let reader = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        });
        let writer = tokio::spawn(async move {
            let flags = raw::NEW | raw::HAVE_DATA;
            for number in 0..16 {
                let request = raw::request(2 * number + 1, flags, &raw::command("stuck"));
                write.write_all(&request).await.unwrap();
            }
            // Each gets 400 kB, but the handlers take none of it.
            for _ in 0..80 {
                for number in 0..16 {
                    let data = raw::data(2 * number + 1, raw::DATA_CONTINUATION, &[7; 5000]);
                    write.write_all(&data).await.unwrap();
                }
            }
            write.shutdown().await.unwrap();
        });
        attackers.push((task, reader, writer));
    }
    let done = rig.endure(STEP).await;
    assert!(done > 2 << 20, "{done}");
    for (task, reader, writer) in attackers {
        writer.await.unwrap();
        task.await.unwrap().unwrap();
        reader.await.unwrap();
    }
    let stats = rig
        .report("endless data for handlers that take none", "refused", 30)
        .await;
    let refused = stats.refused_for(Refusal::Stalled) + stats.refused_for(Refusal::ServerBytes);
    assert_eq!(refused, 64, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn frames_full_of_one_byte_arguments() {
    let _alone = ALONE.lock().await;
    let mut limits = limits();
    limits.shared_bytes = 2 << 20;
    limits.connection_bytes = 2 << 20;
    // Each refusal takes a stall: that is longer than the neighbour is silent.
    limits.idle = None;
    let mut rig = Rig::new(limits).await;
    let (io, task) = rig.connect();
    let (mut read, mut write) = tokio::io::split(io);
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let map = raw::many_arguments("stuck", 21_838);
    assert!((65_530..=65_535).contains(&map.len()), "{}", map.len());
    let attacker = tokio::spawn(async move {
        for number in 0..100 {
            let request = raw::request(2 * number + 1, raw::NEW, &map);
            write.write_all(&request).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let done = rig.endure(Duration::from_millis(500)).await;
    assert!(done > 2 << 20, "{done}");
    attacker.await.unwrap();
    task.await.unwrap().unwrap();
    reader.await.unwrap().unwrap();
    let stats = rig
        .report(
            "65,535-byte frames of one-byte arguments",
            "refused (server-bytes)",
            20,
        )
        .await;
    // As many as the connection may hold ran, the others were refused after the stall.
    assert!(stats.refused_for(Refusal::ServerBytes) >= 1, "{stats:?}");
    assert!(stats.most_bytes <= (2 << 20) + 1000, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn reconnecting_in_a_loop() {
    let _alone = ALONE.lock().await;
    const ATTEMPTS: u64 = 10_000;
    let mut limits = limits();
    limits.peer_accepts = ServerLimits::DEFAULT.peer_accepts;
    let mut rig = Rig::new(limits).await;
    let server = rig.server.clone();
    let attacker = tokio::spawn(async move {
        let peer = Peer::tcp("192.0.2.7:1".parse().unwrap());
        let mut refused = 0;
        for _ in 0..ATTEMPTS {
            let (here, there) = tokio::io::duplex(64);
            drop(here);
            let result = server.serve_connection(there, peer.clone()).await;
            refused += u64::from(matches!(
                result,
                Err(ConnectionError::Limit(ConnectionLimit::PeerRate))
            ));
            next_round().await;
        }
        refused
    });
    let before = rig.server.stats().accepted;
    rig.endure(Duration::ZERO).await;
    assert!(rig.server.stats().accepted > before);
    let refused = attacker.await.unwrap();
    assert_eq!(refused, ATTEMPTS - 2048);
    let how = format!("refused (peer-rate) {refused} times of {ATTEMPTS}");
    let stats = rig.report("reconnecting in a loop", &how, 0).await;
    assert_eq!(stats.closed_for(ConnectionLimit::PeerRate), refused);
    assert!(stats.most_connections <= 2);
}
