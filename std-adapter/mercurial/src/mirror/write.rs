//! Adds to a mirror.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::block::{Kind, Packer};
use super::error::at;
use super::format::{
    Extent, Place, Record, State, Stored, VERSION, numbered, replace, sync_directory,
};
use super::index::Index;
use super::read::{Texts, large_path};
use super::{MirrorError, read_index, read_state};
use crate::{Node, Text};

/// Texts over so many bytes are files of their own, and never in memory.
pub(super) const LARGE: usize = 1 << 20;

/// Bytes of texts that are compressed together.
const BLOCK: usize = 128 << 10;

/// Bytes of a large text that are compressed together.
const LARGE_BLOCK: usize = 1 << 20;

/// How often what has come is made safe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkpoint {
    /// After so many bytes.
    pub(super) bytes: u64,
    /// After this time.
    pub(super) time: Duration,
}

impl Checkpoint {
    pub(super) const DEFAULT: Self = Self {
        bytes: 16 << 20,
        time: Duration::from_secs(5),
    };
}

/// The one that may write to a mirror. What was added counts only when it was committed.
#[derive(Debug)]
pub struct MirrorWriter {
    pub(super) directory: PathBuf,
    /// Locked as long as this is.
    lock: Lock,
    pub(super) state: State,
    pub(super) index: Index,
    pub(super) reader: Texts,
    texts: File,
    packer: Packer,
    /// Records that are in memory, and not yet in the file.
    records: Vec<u8>,
    /// How many paths there were before them.
    paths: u32,
    has_new_large: bool,
    pub(super) checkpoint: Checkpoint,
    /// Bytes that have come since the last commit.
    since: u64,
    committed: Instant,
    /// The state is not written before the end: another generation counts till then.
    is_detached: bool,
    /// Changesets that the source has no more.
    pub(super) gone: Vec<Node>,
}

/// A directory that no other process writes to.
#[derive(Clone, Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, not read")] Arc<File>);

