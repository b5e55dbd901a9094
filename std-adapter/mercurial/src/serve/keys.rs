//! Commands with small answers.

use hgrpc_std::blocking::{Failure, Reply};
use hgrpc_std::value::Value;

use super::args::Checked;
use super::lookup;
use super::send;
use crate::values::{as_bytes, bytes, nodes};
use crate::{Node, Repository, dag};

pub(super) fn heads(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let heads = dag::heads(repository, args.is_set("publiconly"));
    let mut heads: Vec<Node> = heads
        .into_iter()
        .map(|head| repository.node(head))
        .collect();
    if heads.is_empty() {
        heads.push(Node::NULL);
    }
    send(reply, &nodes(&heads))
}

pub(super) fn known(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let nodes = args.nodes("nodes")?;
    let known = nodes.iter().map(|node| match repository.number(node) {
        Some(_) => b'1',
        None => b'0',
    });
    send(reply, &Value::Bytes(known.collect()))
}

pub(super) fn branchmap(
    repository: &dyn Repository,
    _: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let branches = dag::branches(repository)?;
    let entries = branches.into_iter();
    let entries = entries.map(|(name, heads)| (Value::Bytes(name), nodes(&heads)));
    send(reply, &Value::Map(entries.collect()))
}

pub(super) fn listkeys(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let entries = match args.bytes("namespace") {
        b"namespaces" => ["bookmarks", "namespaces", "phases"]
            .map(|name| (bytes(name), bytes("")))
            .into(),
        b"bookmarks" => {
            let marks = repository.bookmarks().into_iter();
            marks
                .map(|(name, node)| (Value::Bytes(name), bytes(node.to_hex())))
                .collect()
        }
        b"phases" if repository.is_publishing() => vec![(bytes("publishing"), bytes("True"))],
        b"phases" => dag::draft_roots(repository)
            .map(|node| (bytes(node.to_hex()), bytes("1")))
            .collect(),
        _ => Vec::new(),
    };
    send(reply, &Value::Map(entries))
}

pub(super) fn lookup(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let node = lookup::lookup(repository, args.bytes("key"))?;
    send(reply, &bytes(node.as_bytes()))
}

pub(super) fn pushkey(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let [namespace, key, old, new] = ["namespace", "key", "old", "new"].map(|n| args.bytes(n));
    let is_done = repository.push_key(namespace, key, old, new)?;
    send(reply, &Value::Bool(is_done))
}

/// There are no files of Mercurial's own kind here: the list is empty, and clients go on to ask for
/// the revisions.
pub(super) fn rawstorefiledata(
    _: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let kinds = args
        .list("files")
        .iter()
        .map(|kind| as_bytes(kind).unwrap_or_default());
    let mut unknown: Vec<_> = kinds
        .filter(|kind| !matches!(*kind, b"changelog" | b"manifestlog"))
        .collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        return Err(Failure::format(
            "unknown file type: %s",
            [unknown.join(&b", "[..])],
        ));
    }
    send(
        reply,
        &Value::object([
            ("filecount", Value::from(0u64)),
            ("totalsize", Value::from(0u64)),
        ]),
    )
}
