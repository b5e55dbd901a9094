//! Adds to a mirror.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::at;
use super::format::{Record, State, Stored, VERSION, replace, sync_directory};
use super::index::Index;
use super::read::{Texts, large_path};
use super::{MirrorError, parse_state, read_index, read_state};
use crate::mercurial::{Node, Text};

/// Texts over so many bytes are files of their own, and never in memory.
pub(super) const LARGE: usize = 1 << 20;

/// The one that may write to a mirror. What was added counts only when it was committed.
#[derive(Debug)]
pub struct MirrorWriter {
    pub(super) directory: PathBuf,
    /// Locked as long as this is.
    _lock: File,
    pub(super) state: State,
    pub(super) index: Index,
    pub(super) reader: Texts,
    texts: File,
    /// Where the next text goes.
    end: u64,
    /// Records that are in memory, and not yet in the file.
    records: Vec<u8>,
    new_large: bool,
}

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
        if !directory.join("hgrpc-mirror").exists() {
            create(directory)?;
        }
        let state = parse_state(directory, &read_state(directory)?)?;
        let index = read_index(directory, state.index)?;
        let reader = Texts::open(directory, state.texts)?;
        let path = directory.join("texts");
        let mut texts = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        // What a killed fetch has left does not count.
        cut(&mut texts, state.texts).map_err(at(&path))?;
        remove_unfinished(&directory.join("large"))?;
        Ok(Self {
            directory: directory.to_owned(),
            _lock: lock,
            end: state.texts,
            state,
            index,
            reader,
            texts,
            records: Vec::new(),
            new_large: false,
        })
    }

    /// How many changesets there are.
    pub fn changesets(&self) -> usize {
        self.index.changesets.len()
    }

    /// How many revisions of manifests and files there are.
    pub fn revisions(&self) -> usize {
        self.index.revisions()
    }

    /// Adds a record; it counts from the next commit on.
    pub(super) fn add(&mut self, record: Record) -> Result<(), MirrorError> {
        record.emit(&mut self.records);
        self.index.add(record).map_err(|what| MirrorError::Damaged {
            file: self.directory.join("index"),
            offset: self.state.index,
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
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, MirrorError> {
        let at_texts = self.directory.join("texts");
        self.texts.write_all(bytes).map_err(at(&at_texts))?;
        let offset = self.end;
        self.end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(offset)
    }

    /// A text that is there, or a whole one that was added.
    pub(super) fn text(&self, key: Option<u32>, node: &Node) -> io::Result<Option<Text>> {
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
        stored.stored = spool.len;
        stored.offset = None;
        let Some(file) = spool.file else {
            stored.offset = Some(self.append(&spool.memory)?);
            return Ok(());
        };
        let path = large_path(&self.directory, &stored.node);
        file.sync_all().map_err(at(&path))?;
        fs::rename(&spool.path, &path).map_err(at(&path))?;
        self.new_large = true;
        Ok(())
    }

    /// Forgets what was added since the last commit: a changeset without all that is its own must
    /// not count with the next one.
    pub(super) fn forget_unfinished(&mut self) -> Result<(), MirrorError> {
        if self.end == self.state.texts && self.records.is_empty() {
            return Ok(());
        }
        self.index = read_index(&self.directory, self.state.index)?;
        self.records.clear();
        self.end = self.state.texts;
        let path = self.directory.join("texts");
        cut(&mut self.texts, self.end).map_err(at(&path))
    }

    /// Makes all that was added count.
    pub(super) fn commit(&mut self) -> Result<(), MirrorError> {
        let path = self.directory.join("texts");
        self.texts.sync_data().map_err(at(&path))?;
        if std::mem::take(&mut self.new_large) {
            sync_directory(&self.directory.join("large"))?;
        }
        let path = self.directory.join("index");
        let mut index = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        cut(&mut index, self.state.index).map_err(at(&path))?;
        index.write_all(&self.records).map_err(at(&path))?;
        index.sync_data().map_err(at(&path))?;
        let len = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        self.records.clear();
        self.state.index += len;
        self.state.texts = self.end;
        self.state.write(&self.directory)
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

/// Makes the directory if it is not there; refuses one with something else in it.
fn prepare(directory: &Path) -> Result<(), MirrorError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    if directory.join("hgrpc-mirror").exists() {
        return Ok(());
    }
    let known = [
        "lock",
        "state",
        "state.new",
        "hgrpc-mirror.new",
        "index",
        "texts",
        "large",
    ];
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let name = entry.map_err(at(directory))?.file_name();
        // A mirror that was killed while it was made may be finished.
        if !known.iter().any(|known| name == *known) {
            return Err(MirrorError::NotAMirror(directory.to_owned()));
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, MirrorError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(MirrorError::Locked(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Makes an empty mirror; the version's file last, so that what has it is whole.
fn create(directory: &Path) -> Result<(), MirrorError> {
    for name in ["index", "texts"] {
        let path = directory.join(name);
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

/// A text that is being received: in memory while it is small, then in a file.
pub(super) struct Spool {
    /// Most bytes that stay in memory.
    most: usize,
    path: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
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
            let mut file = File::create(&self.path)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