impl MirrorWriter {
    /// Opens the mirror in this directory for writing, or makes an empty one of an empty or missing
    /// directory.
    ///
    /// # Errors
    /// Another process writes to it; it is damaged; the directory has something else in it; reading
    /// or writing fails.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, MirrorError> {
        let directory = directory.as_ref();
        prepare(directory)?;
        let lock = lock(directory)?;
        let marker = directory.join("hgrpc-mirror");
        if !marker.exists() {
            if has_content(directory)? {
                return Err(MirrorError::Missing(marker));
            }
            create(directory)?;
        }
        let state = read_state(directory)?;
        remove_others(directory, &state)?;
        let large = directory.join("large");
        fs::create_dir_all(&large).map_err(at(&large))?;
        Self::with(directory, lock, state, false)
    }

    /// An empty mirror of this generation, beside the one that counts.
    pub(super) fn detached(
        directory: &Path,
        lock: Lock,
        generation: u32,
    ) -> Result<Self, MirrorError> {
        let state = State {
            generation,
            ..State::default()
        };
        for name in ["index", "texts"] {
            let path = state.file(directory, name);
            File::create(&path).map_err(at(&path))?;
        }
        let large = directory.join("large");
        fs::create_dir_all(&large).map_err(at(&large))?;
        Self::with(directory, lock, state, true)
    }

    fn with(
        directory: &Path,
        lock: Lock,
        state: State,
        is_detached: bool,
    ) -> Result<Self, MirrorError> {
        let index = read_index(directory, &state, state.pending)?;
        let path = state.file(directory, "texts");
        let reader = Texts::open(directory, path.clone(), state.pending.texts)?;
        let mut texts = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        // What a killed fetch has left does not count.
        cut(&mut texts, state.pending.texts).map_err(at(&path))?;
        remove_unfinished(&directory.join("large"))?;
        Ok(Self {
            directory: directory.to_owned(),
            lock,
            state,
            index,
            reader,
            texts,
            packer: Packer::new().map_err(at(directory))?,
            records: Vec::new(),
            paths: 0,
            has_new_large: false,
            checkpoint: Checkpoint::DEFAULT,
            since: 0,
            committed: Instant::now(),
            is_detached,
            gone: Vec::new(),
        })
    }

    /// How many changesets there are, with all that is theirs.
    pub fn changesets(&self) -> usize {
        usize::try_from(self.state.whole.changesets).unwrap_or(usize::MAX)
    }

    /// How many revisions of manifests and files there are.
    pub fn revisions(&self) -> usize {
        self.index.revisions()
    }

    /// Changesets of the mirror that the source did not have any more when it was last asked.
    pub fn gone(&self) -> &[Node] {
        &self.gone
    }

    /// The lock, for another writer of the same directory.
    pub(super) fn lock(&self) -> Lock {
        self.lock.clone()
    }

    /// Adds a record; it counts from the next commit on.
    pub(super) fn add(&mut self, record: Record) -> Result<(), MirrorError> {
        if self.records.is_empty() {
            self.paths = self.index.paths();
        }
        record.emit(&mut self.records);
        self.index.add(record).map_err(|what| MirrorError::Damaged {
            file: self.state.file(&self.directory, "index"),
            offset: self.state.pending.index,
            what,
        })
    }

    /// The number of a path, which becomes one if it is new.
    pub(super) fn path(&mut self, path: &[u8]) -> Result<u32, MirrorError> {
        if let Some(number) = self.index.path(path) {
            return Ok(number);
        }
        self.add(Record::Path(path.to_vec()))?;
        Ok(self.index.path(path).unwrap_or_default())
    }

    /// Appends bytes; where they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<Place, MirrorError> {
        let pushed = self.reader.pushed();
        if pushed > 0 && pushed + bytes.len() > BLOCK {
            self.flush()?;
        }
        Ok(self.reader.push(bytes))
    }

    /// Writes the block of texts that was begun.
    fn flush(&mut self) -> Result<(), MirrorError> {
        if self.reader.pushed() == 0 {
            return Ok(());
        }
        let (packer, texts) = (&mut self.packer, &mut self.texts);
        let written = self.reader.take_block(|offset, raw| {
            let block = packer.pack(Kind::Texts, offset, raw)?;
            texts.write_all(&block)?;
            io::Result::Ok(u64::try_from(block.len()).unwrap_or(u64::MAX))
        });
        written.map_err(at(&self.reader.path))
    }

    /// A text that is there, or a whole one that was added.
    pub(super) fn text(&self, key: Option<u32>, node: &Node) -> Result<Option<Text>, MirrorError> {
        match self.index.revision(key, node) {
            Some(_) => self.reader.text(&self.index, key, node).map(Some),
            None => Ok(None),
        }
    }

    /// Where a text of unknown length goes. One that may be large becomes a file of its own if it
    /// is.
    pub(super) fn spool(&self, may_be_large: bool) -> Spool {
        Spool {
            most: if may_be_large { LARGE } else { usize::MAX },
            path: self.directory.join("large").join("receiving.new"),
            memory: Vec::new(),
            file: None,
            len: 0,
        }
    }

    /// Makes a spooled text a stored one.
    pub(super) fn keep(&mut self, spool: Spool, stored: &mut Stored) -> Result<(), MirrorError> {
        stored.len = spool.len;
        let Some(mut file) = spool.file else {
            stored.stored = spool.len;
            stored.place = self.append(&spool.memory)?;
            return Ok(());
        };
        let path = large_path(&self.directory, &stored.node);
        file.flush_block(&spool.memory).map_err(at(&path))?;
        file.file.sync_all().map_err(at(&path))?;
        fs::rename(&spool.path, &path).map_err(at(&path))?;
        stored.stored = file.offset;
        stored.place = Place::Large;
        self.has_new_large = true;
        Ok(())
    }

    /// Forgets what was added since the last changeset that is whole.
    pub(super) fn forget_pending(&mut self) -> Result<(), MirrorError> {
        self.records.clear();
        if self.state.pending != self.state.whole {
            self.state.pending = self.state.whole;
            // Before the files are cut, so that none is ever shorter than the state says.
            if !self.is_detached {
                self.state.write(&self.directory)?;
            }
        }
        self.index = read_index(&self.directory, &self.state, self.state.whole)?;
        let path = self.state.file(&self.directory, "texts");
        self.reader = Texts::open(&self.directory, path.clone(), self.state.whole.texts)?;
        cut(&mut self.texts, self.state.whole.texts).map_err(at(&path))
    }

    /// Forgets what was added since the last commit: a fetch that failed may have left half of
    /// something.
    pub(super) fn forget_uncommitted(&mut self) -> Result<(), MirrorError> {
        if self.reader.pushed() == 0 && self.records.is_empty() {
            return Ok(());
        }
        self.records.clear();
        self.index = read_index(&self.directory, &self.state, self.state.pending)?;
        let path = self.state.file(&self.directory, "texts");
        self.reader = Texts::open(&self.directory, path.clone(), self.state.pending.texts)?;
        cut(&mut self.texts, self.state.pending.texts).map_err(at(&path))
    }

    /// Counts bytes that have come, and makes them safe when there are enough of them.
    pub(super) fn count(&mut self, bytes: u64) -> Result<(), MirrorError> {
        self.since = self.since.saturating_add(bytes);
        let is_due =
            self.since >= self.checkpoint.bytes || self.committed.elapsed() >= self.checkpoint.time;
        if is_due && !self.is_detached {
            self.commit(false)?;
        }
        Ok(())
    }

    /// Makes all that was added safe. It counts if all changesets are whole.
    pub(super) fn commit(&mut self, is_whole: bool) -> Result<(), MirrorError> {
        self.flush()?;
        let path = self.reader.path.clone();
        self.texts.sync_data().map_err(at(&path))?;
        if std::mem::take(&mut self.has_new_large) {
            sync_directory(&self.directory.join("large"))?;
        }
        let path = self.state.file(&self.directory, "index");
        let mut index = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        let offset = self.state.pending.index;
        cut(&mut index, offset).map_err(at(&path))?;
        let mut pending = Extent {
            changesets: self.index.len(),
            ..self.state.pending
        };
        if !self.records.is_empty() {
            let raw = [&self.paths.to_be_bytes()[..], &self.records].concat();
            let block = self.packer.pack(Kind::Index, offset, &raw);
            let block = block.map_err(at(&path))?;
            index.write_all(&block).map_err(at(&path))?;
            index.sync_data().map_err(at(&path))?;
            pending.index += u64::try_from(block.len()).unwrap_or(u64::MAX);
        }
        pending.texts = self.reader.end();
        self.records.clear();
        self.state.pending = pending;
        if is_whole {
            self.state.whole = pending;
        }
        (self.since, self.committed) = (0, Instant::now());
        if self.is_detached {
            return Ok(());
        }
        self.state.write(&self.directory)
    }

    /// Makes a detached generation the one that counts, and removes the others.
    pub(super) fn attach(&mut self) -> Result<(), MirrorError> {
        self.is_detached = false;
        self.commit(true)?;
        replace(&self.directory, "hgrpc-mirror", VERSION.as_bytes())?;
        remove_others(&self.directory, &self.state)?;
        let all = self.index.in_order().into_iter();
        let large = all.filter(|(_, stored)| stored.place == Place::Large);
        let large: HashSet<String> = large.map(|(_, stored)| stored.node.to_hex()).collect();
        let folder = self.directory.join("large");
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            let is_used = entry
                .file_name()
                .to_str()
                .is_some_and(|name| large.contains(name));
            if !is_used {
                fs::remove_file(entry.path()).map_err(at(&folder))?;
            }
        }
        Ok(())
    }

    /// What may change: where it was fetched from, bookmarks, drafts.
    pub(super) fn set_state(
        &mut self,
        url: &str,
        bookmarks: BTreeMap<Vec<u8>, Node>,
        drafts: Vec<Node>,
        is_publishing: bool,
    ) {
        url.clone_into(&mut self.state.url);
        self.state.bookmarks = bookmarks;
        self.state.drafts = drafts;
        self.state.is_publishing = is_publishing;
    }
}

