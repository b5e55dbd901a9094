//! What commands take: announced in the descriptor, and checked before they run (http-v2.md, 3.1,
//! 5.1 and 5.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::blocking::{Call, Failure};
use crate::mercurial::values::{as_bytes, as_count, as_list, bytes, map};
use crate::mercurial::{Node, PathFilter, PathPattern};
use crate::value::Value;

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    List,
    Dict,
    Bool,
    /// A set of names, of which these mean something.
    Set(&'static [&'static str]),
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Dict => "dict",
            Self::Bool => "bool",
            Self::Set(_) => "set",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Bytes => matches!(value, Value::Bytes(_)),
            Self::List => matches!(value, Value::Array(_)),
            Self::Dict => matches!(value, Value::Map(_)),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Set(_) => as_list(value).is_some(),
        }
    }
}

/// An argument of a command.
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What stands for a missing one; without it, one is required.
    pub(super) default: Option<Value>,
}

impl Argument {
    fn describe(&self) -> Value {
        let mut entries = vec![
            ("required", Value::Bool(self.default.is_none())),
            ("type", bytes(self.kind.name())),
        ];
        entries.extend(self.default.clone().map(|value| ("default", value)));
        if let Kind::Set(names) = self.kind {
            let names = names.iter().map(bytes).collect();
            entries.push(("validvalues", Value::Set(names)));
        }
        map(entries)
    }
}

/// A command, as it is announced.
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) args: Vec<Argument>,
    /// Whether it changes something.
    pub(super) is_push: bool,
    /// How many things are best asked for at once.
    pub(super) batch: Option<u64>,
}

impl Command {
    /// What the capabilities say of it.
    pub(super) fn describe(&self) -> Value {
        let permission = if self.is_push { "push" } else { "pull" };
        let args = self.args.iter().map(|arg| (arg.name, arg.describe()));
        let mut entries = vec![
            ("args", map(args)),
            ("permissions", Value::Array(vec![bytes(permission)])),
        ];
        entries.extend(
            self.batch
                .map(|size| ("recommendedbatchsize", Value::from(size))),
        );
        map(entries)
    }

    /// Looks at a call's arguments: unknown ones, missing ones, types.
    pub(super) fn check(&self, call: &Call) -> Result<Checked, Failure> {
        let mut given = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (key, value) in call.args().iter() {
            let key: Vec<u8> = key.chunks().flatten().copied().collect();
            match self.args.iter().find(|arg| arg.name.as_bytes() == key) {
                // The first of repeated ones counts.
                Some(arg) => drop(given.entry(arg.name).or_insert(value.as_cbor())),
                None => drop(unknown.insert(String::from_utf8_lossy(&key).into_owned())),
            }
        }
        if !unknown.is_empty() {
            let names: Vec<_> = unknown.into_iter().collect();
            let names = names.join(", ");
            return Err(Failure::command(format!(
                "unsupported argument to command: {names}"
            )));
        }
        let mut missing: Vec<_> = self
            .args
            .iter()
            .filter(|arg| arg.default.is_none())
            .collect();
        missing.retain(|arg| !given.contains_key(arg.name));
        if !missing.is_empty() {
            let mut names: Vec<_> = missing.iter().map(|arg| arg.name).collect();
            names.sort_unstable();
            return Err(Failure::command(format!(
                "missing required arguments: {}",
                names.join(", ")
            )));
        }
        let mut values = BTreeMap::new();
        for arg in &self.args {
            let value = match (given.get(arg.name), &arg.default) {
                (Some(encoded), default) => {
                    let value = Value::decode(encoded)
                        .map_err(|error| wrong(arg.name, &error.to_string()))?;
                    if !arg.kind.takes(&value) && Some(&value) != default.as_ref() {
                        // The texts for arrays that are expected by name are the protocol's.
                        return Err(match arg.name {
                            "revisions" => {
                                Failure::command("revisions must be defined as an array")
                            }
                            name => wrong(name, &format!("must be of type {}", arg.kind.name())),
                        });
                    }
                    value
                }
                (None, Some(default)) => default.clone(),
                (None, None) => continue,
            };
            values.insert(arg.name, value);
        }
        Ok(Checked(values))
    }
}

fn wrong(name: &str, what: &str) -> Failure {
    Failure::command(format!("argument {name}: {what}"))
}

/// A call's arguments, each there and of its type.
pub(super) struct Checked(BTreeMap<&'static str, Value>);

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
