//! Text output and progress beside a response.

use std::fmt;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Atom, Progress, Text};
use hgrpc::output::Output;
use hgrpc::server::Reply;

use super::Core;

/// A piece of text that waits to be sent; see [`Atom`].
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedAtom {
    /// The format.
    pub msg: Vec<u8>,
    /// The values of its `%s`.
    pub args: Vec<Vec<u8>>,
    /// Names of styles.
    pub labels: Vec<Vec<u8>>,
}

impl OwnedAtom {
    /// Does something with the atom, borrowed.
    fn with<R>(&self, act: impl FnOnce(&Atom<'_>) -> R) -> R {
        act(&Atom {
            msg: &self.msg,
            args: &slices(&self.args),
            labels: &slices(&self.labels),
        })
    }
}

impl fmt::Debug for OwnedAtom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|atom| atom.fmt(f))
    }
}

impl From<&Atom<'_>> for OwnedAtom {
    fn from(atom: &Atom<'_>) -> Self {
        let owned = |parts: &[&[u8]]| parts.iter().map(|part| part.to_vec()).collect();
        Self {
            msg: atom.msg.to_vec(),
            args: owned(atom.args),
            labels: owned(atom.labels),
        }
    }
}

/// An update of an operation that waits to be sent; see [`Progress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedProgress {
    topic: String,
    pos: i64,
    total: u64,
    label: Option<String>,
    item: Option<String>,
}

impl From<&Progress<'_>> for OwnedProgress {
    fn from(progress: &Progress<'_>) -> Self {
        Self {
            topic: progress.topic.to_string(),
            pos: progress.pos,
            total: progress.total,
            label: progress.label.map(|text| text.to_string()),
            item: progress.item.map(|text| text.to_string()),
        }
    }
}

/// What goes beside a response.
#[derive(Debug)]
pub(super) enum OwnedNote {
    Text(Vec<OwnedAtom>),
    Progress(Box<OwnedProgress>),
}

impl OwnedNote {
    /// Makes its frame, if it fits one and is what the protocol allows.
    pub(super) fn make(
        &self,
        core: &mut Core,
        reply: &Reply,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        match self {
            Self::Text(atoms) => {
                let lists: Vec<[Vec<&[u8]>; 2]> = atoms
                    .iter()
                    .map(|atom| [slices(&atom.args), slices(&atom.labels)])
                    .collect();
                let atoms: Vec<Atom<'_>> = atoms
                    .iter()
                    .zip(&lists)
                    .map(|(atom, [args, labels])| Atom {
                        msg: &atom.msg,
                        args,
                        labels,
                    })
                    .collect();
                core.text(reply, &atoms, out)
            }
            Self::Progress(owned) => {
                let mut progress = Progress::new(&owned.topic, owned.pos, owned.total);
                progress.label = owned.label.as_deref().map(Text::new);
                progress.item = owned.item.as_deref().map(Text::new);
                core.progress(reply, &progress, out)
            }
        }
    }
}

fn slices(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}
