//! Checks every byte of a mirror, and that all that belongs to its changesets is there.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;

use super::error::at;
use super::format::Place;
use super::read::Large;
use super::{Mirror, MirrorError, read_marker, read_state};
use crate::{Changeset, Log, Manifest, Node, NodeHasher, Repository};

/// What [`verify`] has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Changesets, manifests and revisions of files that were read.
    pub revisions: u64,
    /// Bytes of the mirror's files.
    pub bytes: u64,
    /// All that is damaged or missing, each thing once.
    pub damage: Vec<MirrorError>,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Revisions that were read.
    pub revisions: u64,
    /// Revisions that are there.
    pub total: u64,
}

/// Reads everything in the mirror in this directory: compares the checksum of every block, the hash
/// of every revision, and goes from every changeset to its parents, its manifest, and all files of
/// that. `progress` is told of each revision.
///
/// # Errors
/// There is no mirror, or reading fails. Damage is no error, but in the report.
pub fn verify(
    directory: impl AsRef<Path>,
    progress: &mut dyn FnMut(Verified),
) -> Result<Report, MirrorError> {
    let directory = directory.as_ref();
    let mut report = Report::default();
    let mut seen = HashSet::new();
    let mut note = |report: &mut Report, error: MirrorError| match error.is_damage() {
        true => {
            if seen.insert(error.to_string()) {
                report.damage.push(error);
            }
            Ok(())
        }
        false => Err(error),
    };
    if let Err(error) = read_marker(directory) {
        note(&mut report, error)?;
    }
    let lock = directory.join("lock");
    if !lock.exists() {
        note(&mut report, MirrorError::Missing(lock))?;
    }
    let state = match super::parse_state(directory) {
        Ok(state) => state,
        Err(error) => {
            note(&mut report, error)?;
            return Ok(report);
        }
    };
    let mirror = match Mirror::with_state(directory, state) {
        Ok(mirror) => mirror,
        Err(error) => {
            note(&mut report, error)?;
            return Ok(report);
        }
    };
    for error in mirror.check(&mut report, progress)? {
        note(&mut report, error)?;
    }
    // What is pending is to be whole too, since a fetch goes on from it.
    if mirror.state.pending != mirror.state.whole
        && let Err(error) = super::read_index(directory, &mirror.state, mirror.state.pending)
    {
        note(&mut report, error)?;
    }
    // Somebody may have written meanwhile.
    drop(read_state(directory));
    Ok(report)
}

impl Mirror {
    /// Reads everything; see [`verify`].
    fn check(
        &self,
        report: &mut Report,
        progress: &mut dyn FnMut(Verified),
    ) -> Result<Vec<MirrorError>, MirrorError> {
        let mut damage = Vec::new();
        let revisions = self.index.in_order();
        let mut told = Verified {
            revisions: 0,
            total: u64::try_from(revisions.len() + self.index.changesets.len()).unwrap_or(u64::MAX),
        };
        let stored = self.index.changesets.iter();
        let stored = stored.chain(revisions.iter().map(|(_, stored)| *stored));
        let starts: BTreeSet<u64> = stored
            .filter_map(|stored| match stored.place {
                Place::Block { block, .. } => Some(block),
                Place::Large => None,
            })
            .collect();
        let starts: Vec<u64> = starts.into_iter().collect();
        let bytes = &mut report.bytes;
        damage.extend(self.texts.check(&starts, &mut |len| *bytes += len)?);
        report.bytes += self.state.whole.index;
        for stored in &self.index.changesets {
            let found = self.texts.bytes(stored);
            let found = found.map(|text| Node::of_revision(stored.parents, &text));
            note(&mut damage, stored.node, found)?;
            told.revisions += 1;
            progress(told);
        }
        for (key, stored) in revisions {
            let mut hasher = NodeHasher::new(stored.parents);
            let found = match stored.place {
                Place::Large => Large::open(&self.directory, stored).and_then(|mut text| {
                    report.bytes += stored.stored;
                    io::copy(&mut text, &mut hasher).map(drop).or_else(unpack)
                }),
                Place::Block { .. } => {
                    self.texts
                        .text(&self.index, key, &stored.node)
                        .and_then(|mut text| {
                            io::copy(&mut text, &mut hasher).map(drop).or_else(unpack)
                        })
                }
            };
            note(&mut damage, stored.node, found.map(|()| hasher.finish()))?;
            told.revisions += 1;
            progress(told);
        }
        report.revisions = told.revisions;
        self.check_graph(&mut damage)?;
        Ok(damage)
    }

