//! Input and output of the subcommands.

use std::fs::File;
#[cfg(unix)]
use std::io::Write;
use std::io::{self, BufWriter, Read, StdoutLock};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Bytes that are read and written at a time.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Opens a file to be read.
///
/// # Errors
/// It is not there, or is not to be read, in words for people.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    let failed = |error: io::Error| format!("cannot open {}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    // It could be opened, but not read.
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// The input file, or standard input.
pub(crate) struct Input {
    name: String,
    source: Box<dyn Read>,
}

impl Input {
    /// Opens a file; none or `-` is standard input.
    pub(crate) fn open(path: Option<&PathBuf>) -> Result<Self, Failure> {
        match path {
            Some(path) if path != Path::new("-") => {
                let source = Box::new(open(path).map_err(Failure::Io)?);
                let name = path.display().to_string();
                Ok(Self { name, source })
            }
            _ => Ok(Self {
                name: "standard input".to_owned(),
                source: Box::new(io::stdin().lock()),
            }),
        }
    }

    /// What a failure to read means.
    pub(crate) fn failure(&self, error: &io::Error) -> Failure {
        Failure::Io(format!("cannot read {}: {error}", self.name))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// Prints a line that nobody has to read, and does not wait for anybody who does.
#[cfg(unix)]
pub(crate) fn announce(line: String) {
    let _ = std::thread::Builder::new().spawn(move || {
        let mut out = io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush())
    });
}

/// Standard output, behind a large buffer.
pub(crate) fn output() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER, io::stdout().lock())
}
