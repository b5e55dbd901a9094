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
            |error: io::Error| Failure::BadInput(format!("--output: cannot write {name}: {error}"));
        if path == Path::new("-") {
            let message = "--output -: results are printed without it; a file - is ./-";
            return Err(Failure::BadInput(message.to_owned()));
        }
        // A link stays one.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (file, temporary) = match fs::metadata(&target) {
            Ok(metadata) if !metadata.is_file() => {
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
