//! Takes a bundle into a mirror; see [`bundle`](super::bundle) for its form.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use super::bundle::MAGIC;
use super::store::Arriving;
use super::{FetchError, Fetched, MirrorWriter, Stage};
use crate::client::{Error, Form};
use crate::{Delta, Node};

type Result<T> = std::result::Result<T, FetchError>;

/// Most bytes of a part's header, of a name, and of the parts that are gathered.
const MOST: usize = 64 << 20;

/// Flags of a revision whose text is not what its hash is of.
const NOT_HASHED: u16 = 0x8000 | 0x4000 | 0x2000;

fn wrong(what: impl Into<String>) -> FetchError {
    FetchError::Bundle(what.into())
}

/// What reading a bundle gave.
fn reading(error: io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong("it is cut short"),
        _ => wrong(format!("it cannot be read: {error}")),
    }
}

/// What goes beside the changesets.
#[derive(Default)]
struct Beside {
    bookmarks: Option<BTreeMap<Vec<u8>, Node>>,
    /// Heads of public and of draft changesets.
    phases: Option<Vec<(u32, Node)>>,
}

impl MirrorWriter {
    /// Takes all of a bundle into the mirror, as `hg bundle` makes them or
    /// [`write_bundle`](super::Mirror::write_bundle), of any compression; verifies every hash. `name`
    /// says where it is from. `progress` is told of each thing that comes.
    ///
    /// Changesets are public unless the bundle says something else.
    ///
    /// # Errors
    /// See [`FetchError`]; [`FetchError::Bundle`] if it is damaged, or needs changesets that are not
    /// in the mirror. Then the mirror is as it was.
    pub fn unbundle(
        &mut self,
        source: impl Read,
        name: &str,
        progress: &mut dyn FnMut(Stage, Fetched),
    ) -> Result<Fetched> {
        self.forget_uncommitted()?;
        self.forget_pending()?;
        let from = self.index.len();
        let mut unbundle = Unbundle {
            writer: self,
            progress,
            done: Fetched::default(),
            beside: Beside::default(),
        };
        let result = unbundle.run(source);
        let (done, beside) = (unbundle.done, unbundle.beside);
        let result = result.and_then(|()| self.check_whole(from));
        if let Err(error) = result {
            self.forget_pending()?;
            return Err(match error {
                FetchError::Client(error) => wrong(error.to_string()),
                FetchError::Missing { path, node } if path.is_empty() => {
                    wrong(format!("it has no manifest {node}"))
                }
                FetchError::Missing { path, node } => wrong(format!(
                    "it has no revision {node} of {}",
                    path.escape_ascii()
                )),
                error => error,
            });
        }
        self.take_beside(beside, name);
        self.commit(true)?;
        Ok(Fetched {
            complete: u64::from(self.index.len() - from),
            ..done
        })
    }

    fn take_beside(&mut self, beside: Beside, name: &str) {
        let index = &self.index;
        let mut bookmarks = self.state.bookmarks.clone();
        bookmarks.extend(beside.bookmarks.unwrap_or_default());
        bookmarks.retain(|_, node| node.is_null() || index.number(node).is_some());
        let mut drafts = self.state.drafts.clone();
        let mut is_publishing = self.state.is_publishing || self.state.url.is_empty();
        if let Some(phases) = beside.phases {
            let len = index.changesets.len();
            let mut phase = vec![None; len];
            for (number, node) in phases {
                let at = index.number(&node).and_then(|n| usize::try_from(n).ok());
                if let Some(place) = at.and_then(|at| phase.get_mut(at)) {
                    *place = Some(number);
                }
            }
            // What comes before a public changeset is public, and what comes before a draft at most
            // draft.
            for (at, stored) in index.changesets.iter().enumerate().rev() {
                let Some(found) = phase.get(at).copied().flatten() else {
                    continue;
                };
                for parent in stored.parents.iter().filter_map(|p| index.number(p)) {
                    let parent = usize::try_from(parent).unwrap_or(usize::MAX);
                    if let Some(parent) = phase.get_mut(parent) {
                        *parent = Some(parent.map_or(found, |phase: u32| phase.min(found)));
                    }
                }
            }
            let is_draft = |node: &Node| {
                let at = index.number(node).and_then(|n| usize::try_from(n).ok());
                at.and_then(|at| phase.get(at).copied().flatten()) == Some(1)
            };
            let all = index.changesets.iter();
            let roots =
                all.filter(|stored| is_draft(&stored.node) && !stored.parents.iter().any(is_draft));
            drafts.extend(roots.map(|stored| stored.node));
            drafts.retain(is_draft);
            is_publishing = false;
        }
        self.set_state(name, bookmarks, drafts, is_publishing);
    }
}

