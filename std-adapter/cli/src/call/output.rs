//! The file that a result goes to: all of it, or nothing.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::exit::Failure;
use crate::io::BUFFER;

/// A file that is written. Dropped before [`finish`](Self::finish), what was there before stays.
pub(super) struct OutputFile {
    name: String,
    file: BufWriter<File>,
    /// Where the bytes are until they are complete, and where they go then; none for what is no
    /// regular file, such as `/dev/null`, which is written to directly.
    temporary: Option<(TempPath, PathBuf)>,
}

impl OutputFile {
    /// Opens a file, so that what is wrong with it is known before anything is called.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let failed =
            |error: io::Error| Failure::Io(format!("--output: cannot write {name}: {error}"));
        if path == Path::new("-") {
            let message = "--output -: results are printed without it; a file - is ./-";
            return Err(Failure::BadInput(message.to_owned()));
        }
        let found = fs::metadata(path);
        // A link stays one. What is there under no name, as behind /dev/stdout, is written to.
        let (target, is_named) = match (fs::canonicalize(path), &found) {
            (Ok(target), _) => (target, true),
            (Err(_), Ok(_)) => (path.to_owned(), false),
            (Err(_), Err(_)) => (follow(path).map_err(failed)?, true),
        };
        let (file, temporary) = match found {
            Ok(metadata) if !metadata.is_file() || !is_named => {
                let file = File::options().write(true).open(&target).map_err(failed)?;
                (file, None)
            }
            metadata => {
                let permissions = match &metadata {
                    Ok(metadata) => {
                        // What may not be written may not be replaced.
                        File::options().write(true).open(&target).map_err(failed)?;
                        metadata.permissions()
                    }
                    Err(_) => Permissions::from_mode(0o666),
                };
                let folder = match target.parent() {
                    Some(folder) if folder != Path::new("") => folder,
                    _ => Path::new("."),
                };
                let (file, temporary) = tempfile::Builder::new()
                    .prefix(".hgrpc-")
                    .permissions(permissions.clone())
                    .tempfile_in(folder)
                    .map_err(|error| failed(without_path(error)))?
                    .into_parts();
                if metadata.is_ok() {
                    // Whatever the mask for new files is.
                    file.set_permissions(permissions).map_err(failed)?;
                }
                (file, Some((temporary, target)))
            }
        };
        Ok(Self {
            name,
            file: BufWriter::with_capacity(BUFFER, file),
            temporary,
        })
    }

    /// What is to be removed if this process is ended early.
    pub(super) fn temporary(&self) -> Option<PathBuf> {
        self.temporary.as_ref().map(|(path, _)| path.to_path_buf())
    }

    /// Puts the complete file into its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let name = &self.name;
        let failed =
            |error: io::Error| Failure::Io(format!("--output: cannot write {name}: {error}"));
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        drop(file);
        match self.temporary {
            None => Ok(()),
            Some((temporary, target)) => temporary
                .persist(target)
                .map_err(|error| failed(error.error)),
        }
    }
}

/// Where a path leads through symbolic links; what is at the end of them need not be there yet.
fn follow(path: &Path) -> io::Result<PathBuf> {
    /// As many as Linux follows.
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..=MOST {
        match fs::read_link(&path) {
            // From where the link is, unless it begins at the root.
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// The error without the temporary file's name, which means nothing to people.
fn without_path(error: io::Error) -> io::Error {
    error.kind().into()
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    /// Nobody waits for the file to grow.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
