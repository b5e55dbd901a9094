//! The commands and their arguments (http-v2.md, 5.1 and 5.2).

use hgrpc_std::http::{ArgInfo, ArgType, Capabilities, CommandInfo};
use hgrpc_std::value::Value;

use crate::values::bytes;

/// How many revisions or changesets a client should ask for at once. Requests stay below half a
/// megabyte.
const BATCH: u64 = 20_000;

fn required(kind: ArgType) -> ArgInfo {
    ArgInfo::required(kind)
}

fn optional(kind: ArgType) -> ArgInfo {
    let default = match kind {
        ArgType::List => Value::Array(Vec::new()),
        ArgType::Set => Value::Set(Vec::new()),
        ArgType::Bool => Value::Bool(false),
        _ => Value::Null,
    };
    ArgInfo::optional(kind, default)
}

fn fields(names: &[&str]) -> ArgInfo {
    optional(ArgType::Set).valid_values(names.iter().map(bytes))
}

fn pull<const N: usize>(args: [(&str, ArgInfo); N]) -> CommandInfo {
    args.into_iter()
        .fold(CommandInfo::pull(), |command, (name, info)| {
            command.arg(name, info)
        })
}

fn batched(command: CommandInfo) -> CommandInfo {
    command.extra("recommendedbatchsize", Value::from(BATCH))
}

/// All commands, and what else is said of the interface.
pub(super) fn capabilities() -> Capabilities {
    use ArgType::{Bool, Bytes, Dict, List};
    let pushkey = ["namespace", "key", "old", "new"]
        .into_iter()
        .fold(CommandInfo::push(), |command, name| {
            command.arg(name, required(Bytes))
        });
    let mut capabilities = Capabilities::new([
        ("branchmap", pull([])),
        ("capabilities", pull([])),
        (
            "changesetdata",
            pull([
                ("revisions", required(List)),
                (
                    "fields",
                    fields(&["bookmarks", "parents", "phase", "revision"]),
                ),
            ]),
        ),
        (
            "filedata",
            pull([
                ("path", required(Bytes)),
                ("nodes", required(List)),
                ("fields", fields(&["linknode", "parents", "revision"])),
                ("haveparents", optional(Bool)),
            ]),
        ),
        (
            "filesdata",
            batched(pull([
                ("revisions", required(List)),
                (
                    "fields",
                    fields(&["firstchangeset", "linknode", "parents", "revision"]),
                ),
                ("haveparents", optional(Bool)),
                ("pathfilter", optional(Dict)),
            ])),
        ),
        ("heads", pull([("publiconly", optional(Bool))])),
        ("known", pull([("nodes", optional(List))])),
        ("listkeys", pull([("namespace", required(Bytes))])),
        ("lookup", pull([("key", required(Bytes))])),
        (
            "manifestdata",
            batched(pull([
                ("nodes", required(List)),
                ("tree", required(Bytes)),
                ("fields", fields(&["parents", "revision"])),
                ("haveparents", optional(Bool)),
            ])),
        ),
        ("pushkey", pushkey),
        (
            "rawstorefiledata",
            pull([
                ("files", required(List)),
                ("pathfilter", ArgInfo::optional(List, Value::Null)),
            ]),
        ),
    ]);
    capabilities.path_filter_prefixes = ["path:", "rootfilesin:"].map(str::to_owned).into();
    capabilities
}
