//! What is known of a mirror's revisions, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{Place, Record, Stored};
use crate::{Log, Node};

/// Longest chain of deltas to a whole text.
const MAX_CHAIN: u32 = 100;

/// A revision and how much has to be read for its text.
#[derive(Debug)]
struct Entry {
    stored: Stored,
    /// Deltas down to the whole text.
    chain: u32,
    /// Bytes of these.
    chain_bytes: u64,
}

/// Everything but the texts.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) changesets: Vec<Stored>,
    numbers: HashMap<Node, u32>,
    paths: HashMap<Arc<[u8]>, u32>,
    names: Vec<Arc<[u8]>>,
    /// Files by the number of their path; manifests without one.
    revisions: HashMap<(Option<u32>, Node), Entry>,
}

impl Index {
    /// Takes a record; what is wrong with it.
    pub(super) fn add(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Path(path) => {
                let number = u32::try_from(self.paths.len()).map_err(|_| "too many paths")?;
                let path: Arc<[u8]> = path.into();
                self.names.push(Arc::clone(&path));
                match self.paths.insert(path, number) {
                    None => Ok(()),
                    Some(_) => Err("a path that was there already"),
                }
            }
            Record::Changeset(stored) => {
                let number = u32::try_from(self.changesets.len());
                let number = number.map_err(|_| "too many changesets")?;
                let is_known = |node: &Node| node.is_null() || self.numbers.contains_key(node);
                if !stored.parents.iter().all(is_known) {
                    return Err("a changeset before its parents");
                }
                self.numbers.insert(stored.node, number);
                self.changesets.push(stored);
                Ok(())
            }
            Record::Revision(path, stored) => {
                if path
                    .is_some_and(|path| usize::try_from(path).is_ok_and(|p| p >= self.paths.len()))
                {
                    return Err("a revision of a path that is not there");
                }
                let (chain, chain_bytes) = match &stored.base {
                    None => (0, 0),
                    Some(base) => {
                        let base = self.revisions.get(&(path, *base));
                        let base = base.ok_or("a delta before its base")?;
                        (base.chain + 1, base.chain_bytes + stored.stored)
                    }
                };
                let entry = Entry {
                    stored,
                    chain,
                    chain_bytes,
                };
                self.revisions.insert((path, entry.stored.node), entry);
                Ok(())
            }
        }
    }

    pub(super) fn number(&self, node: &Node) -> Option<u32> {
        self.numbers.get(node).copied()
    }

    pub(super) fn changeset(&self, number: u32) -> Option<&Stored> {
        self.changesets.get(usize::try_from(number).ok()?)
    }

    /// How many changesets there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.changesets.len()).unwrap_or(u32::MAX)
    }

    /// How many paths there are.
    pub(super) fn paths(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn path(&self, path: &[u8]) -> Option<u32> {
        self.paths.get(path).copied()
    }

    /// The path of a number; the root's of none.
    pub(super) fn name(&self, key: Option<u32>) -> &[u8] {
        let name = key.and_then(|key| self.names.get(usize::try_from(key).ok()?));
        name.map_or(&[], |name| name)
    }

    /// The number of the path of a log; `None` if there is none.
    pub(super) fn key(&self, log: Log<'_>) -> Option<Option<u32>> {
        match log {
            Log::Manifest => Some(None),
            Log::File(path) => self.path(path).map(Some),
        }
    }

    pub(super) fn revision(&self, key: Option<u32>, node: &Node) -> Option<&Stored> {
        self.revisions.get(&(key, *node)).map(|entry| &entry.stored)
    }

    /// Whether a revision of this path is there.
    pub(super) fn has_file(&self, path: &[u8], node: &Node) -> bool {
        let key = self.path(path);
        key.is_some_and(|key| self.revisions.contains_key(&(Some(key), *node)))
    }

    /// Whether there are revisions of files that belong to changesets from this number on.
    pub(super) fn has_files_from(&self, number: u32) -> bool {
        let mut all = self.revisions.iter();
        all.any(|((key, _), entry)| key.is_some() && entry.stored.linked >= number)
    }

    /// Whether a delta of this length to that base is worth storing: reading its text must not take
    /// much more than the text has.
    pub(super) fn takes_delta(&self, key: Option<u32>, base: &Node, delta: u64, len: u64) -> bool {
        self.revisions.get(&(key, *base)).is_some_and(|base| {
            base.stored.place != Place::Large
                && base.chain < MAX_CHAIN
                && (base.chain_bytes.saturating_add(delta)) / 2 <= len
        })
    }

    /// How many revisions of manifests and files there are.
    pub(super) fn revisions(&self) -> usize {
        self.revisions.len()
    }

    /// All manifests, then the revisions of files in order of their paths; each log parents first, so
    /// that each is mostly a delta to the one before.
    pub(super) fn in_order(&self) -> Vec<(Option<u32>, &Stored)> {
        let all = self.revisions.iter();
        let mut all: Vec<_> = all.map(|((key, _), entry)| (*key, entry)).collect();
        all.sort_by(|(a, x), (b, y)| {
            let place = |entry: &Entry| (entry.stored.linked, entry.chain);
            let names = || self.name(*a).cmp(self.name(*b));
            a.is_some()
                .cmp(&b.is_some())
                .then_with(names)
                .then_with(|| place(x).cmp(&place(y)))
        });
        all.into_iter()
            .map(|(key, entry)| (key, &entry.stored))
            .collect()
    }
}
