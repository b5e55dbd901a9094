//! `changesetdata` (http-v2.md, 5.4).

use std::collections::{BTreeMap, HashSet};

use hgrpc_std::blocking::{Failure, Reply};
use hgrpc_std::value::Value;

use super::args::Checked;
use super::select::{number, select};
use super::{send, send_text};
use crate::values::{bytes, count, nodes};
use crate::{Node, Phase, Repository, Text};

pub(super) fn changesetdata(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let has = |field| args.has("fields", field);
    let (parents, phase, revision) = (has("parents"), has("phase"), has("revision"));
    let selected = select(repository, args.list("revisions"))?;
    let mut marks: BTreeMap<Node, Vec<Value>> = BTreeMap::new();
    if has("bookmarks") {
        for (name, node) in repository.bookmarks() {
            marks.entry(node).or_default().push(bytes(name));
        }
    }
    send(
        reply,
        &Value::object([("totalitems", count(selected.len()))]),
    )?;
    for node in &selected {
        let mut entries = vec![("node", bytes(node.as_bytes()))];
        if let Some(names) = marks.get(node) {
            entries.push(("bookmarks", Value::Array(names.clone())));
        }
        let mut text = None;
        // Unknown nodes are told of only where something of theirs is asked for.
        if parents || phase || revision {
            let number = number(repository, node)?;
            if parents {
                let parents = repository.parents(number);
                let parents = parents.map(|p| p.map_or(Node::NULL, |p| repository.node(p)));
                entries.push(("parents", nodes(&parents)));
            }
            if phase {
                let phase = match repository.is_publishing() {
                    true => Phase::Public,
                    false => repository.phase(number),
                };
                entries.push(("phase", bytes(phase.name())));
            }
            if revision {
                text = Some(Text::from(repository.changeset(number)?));
            }
        }
        entries.extend(text.as_ref().map(|text| following("revision", text.len())));
        send(reply, &Value::object(entries))?;
        if let Some(text) = text {
            send_text(reply, text.len(), text)?;
        }
    }
    let selected: HashSet<_> = selected.into_iter().collect();
    for (node, names) in marks.iter().filter(|(node, _)| !selected.contains(node)) {
        let node = bytes(node.as_bytes());
        send(
            reply,
            &Value::object([("node", node), ("bookmarks", Value::Array(names.clone()))]),
        )?;
    }
    Ok(())
}

/// What says that one byte string follows.
pub(super) fn following(field: &str, len: u64) -> (&'static str, Value) {
    let entry = Value::Array(vec![bytes(field), Value::from(len)]);
    ("fieldsfollowing", Value::Array(vec![entry]))
}
