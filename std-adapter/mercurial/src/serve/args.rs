//! What commands take: announced in the descriptor, and checked before they run (http-v2.md, 3.1,
//! 5.1 and 5.2).

use hgrpc_std::blocking::{Call, Failure};
use hgrpc_std::http::CommandInfo;
use hgrpc_std::value::Value;

use crate::values::{as_bytes, as_count, as_list, find};
use crate::{Node, PathFilter, PathPattern};

/// Looks at a call's arguments: unknown ones, missing ones, types.
pub(super) fn check(info: &CommandInfo, call: &Call) -> Result<Checked, Failure> {
    info.check(call.args().as_cbor()).map(Checked)
}

fn wrong(name: &str, what: impl std::fmt::Display) -> Failure {
    Failure::command(format!("argument {name}: {what}"))
}

/// A call's arguments, each there and of its type.
pub(super) struct Checked(Value);

impl Checked {
    fn value(&self, name: &str) -> &Value {
        find(&self.0, name).unwrap_or(&Value::Null)
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
