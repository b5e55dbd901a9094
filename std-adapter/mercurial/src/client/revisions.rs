//! Revisions of manifests and files, as they come (http-v2.md, 5.5 to 5.7).

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};

use hgrpc_std::http::Bytes;
use hgrpc_std::value::Value;

use super::Error;
use super::answer::Answer;
use crate::values::{as_bytes, find, wanted};
use crate::{ApplyError, Node, NodeHasher, Text, apply};

/// Most bytes of a text that is gathered in memory: a changeset's, a manifest's.
pub(super) const LIMIT: usize = 256 << 20;

/// What is asked for of revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevisionFields {
    /// Parents.
    pub parents: bool,
    /// The changesets that they came with (files only).
    pub linknode: bool,
    /// Texts. Their hashes are verified, so parents are asked for too.
    pub revision: bool,
    /// The server may send deltas to parents that it does not send.
    pub have_parents: bool,
}

impl RevisionFields {
    /// Texts and parents.
    pub const TEXT: Self = Self {
        parents: true,
        linknode: false,
        revision: true,
        have_parents: false,
    };

    pub(super) fn to_value(self) -> Value {
        wanted([
            ("linknode", self.linknode),
            ("parents", self.parents || self.revision),
            ("revision", self.revision),
        ])
    }
}

/// How a revision's text comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It was not asked for.
    None,
    /// As it is, in so many bytes.
    Text(u64),
    /// As a delta to the text of this revision, in so many bytes.
    Delta(Node, u64),
}

impl Form {
    /// How many bytes come.
    pub(crate) const fn bytes(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Text(len) | Self::Delta(_, len) => len,
        }
    }
}

/// A revision as the server tells of it, apart from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevisionInfo {
    /// The revision.
    pub node: Node,
    /// Its parents, if they were asked for.
    pub parents: Option<[Node; 2]>,
    /// The changeset that it came with, if it was asked for.
    pub linknode: Option<Node>,
    /// How its text comes.
    pub form: Form,
}

/// A revision that is coming: its text can be read as it does, however large it is. What is not
/// read is passed over.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// All but the text.
    pub info: RevisionInfo,
    answer: &'a mut Answer,
}

impl<'a> Incoming<'a> {
    /// The bytes that come: the text or a delta, as [`Form`] says. Nothing is verified.
    ///
    /// # Errors
    /// Nothing comes; the transport's errors.
    pub fn into_bytes(self) -> Result<Bytes<'a>, Error> {
        match self.info.form {
            Form::None => Err(self.answer.wrong("revision")),
            Form::Text(_) | Form::Delta(..) => self.answer.bytes(),
        }
    }

    /// Writes the text somewhere, in constant memory, and verifies its hash; its length. `base` gives
    /// the text that a delta is to be applied to.
    ///
    /// # Errors
    /// A wrong hash, a bad delta, a missing base; the transport's and the storage's errors. What was
    /// written by then is of no use.
    pub fn write_to(
        self,
        base: impl FnOnce(&Node) -> io::Result<Option<Text>>,
        out: &mut dyn Write,
    ) -> Result<u64, Error> {
        let RevisionInfo {
            node,
            parents,
            form,
            ..
        } = self.info;
        let parents = parents.ok_or_else(|| self.answer.wrong("parents"))?;
        let bytes = self.into_bytes()?;
        let mut out = Verified::new(parents, out);
        let len = match form {
            Form::Delta(base_node, len) => {
                let base = find_base(base, node, base_node)?;
                out.apply(base, bytes.take(len), node)?
            }
            Form::Text(_) | Form::None => {
                let mut source = bytes;
                io::copy(&mut source, &mut out).map_err(local_or_remote)?
            }
        };
        if let Form::Text(announced) = form
            && announced != len
        {
            return Err(Error::Length { node });
        }
        out.finish(node)?;
        Ok(len)
    }
}

/// The text that a delta is applied to.
pub(crate) fn find_base(
    base: impl FnOnce(&Node) -> io::Result<Option<Text>>,
    node: Node,
    base_node: Node,
) -> Result<Text, Error> {
    if base_node.is_null() {
        return Ok(Text::from(Vec::new()));
    }
    let found = base(&base_node).map_err(Error::Storage)?;
    found.ok_or(Error::MissingBase {
        node,
        base: base_node,
    })
}

