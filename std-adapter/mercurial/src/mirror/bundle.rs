//! Bundles: all of a repository in one file, which Mercurial reads with `hg unbundle` and `hg clone`
//! (`hg help internals.bundles`, `internals.bundle2`, `internals.changegroups`).
//!
//! ```text
//!   "HG20" ┬ u32 n ┬ parameters ┬ part … ┬ u32 0      compressed behind the parameters
//!   part    u32 n, its header (name, number, parameters), chunks of the payload, u32 0
//!   payload of "changegroup"    changesets, manifests, files: groups of deltas
//!              "phase-heads"    u32 phase, node …
//!              "bookmarks"      node, u16 n, name …
//! ```

use std::collections::HashSet;
use std::io::{self, Write};

use super::Mirror;
use super::format::{Place, Stored};
use super::read::Large;
use crate::{Node, Phase, Repository};

/// Begins a bundle of the second format.
pub(super) const MAGIC: &[u8] = b"HG20";

/// How a bundle is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// zlib; all versions of Mercurial that read such bundles (3.6 and later).
    Gzip,
    /// bzip2; the same.
    Bzip2,
    /// Zstandard; Mercurial 4.1 and later.
    #[default]
    Zstd,
}

impl Compression {
    /// What the bundle's parameters call it.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("GZ"),
            Self::Bzip2 => Some("BZ"),
            Self::Zstd => Some("ZS"),
        }
    }
}

/// What a bundle has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bundled {
    /// Changesets.
    pub changesets: u64,
    /// Revisions of manifests and files.
    pub revisions: u64,
    /// All of these that there will be.
    pub total: u64,
}

/// Bytes of a part's payload that are sent together.
const CHUNK: usize = 32 << 10;

/// Most bytes of a delta group's chunk.
const MOST: u64 = 0x7fff_ffff;

impl Mirror {
    /// Writes a bundle of all that is in the mirror: changesets, manifests, files, bookmarks and
    /// phases. Nothing damaged gets into it. `progress` is told of each revision.
    ///
    /// # Errors
    /// Writing fails; the mirror is damaged (then the error is a [`MirrorError`](super::MirrorError), see
    /// [`from_io`](super::MirrorError::from_io)); a text of 2 GiB or more, which the format has no room for.
    pub fn write_bundle(
        &self,
        mut out: impl Write,
        compression: Compression,
        progress: &mut dyn FnMut(Bundled),
    ) -> io::Result<Bundled> {
        out.write_all(MAGIC)?;
        let parameters = compression.name().map(|name| format!("Compression={name}"));
        let parameters = parameters.unwrap_or_default();
        out.write_all(&number(parameters.len())?)?;
        out.write_all(parameters.as_bytes())?;
        match compression {
            Compression::None => {
                let done = self.parts(&mut out, progress)?;
                out.flush()?;
                Ok(done)
            }
            Compression::Gzip => {
                let level = flate2::Compression::default();
                let mut out = flate2::write::ZlibEncoder::new(out, level);
                let done = self.parts(&mut out, progress)?;
                out.finish()?.flush()?;
                Ok(done)
            }
            Compression::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(out, bzip2::Compression::best());
                let done = self.parts(&mut out, progress)?;
                out.finish()?.flush()?;
                Ok(done)
            }
            Compression::Zstd => {
                let mut out = zstd::Encoder::new(out, 3)?;
                let done = self.parts(&mut out, progress)?;
                out.finish()?.flush()?;
                Ok(done)
            }
        }
    }

    fn parts(&self, out: &mut dyn Write, progress: &mut dyn FnMut(Bundled)) -> io::Result<Bundled> {
        let changesets = self.index.changesets.len();
        let mut done = Bundled {
            total: u64::try_from(changesets + self.index.revisions()).unwrap_or(u64::MAX),
            ..Bundled::default()
        };
        let count = changesets.to_string();
        let parameters = [("version", "02"), ("nbchanges", count.as_str())];
        let mut part = Part::begin(out, "CHANGEGROUP", 0, &parameters)?;
        self.changegroup(&mut part, &mut done, progress)?;
        part.finish()?;
        let mut part = Part::begin(out, "PHASE-HEADS", 1, &[])?;
        for (phase, node) in self.phase_heads() {
            part.write_all(&[0, 0, 0, phase])?;
            part.write_all(node.as_bytes())?;
        }
        part.finish()?;
        let bookmarks = self.bookmarks();
        if !bookmarks.is_empty() {
            let mut part = Part::begin(out, "bookmarks", 2, &[])?;
            for (name, node) in bookmarks {
                let Ok(len) = u16::try_from(name.len()) else {
                    continue;
                };
                part.write_all(node.as_bytes())?;
                part.write_all(&len.to_be_bytes())?;
                part.write_all(&name)?;
            }
            part.finish()?;
        }
        out.write_all(&[0; 4])?;
        Ok(done)
    }

    /// The heads of what is public, and of what is draft.
    fn phase_heads(&self) -> Vec<(u8, Node)> {
        let phase = |number| match self.is_publishing() {
            true => Phase::Public,
            false => self.phase(number),
        };
        let mut heads = Vec::new();
        for wanted in [Phase::Public, Phase::Draft] {
            let mut has_child = HashSet::new();
            for number in (0..self.len()).rev().filter(|&n| phase(n) == wanted) {
                if !has_child.contains(&number) {
                    heads.push((u8::from(wanted == Phase::Draft), self.node(number)));
                }
                has_child.extend(self.parents(number).into_iter().flatten());
            }
        }
        heads
    }

    fn changegroup(
        &self,
        out: &mut dyn Write,
        done: &mut Bundled,
        progress: &mut dyn FnMut(Bundled),
    ) -> io::Result<()> {
        for stored in &self.index.changesets {
            let text = self.texts.bytes(stored)?;
            self.revision(out, stored, stored.node, None, &text)?;
            done.changesets += 1;
            progress(*done);
        }
        out.write_all(&[0; 4])?;
        // Manifests come first, then file by file.
        let mut last = None;
        for (key, stored) in self.index.in_order() {
            if last != key {
                // The group before it ends.
                out.write_all(&[0; 4])?;
                let name = self.index.name(key);
                out.write_all(&number(name.len() + 4)?)?;
                out.write_all(name)?;
                last = key;
            }
            self.log_revision(out, stored)?;
            done.revisions += 1;
            progress(*done);
        }
        // The last group ends, and then all.
        out.write_all(&[0; 8])
    }

    /// A revision of a manifest or a file.
    fn log_revision(&self, out: &mut dyn Write, stored: &Stored) -> io::Result<()> {
        let linknode = self.node(stored.linked);
        if stored.place == Place::Large {
            head(out, stored, linknode, Node::NULL, 12 + stored.len)?;
            out.write_all(&whole(stored.len)?)?;
            let mut text = Large::open(&self.directory, stored)?;
            return exactly(io::copy(&mut text, out)?, stored.len);
        }
        let bytes = self.texts.bytes(stored)?;
        self.revision(out, stored, linknode, stored.base, &bytes)
    }

    /// A revision of which these bytes are the text, or a delta to one before.
    fn revision(
        &self,
        out: &mut dyn Write,
        stored: &Stored,
        linknode: Node,
        base: Option<Node>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match base {
            Some(base) => {
                head(out, stored, linknode, base, len)?;
            }
            None => {
                head(out, stored, linknode, Node::NULL, 12 + len)?;
                out.write_all(&whole(len)?)?;
            }
        }
        out.write_all(bytes)
    }
}

