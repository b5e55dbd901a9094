//! Storage in fixed memory: heapless maps and one shared run of bytes.

use heapless::{Vec, linear_map::LinearMap};

use super::{Arena, ArenaFull, Entry, Key, Table, TableFull};
use crate::bytes::{shift_down, shift_up};
use crate::wire::RequestId;

/// A table of at most `REQUESTS` requests, and of as many refused ones beside them.
#[derive(Debug, Default)]
pub struct FixedTable<const REQUESTS: usize> {
    requests: LinearMap<RequestId, Entry, REQUESTS>,
    refused: LinearMap<RequestId, Entry, REQUESTS>,
}

#[cfg(feature = "defmt")]
impl<const REQUESTS: usize> defmt::Format for FixedTable<REQUESTS> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "FixedTable({=usize} and {=usize} refused of {=usize})",
            self.requests.len(),
            self.refused.len(),
            REQUESTS
        );
    }
}

impl<const REQUESTS: usize> FixedTable<REQUESTS> {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            requests: LinearMap::new(),
            refused: LinearMap::new(),
        }
    }
}

impl<const REQUESTS: usize> Table for FixedTable<REQUESTS> {
    fn find(&self, id: RequestId) -> Option<&Entry> {
        self.requests.get(&id).or_else(|| self.refused.get(&id))
    }

    fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        self.requests
            .get_mut(&id)
            .or_else(|| self.refused.get_mut(&id))
    }

    fn insert(&mut self, id: RequestId, entry: Entry) -> Result<(), TableFull> {
        let (map, other) = if entry.is_refused() {
            (&mut self.refused, &mut self.requests)
        } else {
            (&mut self.requests, &mut self.refused)
        };
        map.insert(id, entry).map_err(|_| TableFull)?;
        forget(other, id);
        Ok(())
    }

    fn remove(&mut self, id: RequestId) {
        forget(&mut self.requests, id);
        forget(&mut self.refused, id);
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Entry)> {
        self.requests
            .iter()
            .chain(self.refused.iter())
            .filter(|(_, e)| order.is_none_or(|o| e.order() > o))
            .min_by_key(|(_, e)| e.order())
            .map(|(id, e)| (*id, *e))
    }

    fn capacity(&self) -> usize {
        REQUESTS
    }
}

/// `LinearMap::remove` keeps a panic path in the program, its entry does not.
fn forget<const N: usize>(map: &mut LinearMap<RequestId, Entry, N>, id: RequestId) {
    if let heapless::linear_map::Entry::Occupied(entry) = map.entry(id) {
        let _ = entry.remove();
    }
}

/// An arena of `BYTES` bytes that at most `CHUNKS` keys share; every byte can be used by any.
///
/// ```text
///   bytes   [ key 5 ... | key 9 ...... | key 7 . |        free        ]
///   chunks  [ (5, 3)    , (9, 6)       , (7, 1)  ]
/// ```
/// Chunks lie one behind another in the order in which they were begun. Appending to one moves
/// those behind it; work is bounded by `BYTES`.
#[derive(Debug, Default)]
pub struct FixedArena<const CHUNKS: usize, const BYTES: usize> {
    bytes: Vec<u8, BYTES>,
    chunks: Vec<(Key, usize), CHUNKS>,
}

#[cfg(feature = "defmt")]
impl<const CHUNKS: usize, const BYTES: usize> defmt::Format for FixedArena<CHUNKS, BYTES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "FixedArena({=usize} of {=usize} bytes)",
            self.bytes.len(),
            BYTES
        );
    }
}

impl<const CHUNKS: usize, const BYTES: usize> FixedArena<CHUNKS, BYTES> {
    /// An empty arena.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Bytes that are held now, with those that were taken last and are still there.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Where a key's bytes start, and how many there are.
    fn locate(&self, key: Key) -> Option<(usize, usize)> {
        let mut start = 0usize;
        for (k, len) in &self.chunks {
            if *k == key {
                return Some((start, *len));
            }
            start = start.saturating_add(*len);
        }
        None
    }

    /// Bytes of the chunk that was taken and is still there.
    fn taken(&self) -> usize {
        self.locate(Key::TAKEN).map_or(0, |(_, len)| len)
    }
}

