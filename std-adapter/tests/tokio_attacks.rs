//! One test per attack. Each says what ended it and what it cost: bytes held, and how much longer a
//! well-behaved neighbour waits for its answer.
//!
//! Time is virtual, and the neighbour's wait is counted in rounds of the scheduler, so that nothing
//! depends on the machine. `cargo test … -- --nocapture` shows the figures;
//! `tests/tokio_latency.rs` has the same in real time.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

mod raw;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use hgrpc_std::tokio::{
    Call, Client, Config, ConnectionError, ConnectionLimit, Data, Failure, Gone, Peer, Refusal,
    Reply, Router, Server, ServerLimits, Stats,
};
use peak_alloc::PeakAlloc;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Bytes that a socket between an attacker and the server holds.
const SOCKET: usize = 64 << 10;

/// Longer than any limit, in virtual time.
const LONG: Duration = Duration::from_secs(3600);

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
            let piece = [7; 10_000];
            while reply.write_all(&piece).await.is_ok() {}
        })
}

/// A server, an attacker and a neighbour.
struct Rig {
    server: Server,
    neighbour: Client,
    rounds: Arc<AtomicU64>,
    ticker: Option<JoinHandle<()>>,
    normal: u64,
    attacked: u64,
    before: usize,
    limits: ServerLimits,
    began: Instant,
}

impl Rig {
    async fn new(limits: ServerLimits) -> Self {
        let mut limits = limits;
        // What the formula says must be of use as a bound.
        limits.connections = limits.connections.min(16);
        limits.requests = limits.requests.min(256);
        limits.shared_bytes = limits.shared_bytes.min(4 << 20);
        limits.connection_bytes = limits.connection_bytes.min(4 << 20);
        let server = Server::builder(router()).limits(limits).build();
        let (here, there) = tokio::io::duplex(SOCKET);
        let served = server.clone();
        tokio::spawn(async move { served.serve_connection(there, Peer::UNKNOWN).await });
        let neighbour = Client::spawn(here, &Config::default());
        let rounds = Arc::new(AtomicU64::new(0));
        let mut rig = Self {
            server,
            neighbour,
            rounds,
            ticker: None,
            normal: 0,
            attacked: 0,
            before: 0,
            limits,
            began: Instant::now(),
        };
        rig.start();
        for _ in 0..20 {
            rig.normal = rig.normal.max(rig.wait().await);
        }
        MEMORY.reset_peak_usage();
        rig.before = MEMORY.current_usage();
        rig
    }

