//! The commands, asked over a connection in memory.

use std::io;
use std::sync::Arc;
use std::thread;

use hgrpc::KeyOrder;
use hgrpc_std::blocking::{CallError, Client, Config, Transport, serve};
use hgrpc_std::value::Value;

use super::Commands;
use crate::memory::tests::diamond;
use crate::values::{bytes, count, find, nodes};
use crate::{Changeset, Log, Manifest, MemoryRepository, Node, Repository, Specifier};

/// A client of a repository's commands.
fn client(repository: &Arc<MemoryRepository>) -> Client {
    let commands = Commands::new(Arc::clone(repository));
    let ((a_read, a_write), (b_read, b_write)) = (io::pipe().unwrap(), io::pipe().unwrap());
    let transport = Transport::new(a_read, b_write);
    thread::spawn(move || serve(transport, &commands.router, &Config::default()));
    Client::new(Transport::new(b_read, a_write), &Config::default()).unwrap()
}

fn ask(client: &Client, command: &str, args: &[(&str, Value)]) -> Result<Vec<Value>, CallError> {
    let mut request = client.call(command);
    for (key, value) in args {
        request = request.cbor(key, value.encode(KeyOrder::Bytewise).unwrap());
    }
    let mut response = request.send()?;
    let mut values = Vec::new();
    while let Some(value) = response.next_value()? {
        values.push(Value::decode(&value).unwrap());
    }
    Ok(values)
}

