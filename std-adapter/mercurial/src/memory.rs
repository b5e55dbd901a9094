//! A repository in memory, for tests and small things.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::repository::malformed;
use super::{
    Changeset, ChangesetError, FileKind, Log, Manifest, ManifestEntry, ManifestError, Node, Phase,
    Repository, Revision, Text,
};

/// A repository in memory. It may grow while it is served.
#[derive(Debug, Default)]
pub struct MemoryRepository(RwLock<Inner>);

type Stored = (Revision, Vec<u8>);

/// A changeset, the numbers of its parents, its text.
type StoredChangeset = (Node, [Option<u32>; 2], Vec<u8>);

#[derive(Debug, Default)]
struct Inner {
    changesets: Vec<StoredChangeset>,
    numbers: HashMap<Node, u32>,
    drafts: HashSet<u32>,
    manifests: HashMap<Node, Stored>,
    files: BTreeMap<Vec<u8>, HashMap<Node, Stored>>,
    bookmarks: BTreeMap<Vec<u8>, Node>,
}

/// What a new changeset is made of; see [`MemoryRepository::commit`].
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its parents; null where there is none.
    pub parents: [Node; 2],
    /// Its user, time, extras and description. Manifest and files are filled in.
    pub about: Changeset,
    /// What it changes of its first parent's files: a file's text (see
    /// [`FileText`](super::FileText)) and kind, or its removal.
    pub changes: BTreeMap<Vec<u8>, Option<(Vec<u8>, FileKind)>>,
}

/// Why a commit is not possible.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// This parent is not there.
    UnknownParent(Node),
    /// A parent's text is malformed.
    Changeset(ChangesetError),
    /// A parent's manifest is malformed.
    Manifest(ManifestError),
    /// There are 2³² changesets already.
    Full,
}

impl std::fmt::Display for CommitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownParent(node) => write!(f, "the parent {node} is not there"),
            Self::Changeset(error) => error.fmt(f),
            Self::Manifest(error) => error.fmt(f),
            Self::Full => f.write_str("the repository has as many changesets as it can"),
        }
    }
}

impl std::error::Error for CommitError {}

type Files = BTreeMap<Vec<u8>, (Node, FileKind)>;

impl Inner {
    fn number(&self, node: Node) -> Result<Option<u32>, CommitError> {
        if node.is_null() {
            return Ok(None);
        }
        let number = self.numbers.get(&node).copied();
        number.map(Some).ok_or(CommitError::UnknownParent(node))
    }

    fn changeset(&self, number: u32) -> Option<&StoredChangeset> {
        self.changesets.get(usize::try_from(number).ok()?)
    }

    /// The manifest of a changeset, and the files in it.
    fn files(&self, number: Option<u32>) -> Result<(Node, Files), CommitError> {
        let Some((_, _, text)) = number.and_then(|number| self.changeset(number)) else {
            return Ok(Default::default());
        };
        let node = Changeset::parse_manifest(text).map_err(CommitError::Changeset)?;
        let text = self.manifests.get(&node).map_or(&[][..], |(_, text)| text);
        let files = Manifest::new(text).entries();
        let files = files.map(|entry| Ok((entry?.path.to_vec(), (entry?.node, entry?.kind))));
        Ok((
            node,
            files
                .collect::<Result<_, _>>()
                .map_err(CommitError::Manifest)?,
        ))
    }

