//! Mercurial: data formats.
mod changeset;
mod delta;
mod file;
mod manifest;
mod node;

pub use changeset::{Changeset, ChangesetError};
pub use delta::{ApplyError, Delta, DeltaError, DeltaErrorKind, apply};
pub use file::{FileText, FileTextError, contents};
pub use manifest::{
    Added, FileKind, Manifest, ManifestEntries, ManifestEntry, ManifestError, ManifestErrorKind,
};
pub use node::{Node, NodeError, NodeHasher};