    /// Counts rounds: everything that is ready runs once in each. Time stands still meanwhile.
    fn start(&mut self) {
        let rounds = Arc::clone(&self.rounds);
        self.ticker = Some(tokio::spawn(poll_fn(move |cx| {
            rounds.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
    }

    /// Rounds that the neighbour waits for an answer.
    async fn wait(&self) -> u64 {
        let (neighbour, rounds) = (self.neighbour.clone(), Arc::clone(&self.rounds));
        // The test's own future does not take part in rounds.
        let call = async move {
            let before = rounds.load(Ordering::Relaxed);
            let call = neighbour.call("echo").arg("msg", "still here?").send();
            let answer = call.await.unwrap().read_text(100).await.unwrap();
            assert_eq!(answer, "still here?");
            rounds.load(Ordering::Relaxed) - before
        };
        tokio::spawn(call).await.unwrap()
    }

    /// Lets an attacker connect.
    fn connect(&self) -> (DuplexStream, JoinHandle<Result<(), ConnectionError>>) {
        let (here, there) = tokio::io::duplex(SOCKET);
        let server = self.server.clone();
        let task = tokio::spawn(async move { server.serve_connection(there, Peer::UNKNOWN).await });
        (here, task)
    }

    /// While the attack goes on: the neighbour asks a few times, then time passes.
    async fn endure(&mut self) {
        for _ in 0..100 {
            self.attacked = self.attacked.max(self.wait().await);
        }
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
    }

    /// The attack is over: what it came to.
    async fn report(self, attack: &str, ended: &str) -> Stats {
        let peak = MEMORY.peak_usage().saturating_sub(self.before);
        self.wait().await;
        let stats = self.server.stats();
        let after = self.began.elapsed().as_secs();
        println!(
            "{attack}: {ended} after {after} s, {} frames, {} bytes in; held at most {} bytes of \
             requests, {peak} of memory ({} allowed); the neighbour waited {} rounds, {} before",
            stats.frames_in,
            stats.bytes_in,
            stats.most_bytes,
            self.limits.most_bytes(),
            self.attacked,
            self.normal,
        );
        assert!(self.attacked <= 2 * self.normal);
        assert!(peak <= self.limits.most_bytes() + 4 * SOCKET);
        let shared = self.limits.shared_bytes + self.limits.connections * self.limits.own_bytes;
        assert!(stats.most_bytes <= u64::try_from(shared).unwrap());
        let shutdown = self.server.shutdown(LONG).await;
        assert!(shutdown.cut.is_empty(), "{shutdown:?}");
        let end = self.server.stats();
        assert_eq!((end.connections, end.running, end.held_bytes), (0, 0, 0));
        stats
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
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (mut io, task) = rig.connect();
    io.write_all(&raw::header(65_535, 1, 1, raw::NEW))
        .await
        .unwrap();
    rig.endure().await;
    let how = ended(task, ConnectionLimit::FirstFrame).await;
    let stats = rig.report("a header and then nothing", &how).await;
    assert_eq!(stats.closed_for(ConnectionLimit::FirstFrame), 1);
}

#[tokio::test(start_paused = true)]
async fn a_byte_per_second() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (mut io, task) = rig.connect();
    // One good request first, so that this is not a matter of the first frame.
    let good = raw::request(1, raw::NEW, &raw::command("nothing"));
    io.write_all(&good).await.unwrap();
    io.write_all(&raw::header(65_535, 3, 1, raw::NEW))
        .await
        .unwrap();
    rig.endure().await;
    let attacker = tokio::spawn(async move {
        while write_on(&mut io, b"\xa1").await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let how = ended(task, ConnectionLimit::SlowFrame).await;
    rig.report("a byte per second", &how).await;
    attacker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn endless_empty_continuation_frames() {
    let _alone = ALONE.lock().await;
    for kind in ["request", "data"] {
        let mut rig = Rig::new(ServerLimits::DEFAULT).await;
        let (mut io, task) = rig.connect();
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
        io.write_all(&start).await.unwrap();
        let attacker = tokio::spawn(async move { while write_on(&mut io, &next).await {} });
        rig.endure().await;
        let how = ended(task, ConnectionLimit::NoProgress).await;
        attacker.await.unwrap();
        let name = format!("endless empty continuation frames ({kind})");
        let stats = rig.report(&name, &how).await;
        assert!(stats.frames_in < 1024 + 500, "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_new_requests() {
    let _alone = ALONE.lock().await;
    const REQUESTS: u16 = 20_000;
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (io, task) = rig.connect();
    let (mut read, mut write) = tokio::io::split(io);
    let attacker = tokio::spawn(async move {
        for number in 0..REQUESTS {
            let request = raw::request(2 * number + 1, raw::NEW, &raw::command("stuck"));
            write.write_all(&request).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    rig.endure().await;
    attacker.await.unwrap();
    task.await.unwrap().unwrap();
    reader.await.unwrap().unwrap();
    let stats = rig
        .report("endless new requests", "refused (too-many-requests)")
        .await;
    let refused = stats.refused_for(Refusal::TooManyRequests);
    assert!(refused >= u64::from(REQUESTS) - 128, "{refused}");
    assert!(stats.most_running <= 129);
}

#[tokio::test(start_paused = true)]
async fn endless_new_requests_of_one_who_reads_no_refusal() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (mut io, task) = rig.connect();
    let attacker = tokio::spawn(async move {
        for number in 0..u16::MAX {
            let id = number.wrapping_mul(2) | 1;
            if !write_on(&mut io, &raw::request(id, raw::NEW, &raw::command("stuck"))).await {
                return;
            }
        }
    });
    rig.endure().await;
    let result = timeout(LONG, task).await.expect("it is not ended").unwrap();
    attacker.await.unwrap();
    let how = match result {
        Err(ConnectionError::Limit(
            limit @ (ConnectionLimit::Refusals | ConnectionLimit::NotReading),
        )) => format!("closed ({})", limit.name()),
        other => panic!("{other:?}"),
    };
    rig.report("endless new requests, answers unread", &how)
        .await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_never_finished() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (io, task) = rig.connect();
    let (mut read, mut write) = tokio::io::split(io);
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    for number in 0..1000 {
        let piece = vec![0xa1; 1000];
        let request = raw::request(2 * number + 1, raw::NEW | raw::MORE, &piece);
        write.write_all(&request).await.unwrap();
    }
    rig.endure().await;
    let how = ended(task, ConnectionLimit::Unfinished).await;
    let _ = reader.await.unwrap();
    let stats = rig.report("requests that are never finished", &how).await;
    assert_eq!(stats.refused_for(Refusal::TooManyRequests), 1000 - 128);
}

#[tokio::test(start_paused = true)]
async fn never_reading_answers() {
    let _alone = ALONE.lock().await;
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
    let (mut io, task) = rig.connect();
    for number in 0..100 {
        let request = raw::request(2 * number + 1, raw::NEW, &raw::command("flood"));
        io.write_all(&request).await.unwrap();
    }
    rig.endure().await;
    let how = ended(task, ConnectionLimit::NotReading).await;
    rig.report("never reading answers", &how).await;
    drop(io);
}

/// Not an attack of its own: peers that send as fast as they can to handlers that take nothing.
#[tokio::test(start_paused = true)]
async fn endless_data_for_handlers_that_take_none() {
    let _alone = ALONE.lock().await;
    let mut limits = ServerLimits::DEFAULT;
    limits.idle = None;
    limits.data_silence = None;
    let mut rig = Rig::new(limits).await;
    let mut attackers = Vec::new();
    for _ in 0..10 {
        let (io, task) = rig.connect();
        let (mut read, mut write) = tokio::io::split(io);
        let reader = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        });
        let writer = tokio::spawn(async move {
            let flags = raw::NEW | raw::HAVE_DATA;
            for number in 0..20 {
                let request = raw::request(2 * number + 1, flags, &raw::command("stuck"));
                write.write_all(&request).await.unwrap();
            }
            // Each gets 1.5 MB, but the handlers take none of it.
            let piece = vec![7; 50_000];
            for _ in 0..30 {
                for number in 0..20 {
                    let data = raw::data(2 * number + 1, raw::DATA_CONTINUATION, &piece);
                    write.write_all(&data).await.unwrap();
                }
            }
            write.shutdown().await.unwrap();
        });
        attackers.push((task, reader, writer));
    }
    rig.endure().await;
    for (task, reader, writer) in attackers {
        writer.await.unwrap();
        task.await.unwrap().unwrap();
        reader.await.unwrap();
    }
    let stats = rig
        .report("endless data for handlers that take none", "refused")
        .await;
    let refused = stats.refused_for(Refusal::Stalled) + stats.refused_for(Refusal::ServerBytes);
    assert_eq!(refused, 200, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn frames_full_of_one_byte_arguments() {
    let _alone = ALONE.lock().await;
    let mut limits = ServerLimits::DEFAULT;
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
    rig.endure().await;
    attacker.await.unwrap();
    task.await.unwrap().unwrap();
    reader.await.unwrap().unwrap();
    let stats = rig
        .report(
            "65,535-byte frames of one-byte arguments",
            "refused (server-bytes)",
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
    let mut rig = Rig::new(ServerLimits::DEFAULT).await;
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
            tokio::task::yield_now().await;
        }
        refused
    });
    rig.endure().await;
    let refused = attacker.await.unwrap();
    assert_eq!(refused, ATTEMPTS - 2048);
    let how = format!("refused (peer-rate) {refused} times of {ATTEMPTS}");
    let stats = rig.report("reconnecting in a loop", &how).await;
    assert_eq!(stats.closed_for(ConnectionLimit::PeerRate), refused);
    assert!(stats.most_connections <= 2);
}
