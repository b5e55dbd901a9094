//! Replays captured HTTP exchanges with Mercurial (`tests/vectors/captured/README.md`): what its
//! server answered goes into our client, what its client asked goes into our server.
//!
//! Read `recorded.rs` first: what an exchange says, as far as it is compared.
//!
//! | file | what |
//! | --- | --- |
//! | `recorded.rs` | an exchange as it was recorded, its schema checked |
//! | `frames.rs` | frames to what each request was answered |
//! | `client.rs` | the recorded answer into our client |
//! | `server.rs` | the recorded request into our server |
//! | `expected.rs` | what our server answers instead, on purpose, and why |
//! | `table.rs` | the commands that our server announces |
//! | `wire.rs` | HTTP by hand |

mod client;
mod expected;
mod frames;
mod recorded;
mod server;
mod table;
mod wire;

use serde_json::Value;

use super::Config;
use crate::fields::Fault;
use recorded::Exchange;

/// Replays an exchange into both ends.
pub(super) fn check(case: &Value, config: Config) -> Result<(), Fault> {
    let exchange = Exchange::read(case)?;
    client::check(&exchange, config.cut)?;
    server::check(&exchange)
}

/// Where an exchange says what is expected; see `self_test`.
pub(super) fn expectations(case: &Value) -> Vec<String> {
    let mut pointers = vec!["/response/status".to_owned()];
    let is_read = case["response"]["status"] == 200;
    for (place, is_wanted) in [
        ("/response/text", is_read),
        ("/response/trailing_bytes", true),
    ] {
        if is_wanted && case.pointer(place).is_some() {
            pointers.push(place.to_owned());
        }
    }
    let responses = case["response"]["responses"].as_object();
    for id in responses.into_iter().flatten().map(|(id, _)| id) {
        for key in ["cbor", "cbor_len", "cbor_sha256"] {
            let place = format!("/response/responses/{id}/{key}");
            if case.pointer(&place).is_some() {
                pointers.push(place);
            }
        }
    }
    // What hg's client sends, ours does.
    if case["client"]
        .as_str()
        .is_some_and(|name| name.starts_with("hg-"))
    {
        let commands = case["request"]["commands"].as_object();
        for id in commands.into_iter().flatten().map(|(id, _)| id) {
            pointers.push(format!("/request/commands/{id}/cbor"));
        }
    }
    pointers
}

/// A difference, with what was compared.
fn differs(what: &str, expected: impl ToString, result: impl ToString) -> Fault {
    let say = |text: String| Value::String(format!("{what}: {text}"));
    Fault::new(say(expected.to_string()), say(result.to_string()))
}

/// A difference in what can be shown for debugging.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, result: &T) -> Result<(), Fault> {
    if expected == result {
        return Ok(());
    }
    Err(differs(
        what,
        format!("{expected:?}"),
        format!("{result:?}"),
    ))
}
