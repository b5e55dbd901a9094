//! The commands and their arguments (http-v2.md, 5.1).

use super::args::{Argument, Command, Kind};
use crate::value::Value;

/// How many revisions or changesets a client should ask for at once. Requests stay below half a
/// megabyte.
const BATCH: u64 = 20_000;

fn required(name: &'static str, kind: Kind) -> Argument {
    Argument {
        name,
        kind,
        default: None,
    }
}

fn optional(name: &'static str, kind: Kind) -> Argument {
    let default = match kind {
        Kind::Bytes => Value::Bytes(Vec::new()),
        Kind::List => Value::Array(Vec::new()),
        Kind::Dict => Value::Null,
        Kind::Bool => Value::Bool(false),
        Kind::Set(_) => Value::Set(Vec::new()),
    };
    Argument {
        name,
        kind,
        default: Some(default),
    }
}

fn command(name: &'static str, args: impl Into<Vec<Argument>>) -> Command {
    Command {
        name,
        args: args.into(),
        is_push: false,
        batch: None,
    }
}

fn fields(names: &'static [&'static str]) -> Argument {
    optional("fields", Kind::Set(names))
}

/// All commands, in order of their names.
pub(super) fn commands() -> Vec<Command> {
    let mut commands = vec![
        command("branchmap", []),
        command("capabilities", []),
        command(
            "changesetdata",
            [
                required("revisions", Kind::List),
                fields(&["bookmarks", "parents", "phase", "revision"]),
            ],
        ),
        command(
            "filedata",
            [
                required("path", Kind::Bytes),
                required("nodes", Kind::List),
                fields(&["linknode", "parents", "revision"]),
                optional("haveparents", Kind::Bool),
            ],
        ),
        command(
            "filesdata",
            [
                required("revisions", Kind::List),
                fields(&["firstchangeset", "linknode", "parents", "revision"]),
                optional("haveparents", Kind::Bool),
                optional("pathfilter", Kind::Dict),
            ],
        ),
        command("heads", [optional("publiconly", Kind::Bool)]),
        command("known", [optional("nodes", Kind::List)]),
        command("listkeys", [required("namespace", Kind::Bytes)]),
        command("lookup", [required("key", Kind::Bytes)]),
        command(
            "manifestdata",
            [
                required("nodes", Kind::List),
                required("tree", Kind::Bytes),
                fields(&["parents", "revision"]),
                optional("haveparents", Kind::Bool),
            ],
        ),
        command(
            "pushkey",
            ["namespace", "key", "old", "new"].map(|name| required(name, Kind::Bytes)),
        ),
        command(
            "rawstorefiledata",
            [
                required("files", Kind::List),
                Argument {
                    default: Some(Value::Null),
                    ..optional("pathfilter", Kind::List)
                },
            ],
        ),
    ];
    for command in &mut commands {
        command.is_push = command.name == "pushkey";
        command.batch = matches!(command.name, "filesdata" | "manifestdata").then_some(BATCH);
    }
    commands
}

/// The map that describes the interface: what `capabilities` answers, and what a server's
/// handshake says.
pub(super) fn descriptor(commands: &[Command]) -> Value {
    use crate::mercurial::values::{bytes, map};
    let list = |items: &[&str]| items.iter().map(bytes).collect();
    map([
        (
            "commands",
            map(commands
                .iter()
                .map(|command| (command.name, command.describe()))),
        ),
        (
            "framingmediatypes",
            Value::Array(list(&["application/mercurial-exp-framing-0006"])),
        ),
        (
            "pathfilterprefixes",
            Value::Set(list(&["path:", "rootfilesin:"])),
        ),
        ("rawrepoformats", Value::Array(Vec::new())),
    ])
}
