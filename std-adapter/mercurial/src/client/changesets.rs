//! What `changesetdata` gives (http-v2.md, 5.4).

use hgrpc_std::value::Value;

use super::answer::Answer;
use super::revisions::LIMIT;
use super::{Error, read_text};
use crate::values::{as_bytes, as_list, find, wanted};
use crate::{Node, Phase};

/// What is asked for of changesets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangesetFields {
    /// Bookmarks, of all changesets of the repository.
    pub bookmarks: bool,
    /// Parents.
    pub parents: bool,
    /// Phases.
    pub phase: bool,
    /// Texts. Their hashes are verified, so parents are asked for too.
    pub revision: bool,
}

impl ChangesetFields {
    /// Everything.
    pub const ALL: Self = Self {
        bookmarks: true,
        parents: true,
        phase: true,
        revision: true,
    };

    pub(super) fn to_value(self) -> Value {
        wanted([
            ("bookmarks", self.bookmarks),
            ("parents", self.parents || self.revision),
            ("phase", self.phase),
            ("revision", self.revision),
        ])
    }
}

/// A changeset as the server tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangesetData {
    /// The changeset.
    pub node: Node,
    /// Whether it is one of those that were asked for; the others are told of for their bookmarks.
    pub is_selected: bool,
    /// Its parents, if they were asked for.
    pub parents: Option<[Node; 2]>,
    /// Its phase, if it was asked for.
    pub phase: Option<Phase>,
    /// The bookmarks at it, if they were asked for.
    pub bookmarks: Vec<Vec<u8>>,
    /// Its text, if it was asked for; the hash is right. See [`Changeset`](crate::Changeset).
    pub text: Option<Vec<u8>>,
}

/// Changesets as they come, parents first. Ends after an error.
#[derive(Debug)]
#[must_use = "what is not read is not fetched"]
pub struct Changesets {
    answer: Option<Answer>,
    total: u64,
    left: u64,
}

impl Changesets {
    pub(super) fn new(mut answer: Answer) -> Result<Self, Error> {
        let header = answer.map()?;
        let total = answer.count(&header, "totalitems")?;
        Ok(Self {
            answer: Some(answer),
            total,
            left: total,
        })
    }

    /// How many changesets were asked for.
    pub const fn total(&self) -> u64 {
        self.total
    }

    fn read(&mut self) -> Result<Option<ChangesetData>, Error> {
        let Some(answer) = &mut self.answer else {
            return Ok(None);
        };
        let Some(map) = answer.next_map()? else {
            return match self.left {
                0 => Ok(None),
                _ => Err(answer.wrong("changeset")),
            };
        };
        let node = answer.node(&map, "node")?;
        let parents = answer.parents(&map)?;
        let phase = match find(&map, "phase") {
            Some(phase) => {
                let phase = as_bytes(phase).and_then(Phase::from_name);
                Some(phase.ok_or_else(|| answer.wrong("phase"))?)
            }
            None => None,
        };
        let bookmarks = find(&map, "bookmarks")
            .and_then(as_list)
            .unwrap_or_default();
        let bookmarks = bookmarks.iter().filter_map(as_bytes).map(<[u8]>::to_vec);
        let bookmarks = bookmarks.collect();
        let text = match answer.following(&map, &["revision"])? {
            Some((_, len)) => {
                let parents = parents.ok_or_else(|| answer.wrong("parents"))?;
                let text = read_text(answer.bytes()?, node, len, LIMIT)?;
                let found = Node::of_revision(parents, &text);
                if found != node {
                    return Err(Error::Hash { node, found });
                }
                Some(text)
            }
            None => None,
        };
        let is_selected = self.left > 0;
        self.left = self.left.saturating_sub(1);
        Ok(Some(ChangesetData {
            node,
            is_selected,
            parents,
            phase,
            bookmarks,
            text,
        }))
    }
}

impl Iterator for Changesets {
    type Item = Result<ChangesetData, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if !matches!(result, Ok(Some(_))) {
            self.answer = None;
        }
        result.transpose()
    }
}
