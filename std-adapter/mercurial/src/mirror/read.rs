//! Texts, from the files that they are in.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::MirrorError;
use super::block::{self, Kind};
use super::error::{at, in_block};
use super::format::{Place, Stored};
use super::index::Index;
use crate::{Delta, Node, Text};

/// Most bytes of decompressed blocks that are kept: texts that are read one after another are mostly
/// in few blocks.
const CACHE: usize = 16 << 20;

/// Where texts are read from.
#[derive(Debug)]
pub(super) struct Texts {
    directory: PathBuf,
    pub(super) path: PathBuf,
    file: Mutex<File>,
    /// Bytes of the file that may be read.
    len: u64,
    blocks: Mutex<Blocks>,
    /// The text that was put together last: manifests are mostly read in the order in which each is
    /// a delta to the one before.
    last: Mutex<Option<Last>>,
}

type Last = ((Option<u32>, Node), Arc<Vec<u8>>);

/// Decompressed blocks.
#[derive(Debug, Default)]
struct Blocks {
    known: HashMap<u64, Arc<Vec<u8>>>,
    order: VecDeque<u64>,
    bytes: usize,
    /// The block that is being filled, and where it will be.
    tail: (u64, Vec<u8>),
}

impl Blocks {
    fn keep(&mut self, offset: u64, block: &Arc<Vec<u8>>) {
        if self.known.insert(offset, Arc::clone(block)).is_none() {
            self.order.push_back(offset);
            self.bytes += block.len();
        }
        while self.bytes > CACHE && self.order.len() > 1 {
            let oldest = self.order.pop_front().unwrap_or_default();
            let block = self.known.remove(&oldest).unwrap_or_default();
            self.bytes -= block.len();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Texts {
    /// Opens the file of texts, of which so many bytes count.
    pub(super) fn open(directory: &Path, path: PathBuf, len: u64) -> Result<Self, MirrorError> {
        let file = File::open(&path).map_err(at(&path))?;
        if file.metadata().map_err(at(&path))?.len() < len {
            return Err(MirrorError::Damaged {
                file: path,
                offset: len,
                what: "it is shorter than it was",
            });
        }
        let blocks = Blocks {
            tail: (len, Vec::new()),
            ..Blocks::default()
        };
        Ok(Self {
            directory: directory.to_owned(),
            path,
            file: Mutex::new(file),
            len,
            blocks: Mutex::new(blocks),
            last: Mutex::default(),
        })
    }

    /// Adds to the block that is being filled; where the bytes are in it.
    pub(super) fn push(&self, bytes: &[u8]) -> Place {
        let (block, tail) = &mut lock(&self.blocks).tail;
        let start = u32::try_from(tail.len()).unwrap_or(u32::MAX);
        tail.extend_from_slice(bytes);
        Place::Block {
            block: *block,
            start,
        }
    }

    /// Where the next block begins.
    pub(super) fn end(&self) -> u64 {
        lock(&self.blocks).tail.0
    }

    /// Bytes of the block that is being filled.
    pub(super) fn pushed(&self) -> usize {
        lock(&self.blocks).tail.1.len()
    }

    /// Gives the block that was filled to be written; the next one begins behind it.
    pub(super) fn take_block<E>(
        &mut self,
        write: impl FnOnce(u64, &[u8]) -> Result<u64, E>,
    ) -> Result<(), E> {
        let blocks = self
            .blocks
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let (offset, raw) = &mut blocks.tail;
        let offset = *offset;
        let len = write(offset, raw)?;
        let raw = Arc::new(std::mem::take(raw));
        blocks.keep(offset, &raw);
        blocks.tail.0 = offset + len;
        self.len = blocks.tail.0;
        Ok(())
    }

    /// The block that begins here, decompressed.
    fn block(&self, offset: u64) -> Result<Arc<Vec<u8>>, MirrorError> {
        if let Some(block) = lock(&self.blocks).known.get(&offset) {
            return Ok(Arc::clone(block));
        }
        let damaged = |what| MirrorError::Damaged {
            file: self.path.clone(),
            offset,
            what,
        };
        let most = self.len.checked_sub(offset).filter(|most| *most > 0);
        let most = most.ok_or_else(|| damaged("the index says that there is a block"))?;
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(offset)).map_err(at(&self.path))?;
        let read = block::read(&mut *file, Kind::Texts, offset, most);
        drop(file);
        let block = read.map_err(in_block(&self.path, offset))?;
        let (block, _) = block.ok_or_else(|| damaged("a block is missing"))?;
        let block = Arc::new(block);
        lock(&self.blocks).keep(offset, &block);
        Ok(block)
    }

    /// Checks every block of the file, of which some are known to begin at these offsets, in order;
    /// what is damaged. `progress` is told of bytes.
    pub(super) fn check(
        &self,
        starts: &[u64],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<MirrorError>, MirrorError> {
        let mut damage = Vec::new();
        let mut file = BufReader::new(File::open(&self.path).map_err(at(&self.path))?);
        let mut offset = 0;
        while offset < self.len {
            let found = block::read(&mut file, Kind::Texts, offset, self.len - offset);
            let next = match found.map_err(in_block(&self.path, offset)) {
                Ok(Some((_, len))) => offset + len,
                Ok(None) => break,
                Err(error @ MirrorError::Damaged { .. }) => {
                    damage.push(error);
                    let behind = starts.partition_point(|start| *start <= offset);
                    let next = starts.get(behind).copied().unwrap_or(self.len);
                    file.seek(SeekFrom::Start(next)).map_err(at(&self.path))?;
                    next
                }
                Err(error) => return Err(error),
            };
            progress(next - offset);
            offset = next;
        }
        Ok(damage)
    }

    /// The bytes that are stored for a revision: its text, or a delta.
    pub(super) fn bytes(&self, stored: &Stored) -> Result<Vec<u8>, MirrorError> {
        let missing = |offset, what| MirrorError::Damaged {
            file: self.path.clone(),
            offset,
            what,
        };
        let Place::Block { block, start } = stored.place else {
            return Err(missing(0, "a large text is said to be there"));
        };
        // Nothing need have been written for it.
        if stored.stored == 0 {
            return Ok(Vec::new());
        }
        let slice = |raw: &[u8]| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(stored.stored).ok()?)?;
            Some(raw.get(start..end)?.to_vec())
        };
        let found = {
            let blocks = lock(&self.blocks);
            match &blocks.tail {
                (offset, raw) if *offset == block && !raw.is_empty() => Some(slice(raw)),
                _ => None,
            }
        };
        let bytes = match found {
            Some(found) => found,
            None => slice(&self.block(block)?),
        };
        bytes.ok_or_else(|| missing(block, "a block is shorter than the index says"))
    }

    /// A revision's text.
    pub(super) fn text(
        &self,
        index: &Index,
        key: Option<u32>,
        node: &Node,
    ) -> Result<Text, MirrorError> {
        let find = |node: &Node| {
            index.revision(key, node).ok_or_else(|| MirrorError::Graph {
                node: *node,
                what: "it is not in the mirror".to_owned(),
            })
        };
        let stored = find(node)?;
        if stored.place == Place::Large {
            let reader = Large::open(&self.directory, stored)?;
            return Ok(Text::new(stored.len, reader));
        }
        if stored.base.is_none() {
            return Ok(Text::from(self.bytes(stored)?));
        }
        // From here down to a whole text, and back up.
        let mut last = lock(&self.last);
        let mut deltas = Vec::new();
        let mut at = stored;
        let whole = loop {
            if let Some((known, text)) = &*last
                && *known == (key, at.node)
            {
                break Arc::clone(text);
            }
            let bytes = self.bytes(at)?;
            let Some(base) = at.base else {
                break Arc::new(bytes);
            };
            deltas.push(bytes);
            at = find(&base)?;
        };
        let mut text = whole;
        for delta in deltas.iter().rev() {
            let applied = Delta::new(delta).apply(&text);
            let applied = applied.map_err(|error| MirrorError::Graph {
                node: *node,
                what: error.to_string(),
            })?;
            text = Arc::new(applied);
        }
        *last = Some(((key, *node), Arc::clone(&text)));
        drop(last);
        Ok(Text::new(stored.len, io::Cursor::new(Shared(text))))
    }
}

/// Bytes that are shared.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The file of a text that is large.
pub(super) fn large_path(directory: &Path, node: &Node) -> PathBuf {
    directory.join("large").join(node.to_hex())
}

/// A large text as it is read: each block is checked before any of it is handed out.
pub(super) struct Large {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    len: u64,
    block: io::Cursor<Vec<u8>>,
}

impl Large {
    pub(super) fn open(directory: &Path, stored: &Stored) -> Result<Self, MirrorError> {
        let path = large_path(directory, &stored.node);
        let file = File::open(&path).map_err(at(&path))?;
        let len = file.metadata().map_err(at(&path))?.len();
        if len != stored.stored {
            return Err(MirrorError::Damaged {
                file: path,
                offset: len.min(stored.stored),
                what: "it has another length than it had",
            });
        }
        Ok(Self {
            path,
            file: BufReader::new(file),
            offset: 0,
            len,
            block: io::Cursor::default(),
        })
    }
}

impl Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let most = self.len.saturating_sub(self.offset);
            let next = block::read(&mut self.file, Kind::Large, self.offset, most);
            let Some((raw, len)) = next.map_err(in_block(&self.path, self.offset))? else {
                return Ok(0);
            };
            self.offset += len;
            self.block = io::Cursor::new(raw);
        }
    }
}
