//! What can go wrong with a server's revisions.

use std::fmt;
use std::io;

use hgrpc_std::http;

use crate::{ChangesetError, DeltaError, ManifestError, Node};

/// Why a command has no result, or a wrong one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The transport's errors, the command's and the server's among them.
    Http(http::Error),
    /// The answer to a command is not what the command gives.
    Answer {
        /// The command.
        command: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A revision's text and parents do not have the hash that names it.
    Hash {
        /// The revision's node.
        node: Node,
        /// The hash that it has.
        found: Node,
    },
    /// A revision came as a delta that is malformed, or does not fit its base.
    Delta {
        /// The revision's node.
        node: Node,
        /// What is wrong.
        error: DeltaError,
    },
    /// A revision came as a delta to another that is not there.
    MissingBase {
        /// The revision's node.
        node: Node,
        /// The other's.
        base: Node,
    },
    /// A text has another length than was announced.
    Length {
        /// The revision's node.
        node: Node,
    },
    /// A text is larger than is taken.
    TooLarge {
        /// The revision's node.
        node: Node,
        /// Most bytes that are taken.
        limit: usize,
    },
    /// A changeset's text is malformed.
    Changeset {
        /// The changeset.
        node: Node,
        /// What is wrong.
        error: ChangesetError,
    },
    /// A manifest's text is malformed.
    Manifest {
        /// The manifest.
        node: Node,
        /// What is wrong.
        error: ManifestError,
    },
    /// What was received could not be stored, or what is stored could not be read.
    Storage(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Answer { command, expected } => {
                write!(
                    f,
                    "the answer to {command} has no {expected} where one should be"
                )
            }
            Self::Hash { node, found } => {
                write!(f, "what was received as {node} has the hash {found}")
            }
            Self::Delta { node, error } => write!(f, "{node} came as a delta, but {error}"),
            Self::MissingBase { node, base } => {
                write!(f, "{node} came as a delta to {base}, which is not there")
            }
            Self::Length { node } => {
                write!(f, "the text of {node} has another length than announced")
            }
            Self::TooLarge { node, limit } => {
                write!(f, "the text of {node} is larger than {limit} bytes")
            }
            Self::Changeset { node, error } => write!(f, "{node}: {error}"),
            Self::Manifest { node, error } => write!(f, "{node}: {error}"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(error) => Some(error),
            Self::Delta { error, .. } => Some(error),
            Self::Changeset { error, .. } => Some(error),
            Self::Manifest { error, .. } => Some(error),
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::Http(error)
    }
}
