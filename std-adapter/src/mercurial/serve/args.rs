//! What commands take: announced in the descriptor, and checked before they run (http-v2.md, 3.1,
//! 5.1 and 5.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::blocking::{Call, Failure};
use crate::http::{ArgType, CommandInfo};
use crate::mercurial::values::{as_bytes, as_count, as_list};
use crate::mercurial::{Node, PathFilter, PathPattern};
use crate::value::Value;

fn takes(kind: &ArgType, value: &Value) -> bool {
    match kind {
        ArgType::Bytes => matches!(value, Value::Bytes(_)),
        ArgType::Int => matches!(value, Value::Integer(_)),
        ArgType::List => matches!(value, Value::Array(_)),
        ArgType::Dict => matches!(value, Value::Map(_)),
        ArgType::Bool => matches!(value, Value::Bool(_)),
        ArgType::Set => as_list(value).is_some(),
        _ => true,
    }
}

/// Looks at a call's arguments: unknown ones, missing ones, types.
pub(super) fn check(info: &CommandInfo, call: &Call) -> Result<Checked, Failure> {
    let mut given = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for (key, value) in call.args().iter() {
        let key: Vec<u8> = key.chunks().flatten().copied().collect();
        let key = String::from_utf8_lossy(&key).into_owned();
        if info.args.contains_key(&key) {
            // The first of repeated ones counts.
            given.entry(key).or_insert(value.as_cbor());
        } else {
            unknown.insert(key);
        }
    }
    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    if !unknown.is_empty() {
        let names = list(unknown);
        return Err(Failure::command(format!(
            "unsupported argument to command: {names}"
        )));
    }
    let required = info.args.iter().filter(|(_, arg)| arg.is_required);
    let missing: BTreeSet<String> = required
        .map(|(name, _)| name.clone())
        .filter(|name| !given.contains_key(name))
        .collect();
    if !missing.is_empty() {
        let names = list(missing);
        return Err(Failure::command(format!(
            "missing required arguments: {names}"
        )));
    }
    let mut values = BTreeMap::new();
    for (name, arg) in &info.args {
        let value = match given.get(name) {
            Some(encoded) => {
                let value = Value::decode(encoded).map_err(|error| wrong(name, error))?;
                let kind = arg
                    .kind
                    .as_ref()
                    .filter(|_| Some(&value) != arg.default.as_ref());
                if let Some(kind) = kind.filter(|kind| !takes(kind, &value)) {
                    return Err(match name.as_str() {
                        // What the reference says.
                        "revisions" => Failure::command("revisions must be defined as an array"),
                        name => wrong(name, format_args!("must be of type {}", kind.name())),
                    });
                }
                value
            }
            None => arg.default.clone().unwrap_or(Value::Null),
        };
        values.insert(name.clone(), value);
    }
    Ok(Checked(values))
}

fn wrong(name: &str, what: impl std::fmt::Display) -> Failure {
    Failure::command(format!("argument {name}: {what}"))
}

/// A call's arguments, each there and of its type.
pub(super) struct Checked(BTreeMap<String, Value>);

impl Checked {
    fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        as_list(self.value(name)).unwrap_or_default()
    }

    pub(super) fn bytes(&self, name: &str) -> &[u8] {
        as_bytes(self.value(name)).unwrap_or_default()
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        *self.value(name) == Value::Bool(true)
    }

    /// Whether a set has this name; others in it are ignored.
    pub(super) fn has(&self, name: &str, member: &str) -> bool {
        self.list(name)
            .iter()
            .any(|value| as_bytes(value) == Some(member.as_bytes()))
    }

    pub(super) fn nodes(&self, name: &str) -> Result<Vec<Node>, Failure> {
        self.list(name).iter().map(node).collect()
    }

    pub(super) fn filter(&self, name: &str) -> Result<PathFilter, Failure> {
        let mut filter = PathFilter::default();
        let Value::Map(entries) = self.value(name) else {
            return Ok(filter);
        };
        for (key, value) in entries {
            let patterns = match as_bytes(key) {
                Some(b"include") => &mut filter.include,
                Some(b"exclude") => &mut filter.exclude,
                _ => {
                    return Err(wrong(name, "has keys other than include and exclude"));
                }
            };
            let key = as_bytes(key).unwrap_or_default();
            let list = as_list(value).ok_or_else(|| wrong(name, "must hold arrays"))?;
            for value in list {
                let text = as_bytes(value).ok_or_else(|| wrong(name, "must hold byte strings"))?;
                let pattern = PathPattern::parse(text).ok_or_else(|| {
                    let format = "%s pattern must begin with `path:` or `rootfilesin:`; got %s";
                    Failure::format(format, [key, text])
                })?;
                patterns.push(pattern);
            }
        }
        Ok(filter)
    }
}

/// A node among a command's arguments.
pub(super) fn node(value: &Value) -> Result<Node, Failure> {
    let bytes = as_bytes(value).ok_or_else(|| Failure::command("a node must be of type bytes"))?;
    Node::try_from(bytes).map_err(Failure::command)
}

/// A number among a command's arguments.
pub(super) fn number(name: &str, value: &Value) -> Result<u64, Failure> {
    as_count(value).ok_or_else(|| wrong(name, "must be of type int, and not negative"))
}
