//! The command `capabilities`: what is offered, in the form of http-v2.md, 5.2, and the limits.

use std::sync::Arc;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc_std::tokio::{Call, Data, Reply};
use hgrpc_std::value::Value;

use super::command::{Answer, Command, Commands};
use super::limit::Limit;
use super::server::Settings;

/// What is said of an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arg {
    kind: &'static str,
    default: Option<u64>,
}

impl Arg {
    pub(super) const fn optional(kind: &'static str) -> Self {
        Self {
            kind,
            default: None,
        }
    }

    pub(super) const fn int(default: u64) -> Self {
        Self {
            kind: "int",
            default: Some(default),
        }
    }

    fn describe(self) -> Value {
        let mut entries = vec![
            entry("type", bytes(self.kind)),
            entry("required", Value::Bool(false)),
        ];
        if let Some(default) = self.default {
            entries.push(entry("default", default.into()));
        }
        Value::Map(entries)
    }
}

/// Answers with a map that was made when the server began.
pub(super) struct Capabilities(Vec<u8>);

impl Capabilities {
    pub(super) fn new(settings: &Settings, commands: &Commands) -> Self {
        let names = commands.keys().map(String::as_str);
        let mut described: Vec<(Value, Value)> = names
            .zip(commands.values())
            .map(|(name, command)| entry(name, describe(&**command)))
            .collect();
        if !commands.contains_key("capabilities") {
            described.push(entry("capabilities", describe(&Self(Vec::new()))));
        }
        let revision = settings.revision;
        let limits = &settings.limits.per_connection;
        let map = Value::Map(vec![
            entry("commands", Value::Map(described)),
            entry(
                "framingmediatypes",
                Value::Array(vec![bytes(&media_type(revision))]),
            ),
            entry("revision", bytes(revision.name())),
            entry(
                "server",
                bytes(concat!("hgrpc ", env!("CARGO_PKG_VERSION"))),
            ),
            entry(
                "limits",
                Value::Map(vec![
                    entry("calls", count(limits.calls)),
                    entry("connections", count(settings.limits.connections)),
                    entry("peer-connections", count(settings.limits.peer_connections)),
                    entry("frame-size", u64::from(limits.frame_size).into()),
                    entry("request-size", u64::from(limits.request_size).into()),
                ]),
            ),
        ]);
        Self(map.encode(revision.key_order()).unwrap_or_default())
    }
}

impl Command for Capabilities {
    fn run(self: Arc<Self>, call: Call, _data: Data, mut reply: Reply) -> Answer {
        Box::pin(async move {
            super::builtin::known_only(&call, &[])?;
            reply.cbor(&self.0).await?;
            Ok(reply)
        })
    }

    fn args(&self) -> Vec<(&'static str, Arg)> {
        Vec::new()
    }
}

fn describe(command: &dyn Command) -> Value {
    let args = command
        .args()
        .into_iter()
        .map(|(name, arg)| entry(name, arg.describe()))
        .collect();
    let mut entries = vec![entry("args", Value::Map(args))];
    if let Some(limit) = command.limit() {
        // A program takes any arguments.
        entries.push(entry("any-args", Value::Bool(true)));
        entries.push(entry("limits", limits(limit)));
    } else if let Some(time) = command.time() {
        entries.push(entry("limits", Value::Map(vec![millis(time)])));
    }
    Value::Map(entries)
}

fn limits(limit: Limit) -> Value {
    let mut entries = vec![
        entry("peer", count(limit.of_peer())),
        entry("running", count(limit.running)),
    ];
    entries.extend(limit.time.map(millis));
    if let Some(output) = limit.output {
        entries.push(entry("output", output.into()));
    }
    Value::Map(entries)
}

fn millis(time: Duration) -> (Value, Value) {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    entry("time-ms", millis.into())
}

fn count(count: usize) -> Value {
    Value::from(u64::try_from(count).unwrap_or(u64::MAX))
}

fn media_type(revision: Revision) -> String {
    format!("application/mercurial-exp-framing-{}", revision.name())
}

fn entry(key: &str, value: Value) -> (Value, Value) {
    (bytes(key), value)
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}
