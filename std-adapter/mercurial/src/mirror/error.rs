//! Why a mirror cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::block::BlockError;
use crate::Node;

/// Why a mirror cannot be opened, read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum MirrorError {
    /// There is no mirror in this directory, but something else, or nothing.
    NotAMirror(PathBuf),
    /// It was made by a version of this program that kept mirrors in another way, or its first line
    /// is damaged: what that says.
    Version {
        /// The mirror's directory.
        directory: PathBuf,
        /// The first line of its file `hgrpc-mirror`.
        line: String,
    },
    /// Another process is writing to it.
    Locked(PathBuf),
    /// A file of it is damaged, at this byte. Fetching with
    /// [`repair`](super::MirrorWriter::repair) mends it.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file of it is not there.
    Missing(PathBuf),
    /// A revision's text and parents do not have the hash that names it.
    Hash {
        /// The revision's node.
        node: Node,
        /// The hash that it has.
        found: Node,
    },
    /// A changeset, or what belongs to it, is not there or makes no sense.
    Graph {
        /// The revision in which this was seen, or the changeset that is missing.
        node: Node,
        /// What is wrong.
        what: String,
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
            Self::Version { directory, line } => write!(
                f,
                "{} says that it is {:?}, which this version cannot read: mirror the repository \
                 anew into another directory, or use --repair if the file was damaged",
                directory.join("hgrpc-mirror").display(),
                line.trim_end(),
            ),
            Self::Locked(path) => {
                write!(f, "another process is writing to {}", path.display())
            }
            Self::Damaged { file, offset, what } => {
                write!(f, "{} is damaged at byte {offset}: {what}", file.display())
            }
            Self::Missing(file) => write!(f, "{} is missing", file.display()),
            Self::Hash { node, found } => {
                write!(f, "what is stored as {node} has the hash {found}")
            }
            Self::Graph { node, what } => write!(f, "{node}: {what}"),
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

impl MirrorError {
    /// Whether the mirror is damaged, so that fetching with
    /// [`repair`](super::MirrorWriter::repair) helps.
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Missing(_)
                | Self::Hash { .. }
                | Self::Graph { .. }
                | Self::Version { .. }
        )
    }

    /// The error inside of one that reading a text gave.
    ///
    /// # Errors
    /// Another error is given back.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<MirrorError> for io::Error {
    fn from(error: MirrorError) -> Self {
        let kind = match &error {
            MirrorError::Io { error, .. } => error.kind(),
            MirrorError::NotAMirror(_) | MirrorError::Missing(_) => io::ErrorKind::NotFound,
            MirrorError::Locked(_) => io::ErrorKind::ResourceBusy,
            MirrorError::Version { .. }
            | MirrorError::Damaged { .. }
            | MirrorError::Hash { .. }
            | MirrorError::Graph { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Says which file an error is about.
pub(super) fn at(file: &Path) -> impl Fn(io::Error) -> MirrorError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => MirrorError::Missing(file.to_owned()),
        _ => MirrorError::Io {
            file: file.to_owned(),
            error,
        },
    }
}

/// Says where a block is that cannot be read.
pub(super) fn in_block(file: &Path, offset: u64) -> impl Fn(BlockError) -> MirrorError + '_ {
    move |error| match error {
        BlockError::Damaged(what) => MirrorError::Damaged {
            file: file.to_owned(),
            offset,
            what,
        },
        BlockError::Io(error) => at(file)(error),
    }
}
