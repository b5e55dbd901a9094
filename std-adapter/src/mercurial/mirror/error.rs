//! Why a mirror cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::mercurial::Node;

/// Why a mirror cannot be opened, read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum MirrorError {
    /// There is no mirror in this directory, but something else, or nothing.
    NotAMirror(PathBuf),
    /// It is of another version than this program knows: what its first line says.
    Version(String),
    /// Another process is writing to it.
    Locked(PathBuf),
    /// A file of it is damaged, at this byte.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A revision's text and parents do not have the hash that names it.
    Hash {
        /// The revision's node.
        node: Node,
        /// The hash that it has.
        found: Node,
    },
    /// Reading or writing a file failed.
    Io {
        /// The file.
        file: PathBuf,
        /// The error.
        error: io::Error,
    },
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMirror(path) => write!(f, "{} is not a mirror", path.display()),
            Self::Version(line) => write!(
                f,
                "the mirror is {}, of a version that is not known",
                line.escape_debug()
            ),
            Self::Locked(path) => {
                write!(f, "another process is writing to {}", path.display())
            }
            Self::Damaged { file, offset, what } => {
                write!(f, "{} is damaged at byte {offset}: {what}", file.display())
            }
            Self::Hash { node, found } => {
                write!(f, "what is stored as {node} has the hash {found}")
            }
            Self::Io { file, error } => write!(f, "{}: {error}", file.display()),
        }
    }
}

impl std::error::Error for MirrorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<MirrorError> for io::Error {
    fn from(error: MirrorError) -> Self {
        let kind = match &error {
            MirrorError::Io { error, .. } => error.kind(),
            MirrorError::NotAMirror(_) => io::ErrorKind::NotFound,
            MirrorError::Locked(_) => io::ErrorKind::ResourceBusy,
            MirrorError::Version(_) | MirrorError::Damaged { .. } | MirrorError::Hash { .. } => {
                io::ErrorKind::InvalidData
            }
        };
        Self::new(kind, error)
    }
}

/// Says which file an error is about.
pub(super) fn at(file: &Path) -> impl Fn(io::Error) -> MirrorError + '_ {
    move |error| MirrorError::Io {
        file: file.to_owned(),
        error,
    }
}
