//! A repository in files: fetched from a server, brought up to date, served.
//!
//! ```text
//!   hgrpc-mirror   says what this is: `hgrpc mirror 1`
//!   state          CBOR map: how many bytes of index and texts count; bookmarks, draft roots, the URL
//!   index          CBOR arrays, appended: paths, changesets, manifests, files' revisions
//!   texts          texts and deltas, appended, one behind the other; the index says where
//!   large/<node>   texts over 1 MiB, each a file
//!   lock           locked by who writes
//! ```
//! An array of `index` is `[0, path]` (paths are numbered from 0), `[1, …]` for a changeset,
//! `[2, …]` for a manifest, `[3, path's number, …]` for a file's revision, where `…` is the node, its
//! two parents, the number of the first changeset that has it, the offset in `texts` (null: in
//! `large`), how many bytes are there, the length of the text, and the node of the revision that
//! these bytes are a delta to (null: they are the text).
//!
//! # Crashes
//! Nothing that counts is ever written over. A fetch appends, makes that safe on the disk, and then
//! replaces `state`, which is the one moment in which it becomes part of the mirror. Killed before
//! that, the mirror is as it was, and the next fetch writes over what does not count. A long fetch
//! does this every thousand changesets, so that it goes on where it was killed.
//!
//! One process may write at a time; any number may read meanwhile, each the state that it has seen.

mod error;
mod fetch;
mod format;
mod index;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use error::MirrorError;
pub use fetch::{FetchError, Fetched, Stage};
pub use write::MirrorWriter;

use super::repository::malformed;
use super::{
    Changeset, Log, Node, NodeHasher, Phase, Repository, Revision, Source, StoredDelta, Text,
};
use error::at;
use format::{Record, State, VERSION};
use index::Index;
use read::Texts;

/// A mirror as it was when it was opened, to be read.
#[derive(Debug)]
pub struct Mirror {
    directory: PathBuf,
    state: State,
    index: Index,
    texts: Texts,
    phases: Vec<bool>,
    branches: Vec<Arc<[u8]>>,
}

impl Mirror {
    /// Opens the mirror in this directory. Its index is read into memory: some 200 bytes for each
    /// revision.
    ///
    /// # Errors
    /// There is none, it is damaged, or reading fails.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, MirrorError> {
        let directory = directory.as_ref();
        Self::with_state(directory, &read_state(directory)?)
    }

    fn with_state(directory: &Path, encoded: &[u8]) -> Result<Self, MirrorError> {
        let state = parse_state(directory, encoded)?;
        let index = read_index(directory, state.index)?;
        let texts = Texts::open(directory, state.texts)?;
        let mut mirror = Self {
            directory: directory.to_owned(),
            phases: drafts(&index, &state),
            state,
            index,
            texts,
            branches: Vec::new(),
        };
        mirror.branches = mirror.read_branches().map_err(at(directory))?;
        Ok(mirror)
    }

    fn read_branches(&self) -> io::Result<Vec<Arc<[u8]>>> {
        let mut names: BTreeMap<Vec<u8>, Arc<[u8]>> = BTreeMap::new();
        let texts = self.index.changesets.iter();
        let branches = texts.map(|stored| {
            let changeset = Changeset::parse(&self.texts.bytes(stored)?).map_err(malformed)?;
            let name = changeset.branch();
            let shared = names.entry(name.to_vec()).or_insert_with(|| name.into());
            Ok(Arc::clone(shared))
        });
        branches.collect()
    }

    /// The directory that it is in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it was fetched from.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// How many revisions of manifests and files there are.
    pub fn revisions(&self) -> usize {
        self.index.revisions()
    }

    /// Reads everything, and compares every hash; how many revisions there are. `progress` is told
    /// of each.
    ///
    /// # Errors
    /// The first revision that is damaged.
    pub fn verify(&self, mut progress: impl FnMut()) -> Result<u64, MirrorError> {
        let mut count = 0;
        let mut check = |node: &Node, parents, text: io::Result<Text>| {
            let mut hasher = NodeHasher::new(parents);
            let read = text.and_then(|mut text| io::copy(&mut text, &mut hasher));
            read.map_err(at(&self.directory))?;
            count += 1;
            progress();
            match hasher.finish() {
                found if found == *node => Ok(()),
                found => Err(MirrorError::Hash { node: *node, found }),
            }
        };
        for stored in &self.index.changesets {
            let text = self.texts.bytes(stored).map(Text::from);
            check(&stored.node, stored.parents, text)?;
        }
        for (key, node, parents) in self.index.in_order() {
            check(&node, parents, self.texts.text(&self.index, key, &node))?;
        }
        Ok(count)
    }
}

/// The bytes of the state's file, after a look at the version.
fn read_state(directory: &Path) -> Result<Vec<u8>, MirrorError> {
    let marker = directory.join("hgrpc-mirror");
    match fs::read(&marker) {
        Ok(version) if version == VERSION.as_bytes() => {}
        Ok(other) => {
            let line = String::from_utf8_lossy(&other);
            let line: String = line
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(80)
                .collect();
            return Err(MirrorError::Version(line));
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(MirrorError::NotAMirror(directory.to_owned()));
        }
        Err(error) => return Err(at(&marker)(error)),
    }
    let state = directory.join("state");
    fs::read(&state).map_err(at(&state))
}