struct Unbundle<'a> {
    writer: &'a mut MirrorWriter,
    progress: &'a mut dyn FnMut(Stage, Fetched),
    done: Fetched,
    beside: Beside,
}

fn array<const N: usize>(source: &mut dyn Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map_err(reading)?;
    Ok(bytes)
}

/// A number that is a length.
fn length(source: &mut dyn Read) -> Result<usize> {
    let number = u32::from_be_bytes(array(source)?);
    usize::try_from(number).map_err(|_| wrong("it has a part that is too large"))
}

/// So many bytes, which are gathered.
fn gather(source: &mut dyn Read, len: usize) -> Result<Vec<u8>> {
    if len > MOST {
        return Err(wrong("it has a part that is too large"));
    }
    let mut bytes = Vec::new();
    let wanted = u64::try_from(len).unwrap_or(u64::MAX);
    let read = source.take(wanted).read_to_end(&mut bytes);
    match read.map_err(reading)? {
        read if read == len => Ok(bytes),
        _ => Err(wrong("it is cut short")),
    }
}

impl Unbundle<'_> {
    fn run(&mut self, source: impl Read) -> Result<()> {
        let mut source = BufReader::new(source);
        match &array::<4>(&mut source)? {
            magic if magic == MAGIC => {
                let len = length(&mut source)?;
                let parameters = gather(&mut source, len)?;
                let mut compression = &b""[..];
                for parameter in parameters.split(|&byte| byte == b' ') {
                    match parameter {
                        [] => {}
                        [b'a'..=b'z', ..] => {}
                        _ => {
                            let named = parameter.strip_prefix(b"Compression=");
                            compression = named.ok_or_else(|| unknown("parameter", parameter))?;
                        }
                    }
                }
                let mut source = decompressed(source, compression)?;
                self.parts(&mut source)
            }
            b"HG10" => {
                let compression = array::<2>(&mut source)?;
                // Its own two letters are the beginning of bzip2's.
                let mut source = match &compression {
                    b"BZ" => decompressed((&compression[..]).chain(source), b"BZ")?,
                    other => decompressed(source, other)?,
                };
                self.changegroup(&mut source, 1)
            }
            _ => Err(wrong("it is no bundle of Mercurial's")),
        }
    }

    fn parts(&mut self, source: &mut dyn Read) -> Result<()> {
        loop {
            let len = length(source)?;
            if len == 0 {
                return Ok(());
            }
            let header = gather(source, len)?;
            let header = Header::parse(&header).ok_or_else(|| wrong("a part has a bad header"))?;
            let mut payload = Payload {
                source,
                left: 0,
                has_ended: false,
            };
            match header.name.to_ascii_lowercase().as_slice() {
                b"changegroup" => {
                    let version = match header.parameter(b"version").unwrap_or(b"01") {
                        b"01" => 1,
                        b"02" => 2,
                        b"03" => 3,
                        other => return Err(unknown("changegroup version", other)),
                    };
                    if header.parameter(b"treemanifest").is_some() {
                        return Err(wrong("its manifests are split into trees"));
                    }
                    if let Some(count) = header.parameter(b"nbchanges") {
                        let count = std::str::from_utf8(count).ok();
                        self.done.total = count.and_then(|c| c.parse().ok()).unwrap_or(0);
                    }
                    self.changegroup(&mut payload, version)?;
                }
                b"phase-heads" => self.phase_heads(&mut payload)?,
                b"bookmarks" => self.bookmarks(&mut payload)?,
                // What is nothing but a cache, or says how changesets were rewritten.
                b"hgtagsfnodes" | b"cache:rev-branch-cache" | b"obsmarkers" => {}
                // What else may be passed over has no capital letter.
                _ if header.name.iter().any(u8::is_ascii_uppercase) => {
                    return Err(unknown("part", header.name));
                }
                _ => {}
            }
            io::copy(&mut payload, &mut io::sink()).map_err(reading)?;
        }
    }

    fn phase_heads(&mut self, source: &mut dyn Read) -> Result<()> {
        let mut payload = Vec::new();
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        source
            .take(most)
            .read_to_end(&mut payload)
            .map_err(reading)?;
        let heads = self.beside.phases.get_or_insert_default();
        for entry in payload.chunks(4 + Node::LEN) {
            let (phase, node) = entry
                .split_first_chunk::<4>()
                .and_then(|(phase, node)| Some((*phase, Node::try_from(node).ok()?)))
                .ok_or_else(|| wrong("its phases are cut short"))?;
            let phase = u32::from_be_bytes(phase);
            if phase > 1 {
                return Err(wrong(format!(
                    "{node} is secret or hidden in it; bundle with -r 'not secret()'"
                )));
            }
            heads.push((phase, node));
        }
        Ok(())
    }

    fn bookmarks(&mut self, source: &mut dyn Read) -> Result<()> {
        let mut payload = Vec::new();
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        source
            .take(most)
            .read_to_end(&mut payload)
            .map_err(reading)?;
        let mut rest = payload.as_slice();
        let bookmarks = self.beside.bookmarks.get_or_insert_default();
        while !rest.is_empty() {
            let node = Node::new(array(&mut rest)?);
            let len = usize::from(u16::from_be_bytes(array(&mut rest)?));
            bookmarks.insert(gather(&mut rest, len)?, node);
        }
        Ok(())
    }

    fn changegroup(&mut self, source: &mut dyn Read, version: u8) -> Result<()> {
        // Each by its first parent or the one before, and mostly the one before.
        let mut last = (Node::NULL, Vec::new());
        let mut previous = Node::NULL;
        while let Some(head) = Head::read(source, version, previous)? {
            let delta = gather(source, head.len)?;
            previous = head.node;
            if head.linknode != head.node {
                return Err(wrong(format!(
                    "changeset {} is said to belong to another",
                    head.node
                )));
            }
            if self.writer.index.number(&head.node).is_some() {
                continue;
            }
            let base = match head.base {
                base if base.is_null() => Vec::new(),
                base if base == last.0 => std::mem::take(&mut last.1),
                base => self.changeset(&base)?,
            };
            let text = Delta::new(&delta).apply(&base);
            let node = head.node;
            let text = text.map_err(|error| Error::Delta { node, error })?;
            let found = Node::of_revision(head.parents, &text);
            if found != node {
                return Err(Error::Hash { node, found }.into());
            }
            for parent in head.parents.iter().filter(|parent| !parent.is_null()) {
                if self.writer.index.number(parent).is_none() {
                    return Err(wrong(format!(
                        "it needs changeset {parent}, which is not in the mirror"
                    )));
                }
            }
            self.writer.add_changeset(node, head.parents, &text)?;
            last = (node, text);
            self.done.changesets += 1;
            self.tell(Stage::Changesets);
        }
        self.done.total = self.done.changesets;
        self.group(source, version, None)?;
        loop {
            let len = length(source)?;
            if len == 0 {
                return Ok(());
            }
            let path = len.checked_sub(4).filter(|len| *len > 0);
            let path = path.ok_or_else(|| wrong("a file has no name"))?;
            let path = gather(source, path)?;
            self.group(source, version, Some(&path))?;
        }
    }

    fn changeset(&self, node: &Node) -> Result<Vec<u8>> {
        let index = &self.writer.index;
        let stored = index.number(node).and_then(|n| index.changeset(n));
        match stored {
            Some(stored) => Ok(self.writer.reader.bytes(stored)?),
            None => Err(wrong(format!(
                "it needs changeset {node}, which is not in the mirror"
            ))),
        }
    }

    /// The revisions of manifests, or of a file.
    fn group(&mut self, source: &mut dyn Read, version: u8, path: Option<&[u8]>) -> Result<()> {
        let mut previous = Node::NULL;
        while let Some(head) = Head::read(source, version, previous)? {
            previous = head.node;
            let linked = self.writer.index.number(&head.linknode).ok_or_else(|| {
                let (node, changeset) = (head.node, head.linknode);
                wrong(format!(
                    "{node} belongs to changeset {changeset}, which is not in it"
                ))
            })?;
            let len = u64::try_from(head.len).unwrap_or(u64::MAX);
            let mut delta = source.take(len);
            let key = path.map(|path| self.writer.path(path)).transpose()?;
            let is_new = self.writer.index.revision(key, &head.node).is_none();
            let arriving = Arriving {
                node: head.node,
                parents: head.parents,
                form: Form::Delta(head.base, len),
                bytes: &mut delta,
            };
            let stored = self.writer.store(arriving, key, linked);
            stored.map_err(|error| match error {
                FetchError::Client(Error::Storage(error)) => reading(error),
                error => error,
            })?;
            io::copy(&mut delta, &mut io::sink()).map_err(reading)?;
            self.done.bytes += len;
            match path {
                None => {
                    self.done.manifests += u64::from(is_new);
                    self.tell(Stage::Manifests);
                }
                Some(_) => {
                    self.done.files += u64::from(is_new);
                    self.tell(Stage::Files);
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, stage: Stage) {
        (self.progress)(stage, self.done);
    }
}

fn unknown(what: &str, name: &[u8]) -> FetchError {
    wrong(format!("its {what} {} is not known", name.escape_ascii()))
}

/// What is behind this compression.
fn decompressed<'a>(source: impl BufRead + 'a, name: &[u8]) -> Result<Box<dyn Read + 'a>> {
    Ok(match name {
        b"" | b"UN" => Box::new(source),
        b"GZ" => Box::new(BufReader::new(flate2::bufread::ZlibDecoder::new(source))),
        b"BZ" => Box::new(BufReader::new(bzip2::bufread::BzDecoder::new(source))),
        b"ZS" => {
            let decoder = zstd::Decoder::with_buffer(source).map_err(reading)?;
            Box::new(BufReader::new(decoder))
        }
        other => return Err(unknown("compression", other)),
    })
}

