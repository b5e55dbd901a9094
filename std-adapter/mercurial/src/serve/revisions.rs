//! `manifestdata`, `filedata` and `filesdata` (http-v2.md, 5.5 to 5.7).

use std::collections::{BTreeMap, HashSet};

use hgrpc_std::blocking::{Failure, Reply};
use hgrpc_std::value::Value;

use super::args::Checked;
use super::changesets::following;
use super::select::{number, select};
use super::{send, send_text};
use crate::repository::malformed;
use crate::values::{bytes, count, nodes};
use crate::{Changeset, Log, Manifest, ManifestEntry, Node, PathFilter, Repository, Revision};

/// What is asked for of each revision.
struct Fields {
    parents: bool,
    revision: bool,
    linknode: bool,
    /// The client has all parents that it is not sent.
    have_parents: bool,
}

impl Fields {
    fn new(args: &Checked) -> Self {
        let has = |field| args.has("fields", field);
        Self {
            parents: has("parents"),
            revision: has("revision"),
            linknode: has("linknode"),
            have_parents: args.is_set("haveparents"),
        }
    }
}

/// Sends revisions of one log, as deltas where the client is sure to have the base.
struct Sender<'a> {
    repository: &'a dyn Repository,
    log: Log<'a>,
    fields: &'a Fields,
    sent: HashSet<Node>,
}

impl<'a> Sender<'a> {
    fn new(repository: &'a dyn Repository, log: Log<'a>, fields: &'a Fields) -> Self {
        Self {
            repository,
            log,
            fields,
            sent: HashSet::new(),
        }
    }

    fn send(
        &mut self,
        reply: &mut Reply,
        node: &Node,
        parents: [Node; 2],
        linknode: Option<Node>,
    ) -> Result<(), Failure> {
        let mut entries = vec![("node", bytes(node.as_bytes()))];
        if self.fields.parents {
            entries.push(("parents", nodes(&parents)));
        }
        entries.extend(linknode.map(|node| ("linknode", bytes(node.as_bytes()))));
        if !self.fields.revision {
            return send(reply, &Value::object(entries));
        }
        let delta = self.repository.delta(self.log, node)?.filter(|delta| {
            let has_parent = self.fields.have_parents && parents.contains(&delta.base);
            has_parent || self.sent.contains(&delta.base)
        });
        self.sent.insert(*node);
        if let Some(delta) = delta {
            let len = u64::try_from(delta.bytes.len()).unwrap_or(u64::MAX);
            entries.push(("deltabasenode", bytes(delta.base.as_bytes())));
            entries.push(following("delta", len));
            send(reply, &Value::object(entries))?;
            return send_text(reply, len, &delta.bytes[..]);
        }
        let text = self.repository.text(self.log, node)?;
        entries.push(following("revision", text.len()));
        send(reply, &Value::object(entries))?;
        send_text(reply, text.len(), text)
    }
}

pub(super) fn manifestdata(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    if !args.bytes("tree").is_empty() {
        return Err(Failure::server("manifests are not split into trees here"));
    }
    let fields = Fields {
        linknode: false,
        ..Fields::new(args)
    };
    let unknown = |node: &Node| Failure::format("unknown node: %s", [node.as_bytes()]);
    one_log(repository, Log::Manifest, &fields, args, reply, unknown)
}

pub(super) fn filedata(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let path = args.bytes("path");
    let log = Log::File(path);
    if !repository.has_log(log) {
        return Err(Failure::format("unknown file: %s", [path]));
    }
    let unknown = |node: &Node| Failure::format("unknown file node: %s", [node.to_hex()]);
    one_log(repository, log, &Fields::new(args), args, reply, unknown)
}

