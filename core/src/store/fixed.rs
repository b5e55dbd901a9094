//! Storage in fixed memory: slots of requests and one shared run of bytes.
//!
//! No slot is ever moved: a request that ends leaves its slot behind, empty, and the next one takes
//! it over. Moving would bring `memmove` into a small program, which is larger than all of this.
//! Plain slots, and not heapless's map, because of that: its slots are kept together (250 bytes).

use super::{Arena, ArenaFull, Entry, Key, Table, TableFull};
use crate::bytes::{copy, shift_down, shift_up};
use crate::wire::RequestId;

/// A request, if its key is not [`VACANT`].
#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u32,
    entry: Entry,
}

/// The key of a slot that stands empty; searched for like any other.
const VACANT: u32 = 0;

impl Slot {
    const VACANT: Self = Self {
        key: VACANT,
        entry: Entry::VACANT,
    };
}

fn key_of(id: RequestId) -> u32 {
    0x0001_0000 | u32::from(id.value())
}

/// A table of at most `REQUESTS` requests, and of as many refused ones beside them.
#[derive(Debug)]
pub struct FixedTable<const REQUESTS: usize> {
    /// Requests, and refused ones.
    slots: [[Slot; REQUESTS]; 2],
}

#[cfg(feature = "defmt")]
impl<const REQUESTS: usize> defmt::Format for FixedTable<REQUESTS> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [requests, refused] = self.slots.each_ref().map(|slots| {
            let taken = slots.iter().filter(|slot| slot.key != VACANT);
            taken.count()
        });
        defmt::write!(
            f,
            "FixedTable({=usize} and {=usize} refused of {=usize})",
            requests,
            refused,
            REQUESTS
        );
    }
}

impl<const REQUESTS: usize> Default for FixedTable<REQUESTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const REQUESTS: usize> FixedTable<REQUESTS> {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            slots: [[Slot::VACANT; REQUESTS]; 2],
        }
    }

    /// Bytes of memory that the table takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();
}

/// The place of the first slot with this key; one behind the slots if there is none. A number, so
/// that finding an entry to be read and one to be changed are one piece of code.
#[inline(never)]
fn place_of(slots: &[Slot], key: u32) -> usize {
    let mut place = 0usize;
    for slot in slots {
        if slot.key == key {
            break;
        }
        place = place.wrapping_add(1);
    }
    place
}

fn find_mut(slots: &mut [Slot], key: u32) -> Option<&mut Slot> {
    let place = place_of(slots, key);
    slots.get_mut(place)
}

fn remove(slots: &mut [Slot], key: u32) {
    if let Some(slot) = find_mut(slots, key) {
        slot.key = VACANT;
    }
}

/// Puts an entry into a vacant slot of `slots`, and takes what the request had before out of these
/// and the `other` ones.
fn insert(
    slots: &mut [Slot],
    other: &mut [Slot],
    key: u32,
    entry: &Entry,
) -> Result<(), TableFull> {
    // Where this does anything, there is room.
    remove(slots, key);
    let slot = find_mut(slots, VACANT).ok_or(TableFull)?;
    *slot = Slot { key, entry: *entry };
    remove(other, key);
    Ok(())
}

impl<const REQUESTS: usize> Table for FixedTable<REQUESTS> {
    fn find(&self, id: RequestId) -> Option<&Entry> {
        let slots = self.slots.as_flattened();
        slots
            .get(place_of(slots, key_of(id)))
            .map(|slot| &slot.entry)
    }

    fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        let slots = self.slots.as_flattened_mut();
        find_mut(slots, key_of(id)).map(|slot| &mut slot.entry)
    }

    fn insert(&mut self, id: RequestId, entry: Entry) -> Result<(), TableFull> {
        let [requests, refused] = &mut self.slots;
        let (slots, other) = if entry.is_refused() {
            (refused, requests)
        } else {
            (requests, refused)
        };
        insert(slots, other, key_of(id), &entry)
    }

    fn remove(&mut self, id: RequestId) {
        remove(self.slots.as_flattened_mut(), key_of(id));
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Entry)> {
        let slots = self.slots.as_flattened().iter();
        slots
            .filter(|s| s.key != VACANT && order.is_none_or(|o| s.entry.order() > o))
            .min_by_key(|s| s.entry.order())
            .map(|s| {
                let [low, high, ..] = s.key.to_le_bytes();
                (RequestId::new(u16::from_le_bytes([low, high])), s.entry)
            })
    }

    fn capacity(&self) -> usize {
        REQUESTS
    }
}

/// An arena of `BYTES` bytes that at most `CHUNKS` keys share; every byte can be used by any.
///
/// ```text
///   bytes   [ key 5 ... | key 9 ...... | key 7 . |        free        ]
///   chunks  [ (5, 3)    , (9, 6)       , (7, 1)  ]
/// ```
/// Chunks lie one behind another. Appending to one moves those behind it; work is bounded by
/// `BYTES`.
#[derive(Debug)]
pub struct FixedArena<const CHUNKS: usize, const BYTES: usize> {
    bytes: [u8; BYTES],
    chunks: [Chunk; CHUNKS],
}

/// A key and how many bytes it has; [`Key::FREE`] has none.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    key: Key,
    len: usize,
}

impl Chunk {
    const FREE: Self = Self {
        key: Key::FREE,
        len: 0,
    };
}

