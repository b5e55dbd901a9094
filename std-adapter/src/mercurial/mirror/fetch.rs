//! Brings a mirror up to date with a server (http-v2.md, 9).
//!
//! ```text
//!   heads, known, listkeys      one request
//!   changesetdata               what is new, texts stored as they come
//!   for each thousand changesets, oldest first:
//!     manifestdata              their manifests
//!     filesdata                 the files of those that remove a file, without haveparents (H-06),
//!     filesdata                 of the others with it
//!     filedata                  what is still missing
//!     commit
//! ```
//! Which files a changeset brings is seen from its manifest and its first parent's, not from what
//! the server says: so nothing can be missing at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::Read;

use super::format::{Record, Stored};
use super::write::LARGE;
use super::{MirrorError, MirrorWriter};
use crate::mercurial::client::revisions::{Verified, find_base, local_or_remote};
use crate::mercurial::client::{ChangesetFields, Error, Form, Incoming, RevisionFields};
use crate::mercurial::{
    Changeset, ChangesetError, Client, Manifest, Node, PathFilter, PathPattern, Specifier,
};

/// Changesets whose manifests and files are fetched, and made to count, together.
const BATCH: usize = 1000;

/// Why a mirror could not be brought up to date. What was committed by then stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// The server, the transport, or what the server sent.
    Client(Error),
    /// The files of the mirror.
    Mirror(MirrorError),
    /// The server has none of the changesets that the mirror has: it is another repository.
    Unrelated,
    /// The server did not send this revision.
    Missing {
        /// The file's path; empty for a manifest.
        path: Vec<u8>,
        /// The revision.
        node: Node,
    },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Mirror(error) => error.fmt(f),
            Self::Unrelated => {
                f.write_str("the server has another repository than the one that is mirrored here")
            }
            Self::Missing { path, node } if path.is_empty() => {
                write!(f, "the server did not send the manifest {node}")
            }
            Self::Missing { path, node } => {
                let path = String::from_utf8_lossy(path);
                write!(
                    f,
                    "the server did not send {node} of {}",
                    path.escape_debug()
                )
            }
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => Some(error),
            Self::Mirror(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<MirrorError> for FetchError {
    fn from(error: MirrorError) -> Self {
        Self::Mirror(error)
    }
}

/// How far a fetch is, or what it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// New changesets that the server has.
    pub total: u64,
    /// Changesets that have come.
    pub changesets: u64,
    /// Changesets that are in the mirror, with all that is theirs.
    pub complete: u64,
    /// Manifests that have come.
    pub manifests: u64,
    /// Revisions of files that have come.
    pub files: u64,
}

/// What a fetch is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It fetches changesets.
    Changesets,
    /// It fetches their manifests.
    Manifests,
    /// It fetches their files.
    Files,
}

type Result<T> = std::result::Result<T, FetchError>;

/// A file's revision that new changesets bring: its path and its node.
type Wanted = (Vec<u8>, Node);

struct Fetch<'a> {
    writer: &'a mut MirrorWriter,
    client: &'a Client,
    progress: &'a mut dyn FnMut(Stage, Fetched),
    done: Fetched,
}

/// A changeset of the batch that is being fetched.
struct Pending {
    stored: Stored,
    changeset: Changeset,
}

impl MirrorWriter {
    /// Fetches what the server has and the mirror has not; verifies every hash. `progress` is told
    /// of each thing that comes.
    ///
    /// What the server has no more stays in the mirror. After an error the next call starts where
    /// the mirror is whole.
    ///
    /// # Errors
    /// See [`FetchError`]. The mirror is usable as far as it came.
    pub fn fetch(
        &mut self,
        client: &Client,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<Fetched> {
        self.forget_unfinished()?;
        let mut fetch = Fetch {
            writer: self,
            client,
            progress,
            done: Fetched::default(),
        };
        fetch.run()?;
        Ok(fetch.done)
    }

    /// Changesets without children.
    fn heads(&self) -> Vec<Node> {
        let parents: HashSet<Node> = {
            let all = self.index.changesets.iter();
            all.flat_map(|stored| stored.parents).collect()
        };
        let nodes = self.index.changesets.iter().map(|stored| stored.node);
        nodes.filter(|node| !parents.contains(node)).collect()
    }

    /// The text of a manifest, empty for the null one.
    fn manifest(&self, node: &Node) -> Result<Vec<u8>> {
        if node.is_null() {
            return Ok(Vec::new());
        }
        let text = self.text(None, node).map_err(Error::Storage)?;
        let missing = FetchError::Missing {
            path: Vec::new(),
            node: *node,
        };
        Ok(text.ok_or(missing)?.read_all().map_err(Error::Storage)?)
    }
}

impl Fetch<'_> {
    fn tell(&mut self, stage: Stage) {
        (self.progress)(stage, self.done);
    }

