//! What is whole of a mirror that may be damaged.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{self, Kind};
use super::format::{Place, Record, State, Stored, records};
use super::read::{Large, Texts};
use super::write::newest_generation;
use super::{MirrorError, error::at};
use crate::{Delta, Node};

/// A log: the path of a file, or none for manifests.
type Key = Option<Arc<[u8]>>;

/// What can still be read of a mirror. Nothing that it gives is trusted before its hash is right.
#[derive(Debug)]
pub(super) struct Salvage {
    directory: PathBuf,
    /// The generation that was counted.
    pub(super) generation: u32,
    /// The state, if it is whole.
    pub(super) state: Option<State>,
    /// Changesets in their order.
    pub(super) changesets: Vec<Stored>,
    numbers: HashMap<Node, usize>,
    revisions: HashMap<(Key, Node), Stored>,
    texts: Option<Texts>,
}

impl Salvage {
    /// Looks for what is whole in this directory.
    pub(super) fn open(directory: &Path) -> Result<Self, MirrorError> {
        let state = match fs::read(directory.join("state")) {
            Ok(bytes) => State::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(&directory.join("state"))(error)),
        };
        let generation = match &state {
            Some(state) => state.generation,
            None => newest_generation(directory)?,
        };
        let named = State {
            generation,
            ..State::default()
        };
        let path = named.file(directory, "index");
        let index = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(&path)(error)),
        };
        let path = named.file(directory, "texts");
        let texts = match fs::metadata(&path) {
            Ok(metadata) => Some(Texts::open(directory, path, metadata.len())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(&path)(error)),
        };
        let mut salvage = Self {
            directory: directory.to_owned(),
            generation,
            state,
            changesets: Vec::new(),
            numbers: HashMap::new(),
            revisions: HashMap::new(),
            texts,
        };
        salvage.read(&index);
        Ok(salvage)
    }

    fn read(&mut self, index: &[u8]) {
        let mut paths: HashMap<u32, Arc<[u8]>> = HashMap::new();
        for (_, block) in block::salvage(index, Kind::Index) {
            let Some((mut number, records)) = records(&block) else {
                continue;
            };
            for record in records {
                match record {
                    Record::Path(path) => {
                        paths.insert(number, path.into());
                        number = number.saturating_add(1);
                    }
                    Record::Changeset(stored) => {
                        self.numbers.insert(stored.node, self.changesets.len());
                        self.changesets.push(stored);
                    }
                    Record::Revision(None, stored) => {
                        self.revisions.insert((None, stored.node), stored);
                    }
                    Record::Revision(Some(path), stored) => {
                        // The path was in a block that is lost, and the revision is with it.
                        if let Some(path) = paths.get(&path) {
                            let key = Some(Arc::clone(path));
                            self.revisions.insert((key, stored.node), stored);
                        }
                    }
                }
            }
        }
    }

    /// A changeset's parents and text, if they have the hash that names it.
    pub(super) fn changeset(&self, node: &Node) -> Option<([Node; 2], Vec<u8>)> {
        let stored = self.changesets.get(*self.numbers.get(node)?)?;
        let text = self.texts.as_ref()?.bytes(stored).ok()?;
        let is_right = Node::of_revision(stored.parents, &text) == *node;
        is_right.then_some((stored.parents, text))
    }

    /// What is known of a revision; of manifests without a path.
    pub(super) fn revision(&self, path: Option<&[u8]>, node: &Node) -> Option<&Stored> {
        self.revisions.get(&(path.map(Arc::from), *node))
    }

    /// The bytes that are stored of a revision, a text or a delta.
    pub(super) fn bytes(&self, stored: &Stored) -> Option<Vec<u8>> {
        self.texts.as_ref()?.bytes(stored).ok()
    }

    /// The text of a revision that is stored as a delta.
    pub(super) fn text(&self, path: Option<&[u8]>, stored: &Stored) -> Option<Vec<u8>> {
        let mut deltas = Vec::new();
        let mut at = stored;
        let mut text = loop {
            let bytes = self.bytes(at)?;
            let Some(base) = at.base else { break bytes };
            // No chain is so long but a circle.
            if deltas.len() > 1000 {
                return None;
            }
            deltas.push(bytes);
            at = self.revision(path, &base)?;
        };
        for delta in deltas.iter().rev() {
            text = Delta::new(delta).apply(&text).ok()?;
        }
        Some(text)
    }

    /// A large text, to be read.
    pub(super) fn large(&self, stored: &Stored) -> Option<impl Read> {
        let is_large = stored.place == Place::Large;
        Large::open(&self.directory, stored)
            .ok()
            .filter(|_| is_large)
    }
}