/// A part's header.
struct Header<'a> {
    name: &'a [u8],
    parameters: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let (counts, mut rest) = rest.get(4..)?.split_first_chunk::<2>()?;
        let count = counts
            .iter()
            .map(|count| usize::from(*count))
            .sum::<usize>();
        let (sizes, values) = rest.split_at_checked(count.checked_mul(2)?)?;
        rest = values;
        let mut parameters = Vec::new();
        for sizes in sizes.chunks_exact(2) {
            let [key, value] = sizes.first_chunk::<2>()?.map(usize::from);
            let (key, after) = rest.split_at_checked(key)?;
            let (value, after) = after.split_at_checked(value)?;
            parameters.push((key, value));
            rest = after;
        }
        Some(Self { name, parameters })
    }

    fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut all = self.parameters.iter();
        all.find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// The payload of a part, without the lengths of its chunks.
struct Payload<'a> {
    source: &'a mut dyn Read,
    left: usize,
    has_ended: bool,
}

impl Read for Payload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.has_ended {
            let mut len = [0; 4];
            self.source.read_exact(&mut len)?;
            let len = i32::from_be_bytes(len);
            // Less than nothing is a part in between, which no file has.
            self.left = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidData)?;
            self.has_ended = len == 0;
        }
        let len = buffer.len().min(self.left);
        let read = self
            .source
            .read(buffer.get_mut(..len).unwrap_or_default())?;
        if read == 0 && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