/// The message of an error of the command's, or of the server's with `server: ` before it.
fn refused(client: &Client, command: &str, args: &[(&str, Value)]) -> String {
    match ask(client, command, args) {
        Err(CallError::Command(failure)) => failure.message,
        Err(CallError::Server(failure)) => format!("server: {}", failure.message),
        other => panic!("{command}: {other:?}"),
    }
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn fields(names: &[&str]) -> (&'static str, Value) {
    ("fields", Value::Set(names.iter().map(bytes).collect()))
}

fn revisions(specifiers: &[Specifier]) -> (&'static str, Value) {
    (
        "revisions",
        list(specifiers.iter().map(Specifier::to_value)),
    )
}

/// The nodes of the maps that have one.
fn nodes_of(values: &[Value]) -> Vec<Value> {
    values
        .iter()
        .filter_map(|value| find(value, "node"))
        .cloned()
        .collect()
}

fn node(node: Node) -> Value {
    bytes(node.as_bytes())
}

#[test]
fn small_answers() {
    let repository = diamond();
    repository.set_bookmark("mark", repository.node(1));
    repository.set_draft([repository.node(4)]);
    let client = client(&repository);
    let at = |number| node(repository.node(number));
    let unknown = Node::new([0xaa; 20]);
    assert_eq!(ask(&client, "heads", &[]).unwrap(), [list([at(4)])]);
    let public = [("publiconly", Value::Bool(true))];
    assert_eq!(ask(&client, "heads", &public).unwrap(), [list([at(3)])]);
    let asked = [("nodes", list([at(0), node(unknown), at(2)]))];
    assert_eq!(ask(&client, "known", &asked).unwrap(), [bytes("101")]);
    assert_eq!(ask(&client, "known", &[]).unwrap(), [bytes("")]);
    let branches = Value::Map(vec![
        (bytes("default"), list([at(4)])),
        (bytes("stable"), list([at(2)])),
    ]);
    assert_eq!(ask(&client, "branchmap", &[]).unwrap(), [branches]);
    let keys =
        |namespace: &str| ask(&client, "listkeys", &[("namespace", bytes(namespace))]).unwrap();
    let entry = |key: &str, value: &str| Value::Map(vec![(bytes(key), bytes(value))]);
    assert_eq!(
        keys("bookmarks"),
        [entry("mark", &repository.node(1).to_hex())]
    );
    assert_eq!(keys("phases"), [entry(&repository.node(4).to_hex(), "1")]);
    assert_eq!(keys("nosuch"), [Value::Map(vec![])]);
    let empty = Value::object([("filecount", count(0)), ("totalsize", count(0))]);
    let files = [("files", list([bytes("changelog")]))];
    assert_eq!(ask(&client, "rawstorefiledata", &files).unwrap(), [empty]);
    let capabilities = ask(&client, "capabilities", &[]).unwrap();
    let commands = find(&capabilities[0], "commands").unwrap();
    assert!(matches!(commands, Value::Map(entries) if entries.len() == 12));
}

#[test]
fn names_are_looked_up() {
    let repository = diamond();
    repository.set_bookmark("mark", repository.node(1));
    let client = client(&repository);
    let lookup = |key: &str| ask(&client, "lookup", &[("key", bytes(key))]);
    let third = repository.node(2).to_hex();
    for (key, number) in [
        ("tip", 4),
        ("0", 0),
        ("-2", 3),
        ("mark", 1),
        ("stable", 2),
        ("default", 4),
        (&third, 2),
        (&third[..9], 2),
    ] {
        assert_eq!(
            lookup(key).unwrap(),
            [node(repository.node(number))],
            "{key}"
        );
    }
    assert_eq!(lookup("null").unwrap(), [node(Node::NULL)]);
    for key in ["nosuch", "99", "", &"a".repeat(40)] {
        let expected = format!("server: unknown revision '{key}'");
        assert_eq!(refused(&client, "lookup", &[("key", bytes(key))]), expected);
    }
}

#[test]
fn changesets_with_what_is_asked_for() {
    let repository = diamond();
    repository.set_bookmark("mark", repository.node(1));
    repository.set_bookmark("other", repository.node(0));
    let client = client(&repository);
    let at = |number| repository.node(number);
    let all = fields(&["bookmarks", "parents", "phase", "revision", "nosuch"]);
    let explicit = Specifier::Explicit(vec![at(3), at(1)]);
    let values = ask(&client, "changesetdata", &[revisions(&[explicit]), all]).unwrap();
    assert_eq!(values[0], Value::object([("totalitems", count(2))]));
    let len = repository.changeset(3).unwrap().len();
    let following = list([list([bytes("revision"), count(len)])]);
    let expected = Value::object([
        ("fieldsfollowing", following),
        ("node", node(at(3))),
        ("parents", nodes(&[at(1), at(2)])),
        ("phase", bytes("public")),
    ]);
    assert_eq!(values[1], expected);
    assert_eq!(values[2], Value::Bytes(repository.changeset(3).unwrap()));
    assert_eq!(find(&values[3], "bookmarks"), Some(&list([bytes("mark")])));
    // Bookmarks of others come behind, and are not counted.
    assert_eq!(
        values[5],
        Value::object([("bookmarks", list([bytes("other")])), ("node", node(at(0)))])
    );
    assert_eq!(values.len(), 6);

    let unknown = Node::new([0xaa; 20]);
    let found = |specifiers: &[Specifier]| {
        nodes_of(&ask(&client, "changesetdata", &[revisions(specifiers)]).unwrap())
    };
    let range = |roots: &[Node], heads: &[Node]| Specifier::Range {
        roots: roots.to_vec(),
        heads: heads.to_vec(),
    };
    let numbers = |numbers: &[u32]| numbers.iter().map(|n| node(at(*n))).collect::<Vec<_>>();
    assert_eq!(
        found(&[range(&[at(1), unknown], &[at(3)])]),
        numbers(&[2, 3])
    );
    // H-05: of nothing there is nothing.
    assert_eq!(found(&[range(&[], &[])]), numbers(&[]));
    assert_eq!(found(&[range(&[], &[Node::NULL])]), numbers(&[]));
    let depth = Specifier::Depth {
        nodes: vec![at(4)],
        depth: 2,
    };
    assert_eq!(found(&[depth]), numbers(&[3, 4]));
    let union = [Specifier::Explicit(vec![at(2)]), range(&[], &[at(2)])];
    assert_eq!(found(&union), numbers(&[2, 0]));
    // Unknown nodes are echoed until something of theirs is asked for.
    let unknown = [Specifier::Explicit(vec![unknown])];
    assert_eq!(found(&unknown).len(), 1);
    let args = [revisions(&unknown), fields(&["parents"])];
    let expected = format!("server: 00changelog@{}: no node", "aa".repeat(20));
    assert_eq!(refused(&client, "changesetdata", &args), expected);
    let args = [revisions(&[range(&[], &[Node::new([0xaa; 20])])])];
    assert_eq!(refused(&client, "changesetdata", &args), expected);
}

#[test]
fn wrong_specifiers_are_refused_in_the_references_words() {
    let repository = diamond();
    let client = client(&repository);
    let kind = |name: &str| ("type", bytes(name));
    for (specifier, expected) in [
        (
            Value::object([("x", count(1))]),
            "type key not present in revision specifier",
        ),
        (
            Value::object([kind("nosuch")]),
            "unknown revision specifier type: nosuch",
        ),
        (
            Value::object([kind("changesetexplicit")]),
            "nodes key not present in changesetexplicit revision specifier",
        ),
        (
            Value::object([kind("changesetexplicitdepth"), ("nodes", list([]))]),
            "depth key not present in changesetexplicitdepth revision specifier",
        ),
        (
            Value::object([kind("changesetdagrange"), ("heads", list([]))]),
            "roots key not present in changesetdagrange revision specifier",
        ),
        (
            Value::object([kind("changesetexplicit"), ("nodes", list([bytes("abc")]))]),
            "node len 3 != expected node len 20",
        ),
    ] {
        let args = [("revisions", list([specifier]))];
        for command in ["changesetdata", "filesdata"] {
            assert_eq!(refused(&client, command, &args), expected);
        }
    }
}

#[test]
fn manifests_and_files() {
    let repository = diamond();
    let client = client(&repository);
    let parse = |number| Changeset::parse(&repository.changeset(number).unwrap()).unwrap();
    let manifest = |number| parse(number).manifest;
    let text = |node: &Node| {
        let text = repository.text(Log::Manifest, node).unwrap();
        text.read_all().unwrap()
    };
    let tree = ("tree", bytes(""));
    let asked = [
        ("nodes", nodes(&[manifest(1), manifest(0)])),
        tree.clone(),
        fields(&["revision", "parents"]),
    ];
    let values = ask(&client, "manifestdata", &asked).unwrap();
    // Parents first, whatever was asked.
    assert_eq!(nodes_of(&values), [node(manifest(0)), node(manifest(1))]);
    assert_eq!(values[4], Value::Bytes(text(&manifest(1))));
    let unknown = ("nodes", nodes(&[Node::new(*b"aaaaaaaaaaaaaaaaaaaa")]));
    let message = refused(&client, "manifestdata", &[unknown.clone(), tree]);
    assert_eq!(message, "unknown node: aaaaaaaaaaaaaaaaaaaa");

    let last = manifest(3);
    let last = text(&last);
    let entry = Manifest::new(&last).find(b"a").unwrap().unwrap();
    let path = ("path", bytes("a"));
    let args = [
        path.clone(),
        ("nodes", nodes(&[entry.node])),
        fields(&["linknode"]),
    ];
    let values = ask(&client, "filedata", &args).unwrap();
    assert_eq!(
        find(&values[1], "linknode"),
        Some(&node(repository.node(1)))
    );
    let message = refused(&client, "filedata", &[path, unknown.clone()]);
    assert_eq!(message, format!("unknown file node: {}", "61".repeat(20)));
    let message = refused(&client, "filedata", &[("path", bytes("nosuch")), unknown]);
    assert_eq!(message, "unknown file: nosuch");
}

#[test]
fn files_of_changesets() {
    let repository = diamond();
    let client = client(&repository);
    let paths = |numbers: &[u32], more: &[(&'static str, Value)]| {
        let asked = numbers.iter().map(|n| repository.node(*n)).collect();
        let mut args = vec![revisions(&[Specifier::Explicit(asked)])];
        args.extend_from_slice(more);
        let values = ask(&client, "filesdata", &args).unwrap();
        let total = find(&values[0], "totalitems").cloned();
        assert_eq!(total, Some(count(nodes_of(&values).len())));
        let paths = values
            .iter()
            .filter_map(|value| find(value, "path"))
            .cloned();
        paths.collect::<Vec<_>>()
    };
    let have = ("haveparents", Value::Bool(true));
    let all = |paths: &[&str]| paths.iter().map(bytes).collect::<Vec<_>>();
    assert_eq!(paths(&[3], &[]), all(&["a", "dir/b", "dir/c"]));
    assert_eq!(paths(&[3], std::slice::from_ref(&have)), all(&["dir/c"]));
    // H-06: a removed file is passed over.
    assert_eq!(paths(&[4], std::slice::from_ref(&have)), all(&[]));
    assert_eq!(
        paths(&[0, 1, 2, 3, 4], &[have]),
        all(&["a", "dir/b", "dir/c"])
    );
    let patterns = |patterns: &[&str]| list(patterns.iter().map(bytes));
    let filter = |entries: [(&str, Value); 1]| ("pathfilter", Value::object(entries));
    let include = filter([("include", patterns(&["path:dir"]))]);
    assert_eq!(paths(&[3], &[include]), all(&["dir/b", "dir/c"]));
    let exclude = filter([("exclude", patterns(&["rootfilesin:dir"]))]);
    assert_eq!(paths(&[3], &[exclude]), all(&["a"]));
    assert_eq!(paths(&[3], &[("pathfilter", Value::Null)]).len(), 3);
    assert_eq!(paths(&[], &[]), all(&[]));

    let bad = filter([("include", patterns(&["glob:*"]))]);
    let message = refused(&client, "filesdata", &[revisions(&[]), bad]);
    assert_eq!(
        message,
        "include pattern must begin with `path:` or `rootfilesin:`; got glob:*"
    );
}

#[test]
fn arguments_are_checked() {
    let repository = diamond();
    let client = client(&repository);
    let one = || count(1);
    for (command, args, expected) in [
        (
            "heads",
            vec![("b", one()), ("a", one())],
            "unsupported argument to command: a, b",
        ),
        (
            "manifestdata",
            vec![],
            "missing required arguments: nodes, tree",
        ),
        (
            "listkeys",
            vec![("namespace", one())],
            "argument namespace is not of type bytes",
        ),
        (
            "heads",
            vec![("publiconly", one())],
            "argument publiconly is not of type bool",
        ),
        (
            "rawstorefiledata",
            vec![("files", list([bytes("x"), bytes("b")]))],
            "unknown file type: b, x",
        ),
    ] {
        assert_eq!(refused(&client, command, &args), expected);
    }
}

#[test]
fn an_empty_repository_has_one_null_head() {
    let client = client(&Arc::new(MemoryRepository::new()));
    assert_eq!(
        ask(&client, "heads", &[]).unwrap(),
        [list([node(Node::NULL)])]
    );
    assert_eq!(
        ask(&client, "branchmap", &[]).unwrap(),
        [Value::Map(vec![])]
    );
    assert_eq!(
        ask(&client, "lookup", &[("key", bytes("tip"))]).unwrap(),
        [node(Node::NULL)]
    );
}
