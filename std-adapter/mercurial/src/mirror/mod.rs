//! A repository in files: fetched from a server, brought up to date, served.
//!
//! ```text
//!   hgrpc-mirror   says what this is: `hgrpc mirror 2`
//!   state          CBOR map and its checksum: how much of index and texts counts; bookmarks, draft
//!                  roots, the URL
//!   index.N        records, appended: paths, changesets, manifests, files' revisions
//!   texts.N        texts and deltas, appended, one behind the other; the index says where
//!   large/<node>   texts over 1 MiB, each a file
//!   lock           locked by who writes
//! ```
//! `index`, `texts` and the files of `large` are blocks, one behind the other, each compressed and
//! under a checksum: magic `9b 68 67 62`, the length of what is stored and of what that decompresses
//! to (each a u32, big endian), the first 16 bytes of a SHA-256, and what is stored: Zstandard, or
//! plain where the two lengths are the same. The SHA-256 is that of a letter for the file (`i`, `t`
//! or `l`), the block's offset in it (u64), the two lengths and what is stored.
//!
//! A block of the index is the number of the paths before it (u32) and records, CBOR arrays: `[0,
//! path]` (paths are numbered from 0), `[1, …]` for a changeset, `[2, …]` for a manifest, `[3, path's
//! number, …]` for a file's revision, where `…` is the node, its two parents, the number of the first
//! changeset that has it, the offset of a block in `texts` and where in that the bytes begin (null and
//! null: in `large`), how many bytes are there, the length of the text, and the node of the revision
//! that these bytes are a delta to (null: they are the text).
//!
//! # Crashes and damage
//! Nothing that counts is ever written over. A fetch appends, makes that safe on the disk, and then
//! replaces `state`, which is the one moment in which it becomes part of the mirror: every 16 MiB or
//! 5 seconds what has come, which a fetch that was killed need not ask for again; and every thousand
//! changesets what is whole, which is what readers see.
//!
//! [`verify`] finds damage of any byte, and nothing damaged is served. A repair
//! ([`MirrorWriter::repair`]) makes `index` and `texts` anew under the next number N, from all that is
//! whole and what the server has.
//!
//! One process may write at a time; any number may read meanwhile, each the state that it has seen.

mod block;
mod bundle;
mod error;
mod fetch;
mod format;
mod index;
mod read;
mod salvage;
mod store;
mod unbundle;
mod verify;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use bundle::{Bundled, Compression};
pub use error::MirrorError;
pub use fetch::{FetchError, FetchOptions, Fetched, Stage};
pub use verify::{Report, Verified, verify};
pub use write::MirrorWriter;

use super::{Changeset, Log, Node, Phase, Repository, Revision, Source, StoredDelta, Text};
use block::Kind;
use error::{at, in_block};
use format::{Extent, State, VERSION, records};
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
    on_damage: OnDamage,
}

/// Is told of damage that is met when the mirror is read.
#[derive(Clone, Default)]
struct OnDamage(Option<Arc<Tell>>);

type Tell = dyn Fn(&MirrorError) + Send + Sync;

impl fmt::Debug for OnDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnDamage").field(&self.0.is_some()).finish()
    }
}

impl OnDamage {
    /// Tells of an error, if it is damage.
    fn tell(&self, error: MirrorError) -> io::Error {
        if let (Some(tell), true) = (&self.0, error.is_damage()) {
            tell(&error);
        }
        error.into()
    }
}

/// A text whose reading tells of damage.
struct Telling {
    text: Text,
    on_damage: OnDamage,
}

impl io::Read for Telling {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer).map_err(|error| {
            MirrorError::from_io(error)
                .map_or_else(|error| error, |error| self.on_damage.tell(error))
        })
    }
}