    fn run(&mut self) -> Result<()> {
        let ours = self.writer.heads();
        let found = self.client.discover(&ours)?;
        let is_known = |(node, is_known): (&Node, &bool)| is_known.then_some(*node);
        let roots: Vec<Node> = ours.iter().zip(&found.known).filter_map(is_known).collect();
        if !ours.is_empty() && roots.is_empty() {
            // Heads may be gone from the server; where it all began may not.
            let first = self.writer.index.changeset(0).map(|stored| stored.node);
            let first = first.unwrap_or_default();
            if !self.client.known(&[first])?.contains(&true) {
                return Err(FetchError::Unrelated);
            }
        }
        let url = self.client.http().url().to_owned();
        let (drafts, is_publishing) = (found.draft_roots, found.is_publishing);
        // What is drafts must be known before the first of them counts.
        let old = self.writer.state.bookmarks.clone();
        self.writer
            .set_state(&url, old, drafts.clone(), is_publishing);
        let mut heads = found.heads;
        heads.retain(|head| self.writer.index.number(head).is_none());
        if !heads.is_empty() {
            let pending = self.changesets(Specifier::Range { roots, heads })?;
            for batch in pending.chunks(BATCH) {
                self.batch(batch)?;
                self.writer.commit()?;
                self.done.complete += u64::try_from(batch.len()).unwrap_or(0);
                self.tell(Stage::Files);
            }
        }
        let mut bookmarks = found.bookmarks;
        bookmarks.retain(|_, node| self.writer.index.number(node).is_some());
        self.writer
            .set_state(&url, bookmarks, drafts, is_publishing);
        Ok(self.writer.commit()?)
    }

    /// Stores the texts of new changesets.
    fn changesets(&mut self, range: Specifier) -> Result<Vec<Stored>> {
        let fields = ChangesetFields {
            parents: true,
            revision: true,
            ..ChangesetFields::default()
        };
        let mut pending = Vec::new();
        let changesets = self.client.changesets(&[range], fields)?;
        self.done.total = changesets.total();
        let first = self.writer.index.changesets.len();
        for data in changesets {
            let data = data?;
            self.done.changesets += 1;
            self.tell(Stage::Changesets);
            if self.writer.index.number(&data.node).is_some() {
                self.done.complete += 1;
                continue;
            }
            let wrong = |expected| Error::Answer {
                command: "changesetdata",
                expected,
            };
            let text = data.text.ok_or_else(|| wrong("revision"))?;
            let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
            let number = u32::try_from(first + pending.len());
            pending.push(Stored {
                node: data.node,
                parents: data.parents.ok_or_else(|| wrong("parents"))?,
                linked: number.map_err(|_| wrong("number that is left"))?,
                offset: Some(self.writer.append(&text)?),
                stored: len,
                len,
                base: None,
            });
        }
        Ok(pending)
    }

    /// Fetches what these changesets bring. All that they come from is there.
    fn batch(&mut self, batch: &[Stored]) -> Result<()> {
        let mut pending = Vec::with_capacity(batch.len());
        for stored in batch {
            self.writer.add(Record::Changeset(stored.clone()))?;
            pending.push(Pending {
                changeset: self.changeset(stored, Changeset::parse)?,
                stored: stored.clone(),
            });
        }
        self.manifests(&pending)?;
        self.files(&pending)
    }

    /// What is read of a changeset's text, which was stored.
    fn changeset<T>(
        &self,
        stored: &Stored,
        parse: impl Fn(&[u8]) -> std::result::Result<T, ChangesetError>,
    ) -> Result<T> {
        let text = self.writer.reader.bytes(stored).map_err(Error::Storage)?;
        let node = stored.node;
        Ok(parse(&text).map_err(|error| Error::Changeset { node, error })?)
    }

    // --- manifests ---

