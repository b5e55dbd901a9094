//! What a name stands for: `lookup`.

use std::collections::BTreeMap;
use std::io;

use hgrpc_std::blocking::Failure;

use crate::repository::malformed;
use crate::{Changeset, FileText, Log, Manifest, Node, Repository, dag};

/// The changeset that a name stands for: `null`, `tip`, a whole node in hex, a number (negative ones
/// count from the end), a bookmark, a tag, a branch (its newest head), or the beginning of a node.
pub(super) fn lookup(repository: &dyn Repository, key: &[u8]) -> Result<Node, Failure> {
    let unknown = || {
        let key = String::from_utf8_lossy(key);
        Failure::server(format!("unknown revision '{key}'"))
    };
    let last = repository.len().checked_sub(1);
    match key {
        b"null" => return Ok(Node::NULL),
        b"tip" => return Ok(last.map_or(Node::NULL, |last| repository.node(last))),
        _ => {}
    }
    if let Ok(node) = Node::from_hex(key) {
        return repository.number(&node).map(|_| node).ok_or_else(unknown);
    }
    if let Some(node) = repository.bookmarks().get(key) {
        return Ok(*node);
    }
    if let Some(node) = tags(repository)?.get(key).filter(|node| !node.is_null()) {
        return repository.number(node).map(|_| *node).ok_or_else(unknown);
    }
    // The last changeset of a branch has no child on it.
    for number in (0..repository.len()).rev() {
        if repository.branch(number)? == key {
            return Ok(repository.node(number));
        }
    }
    let text = std::str::from_utf8(key).map_err(|_| unknown())?;
    if let Ok(number) = text.parse::<i64>() {
        let len = i64::from(repository.len());
        let number = if number < 0 {
            number.saturating_add(len)
        } else {
            number
        };
        if let Some(number) = u32::try_from(number).ok().filter(|&n| n < repository.len()) {
            return Ok(repository.node(number));
        }
    }
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    if key.is_empty() || !key.iter().all(is_hex) {
        return Err(unknown());
    }
    let prefix = text.to_ascii_lowercase();
    let mut found = (0..repository.len())
        .map(|number| repository.node(number))
        .filter(|node| node.to_hex().starts_with(&prefix));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(unknown()),
        _ => Err(Failure::server(format!("ambiguous identifier '{text}'"))),
    }
}

/// The tags that `.hgtags` of the heads name, newer heads before older ones.
fn tags(repository: &dyn Repository) -> io::Result<BTreeMap<Vec<u8>, Node>> {
    let mut tags = BTreeMap::new();
    let mut heads = dag::heads(repository, false);
    heads.reverse();
    for head in heads {
        let text = repository.changeset(head)?;
        let manifest = Changeset::parse_manifest(&text).map_err(malformed)?;
        if manifest.is_null() {
            continue;
        }
        let text = repository.text(Log::Manifest, &manifest)?.read_all()?;
        let entry = Manifest::new(&text).find(b".hgtags").map_err(malformed)?;
        let Some(entry) = entry else {
            continue;
        };
        let text = repository
            .text(Log::File(entry.path), &entry.node)?
            .read_all()?;
        let file = FileText::parse(&text).map_err(malformed)?;
        for line in file.contents.split(|&byte| byte == b'\n') {
            // What is no node is somebody's mistake, and nobody's tag.
            if let Some((hex, [b' ', name @ ..])) = line.split_at_checked(2 * Node::LEN)
                && let Ok(node) = Node::from_hex(hex)
            {
                tags.insert(name.trim_ascii().to_vec(), node);
            }
        }
    }
    Ok(tags)
}