impl Mirror {
    /// Opens the mirror in this directory. Its index is read into memory: some 250 bytes for each
    /// revision.
    ///
    /// # Errors
    /// There is none, it is damaged, or reading fails.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, MirrorError> {
        let directory = directory.as_ref();
        let mut state = read_state(directory)?;
        loop {
            let result = Self::with_state(directory, state.clone());
            // A repair may have replaced the files between.
            let now = read_state(directory)?;
            if result.is_ok() || now.generation == state.generation {
                return result;
            }
            state = now;
        }
    }

    fn with_state(directory: &Path, state: State) -> Result<Self, MirrorError> {
        let index = read_index(directory, &state, state.whole)?;
        let path = state.file(directory, "texts");
        let texts = Texts::open(directory, path, state.whole.texts)?;
        let mut mirror = Self {
            directory: directory.to_owned(),
            phases: drafts(&index, &state),
            state,
            index,
            texts,
            branches: Vec::new(),
            on_damage: OnDamage::default(),
        };
        mirror.branches = mirror.read_branches()?;
        Ok(mirror)
    }

    fn read_branches(&self) -> Result<Vec<Arc<[u8]>>, MirrorError> {
        let mut names: BTreeMap<Vec<u8>, Arc<[u8]>> = BTreeMap::new();
        let texts = self.index.changesets.iter();
        let branches = texts.map(|stored| {
            let changeset = Changeset::parse(&self.texts.bytes(stored)?);
            let changeset = changeset.map_err(|error| MirrorError::Graph {
                node: stored.node,
                what: error.to_string(),
            })?;
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
}

/// Looks at the version.
fn read_marker(directory: &Path) -> Result<(), MirrorError> {
    let marker = directory.join("hgrpc-mirror");
    match fs::read(&marker) {
        Ok(version) if version == VERSION.as_bytes() => Ok(()),
        Ok(other) => {
            let line = String::from_utf8_lossy(&other);
            let line = line.lines().next().unwrap_or_default();
            Err(MirrorError::Version {
                directory: directory.to_owned(),
                line: line.chars().take(80).collect(),
            })
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            let is_mirror = directory.join("state").exists() && directory.join("large").exists();
            Err(match is_mirror {
                true => MirrorError::Missing(marker),
                false => MirrorError::NotAMirror(directory.to_owned()),
            })
        }
        Err(error) => Err(at(&marker)(error)),
    }
}

/// The state, after a look at the version.
fn read_state(directory: &Path) -> Result<State, MirrorError> {
    read_marker(directory)?;
    parse_state(directory)
}

fn parse_state(directory: &Path) -> Result<State, MirrorError> {
    let path = directory.join("state");
    let bytes = fs::read(&path).map_err(at(&path))?;
    State::parse(&bytes).ok_or(MirrorError::Damaged {
        file: path,
        offset: 0,
        what: "it has another checksum",
    })
}

/// Reads as much of the index as counts.
fn read_index(directory: &Path, state: &State, extent: Extent) -> Result<Index, MirrorError> {
    let path = state.file(directory, "index");
    let damaged = |offset: u64, what| MirrorError::Damaged {
        file: path.clone(),
        offset,
        what,
    };
    let bytes = fs::read(&path).map_err(at(&path))?;
    let len = usize::try_from(extent.index).ok();
    let mut rest = len.and_then(|len| bytes.get(..len)).ok_or_else(|| {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        damaged(len, "it is shorter than it was")
    })?;
    let mut index = Index::default();
    let mut offset = 0;
    while !rest.is_empty() {
        let most = extent.index - offset;
        let block = block::read(&mut rest, Kind::Index, offset, most);
        let Some((block, len)) = block.map_err(in_block(&path, offset))? else {
            break;
        };
        let (paths, records) =
            records(&block).ok_or_else(|| damaged(offset, "a block has what is no record"))?;
        if paths != index.paths() {
            return Err(damaged(offset, "a block is not in order"));
        }
        for record in records {
            index.add(record).map_err(|what| damaged(offset, what))?;
        }
        offset += len;
    }
    if index.len() != extent.changesets {
        return Err(damaged(offset, "it has another number of changesets"));
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
        let stored = self.index.changeset(number).ok_or_else(nothing)?;
        let text = self.texts.bytes(stored);
        text.map_err(|error| self.on_damage.tell(error))
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
        let text = self.texts.text(&self.index, key, node);
        let text = text.map_err(|error| self.on_damage.tell(error))?;
        let on_damage = self.on_damage.clone();
        Ok(Text::new(text.len(), Telling { text, on_damage }))
    }

    fn delta(&self, log: Log<'_>, node: &Node) -> io::Result<Option<StoredDelta>> {
        let key = self.index.key(log).ok_or_else(nothing)?;
        let stored = self.index.revision(key, node).ok_or_else(nothing)?;
        let Some(base) = stored.base else {
            return Ok(None);
        };
        let bytes = self.texts.bytes(stored);
        let bytes = bytes.map_err(|error| self.on_damage.tell(error))?;
        Ok(Some(StoredDelta { base, bytes }))
    }
}

/// A mirror that is served while another process may bring it up to date: each look is at what is
/// there now.
#[derive(Debug)]
pub struct LiveMirror {
    directory: PathBuf,
    seen: Mutex<Arc<Mirror>>,
    on_damage: OnDamage,
}

impl LiveMirror {
    /// Opens the mirror in this directory.
    ///
    /// # Errors
    /// As for [`Mirror::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, MirrorError> {
        let directory = directory.as_ref().to_owned();
        let mirror = Mirror::open(&directory)?;
        Ok(Self {
            directory,
            seen: Mutex::new(Arc::new(mirror)),
            on_damage: OnDamage::default(),
        })
    }

    /// Tells of damage that is met when the mirror is read, and thus not served.
    #[must_use]
    pub fn with_on_damage(
        mut self,
        on_damage: impl Fn(&MirrorError) + Send + Sync + 'static,
    ) -> Self {
        self.on_damage = OnDamage(Some(Arc::new(on_damage)));
        let seen = self.seen.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody else has it yet, or who has it is told of nothing.
        if let Some(mirror) = Arc::get_mut(seen) {
            mirror.on_damage = self.on_damage.clone();
        }
        self
    }

    /// The mirror as it is now.
    ///
    /// # Errors
    /// As for [`Mirror::open`].
    pub fn mirror(&self) -> Result<Arc<Mirror>, MirrorError> {
        let state = read_state(&self.directory)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What is pending is nothing to readers.
        let pending = seen.state.pending;
        let whole = State {
            pending,
            ..state.clone()
        };
        if seen.state != whole {
            let mut mirror = Mirror::open(&self.directory)?;
            mirror.on_damage = self.on_damage.clone();
            *seen = Arc::new(mirror);
        }
        Ok(Arc::clone(&seen))
    }
}

impl Source for LiveMirror {
    fn repository(&self) -> io::Result<Arc<dyn Repository>> {
        let mirror = self.mirror();
        Ok(mirror.map_err(|error| self.on_damage.tell(error))?)
    }
}
