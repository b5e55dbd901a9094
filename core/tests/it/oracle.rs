//! A store as simple as its laws, to compare others with.

use std::collections::BTreeMap;

use hgrpc::store::{Arena, ArenaFull, Entry, FixedArena, FixedTable, Key, Table, TableFull, laws};
use hgrpc::wire::RequestId;

#[derive(Debug)]
pub struct OracleTable {
    pub room: usize,
    pub entries: BTreeMap<RequestId, Entry>,
}

impl OracleTable {
    pub fn new(room: usize) -> Self {
        let entries = BTreeMap::new();
        Self { room, entries }
    }
}

impl Table for OracleTable {
    fn find(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    fn insert(&mut self, id: RequestId, entry: Entry) -> Result<(), TableFull> {
        let alike = |(other, e): &(&RequestId, &Entry)| {
            **other != id && e.is_refused() == entry.is_refused()
        };
        if self.entries.iter().filter(alike).count() >= self.room {
            return Err(TableFull);
        }
        self.entries.insert(id, entry);
        Ok(())
    }

    fn remove(&mut self, id: RequestId) {
        self.entries.remove(&id);
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Entry)> {
        self.entries
            .iter()
            .filter(|(_, e)| order.is_none_or(|o| e.order() > o))
            .min_by_key(|(_, e)| e.order())
            .map(|(id, e)| (*id, *e))
    }

    fn capacity(&self) -> usize {
        self.room
    }
}

#[derive(Debug)]
pub struct OracleArena {
    pub keys: usize,
    pub bytes: usize,
    pub chunks: BTreeMap<Key, Vec<u8>>,
    taken: Vec<u8>,
}

impl OracleArena {
    pub fn new(keys: usize, bytes: usize) -> Self {
        Self {
            keys,
            bytes,
            chunks: BTreeMap::new(),
            taken: Vec::new(),
        }
    }

    fn used(&self) -> usize {
        self.chunks.values().map(Vec::len).sum()
    }
}

impl Arena for OracleArena {
    fn room(&self, key: Key) -> usize {
        if self.chunks.len() >= self.keys && !self.chunks.contains_key(&key) {
            return 0;
        }
        self.bytes - self.used()
    }

    fn append(&mut self, key: Key, bytes: &[u8]) -> Result<(), ArenaFull> {
        let is_new = !self.chunks.contains_key(&key);
        if bytes.len() > self.room(key) || (is_new && self.chunks.len() >= self.keys) {
            return Err(ArenaFull);
        }
        self.chunks.entry(key).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn find(&self, key: Key) -> Option<&[u8]> {
        self.chunks.get(&key).map(Vec::as_slice)
    }

    fn take(&mut self, key: Key) -> &[u8] {
        self.taken = self.chunks.remove(&key).unwrap_or_default();
        &self.taken
    }

    fn remove(&mut self, key: Key) {
        self.chunks.remove(&key);
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

#[test]
fn the_oracle_keeps_the_laws() {
    laws::check_table(&mut OracleTable::new(4)).unwrap();
    laws::check_arena(&mut OracleArena::new(4, 64)).unwrap();
    laws::check_table(&mut FixedTable::<4>::new()).unwrap();
    laws::check_arena(&mut FixedArena::<4, 64>::new()).unwrap();
}
