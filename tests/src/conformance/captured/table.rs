//! The commands that our server announces: the table of http-v2.md, 5.1, and Mercurial's test
//! commands as far as a request has them.

use hgrpc_std::http::{ArgInfo, ArgType, Capabilities, CommandInfo};
use hgrpc_std::value::Value;

use super::frames::field;

/// The descriptor for a request with these commands, as they were sent.
pub(super) fn table(commands: &[Value]) -> Capabilities {
    let set = || ArgInfo::optional(ArgType::Set, Value::Set(Vec::new()));
    let no = || ArgInfo::optional(ArgType::Bool, Value::Bool(false));
    let required = ArgInfo::required;
    let pull = CommandInfo::pull;
    let mut known = vec![
        ("branchmap".to_owned(), pull()),
        (
            "changesetdata".to_owned(),
            pull()
                .arg("revisions", required(ArgType::List))
                .arg("fields", set()),
        ),
        (
            "filedata".to_owned(),
            pull()
                .arg("path", required(ArgType::Bytes))
                .arg("nodes", required(ArgType::List))
                .arg("fields", set())
                .arg("haveparents", no()),
        ),
        (
            "filesdata".to_owned(),
            pull()
                .arg("revisions", required(ArgType::List))
                .arg("fields", set())
                .arg("haveparents", no())
                .arg("pathfilter", ArgInfo::optional(ArgType::Dict, Value::Null)),
        ),
        ("heads".to_owned(), pull().arg("publiconly", no())),
        (
            "known".to_owned(),
            pull().arg(
                "nodes",
                ArgInfo::optional(ArgType::List, Value::Array(Vec::new())),
            ),
        ),
        (
            "listkeys".to_owned(),
            pull().arg("namespace", required(ArgType::Bytes)),
        ),
        (
            "lookup".to_owned(),
            pull().arg("key", required(ArgType::Bytes)),
        ),
        (
            "manifestdata".to_owned(),
            pull()
                .arg("nodes", required(ArgType::List))
                .arg("tree", required(ArgType::Bytes))
                .arg("fields", set())
                .arg("haveparents", no()),
        ),
        (
            "pushkey".to_owned(),
            ["namespace", "key", "old", "new"]
                .into_iter()
                .fold(CommandInfo::push(), |info, name| {
                    info.arg(name, ArgInfo::required(ArgType::Bytes))
                }),
        ),
        (
            "rawstorefiledata".to_owned(),
            pull()
                .arg("files", required(ArgType::List))
                .arg("pathfilter", ArgInfo::optional(ArgType::List, Value::Null)),
        ),
    ];
    for command in commands {
        let name = name_of(command);
        if name.starts_with("zz-") {
            known.push((name, permissive(command, CommandInfo::pull())));
        }
    }
    Capabilities::new(known)
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
