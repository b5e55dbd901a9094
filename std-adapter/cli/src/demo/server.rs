//! The demo's commands.

use std::io::{BufRead, Read, Write};
use std::sync::{Condvar, Mutex, PoisonError};

use hgrpc::Revision;
use hgrpc_std::blocking::{Config, Failure, Progress, Router};
use sha2::{Digest, Sha256};

use super::pattern::Pattern;

/// The largest request that the server takes: small, so that one can be refused.
pub(super) const REQUEST_SIZE: u32 = 64 << 10;

/// Bytes between two progress messages.
const STEP: u64 = 4 << 20;

pub(super) fn config(revision: Revision) -> Config {
    let mut config = Config::new(revision);
    config.limits.request_size = REQUEST_SIZE;
    config
}

pub(super) fn router() -> Router {
    // How many calls of `after` have been answered.
    let answered = (Mutex::new(0u64), Condvar::new());
    Router::new()
        .command("after", move |call, reply| {
            let (number, calls): (u64, u64) = (call.arg("number")?, call.arg("calls")?);
            let (count, changed) = &answered;
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            while *count + number < calls {
                count = changed.wait(count).unwrap_or_else(PoisonError::into_inner);
            }
            write!(reply, "answer {number}")?;
            reply.flush()?;
            *count += 1;
            changed.notify_all();
            Ok(())
        })
        .command("greet", |call, reply| {
            reply.text(format!("hello, {}\n", call.arg_text("name")?))?;
            reply.text("control characters are harmless: \x1b[31mred\x07\n")?;
            reply.write_all(b"done")?;
            Ok(())
        })
        .command("fail", |call, _| {
            Err(Failure::format("cannot open %s", [call.arg_bytes("file")?]))
        })
        .command("echo", |call, reply| {
            reply.write_all(&call.arg_bytes("msg")?)?;
            Ok(())
        })
        .command("digest", |call, reply| {
            let total: u64 = call.arg("size")?;
            let side = reply.notes();
            let mut hash = Sha256::new();
            let (mut done, mut shown) = (0, 0);
            loop {
                let bytes = call.fill_buf()?;
                if bytes.is_empty() {
                    break;
                }
                hash.update(bytes);
                let len = bytes.len();
                call.consume(len);
                done += u64::try_from(len).unwrap_or_default();
                if done - shown >= STEP {
                    shown = done;
                    let pos = i64::try_from(done).unwrap_or(i64::MAX);
                    side.progress(&Progress::new("digest", pos, total))?;
                }
            }
            reply.write_all(&hash.finalize())?;
            Ok(())
        })
        .command("generate", |call, reply| {
            let mut pattern = Pattern::new(call.arg("seed")?, call.arg("size")?);
            let mut buffer = vec![0; 128 << 10];
            loop {
                match pattern.read(&mut buffer)? {
                    0 => return Ok(()),
                    len => reply.write_all(&buffer[..len])?,
                }
            }
        })
}
