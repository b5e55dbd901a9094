//! The data of a request, from a file or from standard input.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::task::spawn_blocking;

use crate::exit::Failure;

/// Whether a path says standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Opens the file that an option names.
///
/// # Errors
/// It is not there, or is not to be read.
pub(super) fn open(option: &str, path: &Path) -> Result<File, Failure> {
    crate::io::open(path).map_err(|message| Failure::Io(format!("{option}: {message}")))
}

/// Data that is to be sent.
pub(super) struct Data {
    source: Box<dyn Read + Send>,
    /// Bytes of a file; of a pipe they are not known.
    total: Option<u64>,
    count: Count,
}

/// How much of the data was read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Data {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It is not there, or is not to be read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let (source, total): (Box<dyn Read + Send>, _) = if is_stdin(path) {
            (Box::new(io::stdin()), None)
        } else {
            let file = open("--data", path)?;
            let metadata = file.metadata().ok().filter(Metadata::is_file);
            (Box::new(file), metadata.map(|metadata| metadata.len()))
        };
        Ok(Self {
            source,
            total,
            count: Count::default(),
        })
    }

    pub(super) fn count(&self) -> Count {
        self.count.clone()
    }

    /// Bytes in all, where that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }
}

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

impl Data {
    /// The data as it is read, by threads that may wait for it.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(Some(self), async |data| {
            let reading = spawn_blocking(move || data?.next());
            reading
                .await
                .unwrap_or_else(|error| Some((Err(error.into()), None)))
        })
    }

    /// The next bytes, and what gives those after them; `None` at the end.
    fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let mut chunk = vec![0; CHUNK];
        let len = loop {
            match self.source.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some((Err(error), None)),
            }
        };
        chunk.truncate(len);
        let count = u64::try_from(len).unwrap_or(u64::MAX);
        self.count.0.fetch_add(count, Ordering::Relaxed);
        Some((Ok(chunk.into()), Some(self)))
    }
}