#[cfg(feature = "defmt")]
impl<const CHUNKS: usize, const BYTES: usize> defmt::Format for FixedArena<CHUNKS, BYTES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "FixedArena({=usize} of {=usize} bytes)",
            locate(&self.chunks, Key::NONE).0,
            BYTES
        );
    }
}

impl<const CHUNKS: usize, const BYTES: usize> Default for FixedArena<CHUNKS, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const CHUNKS: usize, const BYTES: usize> FixedArena<CHUNKS, BYTES> {
    /// An empty arena.
    pub const fn new() -> Self {
        Self {
            bytes: [0; BYTES],
            chunks: [Chunk::FREE; CHUNKS],
        }
    }

    /// Bytes of memory that the arena takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Bytes that are held now, with those that were taken last and are still there.
    pub fn held(&self) -> usize {
        locate(&self.chunks, Key::NONE).0
    }
}

/// Where a key's bytes begin, and the chunk's place in the list. If there is no such chunk: the
/// bytes in use, and a place behind the list.
#[inline(never)]
fn locate(chunks: &[Chunk], key: Key) -> (usize, usize) {
    let (mut start, mut place) = (0usize, 0usize);
    for chunk in chunks {
        if chunk.key == key {
            break;
        }
        start = start.wrapping_add(chunk.len);
        place = place.wrapping_add(1);
    }
    (start, place)
}

/// [`Arena::append`] for arenas of any size.
fn append(all: &mut [u8], chunks: &mut [Chunk], key: Key, bytes: &[u8]) -> Result<(), ArenaFull> {
    remove_chunk(all, chunks, Key::TAKEN);
    let (used, end) = locate(chunks, Key::NONE);
    let (mut start, mut place) = locate(chunks, key);
    if place == end {
        (start, place) = locate(chunks, Key::FREE);
    }
    let chunk = chunks.get_mut(place).ok_or(ArenaFull)?;
    let end = used.wrapping_add(bytes.len());
    let start = start.wrapping_add(chunk.len);
    let behind = all.get_mut(start..end).ok_or(ArenaFull)?;
    // Others lie behind: they make a gap of the new bytes' length.
    shift_up(behind, bytes.len());
    copy(behind, bytes);
    chunk.key = key;
    chunk.len = chunk.len.wrapping_add(bytes.len());
    Ok(())
}

fn remove_chunk(all: &mut [u8], chunks: &mut [Chunk], key: Key) {
    let (used, _) = locate(chunks, Key::NONE);
    let (start, place) = locate(chunks, key);
    if let Some(chunk) = chunks.get_mut(place) {
        shift_down(all.get_mut(start..used).unwrap_or_default(), chunk.len);
        *chunk = Chunk::FREE;
    }
}

impl<const CHUNKS: usize, const BYTES: usize> Arena for FixedArena<CHUNKS, BYTES> {
    fn room(&self, key: Key) -> usize {
        let (mut used, mut has_place) = (0usize, false);
        for chunk in &self.chunks {
            let is_taken = chunk.key == Key::TAKEN;
            has_place |= is_taken || chunk.key == Key::FREE || chunk.key == key;
            if !is_taken {
                used = used.wrapping_add(chunk.len);
            }
        }
        if has_place {
            BYTES.wrapping_sub(used)
        } else {
            0
        }
    }

    fn append(&mut self, key: Key, bytes: &[u8]) -> Result<(), ArenaFull> {
        append(&mut self.bytes, &mut self.chunks, key, bytes)
    }

    fn find(&self, key: Key) -> Option<&[u8]> {
        let (start, place) = locate(&self.chunks, key);
        let chunk = self.chunks.get(place)?;
        self.bytes.get(start..)?.get(..chunk.len)
    }

    fn take(&mut self, key: Key) -> &[u8] {
        self.remove(Key::TAKEN);
        let (_, place) = locate(&self.chunks, key);
        if let Some(chunk) = self.chunks.get_mut(place) {
            chunk.key = Key::TAKEN;
        }
        self.find(Key::TAKEN).unwrap_or_default()
    }

    fn remove(&mut self, key: Key) {
        remove_chunk(&mut self.bytes, &mut self.chunks, key);
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

    /// Forgets everything, for a connection that begins anew. In less code than a new store.
    pub fn clear(&mut self) {
        let Self { table, arena } = self;
        for slot in table.slots.as_flattened_mut() {
            slot.key = VACANT;
        }
        for chunk in &mut arena.chunks {
            *chunk = Chunk::FREE;
        }
    }

    /// Both halves.
    pub fn split(&mut self) -> (&mut FixedTable<REQUESTS>, &mut FixedArena<REQUESTS, BYTES>) {
        (&mut self.table, &mut self.arena)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Phase, laws};
    use super::*;

    #[test]
    fn a_fixed_table_keeps_the_laws() {
        laws::check_table(&mut FixedTable::<4>::new()).unwrap();
        laws::check_table(&mut FixedTable::<1>::new()).unwrap();
    }

    #[test]
    fn a_cleared_store_is_a_new_one() {
        let mut store = FixedStore::<2, 16>::new();
        for _ in 0..3 {
            let (table, arena) = store.split();
            laws::check_table(table).unwrap();
            laws::check_arena(arena).unwrap();
            for (id, phase) in [(1, Phase::Active), (3, Phase::Refused)] {
                let id = RequestId::new(id);
                let entry = Entry {
                    phase,
                    ..Entry::VACANT
                };
                table.insert(id, entry).unwrap();
                arena.append(Key::request(id), b"bytes").unwrap();
            }
            arena.take(Key::request(RequestId::new(1)));
            store.clear();
        }
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