/// Drops what a file has beyond this length; what is written next goes there.
fn cut(file: &mut File, len: u64) -> io::Result<()> {
    file.set_len(len)?;
    file.seek(SeekFrom::Start(len)).map(drop)
}

/// The generation of a file's name, if it is one of a generation's.
fn generation(name: &str) -> Option<u32> {
    let (name, number) = name.split_once('.')?;
    let is_one = matches!(name, "index" | "texts");
    number.parse().ok().filter(|_| is_one)
}

/// The names in a directory; none if there is no directory.
fn names(directory: &Path) -> Result<Vec<String>, MirrorError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(directory)(error)),
    };
    let names = entries.map(|entry| {
        let name = entry.map_err(at(directory))?.file_name();
        Ok(name.to_string_lossy().into_owned())
    });
    names.collect()
}

/// The newest generation of which there are files.
pub(super) fn newest_generation(directory: &Path) -> Result<u32, MirrorError> {
    let names = names(directory)?;
    let all = names.iter().filter_map(|name| generation(name));
    Ok(all.max().unwrap_or_default())
}

/// Makes the directory if it is not there; refuses one with something else in it.
pub(super) fn prepare(directory: &Path) -> Result<(), MirrorError> {
    let cannot = |error| MirrorError::Io {
        file: directory.to_owned(),
        error,
    };
    match fs::create_dir_all(directory) {
        Err(_) if directory.is_file() => return Err(MirrorError::NotAMirror(directory.to_owned())),
        made => made.map_err(cannot)?,
    }
    if directory.join("hgrpc-mirror").exists() {
        return Ok(());
    }
    let known = ["lock", "state", "state.new", "hgrpc-mirror.new", "large"];
    // A mirror that was killed while it was made may be finished.
    let is_known = |name: &String| known.contains(&name.as_str()) || generation(name).is_some();
    match names(directory)?.iter().all(is_known) {
        true => Ok(()),
        false => Err(MirrorError::NotAMirror(directory.to_owned())),
    }
}

