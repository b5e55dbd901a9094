//! Storage that grows with what peers send, within budgets.
//!
//! The reactors' storage is a table and an arena ([`hgrpc::store`]); these two keep the same laws
//! with maps and vectors instead of fixed memory.

use std::collections::{BTreeMap, HashMap};

use hgrpc::store::{Arena, ArenaFull, Entry, Key, Table, TableFull};
use hgrpc::wire::RequestId;

/// How much a [`GrowableStore`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budgets {
    /// Most requests at once, received and running together. Default 256: hundreds of calls in
    /// flight on one connection, a few tens of kilobytes of table.
    pub requests: usize,
    /// Most refused requests that are remembered to swallow their frames. Default 256.
    pub refused: usize,
    /// Most bytes that all requests of the connection hold together. Default 32 MiB: one request
    /// and its data at their default limits (16 MiB each).
    pub bytes: usize,
}

impl Budgets {
    /// The default budgets.
    pub const DEFAULT: Self = Self {
        requests: 256,
        refused: 256,
        bytes: 32 << 20,
    };
}

impl Default for Budgets {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A table that grows; see [`Budgets::requests`] and [`Budgets::refused`].
#[derive(Debug)]
pub struct GrowableTable {
    entries: HashMap<RequestId, Entry>,
    /// Opening order, for listing.
    order: BTreeMap<u32, RequestId>,
    refused: usize,
    budgets: Budgets,
}

impl GrowableTable {
    /// An empty table.
    pub fn new(budgets: Budgets) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            refused: 0,
            budgets,
        }
    }

    /// How many requests are held, refused ones not counted.
    pub fn len(&self) -> usize {
        self.entries.len() - self.refused
    }

    /// Whether nothing is held, refused requests included.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Table for GrowableTable {
    fn find(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    fn insert(&mut self, id: RequestId, entry: Entry) -> Result<(), TableFull> {
        let old = self.entries.get(&id).copied();
        let same_kind = old.is_some_and(|o| o.is_refused() == entry.is_refused());
        let is_full = if entry.is_refused() {
            self.refused >= self.budgets.refused
        } else {
            self.len() >= self.budgets.requests
        };
        if is_full && !same_kind {
            return Err(TableFull);
        }
        self.remove(id);
        self.entries.insert(id, entry);
        self.order.insert(entry.order(), id);
        self.refused += usize::from(entry.is_refused());
        Ok(())
    }

    fn remove(&mut self, id: RequestId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.order.remove(&entry.order());
            self.refused -= usize::from(entry.is_refused());
        }
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Entry)> {
        let start = match order {
            None => 0,
            Some(last) => last.checked_add(1)?,
        };
        let (_, id) = self.order.range(start..).next()?;
        self.entries.get(id).map(|entry| (*id, *entry))
    }

    fn capacity(&self) -> usize {
        self.budgets.requests
    }
}

/// An arena that grows; see [`Budgets::bytes`].
///
/// Every key has a vector of its own, so growing one moves no other.
#[derive(Debug)]
pub struct GrowableArena {
    chunks: HashMap<Key, Vec<u8>>,
    /// What was taken last; its memory is given back at the next change.
    taken: Vec<u8>,
    held: usize,
    budget: usize,
}

impl GrowableArena {
    /// An empty arena.
    pub fn new(budgets: Budgets) -> Self {
        Self {
            chunks: HashMap::new(),
            taken: Vec::new(),
            held: 0,
            budget: budgets.bytes,
        }
    }

    /// Bytes that are held now.
    pub const fn held(&self) -> usize {
        self.held
    }
}

impl Arena for GrowableArena {
    fn room(&self, _key: Key) -> usize {
        self.budget - self.held
    }

    fn append(&mut self, key: Key, bytes: &[u8]) -> Result<(), ArenaFull> {
        self.taken = Vec::new();
        if bytes.len() > self.budget - self.held {
            return Err(ArenaFull);
        }
        self.chunks.entry(key).or_default().extend_from_slice(bytes);
        self.held += bytes.len();
        Ok(())
    }

    fn find(&self, key: Key) -> Option<&[u8]> {
        self.chunks.get(&key).map(Vec::as_slice)
    }

    fn take(&mut self, key: Key) -> &[u8] {
        self.taken = self.chunks.remove(&key).unwrap_or_default();
        self.held -= self.taken.len();
        &self.taken
    }

    fn remove(&mut self, key: Key) {
        self.taken = Vec::new();
        if let Some(chunk) = self.chunks.remove(&key) {
            self.held -= chunk.len();
        }
    }

    fn capacity(&self) -> usize {
        self.budget
    }
}

/// A table and an arena that grow, within budgets.
#[derive(Debug)]
pub struct GrowableStore {
    table: GrowableTable,
    arena: GrowableArena,
}

impl GrowableStore {
    /// An empty store.
    pub fn new(budgets: Budgets) -> Self {
        Self {
            table: GrowableTable::new(budgets),
            arena: GrowableArena::new(budgets),
        }
    }

    /// Both halves.
    pub const fn split(&mut self) -> (&mut GrowableTable, &mut GrowableArena) {
        (&mut self.table, &mut self.arena)
    }

    /// The table.
    pub const fn table(&self) -> &GrowableTable {
        &self.table
    }

    /// The arena.
    pub const fn arena(&self) -> &GrowableArena {
        &self.arena
    }
}

impl Default for GrowableStore {
    fn default() -> Self {
        Self::new(Budgets::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use hgrpc::store::laws;

    use super::*;

    fn budgets(requests: usize, bytes: usize) -> Budgets {
        Budgets {
            requests,
            refused: requests,
            bytes,
        }
    }

    #[test]
    fn a_growable_table_keeps_the_laws() {
        laws::check_table(&mut GrowableTable::new(budgets(4, 0))).unwrap();
        laws::check_table(&mut GrowableTable::new(budgets(999, 0))).unwrap();
    }

    #[test]
    fn a_growable_arena_keeps_the_laws() {
        laws::check_arena(&mut GrowableArena::new(budgets(0, 64))).unwrap();
        laws::check_arena(&mut GrowableArena::new(Budgets::DEFAULT)).unwrap();
    }
}
