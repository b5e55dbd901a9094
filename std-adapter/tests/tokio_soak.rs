//! Two thousand connections at once to one server: calls of all kinds, slow readers, clients that
//! vanish in the middle of a frame, clients that send garbage. Every byte of every call that
//! completes is checked, every other call ends with a typed error, and nothing is left over.
#![cfg(all(unix, feature = "tokio"))]
#![allow(missing_docs, reason = "a test")]

mod raw;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use hgrpc_std::tokio::{
    Call, CallError, Client, Config, Data, Failure, Gone, Reply, Router, Server, ServerLimits,
};
use peak_alloc::PeakAlloc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const CONNECTIONS: usize = 2000;

/// A guard against hanging; it usually takes a few seconds.
const LONG: Duration = Duration::from_secs(110);

/// The most bytes of a call.
const LARGEST: usize = 1_000_000;

static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next)
        .take(LARGEST + 17 * CONNECTIONS)
        .collect()
});

/// Bytes that a connection is known by.
fn pattern(seed: usize, len: usize) -> &'static [u8] {
    &NOISE[17 * seed..17 * seed + len]
}

fn router() -> Router {
    Router::new()
        .command("echo", |call: Call| async move {
            Ok::<_, Failure>(call.arg_bytes("msg")?.into_owned())
        })
        .command("upload", |call: Call, mut data: Data| async move {
            let expected = pattern(call.arg::<usize>("seed")?, call.arg::<usize>("len")?);
            let mut rest = expected;
            while let Some(piece) = data.next().await? {
                let Some(later) = rest.strip_prefix(&piece[..]) else {
                    return Err(Failure::command("other bytes"));
                };
                rest = later;
            }
            Ok(format!("{} missing", rest.len()))
        })
        .command("download", |call: Call, mut reply: Reply| async move {
            let bytes = pattern(call.arg::<usize>("seed")?, call.arg::<usize>("len")?);
            for piece in bytes.chunks(5000) {
                reply.write_all(piece).await?;
            }
            reply.finish()?;
            Ok::<_, Failure>(())
        })
        .command("cat", |mut data: Data, mut reply: Reply| async move {
            tokio::io::copy_buf(&mut data, &mut reply).await?;
            reply.finish()?;
            Ok::<_, Failure>(())
        })
        .command("stuck", |gone: Gone| async move { gone.wait().await })
        .command("fail", || async { Err::<(), Failure>("as asked".into()) })
}