/// Whether anything was ever kept in this directory.
fn has_content(directory: &Path) -> Result<bool, MirrorError> {
    for name in names(directory)? {
        if generation(&name).is_some() {
            let path = directory.join(&name);
            if fs::metadata(&path).map_err(at(&path))?.len() > 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes what an ended repair, or the generation before it, has left.
fn remove_others(directory: &Path, state: &State) -> Result<(), MirrorError> {
    for name in names(directory)? {
        if generation(&name).is_some_and(|number| number != state.generation) {
            let path = directory.join(&name);
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

pub(super) fn lock(directory: &Path) -> Result<Lock, MirrorError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(Arc::new(file))),
        Err(TryLockError::WouldBlock) => Err(MirrorError::Locked(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Makes an empty mirror; the version's file last, so that what has it is whole.
fn create(directory: &Path) -> Result<(), MirrorError> {
    for name in ["index", "texts"] {
        let path = numbered(directory, name, 0);
        File::create(&path).map_err(at(&path))?;
    }
    let large = directory.join("large");
    fs::create_dir_all(&large).map_err(at(&large))?;
    State::default().write(directory)?;
    replace(directory, "hgrpc-mirror", VERSION.as_bytes())
}

fn remove_unfinished(large: &Path) -> Result<(), MirrorError> {
    let path = large.join("receiving.new");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
        _ => Ok(()),
    }
}

/// The file of a large text that is being received.
struct LargeFile {
    file: File,
    offset: u64,
    packer: Packer,
}

impl LargeFile {
    fn flush_block(&mut self, raw: &[u8]) -> io::Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let block = self.packer.pack(Kind::Large, self.offset, raw)?;
        self.file.write_all(&block)?;
        self.offset += u64::try_from(block.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// A text that is being received: in memory while it is small, then in a file, whose next block is
/// in memory.
pub(super) struct Spool {
    /// Most bytes that stay in memory.
    most: usize,
    path: PathBuf,
    memory: Vec<u8>,
    file: Option<LargeFile>,
    pub(super) len: u64,
}

impl Spool {
    /// The text, if it is in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > self.most {
            self.file = Some(LargeFile {
                file: File::create(&self.path)?,
                offset: 0,
                packer: Packer::new()?,
            });
        }
        self.memory.extend_from_slice(bytes);
        if let Some(file) = &mut self.file
            && self.memory.len() >= LARGE_BLOCK
        {
            file.flush_block(&self.memory)?;
            self.memory.clear();
        }
        self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