    fn manifests(&mut self, pending: &[Pending]) -> Result<()> {
        let mut linked = HashMap::new();
        let mut wanted = Vec::new();
        for one in pending {
            let node = one.changeset.manifest;
            let is_there = self.writer.index.revision(None, &node).is_some();
            if !node.is_null() && !is_there && !linked.contains_key(&node) {
                linked.insert(node, one.stored.linked);
                wanted.push(node);
            }
        }
        let fields = RevisionFields {
            have_parents: true,
            ..RevisionFields::TEXT
        };
        for nodes in wanted.chunks(self.client.batch_size("manifestdata")) {
            let mut revisions = self.client.manifests(nodes, fields)?;
            while let Some(incoming) = revisions.next()? {
                let Some(&linked) = linked.get(&incoming.info.node) else {
                    continue;
                };
                store(self.writer, incoming, None, linked)?;
                self.done.manifests += 1;
                (self.progress)(Stage::Manifests, self.done);
            }
        }
        let missing = |node: &&Node| self.writer.index.revision(None, node).is_none();
        match wanted.iter().find(missing) {
            None => Ok(()),
            Some(node) => Err(FetchError::Missing {
                path: Vec::new(),
                node: *node,
            }),
        }
    }

    // --- files ---

    fn files(&mut self, pending: &[Pending]) -> Result<()> {
        let mut wanted: HashMap<Wanted, u32> = HashMap::new();
        // The changesets to ask for with haveparents, and those to ask for without.
        let (mut plain, mut removing) = (Vec::new(), Vec::new());
        let mut include = HashSet::new();
        for one in pending {
            // In this order, since the text that was read last is at hand, and the second one is
            // mostly a delta to it.
            let base = self.manifest_of(&one.stored.parents)?;
            let base = self.writer.manifest(&base)?;
            let text = self.writer.manifest(&one.changeset.manifest)?;
            let wrong = |error| {
                let node = one.changeset.manifest;
                FetchError::Client(Error::Manifest { node, error })
            };
            let mut brought = Vec::new();
            for entry in Manifest::new(&text).added_to(Manifest::new(&base)) {
                let entry = entry.map_err(wrong)?;
                let key = self.writer.index.path(entry.path);
                let is_there = |key| self.writer.index.revision(Some(key), &entry.node).is_some();
                if key.is_some_and(is_there) {
                    continue;
                }
                let revision = (entry.path.to_vec(), entry.node);
                brought.push(revision.0.clone());
                wanted.entry(revision).or_insert(one.stored.linked);
            }
            if brought.is_empty() {
                continue;
            }
            let mut is_removing = false;
            for path in &one.changeset.files {
                is_removing |= Manifest::new(&text).find(path).map_err(wrong)?.is_none();
            }
            if is_removing {
                removing.push(one.stored.node);
                include.extend(brought);
            } else {
                plain.push(one.stored.node);
            }
        }
        // Those that stand for themselves first: the others may be deltas to them.
        let include = include.into_iter().map(PathPattern::Path).collect();
        let filter = PathFilter {
            include,
            ..PathFilter::default()
        };
        self.filesdata(&removing, false, &filter, &wanted)?;
        self.filesdata(&plain, true, &PathFilter::default(), &wanted)?;
        self.missing(&wanted)
    }

    /// The manifest of a changeset's first parent.
    fn manifest_of(&self, parents: &[Node; 2]) -> Result<Node> {
        let [p1, _] = parents;
        let number = self.writer.index.number(p1);
        match number.and_then(|number| self.writer.index.changeset(number)) {
            Some(stored) => self.changeset(stored, Changeset::parse_manifest),
            None => Ok(Node::NULL),
        }
    }