impl<const CHUNKS: usize, const BYTES: usize> Arena for FixedArena<CHUNKS, BYTES> {
    fn room(&self, key: Key) -> usize {
        let taken = self.locate(Key::TAKEN).is_some();
        if self.locate(key).is_none() && self.chunks.is_full() && !taken {
            return 0;
        }
        BYTES
            .saturating_sub(self.bytes.len())
            .saturating_add(self.taken())
    }

    fn append(&mut self, key: Key, bytes: &[u8]) -> Result<(), ArenaFull> {
        self.remove(Key::TAKEN);
        if bytes.len() > BYTES.saturating_sub(self.bytes.len()) {
            return Err(ArenaFull);
        }
        let (start, len) = match self.locate(key) {
            Some(place) => place,
            None => {
                self.chunks.push((key, 0)).map_err(|_| ArenaFull)?;
                (self.bytes.len(), 0)
            }
        };
        let old_end = self.bytes.len();
        self.bytes.extend_from_slice(bytes).map_err(|_| ArenaFull)?;
        let end = start.saturating_add(len);
        if end < old_end {
            // Others lie behind: make a gap of the new bytes' length, then fill it.
            shift_up(self.bytes.get_mut(end..).unwrap_or(&mut []), bytes.len());
            let gap = self.bytes.get_mut(end..).unwrap_or(&mut []);
            gap.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        if let Some((_, len)) = self.chunks.iter_mut().find(|(k, _)| *k == key) {
            *len = len.saturating_add(bytes.len());
        }
        Ok(())
    }

    fn find(&self, key: Key) -> Option<&[u8]> {
        let (start, len) = self.locate(key)?;
        self.bytes.get(start..start.saturating_add(len))
    }

    fn take(&mut self, key: Key) -> &[u8] {
        self.remove(Key::TAKEN);
        match self.chunks.iter_mut().find(|(k, _)| *k == key) {
            Some((k, _)) => *k = Key::TAKEN,
            None => return &[],
        }
        self.find(Key::TAKEN).unwrap_or(&[])
    }

    fn remove(&mut self, key: Key) {
        let Some((start, len)) = self.locate(key) else {
            return;
        };
        shift_down(self.bytes.get_mut(start..).unwrap_or(&mut []), len);
        self.bytes.truncate(self.bytes.len().saturating_sub(len));
        self.chunks.retain(|(k, _)| *k != key);
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

/// A table and an arena in fixed memory: at most `REQUESTS` requests at once, which share `BYTES`
/// bytes for what has to be gathered. `const fn new()`, so it fits in a `static`.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FixedStore<const REQUESTS: usize, const BYTES: usize> {
    table: FixedTable<REQUESTS>,
    arena: FixedArena<REQUESTS, BYTES>,
}

impl<const REQUESTS: usize, const BYTES: usize> FixedStore<REQUESTS, BYTES> {
    /// An empty store.
    pub const fn new() -> Self {
        Self {
            table: FixedTable::new(),
            arena: FixedArena::new(),
        }
    }

    /// Bytes of memory that the store takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Both halves.
    pub fn split(&mut self) -> (&mut FixedTable<REQUESTS>, &mut FixedArena<REQUESTS, BYTES>) {
        (&mut self.table, &mut self.arena)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;

    #[test]
    fn a_fixed_table_keeps_the_laws() {
        laws::check_table(&mut FixedTable::<4>::new()).unwrap();
        laws::check_table(&mut FixedTable::<1>::new()).unwrap();
    }

    #[test]
    fn a_fixed_arena_keeps_the_laws() {
        laws::check_arena(&mut FixedArena::<4, 64>::new()).unwrap();
        laws::check_arena(&mut FixedArena::<1, 16>::new()).unwrap();
    }

    #[test]
    fn what_is_held_counts_until_its_room_is_needed() {
        let mut arena = FixedArena::<2, 16>::new();
        arena.append(Key::SETTINGS, b"four").unwrap();
        arena.append(Key::MESSAGE, b"three").unwrap();
        assert_eq!(arena.held(), 9);
        assert_eq!(arena.take(Key::MESSAGE), b"three");
        assert_eq!(arena.held(), 9);
        arena.append(Key::SETTINGS, b"+").unwrap();
        assert_eq!(arena.held(), 5);
    }
}