/// The revisions of one log that are asked for by their nodes; parents first.
fn one_log(
    repository: &dyn Repository,
    log: Log<'_>,
    fields: &Fields,
    args: &Checked,
    reply: &mut Reply,
    unknown: impl Fn(&Node) -> Failure,
) -> Result<(), Failure> {
    let mut asked = Vec::new();
    let mut seen = HashSet::new();
    for node in args.nodes("nodes")? {
        let revision = repository
            .revision(log, &node)?
            .ok_or_else(|| unknown(&node))?;
        if seen.insert(node) {
            asked.push((node, revision));
        }
    }
    asked.sort_by_key(|(_, revision)| revision.linked);
    send(reply, &Value::object([("totalitems", count(asked.len()))]))?;
    let mut sender = Sender::new(repository, log, fields);
    for (node, Revision { parents, linked }) in asked {
        let linknode = fields.linknode.then(|| repository.node(linked));
        sender.send(reply, &node, parents, linknode)?;
    }
    Ok(())
}

/// What `filesdata` sends of one file: each revision with the first of the asked changesets that
/// has it.
type Found = BTreeMap<Node, Node>;

pub(super) fn filesdata(
    repository: &dyn Repository,
    args: &Checked,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let filter = args.filter("pathfilter")?;
    let fields = Fields::new(args);
    let files = files(repository, args, &filter, fields.have_parents)?;
    let total = files.values().map(BTreeMap::len).sum();
    let header = [
        ("totalpaths", count(files.len())),
        ("totalitems", count(total)),
    ];
    send(reply, &Value::object(header))?;
    for (path, found) in files {
        let log = Log::File(&path);
        let mut asked = Vec::with_capacity(found.len());
        for (node, changeset) in found {
            let revision = repository.revision(log, &node)?.ok_or_else(|| {
                Failure::server(format!("{node} of a manifest is not in the repository"))
            })?;
            asked.push((node, revision, changeset));
        }
        asked.sort_by_key(|(_, revision, _)| revision.linked);
        let header = [("path", bytes(&path)), ("totalitems", count(asked.len()))];
        send(reply, &Value::object(header))?;
        let mut sender = Sender::new(repository, log, &fields);
        for (node, revision, changeset) in asked {
            let linknode = fields.linknode.then_some(changeset);
            sender.send(reply, &node, revision.parents, linknode)?;
        }
    }
    Ok(())
}

/// Which revisions of which files the changesets have: with `touched` of those only that they list
/// as touched.
fn files(
    repository: &dyn Repository,
    args: &Checked,
    filter: &PathFilter,
    touched: bool,
) -> Result<BTreeMap<Vec<u8>, Found>, Failure> {
    let mut files: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
    let mut manifests = HashSet::new();
    for node in select(repository, args.list("revisions"))? {
        let text = repository.changeset(number(repository, &node)?)?;
        let changeset = Changeset::parse(&text).map_err(malformed)?;
        // All of a manifest need not be looked at twice.
        let is_new = manifests.insert(changeset.manifest);
        if changeset.manifest.is_null() || !(touched || is_new) {
            continue;
        }
        let mut add = |entry: ManifestEntry<'_>| match files.get_mut(entry.path) {
            Some(found) => drop(found.entry(entry.node).or_insert(node)),
            None => {
                let found = BTreeMap::from([(entry.node, node)]);
                files.insert(entry.path.to_vec(), found);
            }
        };
        let mut paths = changeset.files;
        paths.retain(|path| filter.matches(path));
        if touched && paths.is_empty() {
            continue;
        }
        let text = repository
            .text(Log::Manifest, &changeset.manifest)?
            .read_all()?;
        let manifest = Manifest::new(&text);
        if touched {
            for path in &paths {
                // A file that was removed is not in the manifest, and has nothing to send (H-06).
                manifest
                    .find(path)
                    .map_err(malformed)?
                    .into_iter()
                    .for_each(&mut add);
            }
            continue;
        }
        for entry in manifest.entries() {
            let entry = entry.map_err(malformed)?;
            if filter.matches(entry.path) {
                add(entry);
            }
        }
    }
    Ok(files)
}
