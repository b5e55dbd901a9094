//! What a repository is to those that serve it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use super::{Changeset, Node};

/// How far a changeset has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It was published, and stays as it is.
    #[default]
    Public,
    /// It may still be changed.
    Draft,
    /// It is not given to anybody.
    Secret,
}

impl Phase {
    /// The phase's name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Draft => "draft",
            Self::Secret => "secret",
        }
    }

    /// The phase of this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Public, Self::Draft, Self::Secret]
            .into_iter()
            .find(|phase| phase.name().as_bytes() == name)
    }
}

/// Whose revisions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log<'a> {
    /// Manifests of the root.
    Manifest,
    /// The file of this path.
    File(&'a [u8]),
}

/// A revision of a manifest or a file, apart from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The revisions that it was made from; null where there is none.
    pub parents: [Node; 2],
    /// The number of the first changeset that has it.
    pub linked: u32,
}

/// A text that was made by changing another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelta {
    /// The revision of the same log that it changes.
    pub base: Node,
    /// The [`Delta`](super::Delta).
    pub bytes: Vec<u8>,
}

/// A text of known length that is read as it is used, so that it may be larger than memory.
pub struct Text {
    len: u64,
    reader: Box<dyn Read + Send>,
}

impl Text {
    /// The text that this reader gives, which must have this length.
    pub fn new(len: u64, reader: impl Read + Send + 'static) -> Self {
        Self {
            len,
            reader: Box::new(reader),
        }
    }

    /// Bytes of the whole text.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no text.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of the text.
    ///
    /// # Errors
    /// What reading gives; a text of another length than was said.
    pub fn read_all(mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.reader.read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|len| len == self.len) {
            Ok(text)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Self {
        let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Self::new(len, io::Cursor::new(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("len", &self.len).finish()
    }
}

/// A repository that can be served; see [`Commands`](super::Commands).
///
/// Changesets have numbers from 0, parents before their children. What is there stays: a repository
/// may only grow while it is served, and a changeset comes after its manifest and its files.
///
/// Errors are those of the storage; what a client asks for and is not there is no error.
pub trait Repository: Send + Sync {
    /// How many changesets there are.
    fn len(&self) -> u32;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changeset with this number; null if there is none.
    fn node(&self, number: u32) -> Node;

    /// The number of a changeset.
    fn number(&self, node: &Node) -> Option<u32>;

    /// The numbers of a changeset's parents.
    fn parents(&self, number: u32) -> [Option<u32>; 2];

    /// A changeset's phase.
    fn phase(&self, number: u32) -> Phase;

    /// A changeset's text.
    ///
    /// # Errors
    /// The storage's.
    fn changeset(&self, number: u32) -> io::Result<Vec<u8>>;

    /// The branch that a changeset is on.
    ///
    /// # Errors
    /// The storage's; a malformed text.
    fn branch(&self, number: u32) -> io::Result<Vec<u8>> {
        let changeset = Changeset::parse(&self.changeset(number)?).map_err(malformed)?;
        Ok(changeset.branch().to_vec())
    }

    /// Bookmarks and the changesets that they are at.
    fn bookmarks(&self) -> BTreeMap<Vec<u8>, Node>;

    /// Whether all changesets are public to those that pull them.
    fn is_publishing(&self) -> bool {
        false
    }

    /// Whether there is any revision of this file, or of any manifest.
    fn has_log(&self, log: Log<'_>) -> bool;

    /// A revision; `None` if there is none.
    ///
    /// # Errors
    /// The storage's.
    fn revision(&self, log: Log<'_>, node: &Node) -> io::Result<Option<Revision>>;

    /// A revision's text.
    ///
    /// # Errors
    /// The storage's; the revision is not there.
    fn text(&self, log: Log<'_>, node: &Node) -> io::Result<Text>;

    /// The delta that a revision is stored as, if it is, so that it can be sent as it is.
    ///
    /// # Errors
    /// The storage's.
    fn delta(&self, log: Log<'_>, node: &Node) -> io::Result<Option<StoredDelta>> {
        let _ = (log, node);
        Ok(None)
    }

    /// Sets a key from an old to a new value, empty ones standing for no value; whether that was
    /// done. Clients use it to move bookmarks. Without it nothing can be set.
    ///
    /// # Errors
    /// The storage's.
    fn push_key(&self, namespace: &[u8], key: &[u8], old: &[u8], new: &[u8]) -> io::Result<bool> {
        let _ = (namespace, key, old, new);
        Ok(false)
    }
}

/// What is stored makes no sense.
pub(super) fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Where commands find the repository: each call asks for it once, so that it can be replaced by a
/// newer state of itself.
pub trait Source: Send + Sync + 'static {
    /// The repository as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    fn repository(&self) -> io::Result<std::sync::Arc<dyn Repository>>;
}

impl<R: Repository + 'static> Source for std::sync::Arc<R> {
    fn repository(&self) -> io::Result<std::sync::Arc<dyn Repository>> {
        Ok(Self::clone(self))
    }
}
