//! The commands that are always offered, to try things out with.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::cbor::Value;
use hgrpc_std::blocking::{Call, Failure, Gone, Progress, Reply, Side};
use sha2::{Digest, Sha256};

use super::capabilities::Arg;
use super::peer::Peer;
use super::server::{Command, Commands};

/// How often a client that has closed its sending half is asked whether it is still there.
const PROBE: Duration = Duration::from_millis(250);

type Run = fn(&mut Call, &mut Reply) -> Result<(), Failure>;

struct Builtin {
    args: &'static [(&'static str, Arg)],
    run: Run,
}

impl Command for Builtin {
    fn run(&self, _: &Peer, call: &mut Call, reply: &mut Reply) -> Result<(), Failure> {
        known_only(call, self.args)?;
        (self.run)(call, reply)
    }

    fn args(&self) -> Vec<(&'static str, Arg)> {
        self.args.to_vec()
    }
}

/// A misspelt argument is an error, not a default.
pub(super) fn known_only(call: &Call, known: &[(&'static str, Arg)]) -> Result<(), Failure> {
    for (key, _) in call.args().iter() {
        let key: Vec<u8> = key.chunks().flatten().copied().collect();
        if !known.iter().any(|(name, _)| name.as_bytes() == key) {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let known = match names.is_empty() {
                true => "there are none".to_owned(),
                false => format!("there are {}", names.join(", ")),
            };
            let format = format!("unknown argument: %s ({known})");
            return Err(Failure::format(&format, [key]));
        }
    }
    Ok(())
}

const ECHO: &[(&str, Arg)] = &[("msg", Arg::optional("any"))];
const COUNT: &[(&str, Arg)] = &[
    ("delay-ms", Arg::int(DELAY_DEFAULT)),
    ("to", Arg::int(TO_DEFAULT)),
];
const SLEEP: &[(&str, Arg)] = &[("ms", Arg::int(SLEEP_DEFAULT))];

pub(super) fn all() -> Commands {
    let builtins = [
        ("count", COUNT, count as Run),
        ("digest", &[], digest),
        ("echo", ECHO, echo),
        ("sleep", SLEEP, sleep),
    ];
    let command = |(name, args, run): (&str, _, _)| -> (String, Arc<dyn Command>) {
        (name.to_owned(), Arc::new(Builtin { args, run }))
    };
    builtins.into_iter().map(command).collect()
}

/// Gives back `msg`, whatever value it is; without it, the data as it arrives.
fn echo(call: &mut Call, reply: &mut Reply) -> Result<(), Failure> {
    let args = call.args();
    let Some(msg) = args.find(b"msg") else {
        io::copy(call, reply)?;
        return Ok(());
    };
    match msg.as_bytes() {
        Some(bytes) => bytes
            .chunks()
            .try_for_each(|chunk| reply.write_all(chunk))?,
        None => reply.cbor(msg.as_cbor())?,
    }
    Ok(())
}

/// The data's SHA-256 in hex digits.
fn digest(call: &mut Call, reply: &mut Reply) -> Result<(), Failure> {
    let mut hasher = Sha256::new();
    loop {
        let bytes = call.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let len = bytes.len();
        call.consume(len);
    }
    let hex = base16ct::lower::encode_string(&hasher.finalize());
    reply.write_all(hex.as_bytes())?;
    Ok(())
}

const TO_DEFAULT: u64 = 10;
const TO_MOST: u64 = 1_000_000;
const DELAY_DEFAULT: u64 = 0;
const SLEEP_DEFAULT: u64 = 1000;
/// An hour: what waits longer is forgotten.
const MOST_MS: u64 = 3_600_000;

/// Counts to `to`, with progress at each number and text at both ends; gives the number.
fn count(call: &mut Call, reply: &mut Reply) -> Result<(), Failure> {
    let to = number(call, "to", TO_DEFAULT, TO_MOST)?;
    let delay = Duration::from_millis(number(call, "delay-ms", DELAY_DEFAULT, MOST_MS)?);
    drop(call.take_data());
    let side = reply.side();
    side.labelled(format!("counting to {to}\n"), &["ui.status"])?;
    for pos in 1..=to {
        if !pause(call.gone(), &side, delay) {
            return Err(Failure::server("the client has gone"));
        }
        let pos = i64::try_from(pos).unwrap_or(i64::MAX);
        side.progress(&Progress::new("count", pos, to))?;
    }
    side.progress(&Progress::new("count", -1, to))?;
    side.labelled("done\n", &["ui.status"])?;
    reply.value(&to)?;
    Ok(())
}

/// Waits for `ms` milliseconds; gives nothing.
fn sleep(call: &mut Call, reply: &mut Reply) -> Result<(), Failure> {
    let ms = number(call, "ms", SLEEP_DEFAULT, MOST_MS)?;
    drop(call.take_data());
    match pause(call.gone(), &reply.side(), Duration::from_millis(ms)) {
        true => Ok(()),
        false => Err(Failure::server("the client has gone")),
    }
}

/// An argument that is a number, also as the text that shells have.
fn number(call: &Call, key: &str, default: u64, most: u64) -> Result<u64, Failure> {
    let args = call.args();
    let Some(value) = args.find(key.as_bytes()) else {
        return Ok(default);
    };
    let text = |value: Value<'_>| {
        let text = hgrpc::cbor::Text::from_any(value)?;
        text.as_str()?.parse().ok()
    };
    value
        .as_u64()
        .or_else(|| text(value))
        .filter(|&number| number <= most)
        .ok_or_else(|| {
            Failure::command(format_args!(
                "argument `{key}` is not a number up to {most}"
            ))
        })
}

/// Waits; `false` if the client goes away meanwhile.
fn pause(gone: &Gone, side: &Side, duration: Duration) -> bool {
    let end = Instant::now() + duration;
    if !gone.wait_timeout(duration) {
        return true;
    }
    // It has closed its sending half at least.
    while is_there(side) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(PROBE));
    }
    false
}

/// Asks a client that has closed its sending half, or whose data waits, whether it is still there.
///
/// A text output without text is shown by nobody; sending it fails where nobody is, over TCP at the
/// second time. A client that takes no text is not there once its input has ended.
pub(super) fn is_there(side: &Side) -> bool {
    side.is_taken() && side.atoms(&[]).is_ok()
}
