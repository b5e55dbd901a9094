//! Which changesets come from which: ancestors, ranges, heads, branches.
//!
//! Work is linear in the number of changesets, memory is a byte for each.

use std::collections::BTreeMap;
use std::io;

use super::{Node, Phase, Repository};

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A set of changesets, by number.
struct Marks(Vec<bool>);

impl Marks {
    fn new(repository: &dyn Repository, of: impl IntoIterator<Item = u32>) -> Self {
        let mut marks = Self(vec![false; index(repository.len())]);
        for number in of {
            marks.add(number);
        }
        marks
    }

    fn add(&mut self, number: u32) {
        if let Some(mark) = self.0.get_mut(index(number)) {
            *mark = true;
        }
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(index(number)).copied().unwrap_or(false)
    }

    /// Adds all ancestors of what is there.
    fn add_ancestors(mut self, repository: &dyn Repository) -> Self {
        for number in (0..repository.len()).rev() {
            if self.has(number) {
                for parent in repository.parents(number).into_iter().flatten() {
                    self.add(parent);
                }
            }
        }
        self
    }
}

/// Ancestors of `heads`, themselves included, that are not ancestors of `roots`; ascending.
pub(super) fn range(
    repository: &dyn Repository,
    roots: impl IntoIterator<Item = u32>,
    heads: impl IntoIterator<Item = u32>,
) -> impl Iterator<Item = u32> {
    let wanted = Marks::new(repository, heads).add_ancestors(repository);
    let known = Marks::new(repository, roots).add_ancestors(repository);
    (0..repository.len()).filter(move |&number| wanted.has(number) && !known.has(number))
}

/// `nodes` and their ancestors that are fewer than `depth` steps away; ascending.
pub(super) fn within(
    repository: &dyn Repository,
    nodes: impl IntoIterator<Item = u32>,
    depth: u64,
) -> impl Iterator<Item = u32> {
    // How many more steps may be taken from each.
    let mut steps = vec![0u64; index(repository.len())];
    for number in nodes {
        if let Some(step) = steps.get_mut(index(number)) {
            *step = depth;
        }
    }
    for number in (0..repository.len()).rev() {
        let left = steps
            .get(index(number))
            .map_or(0, |step| step.saturating_sub(1));
        for parent in repository.parents(number).into_iter().flatten() {
            if let Some(step) = steps.get_mut(index(parent)) {
                *step = left.max(*step);
            }
        }
    }
    (0..repository.len()).filter(move |&number| steps.get(index(number)).is_some_and(|&s| s > 0))
}

/// Changesets without children, or with `public_only` public ones without public children; the
/// newest first.
pub(super) fn heads(repository: &dyn Repository, public_only: bool) -> Vec<u32> {
    let counts = |number| !public_only || repository.phase(number) == Phase::Public;
    let mut parents = Marks::new(repository, []);
    let mut heads = Vec::new();
    for number in (0..repository.len()).rev().filter(|&number| counts(number)) {
        if !parents.has(number) {
            heads.push(number);
        }
        for parent in repository.parents(number).into_iter().flatten() {
            parents.add(parent);
        }
    }
    heads
}

/// The heads of each branch: its changesets without children on the same branch; ascending.
pub(super) fn branches(repository: &dyn Repository) -> io::Result<BTreeMap<Vec<u8>, Vec<Node>>> {
    let mut branches: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for number in 0..repository.len() {
        let heads = branches.entry(repository.branch(number)?).or_default();
        let parents = repository.parents(number);
        heads.retain(|&head| !parents.contains(&Some(head)));
        heads.push(number);
    }
    Ok(branches
        .into_iter()
        .map(|(branch, heads)| {
            let heads = heads.into_iter().map(|head| repository.node(head));
            (branch, heads.collect())
        })
        .collect())
}

/// Draft changesets whose parents are all public.
pub(super) fn draft_roots(repository: &dyn Repository) -> impl Iterator<Item = Node> + '_ {
    let is_draft = |number| repository.phase(number) == Phase::Draft;
    (0..repository.len())
        .filter(move |&number| {
            let mut parents = repository.parents(number).into_iter().flatten();
            is_draft(number) && !parents.any(is_draft)
        })
        .map(|number| repository.node(number))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::MemoryRepository;
    use super::super::memory::tests::diamond;
    use super::*;

    fn numbers(found: impl Iterator<Item = u32>) -> Vec<u32> {
        found.collect()
    }

    #[test]
    fn ranges_and_depths_of_a_diamond() {
        // 0 ── 1 ── 3 ── 4    2 is on the branch `stable`
        //  └── 2 ──┘
        let repository: Arc<MemoryRepository> = diamond();
        let repository = &*repository;
        assert_eq!(numbers(range(repository, [], [3])), [0, 1, 2, 3]);
        assert_eq!(numbers(range(repository, [1], [4])), [2, 3, 4]);
        assert_eq!(numbers(range(repository, [4], [4])), Vec::<u32>::new());
        assert_eq!(numbers(range(repository, [], [])), Vec::<u32>::new());
        assert_eq!(numbers(within(repository, [4], 1)), [4]);
        assert_eq!(numbers(within(repository, [4], 3)), [1, 2, 3, 4]);
        assert_eq!(numbers(within(repository, [1, 4], 2)), [0, 1, 3, 4]);
        assert_eq!(numbers(within(repository, [4], 0)), Vec::<u32>::new());
        assert_eq!(heads(repository, false), [4]);
        let branches = branches(repository).unwrap();
        assert_eq!(branches[&b"stable"[..]], [repository.node(2)]);
        assert_eq!(branches[&b"default"[..]], [repository.node(4)]);
    }

    #[test]
    fn drafts_are_not_public_heads() {
        let repository = diamond();
        repository.set_draft([repository.node(1)]);
        let repository = &*repository;
        assert_eq!(heads(repository, true), [2]);
        assert_eq!(
            draft_roots(repository).collect::<Vec<_>>(),
            [repository.node(1)]
        );
    }
}
