//! How long a well-behaved neighbour waits while others attack, in real time. Nothing here is passed
//! or failed by a clock: `tests/tokio_attacks.rs` holds the same to a bound, counted in rounds.
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

const CALLS: usize = 2000;

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

/// The median wait for an answer.
async fn median(client: &Client) -> Duration {
    let mut waits = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        let call = client.call("echo").arg("msg", "still here?").send();
        let answer = call.await.unwrap().read_text(100).await.unwrap();
        assert_eq!(answer, "still here?");
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    waits[CALLS / 2]
}

/// What each attacker sends, again and again: once, then for ever.
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

async fn attack(address: SocketAddr, first: Vec<u8>, again: Vec<u8>) {
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
        while stream.write_all(&again).await.is_ok() {}
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
        median(&client).await;
        let normal = median(&client).await;
        let attacker = tokio::spawn(attack(address, first, again));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let attacked = median(&client).await;
        attacker.abort();
        let ratio = attacked.as_secs_f64() / normal.as_secs_f64();
        println!("{name}: {attacked:?} instead of {normal:?}, {ratio:.1} times");
        drop(client);
        server.shutdown(Duration::ZERO).await;
    }
}