fn parse_state(directory: &Path, encoded: &[u8]) -> Result<State, MirrorError> {
    State::parse(encoded).ok_or_else(|| MirrorError::Damaged {
        file: directory.join("state"),
        offset: 0,
        what: "not a mirror's state",
    })
}

fn read_index(directory: &Path, len: u64) -> Result<Index, MirrorError> {
    let path = directory.join("index");
    let damaged = |offset: usize, what| MirrorError::Damaged {
        file: path.clone(),
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
        what,
    };
    let bytes = fs::read(&path).map_err(at(&path))?;
    let counts = usize::try_from(len).ok().and_then(|len| bytes.get(..len));
    let bytes = counts.ok_or_else(|| damaged(bytes.len(), "it is shorter than it was"))?;
    let mut index = Index::default();
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let (record, len) =
            Record::parse(rest).ok_or_else(|| damaged(offset, "not a record of an index"))?;
        index.add(record).map_err(|what| damaged(offset, what))?;
        offset += len;
    }
    Ok(index)
}

/// Which changesets are drafts: the roots, and all that come from them.
fn drafts(index: &Index, state: &State) -> Vec<bool> {
    let mut drafts: Vec<bool> = Vec::with_capacity(index.changesets.len());
    for stored in &index.changesets {
        let parents = stored
            .parents
            .iter()
            .filter_map(|parent| index.number(parent));
        let is_draft = |number: u32| {
            usize::try_from(number).is_ok_and(|n| drafts.get(n).copied().unwrap_or(false))
        };
        let is_draft = state.drafts.contains(&stored.node) || parents.into_iter().any(is_draft);
        drafts.push(is_draft);
    }
    drafts
}

fn nothing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Repository for Mirror {
    fn len(&self) -> u32 {
        u32::try_from(self.index.changesets.len()).unwrap_or(u32::MAX)
    }

    fn node(&self, number: u32) -> Node {
        self.index
            .changeset(number)
            .map_or(Node::NULL, |stored| stored.node)
    }

    fn number(&self, node: &Node) -> Option<u32> {
        self.index.number(node)
    }

    fn parents(&self, number: u32) -> [Option<u32>; 2] {
        let stored = self.index.changeset(number);
        stored.map_or([None; 2], |stored| {
            stored.parents.map(|p| self.index.number(&p))
        })
    }

    fn phase(&self, number: u32) -> Phase {
        let is_draft = usize::try_from(number)
            .ok()
            .and_then(|n| self.phases.get(n));
        match is_draft {
            Some(true) => Phase::Draft,
            _ => Phase::Public,
        }
    }

    fn changeset(&self, number: u32) -> io::Result<Vec<u8>> {
        self.texts
            .bytes(self.index.changeset(number).ok_or_else(nothing)?)
    }

    fn branch(&self, number: u32) -> io::Result<Vec<u8>> {
        let branch = usize::try_from(number)
            .ok()
            .and_then(|n| self.branches.get(n));
        Ok(branch.ok_or_else(nothing)?.to_vec())
    }

    fn bookmarks(&self) -> BTreeMap<Vec<u8>, Node> {
        self.state.bookmarks.clone()
    }

    fn is_publishing(&self) -> bool {
        self.state.is_publishing
    }

    fn has_log(&self, log: Log<'_>) -> bool {
        self.index.key(log).is_some()
    }

    fn revision(&self, log: Log<'_>, node: &Node) -> io::Result<Option<Revision>> {
        let key = self.index.key(log);
        let stored = key.and_then(|key| self.index.revision(key, node));
        Ok(stored.map(|stored| Revision {
            parents: stored.parents,
            linked: stored.linked,
        }))
    }

    fn text(&self, log: Log<'_>, node: &Node) -> io::Result<Text> {
        let key = self.index.key(log).ok_or_else(nothing)?;
        self.texts.text(&self.index, key, node)
    }

    fn delta(&self, log: Log<'_>, node: &Node) -> io::Result<Option<StoredDelta>> {
        let key = self.index.key(log).ok_or_else(nothing)?;
        let stored = self.index.revision(key, node).ok_or_else(nothing)?;
        let Some(base) = stored.base else {
            return Ok(None);
        };
        let bytes = self.texts.bytes(stored)?;
        Ok(Some(StoredDelta { base, bytes }))
    }
}

/// A mirror that is served while another process may bring it up to date: each look is at what is
/// there now.
#[derive(Debug)]
pub struct LiveMirror {
    directory: PathBuf,
    seen: Mutex<(Vec<u8>, Arc<Mirror>)>,
}

impl LiveMirror {
    /// Opens the mirror in this directory.
    ///
    /// # Errors
    /// As for [`Mirror::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, MirrorError> {
        let directory = directory.as_ref().to_owned();
        let state = read_state(&directory)?;
        let mirror = Mirror::with_state(&directory, &state)?;
        Ok(Self {
            directory,
            seen: Mutex::new((state, Arc::new(mirror))),
        })
    }

    /// The mirror as it is now.
    ///
    /// # Errors
    /// As for [`Mirror::open`].
    pub fn mirror(&self) -> Result<Arc<Mirror>, MirrorError> {
        let state = read_state(&self.directory)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != state {
            let mirror = Mirror::with_state(&self.directory, &state)?;
            *seen = (state, Arc::new(mirror));
        }
        Ok(Arc::clone(&seen.1))
    }
}

impl Source for LiveMirror {
    fn repository(&self) -> io::Result<Arc<dyn Repository>> {
        Ok(self.mirror()?)
    }
}
