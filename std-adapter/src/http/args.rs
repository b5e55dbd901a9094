//! Checks of a command's arguments against its descriptor (http-v2.md, 3.1).

use std::collections::BTreeMap;

use crate::blocking::Failure;
use crate::http::{ArgInfo, ArgType, CommandInfo};
use crate::value::Value;

impl CommandInfo {
    /// Checks a call's arguments (their CBOR map) against this description (http-v2.md, 3.1).
    /// Returns them as the command gets them, a map: defaults filled in, and arrays that stand for
    /// sets made sets. Work is linear in their bytes.
    ///
    /// # Errors
    /// Arguments that are unknown, missing, or of another type, by name; CBOR that is no map of
    /// arguments.
    pub fn check(&self, args: &[u8]) -> Result<Value, Failure> {
        let unreadable = || Failure::command("the arguments cannot be read");
        let Ok(Value::Map(given)) = Value::decode(args) else {
            return Err(unreadable());
        };
        // Of a repeated one the first counts (revision-0006.md, 5.7).
        let mut found: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
        for (key, value) in given {
            let Value::Bytes(key) = key else {
                return Err(unreadable());
            };
            found.entry(key).or_insert(value);
        }
        let info_of = |key: &[u8]| self.args.get(std::str::from_utf8(key).ok()?);
        let unknown: Vec<_> = found
            .keys()
            .filter(|key| info_of(key).is_none())
            .map(|key| String::from_utf8_lossy(key))
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Err(Failure::command(format_args!(
                "unsupported argument to command: {names}"
            )));
        }
        let missing: Vec<&str> = self
            .args
            .iter()
            .filter(|(name, arg)| arg.is_required && !found.contains_key(name.as_bytes()))
            .map(|(name, _)| name.as_str())
            .collect();
        if !missing.is_empty() {
            let names = missing.join(", ");
            return Err(Failure::command(format_args!(
                "missing required arguments: {names}"
            )));
        }
        let mut all = Vec::with_capacity(self.args.len());
        for (name, arg) in &self.args {
            let value = match found.remove(name.as_bytes()) {
                Some(value) => typed(name, arg, value)?,
                None => match &arg.default {
                    Some(default) => default.clone(),
                    None => continue,
                },
            };
            all.push((Value::from(name.as_bytes()), value));
        }
        Ok(Value::Map(all))
    }
}

fn typed(name: &str, info: &ArgInfo, value: Value) -> Result<Value, Failure> {
    let Some(kind) = &info.kind else {
        return Ok(value);
    };
    let is_right = match (kind, &value) {
        (ArgType::Set, Value::Array(_)) => {
            let Value::Array(items) = value else {
                return Ok(value);
            };
            return Ok(Value::Set(items));
        }
        (ArgType::Bytes, Value::Bytes(_))
        | (ArgType::Int, Value::Integer(_))
        | (ArgType::List, Value::Array(_))
        | (ArgType::Dict, Value::Map(_))
        | (ArgType::Set, Value::Set(_))
        | (ArgType::Bool, Value::Bool(_))
        | (ArgType::Other(_), _) => true,
        // What stands for nothing, such as null for a map.
        (_, value) => info.default.as_ref() == Some(value),
    };
    if is_right {
        return Ok(value);
    }
    let kind = kind.name();
    Err(Failure::command(format_args!(
        "argument {name} is not of type {kind}"
    )))
}

#[cfg(test)]
mod tests {
    use hgrpc::KeyOrder;

    use super::*;

    fn info() -> CommandInfo {
        CommandInfo::pull()
            .arg("nodes", ArgInfo::required(ArgType::List))
            .arg("tree", ArgInfo::required(ArgType::Bytes))
            .arg(
                "fields",
                ArgInfo::optional(ArgType::Set, Value::Set(vec![])),
            )
            .arg("filter", ArgInfo::optional(ArgType::Dict, Value::Null))
    }

    fn run(args: &[(&str, Value)]) -> Result<Value, String> {
        let args = args
            .iter()
            .map(|(k, v)| (Value::from(k.as_bytes()), v.clone()));
        let args = Value::Map(args.collect())
            .encode(KeyOrder::Bytewise)
            .unwrap();
        info().check(&args).map_err(|failure| failure.message())
    }

    #[test]
    fn unknown_before_missing_all_of_them_sorted() {
        let z = ("z", Value::Null);
        let a = ("a", Value::Null);
        assert_eq!(
            run(&[z, a]).unwrap_err(),
            "unsupported argument to command: a, z"
        );
        assert_eq!(
            run(&[]).unwrap_err(),
            "missing required arguments: nodes, tree"
        );
    }

    #[test]
    fn defaults_sets_and_types() {
        let bytes = |text: &str| Value::from(text.as_bytes());
        let nodes = ("nodes", Value::Array(vec![]));
        let tree = ("tree", bytes(""));
        let one = Value::from(1u64);
        let fields = ("fields", Value::Array(vec![one.clone()]));
        assert_eq!(
            run(&[nodes.clone(), tree.clone(), fields]).unwrap(),
            Value::Map(vec![
                (bytes("fields"), Value::Set(vec![one.clone()])),
                (bytes("filter"), Value::Null),
                (bytes("nodes"), Value::Array(vec![])),
                (bytes("tree"), bytes("")),
            ])
        );
        assert!(run(&[nodes.clone(), tree.clone(), ("filter", Value::Null)]).is_ok());
        assert_eq!(
            run(&[nodes, tree, ("filter", one)]).unwrap_err(),
            "argument filter is not of type dict"
        );
    }
}
