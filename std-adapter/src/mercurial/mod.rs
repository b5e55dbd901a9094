//! Mercurial: data formats.
mod changeset;
pub mod client;
mod dag;
mod delta;
mod file;
mod filter;
mod manifest;
mod memory;
pub mod mirror;
mod node;
mod repository;
mod serve;
mod specifier;
mod values;

pub use changeset::{Changeset, ChangesetError};
pub use client::Client;
pub use delta::{ApplyError, Delta, DeltaError, DeltaErrorKind, apply};
pub use file::{FileText, FileTextError, contents};
pub use filter::{PathFilter, PathPattern};
pub use manifest::{
    Added, FileKind, Manifest, ManifestEntries, ManifestEntry, ManifestError, ManifestErrorKind,
};
pub use memory::{Commit, CommitError, MemoryRepository};
pub use mirror::{LiveMirror, Mirror, MirrorWriter};
pub use node::{Node, NodeError, NodeHasher};
pub use repository::{Log, Phase, Repository, Revision, Source, StoredDelta, Text};
pub use serve::Commands;
pub use specifier::Specifier;
