//! The commands that are always offered, to try things out with.

use std::sync::Arc;
use std::time::Duration;

use hgrpc::cbor::Value;
use hgrpc_std::tokio::{Call, Data, Failure, Notes, Progress, Reply};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::time::sleep as pause_for;

use super::capabilities::Arg;
use super::client;
use super::command::{Answer, Command, Commands, Timed};

/// A command that is always offered.
#[derive(Clone, Copy, Debug)]
enum Builtin {
    Count,
    Digest,
    Echo,
    Sleep,
}

impl Command for Builtin {
    fn run(self: Arc<Self>, call: Call, data: Data, mut reply: Reply) -> Answer {
        Box::pin(async move {
            known_only(&call, &self.args())?;
            match *self {
                Self::Count => count(&call, data, &mut reply).await,
                Self::Digest => digest(data, &mut reply).await,
                Self::Echo => echo(&call, data, &mut reply).await,
                Self::Sleep => sleep(&call, data, reply.notes()).await,
            }?;
            Ok(reply)
        })
    }

    fn args(&self) -> Vec<(&'static str, Arg)> {
        match self {
            Self::Count => vec![
                ("delay-ms", Arg::int(DELAY_DEFAULT)),
                ("to", Arg::int(TO_DEFAULT)),
            ],
            Self::Digest => Vec::new(),
            Self::Echo => vec![("msg", Arg::optional("any"))],
            Self::Sleep => vec![("ms", Arg::int(SLEEP_DEFAULT))],
        }
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

const ALL: [(&str, Builtin); 4] = [
    ("count", Builtin::Count),
    ("digest", Builtin::Digest),
    ("echo", Builtin::Echo),
    ("sleep", Builtin::Sleep),
];

/// Whether there is one of this name.
pub(super) fn has(name: &str) -> bool {
    ALL.iter().any(|(builtin, _)| *builtin == name)
}

/// All of them, with the time that a call may take.
pub(super) fn all(time: impl Fn(&str) -> Option<Duration>) -> Commands {
    let command = |(name, builtin): (&str, Builtin)| -> (String, Arc<dyn Command>) {
        let command: Arc<dyn Command> = Arc::new(builtin);
        let command = match time(name) {
            None => command,
            Some(time) => Arc::new(Timed {
                name: name.to_owned(),
                command,
                time,
            }),
        };
        (name.to_owned(), command)
    };
    ALL.into_iter().map(command).collect()
}

/// Gives back `msg`, whatever value it is; without it, the data as it arrives.
async fn echo(call: &Call, mut data: Data, reply: &mut Reply) -> Result<(), Failure> {
    let args = call.args();
    let Some(msg) = args.find(b"msg") else {
        tokio::io::copy_buf(&mut data, reply).await?;
        return Ok(());
    };
    match msg.as_bytes() {
        // In 0006 no bytes written would be no value at all.
        Some(bytes) if bytes.is_empty() && call.revision().has_settings() => {
            reply.cbor(msg.as_cbor()).await?;
        }
        Some(bytes) => {
            for chunk in bytes.chunks() {
                reply.write_all(chunk).await?;
            }
        }
        None => reply.cbor(msg.as_cbor()).await?,
    }
    Ok(())
}

/// The data's SHA-256 in hex digits.
async fn digest(mut data: Data, reply: &mut Reply) -> Result<(), Failure> {
    let mut hasher = Sha256::new();
    loop {
        let bytes = data.fill_buf().await?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let len = bytes.len();
        data.consume(len);
    }
    let hex = base16ct::lower::encode_string(&hasher.finalize());
    reply.write_all(hex.as_bytes()).await?;
    Ok(())
}

const TO_DEFAULT: u64 = 10;
const TO_MOST: u64 = 1_000_000;
const DELAY_DEFAULT: u64 = 0;
const SLEEP_DEFAULT: u64 = 1000;
/// An hour: what waits longer is forgotten.
const MOST_MS: u64 = 3_600_000;

/// Counts to `to`, with progress at each number and text at both ends; gives the number.
async fn count(call: &Call, data: Data, reply: &mut Reply) -> Result<(), Failure> {
    let to = number(call, "to", TO_DEFAULT, TO_MOST)?;
    let delay = Duration::from_millis(number(call, "delay-ms", DELAY_DEFAULT, MOST_MS)?);
    drop(data);
    let side = reply.notes();
    let counting = async {
        side.labelled(format!("counting to {to}\n"), &["ui.status"])
            .await?;
        for pos in 1..=to {
            if !delay.is_zero() {
                pause_for(delay).await;
            }
            let pos = i64::try_from(pos).unwrap_or(i64::MAX);
            side.progress(&Progress::new("count", pos, to)).await?;
        }
        side.progress(&Progress::new("count", -1, to)).await?;
        side.labelled("done\n", &["ui.status"]).await?;
        Ok(())
    };
    tokio::select! {
        counted = counting => counted,
        () = client::left(call.gone(), &side) => Err(client::has_gone()),
    }?;
    reply.value(&to).await?;
    Ok(())
}

/// Waits for `ms` milliseconds; gives nothing.
async fn sleep(call: &Call, data: Data, side: Notes) -> Result<(), Failure> {
    let ms = number(call, "ms", SLEEP_DEFAULT, MOST_MS)?;
    drop(data);
    tokio::select! {
        () = pause_for(Duration::from_millis(ms)) => Ok(()),
        () = client::left(call.gone(), &side) => Err(client::has_gone()),
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
