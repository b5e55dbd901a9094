//! The tokio server gives the same bytes as the engine by itself, and both give those that an
//! earlier server gave, which shared no code with them.

use std::time::Duration;

use hgrpc::cbor::ContentEncoding;
use hgrpc::{REVISIONS, Revision};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::super::*;
use super::rig::{Rig, Sender, config, limits};
use super::script::{Act, VALUES, atom, failure, progress, written};
use crate::host::Failure;
use crate::tokio::{Call, Data, Reply, Router, Server};

/// Random choices that a seed replays.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % end).unwrap()
    }

    fn steps(&mut self) -> Vec<u8> {
        let mut steps = Vec::new();
        for _ in 0..self.below(9) {
            let step = self.below(256).to_le_bytes()[0];
            // Where a server's notes go is only fixed where nothing waits.
            if matches!(Act::of(step), Act::Text | Act::Progress) {
                steps.push(0);
            }
            steps.push(step);
        }
        steps
    }
}

async fn script(call: Call, mut reply: Reply) -> Result<(), Failure> {
    let steps = call.arg_bytes("steps")?;
    for (at, step) in steps.iter().enumerate() {
        match Act::of(*step) {
            Act::Write(len) => reply.write_all(&written(at, len)).await?,
            Act::Flush => reply.flush().await?,
            Act::Values => reply.cbor(VALUES).await?,
            Act::Text => reply.notes().atoms(&[atom()]).await?,
            Act::Progress => reply.progress(&progress()).await?,
            Act::Finish => break,
            Act::Fail => return Err(failure(false)),
            Act::FailServer => return Err(failure(true)),
        }
    }
    Ok(reply.finish()?)
}

async fn cat(mut data: Data, mut reply: Reply) -> Result<(), Failure> {
    while let Some(bytes) = data.next().await? {
        reply.write_all(&bytes).await?;
    }
    Ok(reply.finish()?)
}

fn first(revision: Revision, encodes: &[ContentEncoding]) -> DuplexStream {
    let router = Router::new().command("script", script).command("cat", cat);
    let server = Server::builder(router)
        .revision(revision)
        .limits(limits())
        .encodes(encodes)
        .build();
    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(async move { server.serve_connection(theirs, Peer::UNKNOWN).await });
    ours
}

/// Sends bytes to both, and compares what they answer.
async fn compare(seed: u64, rig: &mut Rig, first: &mut DuplexStream, bytes: &[u8], rng: &mut Rng) {
    let before = rig.output.len();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(1 + rng.below(u64::try_from(rest.len()).unwrap()));
        rig.receive(now);
        rest = later;
    }
    first.write_all(bytes).await.unwrap();
    let expected = &rig.output[before..];
    let mut answer = vec![0; expected.len()];
    let read = timeout(Duration::from_secs(20), first.read_exact(&mut answer)).await;
    read.unwrap_or_else(|_| panic!("seed {seed}: the tokio server says less"))
        .unwrap();
    let differ = answer.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(at) = differ {
        let around = at.saturating_sub(20)..(at + 40).min(expected.len());
        panic!(
            "seed {seed}, byte {at}:\n{:02x?}\n{:02x?}",
            &answer[around.clone()],
            &expected[around]
        );
    }
}

/// Compares one connection; mixes what was answered into `digest` if that is the same with every
/// version of every library.
async fn connection(seed: u64, digest: &mut u64) {
    let mut rng = Rng(seed);
    let revision = REVISIONS[rng.below(3)];
    let encodes: &[ContentEncoding] = match rng.below(2) {
        0 => &[ContentEncoding::Identity],
        _ => &[ContentEncoding::Zlib, ContentEncoding::Identity],
    };
    let mut rig = Rig::new(config(revision, encodes), limits());
    let mut first = first(revision, encodes);
    let mut sender = Sender::new(revision);
    for _ in 0..=rng.below(5) {
        let name = ["script", "script", "script", "unknown", "cat"][rng.below(5)];
        let has_data = name == "cat";
        let (id, mut bytes) = sender.request(name, &rng.steps(), has_data);
        if has_data {
            let data = vec![seed.to_le_bytes()[0]; rng.below(5000)];
            bytes.extend_from_slice(&sender.data(id, &data, true));
        }
        compare(seed, &mut rig, &mut first, &bytes, &mut rng).await;
        rig.assert_idle();
    }
    if encodes.len() == 1 {
        for byte in &rig.output {
            // FNV-1a.
            *digest = (*digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    first.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(20), first.read_to_end(&mut rest)).await;
    read.expect("it ends").unwrap();
    assert!(
        rest.is_empty(),
        "seed {seed}: the tokio server says more: {rest:02x?}"
    );
}

/// What the answers to the first 200 connections came to when they were compared, byte by byte, with
/// those of an earlier server.
const DIGEST: u64 = 0xdd1a_e489_66df_63ca;

#[tokio::test]
async fn the_same_requests_get_the_same_bytes() {
    let mut digest = 0xcbf2_9ce4_8422_2325;
    for seed in 0..200 {
        connection(seed, &mut digest).await;
    }
    assert_eq!(digest, DIGEST, "{digest:#x}");
}
