//! How long a well-behaved neighbour waits while others attack, in real time. Nothing here is passed
//! or failed by a clock: `tests/tokio_attacks.rs` holds the same to bounds, counted in rounds and in
//! work.
//!
//! ```sh
//! cargo test --release -p hgrpc-std --features tokio --test tokio_latency -- --ignored --nocapture
//! ```
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

mod raw;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hgrpc_std::tokio::{Call, Client, Config, Failure, Gone, Reply, Router, Server, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Calls before an attack, and as many after it; twice as many meanwhile.
const CALLS: usize = 5000;

const SLOW: &str = "a byte per second";

fn router() -> Router {
    Router::new()
        .command("echo", |call: Call| async move {
            Ok::<_, Failure>(call.arg_bytes("msg")?.into_owned())
        })
        .command("stuck", |gone: Gone| async move { gone.wait().await })
        .command("flood", |mut reply: Reply| async move {
            let piece = [7; 10_000];
            while reply.write_all(&piece).await.is_ok() {}
        })
}

/// So many waits for an answer.
async fn waits(client: &Client, calls: usize) -> Vec<Duration> {
    let mut waits = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        let call = client.call("echo").arg("msg", "still here?").send();
        let answer = call.await.unwrap().read_text(100).await.unwrap();
        assert_eq!(answer, "still here?");
        waits.push(began.elapsed());
    }
    waits
}

/// The median and the 99th percentile, in microseconds.
fn percentiles(mut waits: Vec<Duration>) -> [f64; 2] {
    waits.sort_unstable();
    [50, 99].map(|percent| waits[waits.len() * percent / 100].as_secs_f64() * 1e6)
}

/// What each attacker sends: once, then for ever.
fn attacks() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let stuck = raw::command("stuck");
    let arguments = raw::many_arguments("stuck", 21_838);
    let new = |payload: &[u8]| {
        let requests = (0..500u16).map(|number| raw::request(2 * number + 1, raw::NEW, payload));
        requests.collect::<Vec<_>>().concat()
    };
    let open = |number: u16| raw::request(2 * number + 1, raw::NEW | raw::MORE, &[0xa1; 1000]);
    vec![
        (
            "a header and then nothing",
            raw::header(65_535, 1, 1, raw::NEW).to_vec(),
            Vec::new(),
        ),
        (
            SLOW,
            raw::header(65_535, 1, 1, raw::NEW).to_vec(),
            vec![0xa1],
        ),
        (
            "endless empty continuation frames",
            raw::request(1, raw::NEW | raw::MORE, b"\xa1"),
            raw::request(1, raw::CONTINUATION | raw::MORE, b"").repeat(100),
        ),
        ("endless new requests", Vec::new(), new(&stuck)),
        (
            "requests that are never finished",
            (0..1000).flat_map(open).collect(),
            Vec::new(),
        ),
        (
            "never reading answers",
            new(&raw::command("flood")),
            Vec::new(),
        ),
        (
            "65,535-byte frames of one-byte arguments",
            Vec::new(),
            new(&arguments),
        ),
        ("reconnecting in a loop", vec![0], vec![0; 100]),
    ]
}

async fn attack(address: SocketAddr, first: Vec<u8>, again: Vec<u8>, pause: Duration) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            // There are only so many ports.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        if stream.write_all(&first).await.is_err() {
            continue;
        }
        if again.is_empty() {
            // Until the server ends it.
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|len| len == 0) {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        while stream.write_all(&again).await.is_ok() {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures time"]
async fn what_a_neighbour_waits() {
    for (name, first, again) in attacks() {
        let mut limits = ServerLimits::DEFAULT;
        limits.per_connection.stall = Some(Duration::from_secs(1));
        let server = Server::builder(router()).limits(limits).build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.clone().serve(listener));
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let client = Client::spawn(stream, &Config::default());
        waits(&client, CALLS).await;
        let mut normal = waits(&client, CALLS).await;
        let pause = Duration::from_secs(u64::from(name == SLOW));
        let attacker = tokio::spawn(attack(address, first, again, pause));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let attacked = waits(&client, 2 * CALLS).await;
        attacker.abort();
        let _ = attacker.await;
        // What else the machine does may change meanwhile.
        tokio::time::sleep(Duration::from_millis(200)).await;
        normal.extend(waits(&client, CALLS).await);
        let calls = normal.len();
        let ([normal, normal_99], [attacked, attacked_99]) =
            (percentiles(normal), percentiles(attacked));
        println!(
            "{name}: median {attacked:.0} µs, else {normal:.0} ({:.1} times); 99th percentile \
             {attacked_99:.0} µs, else {normal_99:.0} ({:.1} times); {calls} calls each",
            attacked / normal,
            attacked_99 / normal_99,
        );
        drop(client);
        server.shutdown(Duration::ZERO).await;
    }
}