    fn log(&self, log: Log<'_>) -> Option<&HashMap<Node, Stored>> {
        match log {
            Log::Manifest => Some(&self.manifests),
            Log::File(path) => self.files.get(path),
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<Node, CommitError> {
        let Commit {
            parents,
            mut about,
            changes,
        } = commit;
        let linked = u32::try_from(self.changesets.len()).map_err(|_| CommitError::Full)?;
        let [p1, p2] = parents.map(|parent| self.number(parent));
        let numbers = [p1?, p2?];
        let [first, second] = numbers.map(|number| self.files(number));
        let ((m1, mut files), (m2, others)) = (first?, second?);
        about.files = changes.keys().cloned().collect();
        for (path, change) in changes {
            let Some((text, kind)) = change else {
                files.remove(&path);
                continue;
            };
            let [a, b] = [&files, &others].map(|f| f.get(&path).map_or(Node::NULL, |f| f.0));
            let parents = if a == b { [a, Node::NULL] } else { [a, b] };
            let node = Node::of_revision(parents, &text);
            let revision = Revision { parents, linked };
            let log = self.files.entry(path.clone()).or_default();
            log.entry(node).or_insert((revision, text));
            files.insert(path, (node, kind));
        }
        let text = Manifest::emit(files.iter().map(|(path, &(node, kind))| ManifestEntry {
            path,
            node,
            kind,
        }));
        about.manifest = Node::NULL;
        if !text.is_empty() {
            about.manifest = Node::of_revision([m1, m2], &text);
            let parents = [m1, m2];
            let revision = Revision { parents, linked };
            let log = &mut self.manifests;
            log.entry(about.manifest).or_insert((revision, text));
        }
        let text = about.emit();
        let node = Node::of_revision(parents, &text);
        if let Entry::Vacant(entry) = self.numbers.entry(node) {
            entry.insert(linked);
            self.changesets.push((node, numbers, text));
        }
        Ok(node)
    }
}

impl MemoryRepository {
    /// An empty repository.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(|error| error.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(|error| error.into_inner())
    }

    /// Adds a changeset with its manifest and its files.
    ///
    /// # Errors
    /// A parent that is not there.
    pub fn commit(&self, commit: Commit) -> Result<Node, CommitError> {
        self.write().commit(commit)
    }

    /// Makes these changesets and all that come from them drafts.
    pub fn set_draft(&self, roots: impl IntoIterator<Item = Node>) {
        let inner = &mut *self.write();
        for root in roots {
            inner.drafts.extend(inner.numbers.get(&root));
        }
        for (number, (_, parents, _)) in (0..).zip(&inner.changesets) {
            if parents.iter().flatten().any(|p| inner.drafts.contains(p)) {
                inner.drafts.insert(number);
            }
        }
    }

    /// Puts a bookmark at a changeset.
    pub fn set_bookmark(&self, name: impl Into<Vec<u8>>, node: Node) {
        self.write().bookmarks.insert(name.into(), node);
    }
}

impl Repository for MemoryRepository {
    fn len(&self) -> u32 {
        u32::try_from(self.read().changesets.len()).unwrap_or(u32::MAX)
    }

    fn node(&self, number: u32) -> Node {
        let inner = self.read();
        inner
            .changeset(number)
            .map_or(Node::NULL, |(node, ..)| *node)
    }

    fn number(&self, node: &Node) -> Option<u32> {
        self.read().numbers.get(node).copied()
    }

    fn parents(&self, number: u32) -> [Option<u32>; 2] {
        let inner = self.read();
        inner
            .changeset(number)
            .map_or([None; 2], |(_, parents, _)| *parents)
    }

    fn phase(&self, number: u32) -> Phase {
        if self.read().drafts.contains(&number) {
            Phase::Draft
        } else {
            Phase::Public
        }
    }

    fn changeset(&self, number: u32) -> io::Result<Vec<u8>> {
        let inner = self.read();
        let (.., text) = inner.changeset(number).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone())
    }

    fn bookmarks(&self) -> BTreeMap<Vec<u8>, Node> {
        self.read().bookmarks.clone()
    }

    fn has_log(&self, log: Log<'_>) -> bool {
        self.read().log(log).is_some_and(|log| !log.is_empty())
    }

    fn revision(&self, log: Log<'_>, node: &Node) -> io::Result<Option<Revision>> {
        let inner = self.read();
        let stored = inner.log(log).and_then(|log| log.get(node));
        Ok(stored.map(|(revision, _)| *revision))
    }

