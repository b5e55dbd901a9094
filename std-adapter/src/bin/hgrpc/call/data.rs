//! The data of a request, from a file or from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exit::Failure;

/// Whether a path says standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
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
            let failed = |error: io::Error| {
                Failure::BadInput(format!("--data: cannot open {}: {error}", path.display()))
            };
            let file = File::open(path).map_err(failed)?;
            // It could be opened, but not read.
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            Box::new(file)
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

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buffer)?;
        self.count
            .0
            .fetch_add(u64::try_from(len).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(len)
    }
}
