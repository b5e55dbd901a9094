//! Texts, from the files that they are in.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::at;
use super::format::Stored;
use super::index::Index;
use super::{MirrorError, nothing};
use crate::mercurial::repository::malformed;
use crate::mercurial::{Delta, Node, Text};

/// Where texts are read from.
#[derive(Debug)]
pub(super) struct Texts {
    directory: PathBuf,
    file: Mutex<File>,
    /// The text that was put together last: manifests are mostly read in the order in which each is
    /// a delta to the one before.
    last: Mutex<Option<Last>>,
}

type Last = ((Option<u32>, Node), Arc<Vec<u8>>);

impl Texts {
    pub(super) fn open(directory: &Path, len: u64) -> Result<Self, MirrorError> {
        let path = directory.join("texts");
        let file = File::open(&path).map_err(at(&path))?;
        if file.metadata().map_err(at(&path))?.len() < len {
            return Err(MirrorError::Damaged {
                file: path,
                offset: len,
                what: "it is shorter than it was",
            });
        }
        Ok(Self {
            directory: directory.to_owned(),
            file: Mutex::new(file),
            last: Mutex::default(),
        })
    }

    /// The bytes that are stored for a revision: its text, or a delta.
    pub(super) fn bytes(&self, stored: &Stored) -> io::Result<Vec<u8>> {
        let offset = stored.offset.ok_or_else(nothing)?;
        let mut bytes = Vec::new();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.by_ref().take(stored.stored).read_to_end(&mut bytes)?;
        match u64::try_from(bytes.len()) {
            Ok(len) if len == stored.stored => Ok(bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// A revision's text.
    pub(super) fn text(&self, index: &Index, key: Option<u32>, node: &Node) -> io::Result<Text> {
        let stored = index.revision(key, node).ok_or_else(nothing)?;
        if stored.offset.is_none() {
            let file = File::open(large_path(&self.directory, node))?;
            return Ok(Text::new(stored.len, file));
        }
        if stored.base.is_none() {
            return Ok(Text::from(self.bytes(stored)?));
        }
        // From here down to a whole text, and back up.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
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
            at = index.revision(key, &base).ok_or_else(nothing)?;
        };
        let mut text = whole;
        for delta in deltas.iter().rev() {
            text = Arc::new(Delta::new(delta).apply(&text).map_err(malformed)?);
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