/// The head of a chunk of a delta group.
struct Head {
    node: Node,
    parents: [Node; 2],
    base: Node,
    linknode: Node,
    /// Bytes of the delta.
    len: usize,
}

impl Head {
    /// The next one; `None` at the end of the group.
    fn read(source: &mut dyn Read, version: u8, previous: Node) -> Result<Option<Self>> {
        let all = length(source)?;
        if all == 0 {
            return Ok(None);
        }
        let header = match version {
            1 => 84,
            2 => 104,
            _ => 106,
        };
        let len = all.checked_sub(header).filter(|_| all < 1 << 31);
        let len = len.ok_or_else(|| wrong("a revision in it has a bad length"))?;
        let mut node = || array(source).map(Node::new);
        let (revision, parents) = (node()?, [node()?, node()?]);
        let base = match version {
            1 if previous.is_null() => {
                let [p1, _] = parents;
                p1
            }
            1 => previous,
            _ => node()?,
        };
        let linknode = node()?;
        if version == 3 {
            let flags = u16::from_be_bytes(array(source)?);
            if flags & NOT_HASHED != 0 {
                return Err(wrong(format!(
                    "{revision} in it is censored, or kept elsewhere, so that its hash cannot be \
                     verified"
                )));
            }
        }
        Ok(Some(Self {
            node: revision,
            parents,
            base,
            linknode,
            len,
        }))
    }
}
