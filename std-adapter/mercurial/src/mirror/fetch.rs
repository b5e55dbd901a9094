//! Brings a mirror up to date with a server (http-v2.md, 9).
//!
//! ```text
//!   heads, known, listkeys      one request
//!   changesetdata               the nodes of what is new, nothing else
//!   for each thousand changesets, oldest first:
//!     changesetdata             their texts
//!     manifestdata              their manifests
//!     filedata                  the files of those that remove one (H-06), by name, many at once
//!     filesdata                 the files that the others touch
//!     filedata                  what is still missing
//!     commit
//! ```
//! What has come is made safe every few seconds, in the middle of a thousand too, and is not asked
//! for again. Which files a changeset brings is seen from its manifest and its first parent's, not
//! from what the server says: so nothing can be missing at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use hgrpc_std::http;

use super::format::{Extent, Place, Record, Stored};
use super::salvage::Salvage;
use super::store::Arriving;
use super::write::{Checkpoint, lock, prepare};
use super::{MirrorError, MirrorWriter};
use crate::client::{ChangesetFields, Error, Form, Incoming, RevisionFields};
use crate::{
    Changeset, ChangesetError, Client, Manifest, Node, PathFilter, PathPattern, Specifier,
};

/// Changesets whose manifests and files are fetched, and made to count, together.
const BATCH: usize = 1000;

/// Files that are asked for by name in one request.
const FILES: usize = 64;

/// Paths that are named in one request for the files of changesets.
const PATTERNS: usize = 1000;

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
    /// The bundle is no bundle, or damaged, or needs what is not in the mirror: what is wrong with it.
    Bundle(String),
    /// Something of this changeset is damaged here, and the server does not have the changeset any
    /// more.
    Lost(Node),
    /// The source did not send this revision.
    Missing {
        /// The file's path; empty for a manifest or a changeset.
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
            Self::Bundle(what) => f.write_str(what),
            Self::Lost(node) => write!(
                f,
                "changeset {node} is damaged here and not on the server any more; \
                 --drop-missing drops it"
            ),
            Self::Missing { path, node } if path.is_empty() => {
                write!(f, "the server did not send {node}")
            }
            Self::Missing { path, node } => {
                write!(
                    f,
                    "the server did not send {node} of {}",
                    path.escape_ascii()
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
        // What is wrong with the mirror's own files is no matter of the server.
        match error {
            Error::Storage(error) => match MirrorError::from_io(error) {
                Ok(error) => Self::Mirror(error),
                Err(error) => Self::Client(Error::Storage(error)),
            },
            error => Self::Client(error),
        }
    }
}

impl From<MirrorError> for FetchError {
    fn from(error: MirrorError) -> Self {
        Self::Mirror(error)
    }
}

/// How a mirror is brought up to date; see [`MirrorWriter::fetch_with`].
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    checkpoint: Checkpoint,
    drops_missing: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            checkpoint: Checkpoint::DEFAULT,
            drops_missing: false,
        }
    }
}

impl FetchOptions {
    /// Saves what has come after so many bytes, or after this time, whichever is first: so much is
    /// lost if the fetch is killed. Default 16 MiB and 5 seconds. One revision is never halved.
    #[must_use]
    pub const fn with_checkpoint(mut self, bytes: u64, time: Duration) -> Self {
        self.checkpoint = Checkpoint { bytes, time };
        self
    }

