//! The commands that our server announces: Mercurial's, and its test commands as far as a request
//! has them.

use std::sync::Arc;

use hgrpc_mercurial::{Commands, MemoryRepository};
use hgrpc_std::http::{ArgInfo, Capabilities, CommandInfo};
use hgrpc_std::value::Value;

use super::frames::field;

/// The descriptor for a request with these commands, as they were sent.
pub(super) fn table(commands: &[Value]) -> Capabilities {
    let mut capabilities = Commands::new(Arc::new(MemoryRepository::new())).capabilities;
    for command in commands {
        let name = name_of(command);
        if name.starts_with("zz-") {
            let info = permissive(command, CommandInfo::pull());
            capabilities.commands.insert(name, info);
        }
    }
    capabilities
}

/// A command with whatever arguments it was sent with.
pub(super) fn permissive(command: &Value, info: CommandInfo) -> CommandInfo {
    args_of(command).iter().fold(info, |info, (name, _)| {
        info.arg(name.clone(), ArgInfo::default())
    })
}

pub(super) fn name_of(command: &Value) -> String {
    match field(command, "name") {
        Some(Value::Bytes(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

pub(super) fn args_of(command: &Value) -> Vec<(String, Value)> {
    let Some(Value::Map(args)) = field(command, "args") else {
        return Vec::new();
    };
    args.iter()
        .filter_map(|(name, value)| match name {
            Value::Bytes(name) => Some((String::from_utf8_lossy(name).into_owned(), value.clone())),
            _ => None,
        })
        .collect()
}
