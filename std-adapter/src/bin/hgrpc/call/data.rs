//! The data of a request, from a file or from standard input.

use std::fs::File;
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
    let failed = |error: io::Error| {
        Failure::BadInput(format!("{option}: cannot open {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(failed)?;
    // It could be opened, but not read.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Data that is to be sent.
pub(super) struct Data {
    source: Box<dyn Read + Send>,
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
        let source: Box<dyn Read + Send> = if is_stdin(path) {
            Box::new(io::stdin())
        } else {
            Box::new(open("--data", path)?)
        };
        Ok(Self {
            source,
            count: Count::default(),
        })
    }

    pub(super) fn count(&self) -> Count {
        self.count.clone()
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