/// The transport's error if there is one inside; otherwise it is the storage's.
pub(crate) fn local_or_remote(error: io::Error) -> Error {
    match hgrpc_std::http::Error::from_io(error) {
        Ok(error) => Error::Http(error),
        Err(error) => Error::Storage(error),
    }
}

/// Writes a text and takes its hash.
pub(crate) struct Verified<'a> {
    hasher: NodeHasher,
    out: &'a mut dyn Write,
}

impl<'a> Verified<'a> {
    pub(crate) fn new(parents: [Node; 2], out: &'a mut dyn Write) -> Self {
        let hasher = NodeHasher::new(parents);
        Self { hasher, out }
    }

    /// Writes what a delta makes of its base.
    pub(crate) fn apply(
        &mut self,
        mut base: Text,
        mut delta: impl Read,
        node: Node,
    ) -> Result<u64, Error> {
        apply(&mut base, &mut delta, self).map_err(|error| match error {
            ApplyError::Delta(error) => Error::Delta { node, error },
            ApplyError::Read(error) => local_or_remote(error),
            ApplyError::Base(error) | ApplyError::Write(error) => Error::Storage(error),
        })
    }

    /// Compares the hash.
    pub(crate) fn finish(self, node: Node) -> Result<(), Error> {
        match self.hasher.finish() {
            found if found == node => Ok(()),
            found => Err(Error::Hash { node, found }),
        }
    }
}

impl Write for Verified<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..len).unwrap_or(bytes));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads what is told of the next revision; `None` if none is left.
fn next_incoming<'a>(
    answer: &'a mut Answer,
    left: &mut u64,
) -> Result<Option<Incoming<'a>>, Error> {
    if *left == 0 {
        return Ok(None);
    }
    let map = answer.map()?;
    *left -= 1;
    let form = match answer.following(&map, &["revision", "delta"])? {
        Some(("delta", len)) => Form::Delta(answer.node(&map, "deltabasenode")?, len),
        Some((_, len)) => Form::Text(len),
        None => Form::None,
    };
    let info = RevisionInfo {
        node: answer.node(&map, "node")?,
        parents: answer.parents(&map)?,
        linknode: answer.optional_node(&map, "linknode")?,
        form,
    };
    Ok(Some(Incoming { info, answer }))
}

/// The revisions of one manifest or file, as they come.
#[derive(Debug)]
#[must_use = "what is not read is not fetched"]
pub struct Revisions {
    answer: Answer,
    total: u64,
    left: u64,
}

impl Revisions {
    pub(super) fn new(mut answer: Answer) -> Result<Self, Error> {
        let header = answer.map()?;
        let total = answer.count(&header, "totalitems")?;
        Ok(Self {
            answer,
            total,
            left: total,
        })
    }

    /// How many revisions there are.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The next revision; `None` at the end.
    ///
    /// # Errors
    /// The transport's; an answer that is none.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<Incoming<'_>>, Error> {
        next_incoming(&mut self.answer, &mut self.left)
    }

    /// Whole texts, with deltas applied and hashes verified.
    pub fn texts(self) -> Texts {
        Texts {
            revisions: Some(self),
            bases: Bases::default(),
        }
    }
}

/// Texts that deltas may be applied to: the last ones, up to a budget.
#[derive(Debug, Default)]
struct Bases {
    texts: HashMap<Node, Vec<u8>>,
    order: VecDeque<Node>,
    bytes: usize,
}

impl Bases {
    fn keep(&mut self, node: Node, text: Vec<u8>) {
        self.bytes += text.len();
        if let Some(old) = self.texts.insert(node, text) {
            self.bytes -= old.len();
        } else {
            self.order.push_back(node);
        }
        while self.bytes > LIMIT && self.order.len() > 1 {
            let oldest = self.order.pop_front().unwrap_or_default();
            let text = self.texts.remove(&oldest).unwrap_or_default();
            self.bytes -= text.len();
        }
    }
}

/// Whole texts, with deltas applied and hashes verified; see [`Revisions::texts`]. Ends after an
/// error.
///
/// Texts are kept while later ones may be deltas to them: up to 256 MiB, then the oldest go.
#[derive(Debug)]
#[must_use = "what is not read is not fetched"]
pub struct Texts {
    revisions: Option<Revisions>,
    bases: Bases,
}