    fn filesdata(
        &mut self,
        changesets: &[Node],
        have_parents: bool,
        filter: &PathFilter,
        wanted: &HashMap<Wanted, u32>,
    ) -> Result<()> {
        let fields = RevisionFields {
            have_parents,
            ..RevisionFields::TEXT
        };
        for nodes in changesets.chunks(self.client.batch_size("filesdata")) {
            let specifier = Specifier::Explicit(nodes.to_vec());
            let mut files = self.client.files(&[specifier], fields, filter)?;
            while let Some((path, _)) = files.next_file()? {
                let mut revision = (path, Node::NULL);
                while let Some(incoming) = files.next_revision()? {
                    revision.1 = incoming.info.node;
                    if let Some(&linked) = wanted.get(&revision) {
                        let key = self.writer.path(&revision.0)?;
                        store(self.writer, incoming, Some(key), linked)?;
                        self.done.files += 1;
                        (self.progress)(Stage::Files, self.done);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks for revisions by name that the server did not send with their changesets.
    fn missing(&mut self, wanted: &HashMap<Wanted, u32>) -> Result<()> {
        for is_last_time in [false, true] {
            let mut missing: BTreeMap<&[u8], Vec<(u32, Node)>> = BTreeMap::new();
            for ((path, node), linked) in wanted {
                let key = self.writer.index.path(path);
                if key.is_none_or(|key| self.writer.index.revision(Some(key), node).is_none()) {
                    missing.entry(path).or_default().push((*linked, *node));
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            for (path, mut nodes) in missing {
                nodes.sort_unstable();
                if let (true, Some((_, node))) = (is_last_time, nodes.first()) {
                    let path = path.to_vec();
                    return Err(FetchError::Missing { path, node: *node });
                }
                let fields = RevisionFields {
                    have_parents: true,
                    ..RevisionFields::TEXT
                };
                let linked: HashMap<Node, u32> =
                    nodes.iter().map(|(l, node)| (*node, *l)).collect();
                let nodes: Vec<Node> = nodes.into_iter().map(|(_, node)| node).collect();
                let mut revisions = self.client.file(path, &nodes, fields)?;
                while let Some(incoming) = revisions.next()? {
                    if let Some(&linked) = linked.get(&incoming.info.node) {
                        let key = self.writer.path(path)?;
                        store(self.writer, incoming, Some(key), linked)?;
                        self.done.files += 1;
                        (self.progress)(Stage::Files, self.done);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Stores a manifest or a file's revision: as a small delta if it came as one, or if it is a
/// manifest; otherwise as a whole text.
fn store(
    writer: &mut MirrorWriter,
    incoming: Incoming<'_>,
    key: Option<u32>,
    linked: u32,
) -> Result<()> {
    let info = incoming.info;
    if writer.index.revision(key, &info.node).is_some() {
        return Ok(());
    }
    let wrong = Error::Answer {
        command: if key.is_some() {
            "filesdata"
        } else {
            "manifestdata"
        },
        expected: "parents",
    };
    let parents = info.parents.ok_or(wrong)?;
    let mut spool = writer.spool(key.is_some());
    let mut delta = None;
    match info.form {
        Form::Delta(base, len) if usize::try_from(len).is_ok_and(|len| len <= LARGE) => {
            let bytes = read_delta(incoming, len)?;
            let node = info.node;
            let text = find_base(|base| writer.text(key, base), node, base)?;
            let mut verified = Verified::new(parents, &mut spool);
            verified.apply(text, &bytes[..], node)?;
            verified.finish(node)?;
            delta = Some((base, bytes));
        }
        _ => drop(incoming.write_to(|base| writer.text(key, base), &mut spool)?),
    }
    if let (None, None, Some(text)) = (&delta, key, spool.memory()) {
        let [base, _] = parents;
        let old = writer.text(None, &base).map_err(Error::Storage)?;
        if let Some(old) = old {
            let old = old.read_all().map_err(Error::Storage)?;
            delta = Some((base, Manifest::delta(&old, text)));
        }
    }
    let mut stored = Stored {
        node: info.node,
        parents,
        linked,
        len: spool.len,
        ..Stored::default()
    };
    let delta = delta.filter(|(base, delta)| {
        let len = delta_len(delta);
        let is_small = spool.memory().is_some() && len < spool.len;
        is_small && writer.index.takes_delta(key, base, len, spool.len)
    });
    match delta {
        Some((base, delta)) => {
            stored.stored = delta_len(&delta);
            stored.base = Some(base);
            stored.offset = Some(writer.append(&delta)?);
        }
        None => writer.keep(spool, &mut stored)?,
    }
    Ok(writer.add(Record::Revision(key, stored))?)
}

fn delta_len(delta: &[u8]) -> u64 {
    u64::try_from(delta.len()).unwrap_or(u64::MAX)
}

fn read_delta(incoming: Incoming<'_>, len: u64) -> Result<Vec<u8>> {
    let node = incoming.info.node;
    let mut delta = Vec::new();
    let bytes = incoming.into_bytes()?;
    let read = bytes.take(len + 1).read_to_end(&mut delta);
    read.map_err(local_or_remote)?;
    match delta_len(&delta) == len {
        true => Ok(delta),
        false => Err(Error::Length { node }.into()),
    }
}
