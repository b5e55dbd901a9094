//! An upload and a download at once through one connection, and a refused request beside them.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc_std::blocking::{CallError, Client, Direction};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::pattern::Pattern;
use super::report::{Report, Row, bytes};
use super::{Count, Tally, answer, server};
use crate::exit::Failure;

const SEED: u64 = 0x6867_7270_6331;

/// One direction's result.
struct Done {
    hash: Vec<u8>,
    request_id: hgrpc::wire::RequestId,
    time: Duration,
}

/// Hashes what is read through it; hands the hash out at the end.
struct Hashing {
    source: Pattern,
    hash: Option<Sha256>,
    done: Sender<Vec<u8>>,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..len]);
        }
        if len == 0
            && let Some(hash) = self.hash.take()
        {
            let _ = self.done.send(hash.finalize().to_vec());
        }
        Ok(len)
    }
}

fn upload(
    client: &Client,
    size: u64,
    source_hash: Sender<Vec<u8>>,
    bar: &ProgressBar,
) -> Result<Done, CallError> {
    let start = Instant::now();
    let shown = bar.clone();
    let source = Hashing {
        source: Pattern::new(SEED, size),
        hash: Some(Sha256::new()),
        done: source_hash,
    };
    let response = client
        .call("digest")
        .value("size", &size)
        .data(source)
        // The bar shows what the server says that it has.
        .on_progress(move |progress| {
            shown.set_position(u64::try_from(progress.pos).unwrap_or_default());
        })
        .send()?;
    let request_id = response.request_id();
    let hash = response.read_bytes(32)?;
    bar.set_position(size);
    Ok(Done {
        hash,
        request_id,
        time: start.elapsed(),
    })
}

fn download(client: &Client, size: u64, bar: &ProgressBar) -> Result<Done, CallError> {
    let start = Instant::now();
    let mut response = client
        .call("generate")
        .value("seed", &SEED)
        .value("size", &size)
        .send()?;
    let mut hash = Sha256::new();
    loop {
        let bytes = match response.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => bytes,
            Err(error) => return Err(CallError::from_io(error).unwrap_or(CallError::TimedOut)),
        };
        hash.update(bytes);
        let len = bytes.len();
        response.consume(len);
        bar.inc(u64::try_from(len).unwrap_or_default());
    }
    Ok(Done {
        hash: hash.finalize().to_vec(),
        request_id: response.request_id(),
        time: start.elapsed(),
    })
}

/// A request over the server's limit; waits until both transfers are under way.
fn oversized(client: &Client) -> (bool, String) {
    let large = vec![b'x'; 1 << 20];
    match answer(client.call("echo").arg("msg", large).send()) {
        Err(CallError::Server(failure)) => {
            let expected = format!("request-too-large, limit {}", server::REQUEST_SIZE);
            let message = failure.to_string();
            (message == expected, message)
        }
        Err(error) => (false, error.to_string()),
        Ok(_) => (false, "it was taken".to_owned()),
    }
}

pub(super) fn run(
    client: &Client,
    size: u64,
    tally: &Tally,
    report: &mut Report,
) -> Result<(), Failure> {
    let (hash_sender, source_hash) = channel();
    let (bars, [up_bar, down_bar]) = report.bars(size);
    let (up, down, refused, echoed) = thread::scope(|scope| {
        let up = scope.spawn(|| upload(client, size, hash_sender, &up_bar));
        let down = scope.spawn(|| download(client, size, &down_bar));
        // In the middle of both, if they take long enough.
        while down_bar.position() < size / 4 && !down.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        let refused = oversized(client);
        let echoed = answer(client.call("echo").arg("msg", "still here").send());
        (up.join(), down.join(), refused, echoed)
    });
    up_bar.finish_and_clear();
    down_bar.finish_and_clear();
    drop(bars);

    let expected = source_hash.try_recv().unwrap_or_default();
    let transfers = [
        ("upload", "verified by the server", Direction::Out, up),
        ("download", "verified by the client", Direction::In, down),
    ];
    for (name, by, direction, result) in transfers {
        let what = format!("{name} of {}, {by}", bytes(size));
        match result {
            Ok(Ok(done)) => {
                let is_right = !expected.is_empty() && done.hash == expected;
                let hash: String = done.hash.iter().map(|byte| format!("{byte:02x}")).collect();
                let (front, _) = hash.split_at(hash.len().min(16));
                report.check(is_right, &what, &format!("sha256 {front}…"))?;
                let counts = tally.of(done.request_id);
                let Count { frames, bytes } = match direction {
                    Direction::In => counts.incoming,
                    Direction::Out => counts.outgoing,
                };
                report.row(Row {
                    name: name.to_owned(),
                    frames,
                    bytes,
                    time: Some(done.time),
                });
            }
            Ok(Err(error)) => report.check(false, &what, &error.to_string())?,
            Err(_) => report.check(false, &what, "the thread panicked")?,
        }
    }
    let (is_refused, message) = refused;
    report.check(
        is_refused && matches!(&echoed, Ok(text) if text == "still here"),
        "an oversized request, refused while its neighbours went on",
        &message,
    )
}