/// What came of all calls.
#[derive(Default)]
struct Tally {
    completed: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    fn completed(&self, bytes: usize) {
        self.completed.fetch_add(1, Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn ended<T: std::fmt::Debug>(&self, result: Result<T, CallError>) {
        match result.expect_err("it cannot complete") {
            CallError::Command(_) | CallError::Server(_) => &self.failed,
            CallError::Connection(_) => &self.lost,
            other => panic!("{other}"),
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

struct Visitor {
    number: usize,
    stream: TcpStream,
    tally: Arc<Tally>,
}

impl Visitor {
    async fn visit(self) {
        match self.number % 10 {
            0..=4 => self.calls().await,
            5 => self.slow_reader().await,
            6 => self.vanish_in_a_frame().await,
            7 => self.garbage().await,
            8 => self.open_calls().await,
            _ => self.reset_in_a_response().await,
        }
    }

    /// Calls of all kinds at once.
    async fn calls(self) {
        let Self {
            number,
            stream,
            tally,
        } = self;
        let client = Client::spawn(stream, &Config::default());
        let len = 1000 * (number % 100);
        let bytes = pattern(number, len);
        let echo = async {
            let msg = &bytes[..len.min(5000)];
            let response = client.call("echo").arg("msg", msg).send().await?;
            let got = response.read_bytes(5000).await?;
            assert!(got == msg);
            tally.completed(got.len());
            Ok::<_, CallError>(())
        };
        let upload = async {
            let call = client.call("upload").value("seed", &number);
            let call = call.value("len", &len).bytes(bytes);
            let answer = call.send().await?.read_text(100).await?;
            assert_eq!(answer, "0 missing");
            tally.completed(len);
            Ok(())
        };
        let download = async {
            let call = client.call("download").value("seed", &number);
            let got = call.value("len", &len).send().await?;
            assert!(got.read_bytes(len).await? == bytes);
            tally.completed(len);
            Ok(())
        };
        let cat = async {
            let call = client.call("cat").bytes(bytes).send().await?;
            assert!(call.read_bytes(len).await? == bytes);
            tally.completed(len);
            Ok(())
        };
        let fail = async {
            let result = client.call("fail").send().await?.read_bytes(9).await;
            tally.ended(result);
            Ok(())
        };
        tokio::try_join!(echo, upload, download, cat, fail).unwrap();
    }

    async fn slow_reader(self) {
        let Self {
            number,
            stream,
            tally,
        } = self;
        let client = Client::spawn(stream, &Config::default());
        let len = 300_000;
        let call = client.call("download").value("seed", &number);
        let mut response = call.value("len", &len).send().await.unwrap();
        let mut got = Vec::new();
        let mut piece = [0; 10_000];
        loop {
            let count = response.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            got.extend_from_slice(&piece[..count]);
            sleep(Duration::from_millis(20)).await;
        }
        assert!(got == pattern(number, len));
        tally.completed(len);
    }

    async fn vanish_in_a_frame(mut self) {
        let upload = raw::request(1, raw::NEW | raw::HAVE_DATA, &raw::command("cat"));
        let data = raw::data(1, raw::DATA_CONTINUATION, pattern(self.number, 20_000));
        let all = [upload, data].concat();
        let len = 1 + self.number * 7919 % (all.len() - 1);
        self.stream.write_all(&all[..len]).await.unwrap();
    }

    async fn garbage(mut self) {
        // A server that closes early is no error here.
        let _ = self.stream.write_all(pattern(self.number, 3000)).await;
        let _ = self.stream.shutdown().await;
        let _ = tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await;
    }

    /// Calls that the client gives up, and calls that the connection's end leaves without an
    /// answer.
    async fn open_calls(self) {
        let client = Client::spawn(self.stream, &Config::default());
        drop(client.call("stuck").send().await.unwrap());
        let waiting = client.call("stuck").send().await.unwrap();
        client.close();
        self.tally.ended(waiting.read_bytes(1).await);
    }

    /// The connection is reset while a response is on its way.
    async fn reset_in_a_response(mut self) {
        let mut flood = raw::command("download");
        flood[0] = 0xa2;
        flood.extend_from_slice(b"\x44args\xa2\x44seed\x07\x43len\x1a\x00\x0f\x42\x40");
        let request = raw::request(1, raw::NEW, &flood);
        self.stream.write_all(&request).await.unwrap();
        let mut start = [0; 1000];
        self.stream.read_exact(&mut start).await.unwrap();
        self.stream.set_zero_linger().unwrap();
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = timeout(LONG, TcpStream::connect(address)).await;
    stream.expect("no connection").unwrap()
}

async fn soak() {
    let mut limits = ServerLimits::DEFAULT;
    // All from one address.
    limits.peer_connections = limits.connections;
    limits.peer_accepts = 10_000;
    limits.requests = 5 * CONNECTIONS;
    // They say nothing before all are there; and they share the machine with their server, so that
    // whoever is slow is not to blame where it is a busy one.
    limits.first_frame = Some(LONG);
    limits.slow_frame = Some(LONG);
    limits.not_reading = Some(LONG);
    limits.request_time = Some(LONG);
    limits.per_connection.stall = Some(LONG);
    let server = Server::builder(router()).limits(limits).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(server.clone().serve(listener));
    let tally = Arc::new(Tally::default());
    let (start, started) = watch::channel(false);
    let mut visitors = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let visitor = Visitor {
            number,
            stream: connect(address).await,
            tally: Arc::clone(&tally),
        };
        let mut started = started.clone();
        visitors.spawn(async move {
            started.wait_for(|is_started| *is_started).await.unwrap();
            visitor.visit().await;
        });
    }
    while server.stats().connections < CONNECTIONS as u64 {
        sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    start.send(true).unwrap();
    while let Some(visitor) = visitors.join_next().await {
        assert!(visitor.is_ok(), "{visitor:?}; {:?}", server.stats());
    }
    let shutdown = server.shutdown(LONG).await;
    assert!(shutdown.cut.is_empty(), "{shutdown:?}");
    serving.await.unwrap();

    let stats = server.stats();
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} connections at once; {} calls completed with {} bytes, {} failed as asked, {} lost with \
         their connection; {} connections broke the protocol, {} broke off; {:.1} s",
        stats.most_connections,
        get(&tally.completed),
        get(&tally.bytes),
        get(&tally.failed),
        get(&tally.lost),
        stats.protocol_errors,
        stats.broken,
        began.elapsed().as_secs_f64(),
    );
    println!("{stats:?}");
    let tenth = CONNECTIONS as u64 / 10;
    assert_eq!(stats.most_connections, CONNECTIONS as u64);
    assert_eq!(get(&tally.completed), tenth * (5 * 4 + 1));
    assert_eq!(get(&tally.failed), tenth * 5);
    assert_eq!(get(&tally.lost), tenth);
    assert_eq!(stats.protocol_errors, tenth);
    assert_eq!(stats.panicked, 0);
    let left = (stats.connections, stats.running, stats.held_bytes);
    assert_eq!(left, (0, 0, 0));
}

#[test]
fn two_thousand_connections_and_nothing_is_left() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = 2 * CONNECTIONS as u64 + 200;
    if current.is_some_and(|current| current < wanted) {
        if maximum.is_some_and(|maximum| maximum < wanted) {
            let reason = format!("{wanted} open files are needed, {maximum:?} allowed");
            assert!(std::env::var_os("HGRPC_CI").is_none(), "{reason}");
            println!("skipped: {reason}");
            return;
        }
        let current = Some(wanted);
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    LazyLock::force(&NOISE);
    // What the runtime keeps is made before it is counted.
    runtime
        .block_on(async { tokio::spawn(async {}).await })
        .unwrap();
    let before = MEMORY.current_usage();
    runtime.block_on(async { timeout(LONG, soak()).await.expect("it hangs") });
    // The sweeper notices within a second that it has nothing to do.
    let tasks = || runtime.metrics().num_alive_tasks();
    runtime.block_on(async {
        let left = async {
            while tasks() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, left).await.expect("tasks are left");
    });
    let after = MEMORY.current_usage();
    println!(
        "{} tasks left; {after} bytes of memory, {before} before, {} at most",
        tasks(),
        MEMORY.peak_usage(),
    );
    // The runtime keeps some of what its drivers needed: less than a kibibyte a connection.
    assert!(after.saturating_sub(before) < CONNECTIONS * 1024);
}