    /// From each changeset to all that belongs to it.
    fn check_graph(&self, damage: &mut Vec<MirrorError>) -> Result<(), MirrorError> {
        let wrong = |node: Node, what: String| MirrorError::Graph { node, what };
        for number in 0..self.len() {
            let node = self.node(number);
            // What cannot be read was found before.
            let Some(stored) = self.index.changeset(number) else {
                continue;
            };
            let Ok(text) = self.texts.bytes(stored) else {
                continue;
            };
            for (parent, number) in stored.parents.iter().zip(self.parents(number)) {
                if number.is_none() && !parent.is_null() {
                    damage.push(wrong(node, format!("its parent {parent} is missing")));
                }
            }
            let manifest = match Changeset::parse_manifest(&text) {
                Ok(manifest) => manifest,
                Err(error) => {
                    damage.push(wrong(node, error.to_string()));
                    continue;
                }
            };
            if manifest.is_null() {
                continue;
            }
            if self.index.revision(None, &manifest).is_none() {
                damage.push(wrong(node, format!("its manifest {manifest} is missing")));
                continue;
            }
            // What the first parent has, too, was looked at there.
            let base = match self.parents(number) {
                [Some(parent), _] => self
                    .index
                    .changeset(parent)
                    .and_then(|stored| self.texts.bytes(stored).ok())
                    .and_then(|text| Changeset::parse_manifest(&text).ok())
                    .and_then(|manifest| self.manifest(&manifest)),
                _ => None,
            };
            let (base, Some(text)) = (base.unwrap_or_default(), self.manifest(&manifest)) else {
                continue;
            };
            for entry in Manifest::new(&text).added_to(Manifest::new(&base)) {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        damage.push(wrong(manifest, error.to_string()));
                        break;
                    }
                };
                let log = Log::File(entry.path);
                let key = self.index.key(log);
                let found = key.and_then(|key| self.index.revision(key, &entry.node));
                if found.is_none_or(|found| found.linked >= self.len()) {
                    let path = entry.path.escape_ascii();
                    damage.push(wrong(
                        entry.node,
                        format!("the revision of {path} is missing"),
                    ));
                }
            }
        }
        for (name, node) in &self.state.bookmarks {
            if !node.is_null() && self.index.number(node).is_none() {
                let name = name.escape_ascii();
                damage.push(wrong(
                    *node,
                    format!("the bookmark {name} is at what is missing"),
                ));
            }
        }
        Ok(())
    }

    /// A manifest's text, if it can be read.
    fn manifest(&self, node: &Node) -> Option<Vec<u8>> {
        if node.is_null() {
            return None;
        }
        let text = self.texts.text(&self.index, None, node).ok()?;
        text.read_all().ok()
    }
}

/// The error inside of one that reading a large text gave.
fn unpack(error: io::Error) -> Result<(), MirrorError> {
    Err(MirrorError::from_io(error).unwrap_or_else(at(Path::new("large"))))
}

/// Keeps what is wrong with a revision, unless reading itself failed.
fn note(
    damage: &mut Vec<MirrorError>,
    node: Node,
    found: Result<Node, MirrorError>,
) -> Result<(), MirrorError> {
    match found {
        Ok(found) if found == node => {}
        Ok(found) => damage.push(MirrorError::Hash { node, found }),
        Err(error) if error.is_damage() => damage.push(error),
        Err(error) => return Err(error),
    }
    Ok(())
}
