//! What is known of a mirror's revisions, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{Record, Stored};
use crate::mercurial::{Log, Node};

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
    /// Files by the number of their path; manifests without one.
    revisions: HashMap<(Option<u32>, Node), Entry>,
}

impl Index {
    /// Takes a record; what is wrong with it.
    pub(super) fn add(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::Path(path) => {
                let number = u32::try_from(self.paths.len()).map_err(|_| "too many paths")?;
                match self.paths.insert(path.into(), number) {
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

    pub(super) fn path(&self, path: &[u8]) -> Option<u32> {
        self.paths.get(path).copied()
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

    /// Whether a delta of this length to that base is worth storing: reading its text must not take
    /// much more than the text has.
    pub(super) fn takes_delta(&self, key: Option<u32>, base: &Node, delta: u64, len: u64) -> bool {
        self.revisions.get(&(key, *base)).is_some_and(|base| {
            base.stored.offset.is_some()
                && base.chain < MAX_CHAIN
                && (base.chain_bytes.saturating_add(delta)) / 2 <= len
        })
    }

    /// How many revisions of manifests and files there are.
    pub(super) fn revisions(&self) -> usize {
        self.revisions.len()
    }

    /// All manifests and file revisions, log by log and parents first: each mostly a delta to the one
    /// before.
    pub(super) fn in_order(&self) -> Vec<(Option<u32>, Node, [Node; 2])> {
        let mut all: Vec<_> = self.revisions.iter().collect();
        all.sort_by_key(|((key, _), entry)| (*key, entry.stored.linked));
        let all = all.into_iter();
        all.map(|((key, node), entry)| (*key, *node, entry.stored.parents))
            .collect()
    }
}
