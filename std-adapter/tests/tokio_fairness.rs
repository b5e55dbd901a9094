//! Responses that stream at once share the line: measured in bytes of each stretch of the wire, in
//! the order in which frames leave, so that no clock is involved.
#![cfg(feature = "tokio")]
#![allow(missing_docs, reason = "a test")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use hgrpc::{REVISIONS, Revision};
use hgrpc_std::encoding::{ContentEncoding, SUPPORTED};
use hgrpc_std::tokio::{
    Call, Client, Config, Direction, Failure, Peer, Reply, Router, Server, ServerLimits,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const STREAMS: u32 = 20;
/// Bytes that each stream sends.
const SIZE: usize = 4 << 20;
/// Bytes that the wire holds.
const WIRE: usize = 128 << 10;
/// A stretch of the wire.
const STRETCH: usize = 4 << 20;

/// Bytes that no encoder makes smaller.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(SIZE + 100).collect()
});

/// What a stream sends.
fn noise(number: u32) -> &'static [u8] {
    let start = usize::try_from(number).unwrap();
    &NOISE[start..start + SIZE]
}

/// A wire that is slower than all handlers: only then is there something to be shared.
fn slow_wire() -> (DuplexStream, DuplexStream) {
    let (here, mut near) = tokio::io::duplex(WIRE);
    let (mut far, there) = tokio::io::duplex(WIRE);
    tokio::spawn(async move {
        let mut buffer = vec![0; WIRE];
        let mut requests = vec![0; WIRE];
        loop {
            tokio::select! {
                len = far.read(&mut buffer) => match len.unwrap() {
                    0 => return,
                    len => {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        near.write_all(&buffer[..len]).await.unwrap();
                    }
                },
                len = near.read(&mut requests) => match len.unwrap() {
                    0 => return,
                    len => far.write_all(&requests[..len]).await.unwrap(),
                },
            }
        }
    });
    (here, there)
}

/// The frames of the server in their order: request, bytes.
async fn wire(revision: Revision, encodes: &[ContentEncoding]) -> Vec<(u16, usize)> {
    let router = Router::new().command("stream", |call: Call, mut reply: Reply| async move {
        // Each writes pieces of its own size: 100 bytes to 100 kB.
        let number: u32 = call.arg("number")?;
        let piece = 100 * 10usize.pow(number % 4);
        for bytes in noise(number).chunks(piece) {
            reply.write_all(bytes).await?;
        }
        reply.finish()?;
        Ok::<_, Failure>(())
    });
    LazyLock::force(&NOISE);
    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&frames);
    let mut limits = ServerLimits::DEFAULT;
    limits.per_connection.compressed_streams = 20;
    let server = Server::builder(router)
        .revision(revision)
        .encodes(encodes)
        .limits(limits)
        .observer(move |_, direction, header| {
            if direction == Direction::Out {
                let len = usize::try_from(header.length()).unwrap();
                let frame = (header.request_id().value(), 8 + len);
                seen.lock().unwrap().push(frame);
            }
        })
        .build();
    let (here, there) = slow_wire();
    tokio::spawn(async move { server.serve_connection(there, Peer::UNKNOWN).await });
    let client = Client::spawn(here, &Config::new(revision));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let client = client.clone();
        calls.spawn(async move {
            let call = client.call("stream").value("number", &number);
            let mut response = call.send().await.unwrap();
            let mut all = Vec::new();
            response.read_to_end(&mut all).await.unwrap();
            assert!(all == noise(number), "stream {number}");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    std::mem::take(&mut *frames.lock().unwrap())
}

/// The least share of a stream in a stretch in which all stream, in parts of the mean.
fn least_share(frames: &[(u16, usize)]) -> f64 {
    let position = |frame: Option<usize>| frame.unwrap();
    let ids: Vec<u16> = (0..20).map(|number| 2 * number + 1).collect();
    // From when all have begun until the first has ended.
    let begun = |id: &u16| position(frames.iter().position(|(frame, _)| frame == id));
    let ended = |id: &u16| position(frames.iter().rposition(|(frame, _)| frame == id));
    let from = ids.iter().map(begun).max().unwrap();
    let to = ids.iter().map(ended).min().unwrap();
    let mut least = f64::INFINITY;
    let mut stretches = 0;
    let mut shares: HashMap<u16, usize> = HashMap::new();
    let mut sum = 0;
    for (id, len) in &frames[from..to] {
        *shares.entry(*id).or_default() += len;
        sum += len;
        if sum >= STRETCH {
            let smallest = ids.iter().map(|id| shares.get(id).copied().unwrap_or(0));
            let share = smallest.min().unwrap() as f64 * f64::from(STREAMS) / sum as f64;
            least = least.min(share);
            shares.clear();
            sum = 0;
            stretches += 1;
        }
    }
    assert!(stretches >= 5, "{stretches} stretches");
    least
}

async fn check(revision: Revision, encodes: &[ContentEncoding]) {
    let share = least_share(&wire(revision, encodes).await);
    println!("{revision:?}, {encodes:?}: no stream below {share:.2} of the mean");
    assert!(share >= 0.5, "{share}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_streams_have_their_share_with_two_threads() {
    for revision in REVISIONS {
        check(revision, &[ContentEncoding::Identity]).await;
    }
}

#[tokio::test]
async fn twenty_streams_have_their_share_with_one_thread() {
    check(Revision::R0005, &[ContentEncoding::Identity]).await;
}

#[tokio::test]
async fn twenty_compressed_streams_have_their_share() {
    check(Revision::R0006, SUPPORTED).await;
}