    fn text(&self, log: Log<'_>, node: &Node) -> io::Result<Text> {
        let inner = self.read();
        let stored = inner.log(log).and_then(|log| log.get(node));
        let (_, text) = stored.ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into())
    }

    /// Moves bookmarks.
    fn push_key(&self, namespace: &[u8], key: &[u8], old: &[u8], new: &[u8]) -> io::Result<bool> {
        let inner = &mut *self.write();
        let now = inner.bookmarks.get(key).map(|node| node.to_hex());
        if namespace != b"bookmarks" || now.unwrap_or_default().as_bytes() != old {
            return Ok(false);
        }
        if new.is_empty() {
            inner.bookmarks.remove(key);
            return Ok(true);
        }
        let node = Node::from_hex(new).map_err(malformed)?;
        let is_known = inner.numbers.contains_key(&node);
        if is_known {
            inner.bookmarks.insert(key.to_vec(), node);
        }
        Ok(is_known)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;

    pub(crate) fn change(path: &str, text: &str) -> (Vec<u8>, Option<(Vec<u8>, FileKind)>) {
        (path.into(), Some((text.into(), FileKind::Plain)))
    }

    /// Five changesets, the second and third of which come from the first and are merged by the
    /// fourth; the third is on another branch, and the fifth removes a file.
    pub(crate) fn diamond() -> Arc<MemoryRepository> {
        let repository = MemoryRepository::new();
        let commit = |parents, branch: Option<&str>, text: &str, changes: Vec<_>| {
            let extras = branch.map(|branch| (b"branch".to_vec(), branch.into()));
            let about = Changeset {
                user: b"test".to_vec(),
                extras: extras.into_iter().collect(),
                description: text.into(),
                ..Changeset::default()
            };
            let changes = changes.into_iter().collect();
            repository
                .commit(Commit {
                    parents,
                    about,
                    changes,
                })
                .unwrap()
        };
        let null = Node::NULL;
        let a = commit(
            [null; 2],
            None,
            "a",
            vec![change("a", "1\n"), change("dir/b", "b\n")],
        );
        let b = commit([a, null], None, "b", vec![change("a", "1\n2\n")]);
        let c = commit([a, null], Some("stable"), "c", vec![change("dir/c", "c\n")]);
        let d = commit([b, c], None, "d", vec![change("dir/c", "c\n")]);
        commit([d, null], None, "e", vec![(b"dir/b".to_vec(), None)]);
        Arc::new(repository)
    }

    #[test]
    fn commits_are_as_mercurial_makes_them() {
        let repository = diamond();
        for number in 0..repository.len() {
            let text = repository.changeset(number).unwrap();
            let [p1, p2] = repository.parents(number);
            let parents = [p1, p2].map(|p| p.map_or(Node::NULL, |p| repository.node(p)));
            assert_eq!(repository.node(number), Node::of_revision(parents, &text));
            let changeset = Changeset::parse(&text).unwrap();
            let manifest = repository.text(Log::Manifest, &changeset.manifest).unwrap();
            for entry in Manifest::new(&manifest.read_all().unwrap()).entries() {
                let entry = entry.unwrap();
                let log = Log::File(entry.path);
                let Revision { parents, linked } =
                    repository.revision(log, &entry.node).unwrap().unwrap();
                let text = repository
                    .text(log, &entry.node)
                    .unwrap()
                    .read_all()
                    .unwrap();
                assert_eq!(Node::of_revision(parents, &text), entry.node);
                assert!(linked <= number);
            }
        }
    }

    #[test]
    fn bookmarks_move_from_where_they_are() {
        let repository = diamond();
        let [a, b] = [0, 1].map(|number| repository.node(number).to_hex());
        let push = |old: &str, new: &str| {
            repository
                .push_key(b"bookmarks", b"mark", old.as_bytes(), new.as_bytes())
                .unwrap()
        };
        assert!(push("", &a));
        assert!(!push("", &b));
        assert!(!push(&b, &a));
        assert!(push(&a, &b));
        assert!(!push(&b, &"7".repeat(40)));
        assert!(push(&b, ""));
        assert!(!repository.push_key(b"phases", b"x", b"", b"").unwrap());
        assert!(repository.bookmarks().is_empty());
    }
}