/// The head of a chunk of a delta group, whose delta has this length.
fn head(
    out: &mut dyn Write,
    stored: &Stored,
    linknode: Node,
    base: Node,
    len: u64,
) -> io::Result<()> {
    let all = 104 + len;
    if all > MOST {
        let what = format!("{} has 2 GiB or more, too much for a bundle", stored.node);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    out.write_all(&number(usize::try_from(all).unwrap_or(usize::MAX))?)?;
    let [p1, p2] = stored.parents;
    for node in [stored.node, p1, p2, base, linknode] {
        out.write_all(node.as_bytes())?;
    }
    Ok(())
}

/// The record of a delta that makes a text of nothing.
fn whole(len: u64) -> io::Result<[u8; 12]> {
    let mut record = [0; 12];
    let len = number(usize::try_from(len).unwrap_or(usize::MAX))?;
    for (record, len) in record.iter_mut().skip(8).zip(len) {
        *record = len;
    }
    Ok(record)
}

fn exactly(found: u64, len: u64) -> io::Result<()> {
    match found == len {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn number(number: usize) -> io::Result<[u8; 4]> {
    let number = u32::try_from(number).map_err(|_| io::ErrorKind::FileTooLarge)?;
    Ok(number.to_be_bytes())
}

/// A part that is being written.
struct Part<'a> {
    out: &'a mut dyn Write,
    chunk: Vec<u8>,
}

impl<'a> Part<'a> {
    fn begin(
        out: &'a mut dyn Write,
        name: &str,
        id: u8,
        parameters: &[(&str, &str)],
    ) -> io::Result<Self> {
        let small = |len: usize| u8::try_from(len).map_err(|_| io::ErrorKind::InvalidInput);
        let mut header = vec![small(name.len())?];
        header.extend(name.as_bytes());
        header.extend([0, 0, 0, id]);
        // The version has to be understood, the number of changesets has not.
        let mandatory = parameters.len().min(1);
        header.extend([small(mandatory)?, small(parameters.len() - mandatory)?]);
        for (key, value) in parameters {
            header.extend([small(key.len())?, small(value.len())?]);
        }
        for (key, value) in parameters {
            header.extend(key.as_bytes());
            header.extend(value.as_bytes());
        }
        out.write_all(&number(header.len())?)?;
        out.write_all(&header)?;
        Ok(Self {
            out,
            chunk: Vec::with_capacity(CHUNK),
        })
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.out.write_all(&number(self.chunk.len())?)?;
            self.out.write_all(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush_chunk()?;
        self.out.write_all(&[0; 4])
    }
}

impl Write for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() + bytes.len() > CHUNK {
            self.flush_chunk()?;
        }
        if bytes.len() >= CHUNK {
            self.out.write_all(&number(bytes.len())?)?;
            self.out.write_all(bytes)?;
        } else {
            self.chunk.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