impl Texts {
    fn read(&mut self) -> Result<Option<(RevisionInfo, Vec<u8>)>, Error> {
        let Some(revisions) = &mut self.revisions else {
            return Ok(None);
        };
        let Some(incoming) = revisions.next()? else {
            return Ok(None);
        };
        let info = incoming.info;
        if let Form::Text(len) | Form::Delta(_, len) = info.form
            && usize::try_from(len).map_or(true, |len| len > LIMIT)
        {
            let node = info.node;
            return Err(Error::TooLarge { node, limit: LIMIT });
        }
        let mut text = Vec::new();
        let bases = &self.bases;
        let base = |node: &Node| Ok(bases.texts.get(node).cloned().map(Text::from));
        incoming.write_to(base, &mut text)?;
        self.bases.keep(info.node, text.clone());
        Ok(Some((info, text)))
    }
}

impl Iterator for Texts {
    type Item = Result<(RevisionInfo, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if !matches!(result, Ok(Some(_))) {
            self.revisions = None;
        }
        result.transpose()
    }
}

/// The revisions of many files, as they come: file by file, in order of their paths.
#[derive(Debug)]
#[must_use = "what is not read is not fetched"]
pub struct Files {
    answer: Answer,
    paths: u64,
    total: u64,
    left: u64,
    paths_left: u64,
}

impl Files {
    pub(super) fn new(mut answer: Answer) -> Result<Self, Error> {
        let header = answer.map()?;
        let paths = answer.count(&header, "totalpaths")?;
        let total = answer.count(&header, "totalitems")?;
        Ok(Self {
            answer,
            paths,
            total,
            left: 0,
            paths_left: paths,
        })
    }

    /// How many files there are.
    pub const fn paths(&self) -> u64 {
        self.paths
    }

    /// How many revisions there are in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The next file: its path, and how many revisions of it come; `None` at the end. Revisions of
    /// the file before that were not read are passed over.
    ///
    /// # Errors
    /// The transport's; an answer that is none.
    pub fn next_file(&mut self) -> Result<Option<(Vec<u8>, u64)>, Error> {
        while self.next_revision()?.is_some() {}
        if self.paths_left == 0 {
            return Ok(None);
        }
        let map = self.answer.map()?;
        self.paths_left -= 1;
        let path = find(&map, "path").and_then(as_bytes).map(<[u8]>::to_vec);
        let path = path.ok_or_else(|| self.answer.wrong("path"))?;
        self.left = self.answer.count(&map, "totalitems")?;
        Ok(Some((path, self.left)))
    }

    /// The next revision of the file; `None` behind its last.
    ///
    /// # Errors
    /// The transport's; an answer that is none.
    pub fn next_revision(&mut self) -> Result<Option<Incoming<'_>>, Error> {
        next_incoming(&mut self.answer, &mut self.left)
    }
}

/// Files of the server's storage, as they come: what `rawstorefiledata` gives (http-v2.md, 5.8).
#[derive(Debug)]
#[must_use = "what is not read is not fetched"]
pub struct RawFiles {
    answer: Answer,
    files: u64,
    total: u64,
    left: u64,
}

/// A file of the server's storage.
#[derive(Debug)]
#[non_exhaustive]
pub struct RawFile<'a> {
    /// Where it belongs, such as `store`.
    pub location: Vec<u8>,
    /// Its path there.
    pub path: Vec<u8>,
    /// Its length in bytes.
    pub size: u64,
    /// What is in it.
    pub contents: Bytes<'a>,
}

impl RawFiles {
    pub(super) fn new(mut answer: Answer) -> Result<Self, Error> {
        let header = answer.map()?;
        let files = answer.count(&header, "filecount")?;
        let total = answer.count(&header, "totalsize")?;
        Ok(Self {
            answer,
            files,
            total,
            left: files,
        })
    }

    /// How many files there are.
    pub const fn files(&self) -> u64 {
        self.files
    }

    /// How many bytes they have together.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The next file; `None` at the end.
    ///
    /// # Errors
    /// The transport's; an answer that is none.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<RawFile<'_>>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let map = self.answer.map()?;
        self.left -= 1;
        let text = |key| find(&map, key).and_then(as_bytes).map(<[u8]>::to_vec);
        let location = text("location").ok_or_else(|| self.answer.wrong("location"))?;
        let path = text("path").ok_or_else(|| self.answer.wrong("path"))?;
        let size = self.answer.count(&map, "size")?;
        let contents = self.answer.bytes()?;
        Ok(Some(RawFile {
            location,
            path,
            size,
            contents,
        }))
    }
}