    /// Drops changesets that the server does not have any more; without this they are kept.
    #[must_use]
    pub const fn with_missing_dropped(mut self, is_dropped: bool) -> Self {
        self.drops_missing = is_dropped;
        self
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
    /// Manifests that the changesets need of which the texts have come.
    pub manifests_total: u64,
    /// Revisions of files that have come.
    pub files: u64,
    /// Revisions of files that the changesets need of which the manifests have come.
    pub files_total: u64,
    /// Bytes of texts and deltas that have come.
    pub bytes: u64,
    /// Changesets of the mirror that the server does not have any more. They are kept.
    pub gone: u64,
    /// Changesets that were dropped because the server does not have them any more.
    pub dropped: u64,
    /// Revisions that a repair found whole in the damaged mirror.
    pub kept: u64,
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

pub(super) struct Fetch<'a> {
    pub(super) writer: &'a mut MirrorWriter,
    client: &'a Client,
    /// What a repair need not fetch.
    salvage: Option<&'a Salvage>,
    progress: &'a mut dyn FnMut(Stage, Fetched),
    done: Fetched,
    /// A fetch before this one has stored some files of the first batch.
    is_begun: bool,
    /// Changesets that the server does not have any more.
    gone: HashSet<Node>,
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
    /// What the server has no more stays in the mirror; see [`gone`](Self::gone).
    ///
    /// # Errors
    /// See [`FetchError`]. The mirror is usable as far as it came, and the next call goes on there.
    pub fn fetch(
        &mut self,
        client: &Client,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<Fetched> {
        self.fetch_with(client, FetchOptions::default(), progress)
    }

    /// As [`fetch`](Self::fetch), with options.
    ///
    /// # Errors
    /// See [`FetchError`]. The mirror is usable as far as it came, and the next call goes on there.
    pub fn fetch_with(
        &mut self,
        client: &Client,
        options: FetchOptions,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<Fetched> {
        self.checkpoint = options.checkpoint;
        self.forget_uncommitted()?;
        let mut fetch = Fetch::new(self, client, None, progress);
        let result = fetch.run();
        let mut done = fetch.done;
        if let Err(error) = result {
            // What has come by then is good, and need not come again. If that cannot be saved, the
            // reason is the same, or the next fetch will meet it.
            let _ = self.commit(false);
            return Err(error);
        }
        if options.drops_missing && !self.gone.is_empty() {
            done.dropped = self.drop_gone(client, progress)?;
            done.gone = 0;
        }
        Ok(done)
    }

    /// Mends the mirror in this directory, whatever is damaged or missing in it, and brings it up to
    /// date: makes it anew from what is whole, and fetches the rest. Until that is done it stays as
    /// it is.
    ///
    /// # Errors
    /// See [`FetchError`]; [`FetchError::Missing`] also for what is damaged here and not on the
    /// server any more, unless that is to be dropped.
    pub fn repair(
        directory: impl AsRef<Path>,
        client: &Client,
        options: FetchOptions,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<(Self, Fetched)> {
        let directory = directory.as_ref();
        prepare(directory)?;
        let lock = lock(directory)?;
        let salvage = Salvage::open(directory)?;
        let generation = salvage.generation.wrapping_add(1);
        let mut writer = Self::detached(directory, lock, generation)?;
        writer.checkpoint = options.checkpoint;
        if let Some(state) = &salvage.state {
            writer.state.url.clone_from(&state.url);
        }
        let mut fetch = Fetch::new(&mut writer, client, Some(&salvage), progress);
        fetch.rebuild(&salvage, options.drops_missing)?;
        let done = fetch.done;
        writer.attach()?;
        Ok((writer, done))
    }

    /// Makes the mirror anew without what the server does not have any more.
    fn drop_gone(
        &mut self,
        client: &Client,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<u64> {
        let dropped: HashSet<Node> = std::mem::take(&mut self.gone).into_iter().collect();
        let salvage = Salvage::open(&self.directory)?;
        let all = self.index.changesets.iter().map(|stored| stored.node);
        let order: Vec<Node> = all.filter(|node| !dropped.contains(node)).collect();
        let generation = self.state.generation.wrapping_add(1);
        let mut writer = Self::detached(&self.directory, self.lock(), generation)?;
        writer.checkpoint = self.checkpoint;
        let mut fetch = Fetch::new(&mut writer, client, Some(&salvage), progress);
        fetch.done.total = u64::try_from(order.len()).unwrap_or(u64::MAX);
        fetch.batches(&order)?;
        let state = &mut writer.state;
        state.url.clone_from(&self.state.url);
        state.bookmarks.clone_from(&self.state.bookmarks);
        state.drafts.clone_from(&self.state.drafts);
        state.is_publishing = self.state.is_publishing;
        state.bookmarks.retain(|_, node| !dropped.contains(node));
        state.drafts.retain(|node| !dropped.contains(node));
        writer.attach()?;
        *self = writer;
        Ok(u64::try_from(dropped.len()).unwrap_or(u64::MAX))
    }

    /// Changesets without children, of those that are whole.
    fn heads(&self) -> Vec<Node> {
        let whole = self.changesets();
        let all = || self.index.changesets.iter().take(whole);
        let parents: HashSet<Node> = all().flat_map(|stored| stored.parents).collect();
        let nodes = all().map(|stored| stored.node);
        nodes.filter(|node| !parents.contains(node)).collect()
    }

    /// Of the changesets that are whole and not gone those without such children.
    fn common_heads(&self, gone: &[Node]) -> Vec<Node> {
        let gone: HashSet<&Node> = gone.iter().collect();
        let whole = self.index.changesets.iter().take(self.changesets());
        let common = || whole.clone().filter(|stored| !gone.contains(&stored.node));
        let parents: HashSet<Node> = common().flat_map(|stored| stored.parents).collect();
        let nodes = common().map(|stored| stored.node);
        nodes.filter(|node| !parents.contains(node)).collect()
    }

    /// Whether a bookmark may be there: a changeset of the mirror, or none at all.
    pub(super) fn has_place(&self, node: &Node) -> bool {
        node.is_null() || self.index.number(node).is_some()
    }

    /// The text of a manifest, empty for the null one.
    fn manifest(&self, node: &Node) -> Result<Vec<u8>> {
        if node.is_null() {
            return Ok(Vec::new());
        }
        let missing = FetchError::Missing {
            path: Vec::new(),
            node: *node,
        };
        let text = self.text(None, node)?.ok_or(missing)?;
        Ok(text.read_all().map_err(Error::Storage)?)
    }

    /// What is read of a changeset's text, which was stored.
    fn changeset<T>(
        &self,
        stored: &Stored,
        parse: impl Fn(&[u8]) -> std::result::Result<T, ChangesetError>,
    ) -> Result<T> {
        let text = self.reader.bytes(stored)?;
        let node = stored.node;
        Ok(parse(&text).map_err(|error| Error::Changeset { node, error })?)
    }

    /// The manifest of a changeset's first parent.
    fn manifest_of(&self, parents: &[Node; 2]) -> Result<Node> {
        let [p1, _] = parents;
        let number = self.index.number(p1);
        match number.and_then(|number| self.index.changeset(number)) {
            Some(stored) => self.changeset(stored, Changeset::parse_manifest),
            None => Ok(Node::NULL),
        }
    }

    /// The files that a changeset brings and its first parent does not have, of which the mirror has
    /// no revision yet; and whether it removes any.
    fn brought(
        &self,
        stored: &Stored,
        changeset: &Changeset,
        mut found: impl FnMut(&[u8], Node),
    ) -> Result<bool> {
        // In this order, since the text that was read last is at hand, and the second one is mostly a
        // delta to it.
        let base = self.manifest(&self.manifest_of(&stored.parents)?)?;
        let text = self.manifest(&changeset.manifest)?;
        let wrong = |error| {
            let node = changeset.manifest;
            FetchError::Client(Error::Manifest { node, error })
        };
        let mut is_any = false;
        for entry in Manifest::new(&text).added_to(Manifest::new(&base)) {
            let entry = entry.map_err(wrong)?;
            if !self.index.has_file(entry.path, &entry.node) {
                is_any = true;
                found(entry.path, entry.node);
            }
        }
        // Looked at only where something is to be asked for.
        let mut is_removing = false;
        for path in changeset.files.iter().filter(|_| is_any) {
            is_removing |= Manifest::new(&text).find(path).map_err(wrong)?.is_none();
        }
        Ok(is_removing)
    }

    /// Whether all that these changesets bring is there; the first thing that is not.
    pub(super) fn check_whole(&self, from: u32) -> Result<()> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        for stored in self.index.changesets.iter().skip(from) {
            let changeset = self.changeset(stored, Changeset::parse)?;
            let mut missing = None;
            self.brought(stored, &changeset, |path, node| {
                missing.get_or_insert((path.to_vec(), node));
            })?;
            if let Some((path, node)) = missing {
                return Err(FetchError::Missing { path, node });
            }
        }
        Ok(())
    }
}

impl<'a> Fetch<'a> {
    fn new(
        writer: &'a mut MirrorWriter,
        client: &'a Client,
        salvage: Option<&'a Salvage>,
        progress: &'a mut dyn FnMut(Stage, Fetched),
    ) -> Self {
        Self {
            writer,
            client,
            salvage,
            progress,
            done: Fetched::default(),
            is_begun: false,
            gone: HashSet::new(),
        }
    }

    fn tell(&mut self, stage: Stage) {
        (self.progress)(stage, self.done);
    }

    fn run(&mut self) -> Result<()> {
        let ours = self.writer.heads();
        let found = self.client.discover(&ours)?;
        if !ours.is_empty() && !found.known.contains(&true) {
            // Heads may be gone from the server; where it all began may not.
            let first = self.writer.index.changeset(0).map(|stored| stored.node);
            let first = first.unwrap_or_default();
            if !self.client.known(&[first])?.contains(&true) {
                return Err(FetchError::Unrelated);
            }
        }
        let gone = self.gone(&ours, &found.known)?;
        let roots = self.writer.common_heads(&gone);
        let url = self.client.http().url().to_owned();
        let (mut drafts, is_publishing) = (found.draft_roots, found.is_publishing);
        // What the server has no more it says nothing of: drafts stay drafts.
        let old = super::drafts(&self.writer.index, &self.writer.state);
        let is_draft = |node: &&Node| {
            let number = self.writer.index.number(node);
            let number = number.and_then(|number| usize::try_from(number).ok());
            number.is_some_and(|number| old.get(number) == Some(&true))
        };
        drafts.extend(gone.iter().filter(is_draft));
        self.done.gone = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        self.writer.gone = gone;
        // What is drafts must be known before the first of them counts.
        let old = self.writer.state.bookmarks.clone();
        self.writer
            .set_state(&url, old, drafts.clone(), is_publishing);
        let mut heads = found.heads;
        let whole = self.writer.state.whole.changesets;
        let index = &self.writer.index;
        heads.retain(|head| index.number(head).is_none_or(|number| number >= whole));
        if heads.is_empty() {
            self.drop_pending(&[])?;
        } else {
            let new = self.nodes(Specifier::Range { roots, heads })?;
            let order = self.drop_pending(&new)?;
            self.done.total = u64::try_from(order.len()).unwrap_or(u64::MAX);
            self.batches(&order)?;
        }
        let mut bookmarks = found.bookmarks;
        bookmarks.retain(|_, node| self.writer.has_place(node));
        self.writer
            .set_state(&url, bookmarks, drafts, is_publishing);
        Ok(self.writer.commit(true)?)
    }

    /// Makes all anew that the server has or that is whole in the mirror.
    fn rebuild(&mut self, salvage: &Salvage, drops_missing: bool) -> Result<()> {
        let found = self.client.discover(&[])?;
        let fields = ChangesetFields {
            parents: true,
            ..ChangesetFields::default()
        };
        let mut on_server = Vec::new();
        if !found.heads.is_empty() {
            let range = Specifier::Range {
                roots: Vec::new(),
                heads: found.heads,
            };
            for data in self.client.changesets(&[range], fields)? {
                let data = data?;
                let parents = data.parents.ok_or(Error::Answer {
                    command: "changesetdata",
                    expected: "parents",
                })?;
                on_server.push((data.node, parents));
            }
        }
        let mut parents: HashMap<Node, [Node; 2]> = on_server.iter().copied().collect();
        let is_related = salvage.changesets.is_empty()
            || salvage
                .changesets
                .iter()
                .any(|stored| parents.contains_key(&stored.node));
        if !is_related {
            return Err(FetchError::Unrelated);
        }
        let here: Vec<Node> = salvage
            .changesets
            .iter()
            .filter(|stored| !drops_missing || parents.contains_key(&stored.node))
            .map(|stored| stored.node)
            .collect();
        let gone = here.iter().filter(|node| !parents.contains_key(node));
        let gone: Vec<Node> = gone.copied().collect();
        self.gone = gone.iter().copied().collect();
        for stored in &salvage.changesets {
            parents.entry(stored.node).or_insert(stored.parents);
        }
        let all = here
            .into_iter()
            .chain(on_server.iter().map(|(node, _)| *node));
        let order = in_order(all, &parents)?;
        self.done.total = u64::try_from(order.len()).unwrap_or(u64::MAX);
        self.batches(&order)?;
        let url = self.client.http().url().to_owned();
        let mut drafts = found.draft_roots;
        if let Some(state) = &salvage.state {
            drafts.extend(state.drafts.iter().filter(|node| gone.contains(node)));
        }
        let mut bookmarks = found.bookmarks;
        bookmarks.retain(|_, node| self.writer.has_place(node));
        self.writer
            .set_state(&url, bookmarks, drafts, found.is_publishing);
        self.done.gone = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        self.writer.gone = gone;
        Ok(())
    }

    /// The changesets of the mirror that the server does not have any more.
    fn gone(&mut self, heads: &[Node], known: &[bool]) -> Result<Vec<Node>> {
        let index = &self.writer.index;
        let at = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        // Of each changeset whether the server has it; none: that is not known yet.
        let mut known_here: Vec<Option<bool>> = vec![None; index.changesets.len()];
        // Those that may be gone: ancestors of heads that are.
        let mut may_be_gone = vec![false; index.changesets.len()];
        for (node, is_known) in heads.iter().zip(known) {
            let number = index.number(node).map_or(usize::MAX, at);
            if let (Some(known), Some(may_be)) =
                (known_here.get_mut(number), may_be_gone.get_mut(number))
            {
                (*known, *may_be) = (Some(*is_known), !*is_known);
            }
        }
        let mut chunk = 100;
        loop {
            let mut asked = Vec::new();
            for (number, stored) in index.changesets.iter().enumerate().rev() {
                let state = known_here.get(number).copied().flatten();
                let is_wanted = may_be_gone.get(number) == Some(&true);
                if state.is_none() && is_wanted && asked.len() < chunk {
                    asked.push((number, stored.node));
                }
                for parent in stored.parents.iter().filter_map(|p| index.number(p)) {
                    if state == Some(true) {
                        if let Some(known) = known_here.get_mut(at(parent)) {
                            *known = Some(true);
                        }
                    } else if is_wanted && let Some(may_be) = may_be_gone.get_mut(at(parent)) {
                        *may_be = true;
                    }
                }
            }
            if asked.is_empty() {
                break;
            }
            let nodes: Vec<Node> = asked.iter().map(|(_, node)| *node).collect();
            let known = self.client.known(&nodes)?;
            for ((number, _), is_known) in asked.into_iter().zip(known) {
                if let Some(known) = known_here.get_mut(number) {
                    *known = Some(is_known);
                }
            }
            chunk = (chunk * 4).min(10_000);
        }
        let all = index.changesets.iter().zip(&known_here);
        Ok(all
            .filter(|(_, known)| **known == Some(false))
            .map(|(stored, _)| stored.node)
            .collect())
    }

    /// What is new on the server, by name.
    fn nodes(&mut self, range: Specifier) -> Result<Vec<Node>> {
        let fields = ChangesetFields::default();
        let changesets = self.client.changesets(&[range], fields)?;
        let mut nodes = Vec::new();
        for data in changesets {
            let node = data?.node;
            let number = self.writer.index.number(&node);
            if number.is_none_or(|number| number >= self.writer.state.whole.changesets) {
                nodes.push(node);
            }
        }
        Ok(nodes)
    }

    /// Forgets what an earlier fetch has begun, if that is not what is wanted now. Gives what is
    /// wanted, with what was begun at its front.
    fn drop_pending(&mut self, wanted: &[Node]) -> Result<Vec<Node>> {
        let Extent { changesets, .. } = self.writer.state.whole;
        let whole = usize::try_from(changesets).unwrap_or(usize::MAX);
        let index = &self.writer.index;
        let begun = index.changesets.iter().skip(whole);
        let begun: Vec<Node> = begun.map(|stored| stored.node).collect();
        let all: HashSet<&Node> = wanted.iter().collect();
        if !begun.iter().all(|node| all.contains(node)) {
            self.writer.forget_pending()?;
            return Ok(wanted.to_vec());
        }
        self.is_begun = index.has_files_from(changesets);
        let is_begun: HashSet<&Node> = begun.iter().collect();
        let rest = wanted.iter().filter(|node| !is_begun.contains(node));
        Ok(begun.iter().chain(rest).copied().collect())
    }

    /// Fetches these changesets with all that is theirs. All that they come from is there.
    fn batches(&mut self, order: &[Node]) -> Result<()> {
        for batch in order.chunks(BATCH) {
            self.batch(batch)?;
            self.writer.commit(true)?;
            self.done.complete += u64::try_from(batch.len()).unwrap_or(0);
            self.tell(Stage::Files);
        }
        Ok(())
    }

    fn batch(&mut self, batch: &[Node]) -> Result<()> {
        self.changesets(batch)?;
        let mut pending = Vec::with_capacity(batch.len());
        for node in batch {
            let number = self.writer.index.number(node);
            let stored = number.and_then(|number| self.writer.index.changeset(number));
            let stored = stored.cloned().ok_or_else(|| FetchError::Missing {
                path: Vec::new(),
                node: *node,
            })?;
            pending.push(Pending {
                changeset: self.writer.changeset(&stored, Changeset::parse)?,
                stored,
            });
        }
        self.manifests(&pending)?;
        self.files(&pending)
    }

    fn changesets(&mut self, batch: &[Node]) -> Result<()> {
        let index = &self.writer.index;
        let wanted: Vec<Node> = batch
            .iter()
            .filter(|node| index.number(node).is_none())
            .copied()
            .collect();
        self.done.changesets += u64::try_from(batch.len() - wanted.len()).unwrap_or(0);
        // Those that wait for one that comes before them.
        let mut waiting: HashMap<Node, ([Node; 2], Vec<u8>)> = HashMap::new();
        let mut rest = Vec::new();
        for node in &wanted {
            match self.salvage.and_then(|salvage| salvage.changeset(node)) {
                Some(found) => {
                    self.done.kept += 1;
                    waiting.insert(*node, found);
                }
                None => rest.push(*node),
            }
        }
        let mut next = wanted.iter().peekable();
        let fields = ChangesetFields {
            parents: true,
            revision: true,
            ..ChangesetFields::default()
        };
        if !rest.is_empty() {
            if let Some(node) = rest.iter().find(|node| self.gone.contains(node)) {
                return Err(FetchError::Lost(*node));
            }
            for data in self
                .client
                .changesets(&[Specifier::Explicit(rest)], fields)?
            {
                let data = data?;
                let wrong = |expected| Error::Answer {
                    command: "changesetdata",
                    expected,
                };
                let text = data.text.ok_or_else(|| wrong("revision"))?;
                let parents = data.parents.ok_or_else(|| wrong("parents"))?;
                waiting.insert(data.node, (parents, text));
                while let Some(node) = next.next_if(|node| waiting.contains_key(node)) {
                    self.add_changeset(*node, waiting.remove(node).unwrap_or_default())?;
                }
            }
        }
        while let Some(node) = next.next_if(|node| waiting.contains_key(node)) {
            self.add_changeset(*node, waiting.remove(node).unwrap_or_default())?;
        }
        Ok(())
    }

    fn add_changeset(&mut self, node: Node, found: ([Node; 2], Vec<u8>)) -> Result<()> {
        let (parents, text) = found;
        self.writer.add_changeset(node, parents, &text)?;
        self.done.changesets += 1;
        self.done.bytes += u64::try_from(text.len()).unwrap_or(0);
        self.tell(Stage::Changesets);
        Ok(())
    }

    /// Stores a revision of a manifest, or of a file, that a repair found whole; whether it did.
    fn salvage(&mut self, path: Option<&[u8]>, node: Node, linked: u32) -> Result<bool> {
        let Some(salvage) = self.salvage else {
            return Ok(false);
        };
        let Some(stored) = salvage.revision(path, &node) else {
            return Ok(false);
        };
        let parents = stored.parents;
        let key = path.map(|path| self.writer.path(path)).transpose()?;
        let keep = |writer: &mut MirrorWriter, form, bytes: &mut dyn std::io::Read| {
            let arriving = Arriving {
                node,
                parents,
                form,
                bytes,
            };
            let kept = match writer.store(arriving, key, linked) {
                Ok(()) => true,
                // It is not whole: the server is asked for it.
                Err(FetchError::Client(Error::Storage(error))) => {
                    return Err(FetchError::Client(Error::Storage(error)));
                }
                Err(FetchError::Client(_)) => false,
                Err(FetchError::Mirror(error)) if error.is_damage() => false,
                Err(error) => return Err(error),
            };
            Ok(kept)
        };
        let base = stored.base;
        let has_base = base.is_some_and(|base| self.writer.index.revision(key, &base).is_some());
        let is_kept = if stored.place == Place::Large {
            match salvage.large(stored) {
                // It is read from the file that it is written to in the end, which is replaced.
                Some(mut file) => keep(self.writer, Form::None, &mut file)?,
                None => false,
            }
        } else if let (true, Some(base)) = (has_base, base) {
            match salvage.bytes(stored) {
                Some(delta) => {
                    let form = Form::Delta(base, stored.stored);
                    keep(self.writer, form, &mut &delta[..])?
                }
                None => false,
            }
        } else {
            match salvage.text(path, stored) {
                Some(text) => keep(self.writer, Form::None, &mut &text[..])?,
                None => false,
            }
        };
        self.done.kept += u64::from(is_kept);
        Ok(is_kept)
    }

    /// What a changeset needs can only be asked for if the server has it.
    fn check_on_server(&self, one: &Pending) -> Result<()> {
        let node = one.stored.node;
        match self.gone.contains(&node) {
            true => Err(FetchError::Lost(node)),
            false => Ok(()),
        }
    }

    // --- manifests ---

    fn manifests(&mut self, pending: &[Pending]) -> Result<()> {
        let mut linked = HashMap::new();
        let mut wanted = Vec::new();
        for one in pending {
            let node = one.changeset.manifest;
            let is_there = self.writer.index.revision(None, &node).is_some();
            if node.is_null() || is_there || linked.contains_key(&node) {
                continue;
            }
            self.done.manifests_total += 1;
            if self.salvage(None, node, one.stored.linked)? {
                self.done.manifests += 1;
                self.tell(Stage::Manifests);
                continue;
            }
            self.check_on_server(one)?;
            linked.insert(node, one.stored.linked);
            wanted.push(node);
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
                self.done.bytes += incoming.info.form.bytes();
                self.writer.receive(incoming, None, linked)?;
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
        // The changesets whose files can be asked for all at once, and the files of the others (H-06).
        let (mut plain, mut removing) = (Vec::new(), HashMap::new());
        for one in pending {
            let mut brought = Vec::new();
            let is_removing = self
                .writer
                .brought(&one.stored, &one.changeset, |path, node| {
                    brought.push((path.to_vec(), node));
                })?;
            let mut is_any = false;
            for (path, node) in brought {
                let linked = one.stored.linked;
                let revision = (path, node);
                if wanted.contains_key(&revision) {
                    continue;
                }
                self.done.files_total += 1;
                if self.salvage(Some(&revision.0), node, linked)? {
                    self.done.files += 1;
                    self.tell(Stage::Files);
                    continue;
                }
                self.check_on_server(one)?;
                is_any = true;
                if is_removing {
                    removing.insert(revision.clone(), linked);
                }
                wanted.insert(revision, linked);
            }
            if is_any && !is_removing {
                plain.push(one.stored.node);
            }
        }
        // Where some of what changesets touch is here, the rest is asked for by name.
        if !std::mem::take(&mut self.is_begun) && self.salvage.is_none() {
            // Those that stand for themselves first: the others may be deltas to them.
            self.by_name(&removing, false)?;
            let fields = RevisionFields {
                have_parents: true,
                ..RevisionFields::TEXT
            };
            self.filesdata(&plain, fields, &PathFilter::default(), &wanted)?;
        }
        for have_parents in [true, false] {
            self.by_name(&wanted, have_parents)?;
        }
        let missing = |(path, node): &&Wanted| !self.writer.index.has_file(path, node);
        match wanted.keys().find(missing) {
            None => Ok(()),
            Some((path, node)) => Err(FetchError::Missing {
                path: path.clone(),
                node: *node,
            }),
        }
    }

    /// Asks for the files of changesets.
    fn filesdata(
        &mut self,
        changesets: &[Node],
        fields: RevisionFields,
        filter: &PathFilter,
        wanted: &HashMap<Wanted, u32>,
    ) -> Result<()> {
        for nodes in changesets.chunks(self.client.batch_size("filesdata")) {
            let specifier = Specifier::Explicit(nodes.to_vec());
            let mut files = self.client.files(&[specifier], fields, filter)?;
            while let Some((path, _)) = files.next_file()? {
                let mut revision = (path, Node::NULL);
                while let Some(incoming) = files.next_revision()? {
                    self.receive(incoming, &mut revision, wanted)?;
                }
            }
        }
        Ok(())
    }

    /// Asks for those revisions by name that are not there, see [`named`](Self::named); or with their
    /// changesets where the server fails at that (H-11).
    fn by_name(&mut self, wanted: &HashMap<Wanted, u32>, have_parents: bool) -> Result<()> {
        match self.named(wanted, have_parents) {
            Err(FetchError::Client(Error::Http(http::Error::Server(_)))) => {
                self.with_changesets(wanted)
            }
            result => result,
        }
    }

    /// Asks for those revisions that are not there with the changesets that bring them, as whole
    /// texts.
    fn with_changesets(&mut self, wanted: &HashMap<Wanted, u32>) -> Result<()> {
        let mut missing: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for ((path, node), linked) in wanted {
            if !self.writer.index.has_file(path, node) {
                missing.entry(path).or_default().push(*linked);
            }
        }
        let missing: Vec<_> = missing.into_iter().collect();
        for files in missing.chunks(PATTERNS) {
            let linked: BTreeSet<u32> = files
                .iter()
                .flat_map(|(_, linked)| linked)
                .copied()
                .collect();
            let nodes = linked
                .iter()
                .filter_map(|n| self.writer.index.changeset(*n));
            let nodes: Vec<Node> = nodes.map(|stored| stored.node).collect();
            let include = files
                .iter()
                .map(|(path, _)| PathPattern::Path(path.to_vec()));
            let filter = PathFilter {
                include: include.collect(),
                ..PathFilter::default()
            };
            self.filesdata(&nodes, RevisionFields::TEXT, &filter, wanted)?;
        }
        Ok(())
    }

    /// Asks for those revisions by name that are not there; with `have_parents` as deltas to others
    /// that are, or that come before them.
    fn named(&mut self, wanted: &HashMap<Wanted, u32>, have_parents: bool) -> Result<()> {
        let mut missing: BTreeMap<&[u8], Vec<(u32, Node)>> = BTreeMap::new();
        for ((path, node), linked) in wanted {
            if !self.writer.index.has_file(path, node) {
                missing.entry(path).or_default().push((*linked, *node));
            }
        }
        let missing: Vec<_> = missing
            .into_iter()
            .map(|(path, mut nodes)| {
                nodes.sort_unstable();
                let nodes: Vec<Node> = nodes.into_iter().map(|(_, node)| node).collect();
                (path, nodes)
            })
            .collect();
        let fields = RevisionFields {
            have_parents,
            ..RevisionFields::TEXT
        };
        for files in missing.chunks(FILES) {
            let asked = files.iter().map(|(path, nodes)| (*path, &nodes[..]));
            let answers = self.client.many_files(asked, fields)?;
            for ((path, _), revisions) in files.iter().zip(answers) {
                let (mut revisions, mut revision) = (revisions?, (path.to_vec(), Node::NULL));
                while let Some(incoming) = revisions.next()? {
                    self.receive(incoming, &mut revision, wanted)?;
                }
            }
        }
        Ok(())
    }

    /// Stores a revision of a file that is wanted and can be. One that comes as a delta to another that
    /// is not here yet is asked for again.
    fn receive(
        &mut self,
        incoming: Incoming<'_>,
        revision: &mut Wanted,
        wanted: &HashMap<Wanted, u32>,
    ) -> Result<()> {
        revision.1 = incoming.info.node;
        let Some(&linked) = wanted.get(revision) else {
            return Ok(());
        };
        let key = self.writer.path(&revision.0)?;
        if let Form::Delta(base, _) = incoming.info.form
            && !base.is_null()
            && self.writer.index.revision(Some(key), &base).is_none()
        {
            return Ok(());
        }
        self.done.bytes += incoming.info.form.bytes();
        let is_new = self.writer.index.revision(Some(key), &revision.1).is_none();
        self.writer.receive(incoming, Some(key), linked)?;
        self.done.files += u64::from(is_new);
        self.tell(Stage::Files);
        Ok(())
    }
}

impl MirrorWriter {
    /// Stores a changeset whose hash is right and whose parents are there.
    pub(super) fn add_changeset(
        &mut self,
        node: Node,
        parents: [Node; 2],
        text: &[u8],
    ) -> Result<()> {
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let stored = Stored {
            node,
            parents,
            linked: self.index.len(),
            place: self.append(text)?,
            stored: len,
            len,
            base: None,
        };
        self.add(Record::Changeset(stored))?;
        Ok(self.count(len)?)
    }
}

/// Changesets with their parents before them, otherwise as they come, each once.
fn in_order(
    all: impl IntoIterator<Item = Node>,
    parents: &HashMap<Node, [Node; 2]>,
) -> Result<Vec<Node>> {
    let mut order = Vec::new();
    let mut seen = HashSet::from([Node::NULL]);
    for node in all {
        let mut stack = vec![node];
        while let Some(node) = stack.last().copied() {
            if seen.contains(&node) {
                stack.pop();
                continue;
            }
            let missing = FetchError::Missing {
                path: Vec::new(),
                node,
            };
            let parents = parents.get(&node).ok_or(missing)?;
            let before = stack.len();
            stack.extend(parents.iter().filter(|parent| !seen.contains(parent)));
            if stack.len() == before {
                seen.insert(node);
                order.push(node);
                stack.pop();
            }
        }
    }
    Ok(order)
}
