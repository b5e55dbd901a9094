//! Requests in a map of fixed capacity, and one buffer for all that is gathered.

use core::cell::Cell;

use heapless::LinearMap;
use heapless::linear_map::LinearMapView;

use super::{Key, Requests, Slot};
use crate::bytes::{copy, shift_down, shift_up};
use crate::wire::RequestId;

/// Requests by key. No slot is ever moved: one whose request has ended stays in its place, which is
/// why keys are cells, and the next request takes it over. Moving slots would bring `memmove` into a
/// small program, which is larger than all of this.
type Map<const REQUESTS: usize> = LinearMap<Cell<Key>, Slot, REQUESTS>;
type Slots = LinearMapView<Cell<Key>, Slot>;

/// Marks a slot that is not in use.
const VACANT: Key = Key(0);
/// Marks one that would be vacant, but whose bytes are still lent.
const LENT: Key = Key(1);

/// At most `REQUESTS` requests, and as many slots that stand aside. The memory beside it is any
/// `[u8]`, which all of them share: every byte can be used by any.
///
/// ```text
///   slots   | 5: 3     | 9: 6 | 7: 1 |
///   memory  [ 5: 3 bytes | 9: 6 bytes | 7: 1 byte |      free      ]
/// ```
/// What is gathered lies one behind another, in the order of the slots. Appending moves what lies
/// behind once; work is linear in the bytes appended and those gathered.
#[derive(Debug)]
#[repr(C)]
pub struct FixedRequests<const REQUESTS: usize> {
    /// Bytes in use, with those that were taken.
    used: usize,
    /// Whose bytes were taken; [`VACANT`] if nobody's.
    taken: Cell<Key>,
    live: Map<REQUESTS>,
    aside: Map<REQUESTS>,
}

#[cfg(feature = "defmt")]
impl<const REQUESTS: usize> defmt::Format for FixedRequests<REQUESTS> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [live, aside] = [&self.live, &self.aside]
            .map(|slots| slots.keys().filter(|key| key.get().number() > 1).count());
        defmt::write!(
            f,
            "FixedRequests({=usize} and {=usize} aside of {=usize})",
            live,
            aside,
            REQUESTS
        );
    }
}

impl<const REQUESTS: usize> Default for FixedRequests<REQUESTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const REQUESTS: usize> FixedRequests<REQUESTS> {
    /// No requests.
    pub const fn new() -> Self {
        Self {
            used: 0,
            taken: Cell::new(VACANT),
            live: LinearMap::new(),
            aside: LinearMap::new(),
        }
    }

    /// Bytes of memory that it takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Where the bytes of a key lie: from, to.
    #[inline(never)]
    fn locate(&self, key: Key) -> (usize, usize) {
        let mut start = 0;
        match locate(self.live.as_view(), key, &mut start) {
            None => match locate(self.aside.as_view(), key, &mut start) {
                None => (start, start),
                Some(len) => (start, start.wrapping_add(len)),
            },
            Some(len) => (start, start.wrapping_add(len)),
        }
    }

    #[inline(never)]
    fn release_taken(&mut self, memory: &mut [u8]) {
        let key = self.taken.replace(VACANT);
        let (start, end) = self.locate(key);
        let used = self.used;
        let len = end.wrapping_sub(start);
        shift_down(memory.get_mut(start..used).unwrap_or_default(), len);
        self.used = used.wrapping_sub(len);
        if let Some(slot) = self.find(key) {
            slot.set_free();
        }
        self.remove(LENT);
    }
}

/// The slot under a key, and the key's place.
#[inline(never)]
fn find(slots: &mut Slots, key: Key) -> Option<(&Cell<Key>, &mut Slot)> {
    slots.iter_mut().find(|(cell, _)| cell.get() == key)
}

/// Adds up the bytes before those of a key, and says how many it has.
#[inline(never)]
fn locate(slots: &Slots, key: Key, start: &mut usize) -> Option<usize> {
    for (cell, slot) in slots {
        let len = place(slot.len());
        if cell.get() == key {
            return Some(len);
        }
        *start = start.wrapping_add(len);
    }
    None
}

#[inline(never)]
fn vacate(slots: &mut Slots, key: Key, taken: &Cell<Key>) {
    if let Some((cell, _)) = find(slots, key) {
        cell.set(VACANT);
        if key == taken.get() {
            cell.set(LENT);
            taken.set(LENT);
        }
    }
}

/// The slot for a key: its own, a vacant one, one that was never used, or else the one whose request
/// has ended and whose bytes are lent: they stay lent under the new key.
#[inline(never)]
fn open<'s>(slots: &'s mut Slots, key: Key, taken: &Cell<Key>) -> Option<&'s mut Slot> {
    if find(slots, key).is_none() {
        if let Some((vacant, _)) = find(slots, VACANT) {
            vacant.set(key);
        } else if slots.insert(Cell::new(key), Slot::blank()).is_err()
            && let Some((lent, _)) = find(slots, LENT)
        {
            lent.set(key);
            taken.set(key);
        }
    }
    find(slots, key).map(|(_, slot)| slot)
}

/// A length that is no more than the memory's.
fn place(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// A number that fits, since memories of 4 GiB are for other stores.
fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl<const REQUESTS: usize> Requests for FixedRequests<REQUESTS> {
    type Memory = [u8];

    fn capacity(&self) -> usize {
        REQUESTS
    }

    #[inline]
    fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let Self { live, aside, .. } = self;
        match find(live.as_mut_view(), key) {
            Some((_, slot)) => Some(slot),
            None => find(aside.as_mut_view(), key).map(|(_, slot)| slot),
        }
    }

    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool {
        let Self {
            live, aside, taken, ..
        } = self;
        let (slots, other) = if Slot::stands_aside(bits) {
            (aside.as_mut_view(), live.as_mut_view())
        } else {
            (live.as_mut_view(), aside.as_mut_view())
        };
        let Some(slot) = open(slots, key, taken) else {
            return false;
        };
        let lent = slot.len;
        slot.open(order, bits);
        slot.len = lent;
        vacate(other, key, taken);
        true
    }

    fn remove(&mut self, key: Key) {
        vacate(self.live.as_mut_view(), key, &self.taken);
        vacate(self.aside.as_mut_view(), key, &self.taken);
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)> {
        let slots = self.live.iter().chain(self.aside.iter());
        slots
            .filter_map(|(key, slot)| Some((key.get().request_id()?, *slot)))
            .filter(|(_, slot)| order.is_none_or(|order| slot.order > order))
            .min_by_key(|(_, slot)| slot.order)
    }

    #[inline]
    fn room(&self, memory: &[u8]) -> usize {
        memory.len().wrapping_sub(self.used)
    }

    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut [u8]) -> bool {
        let (_, at) = self.locate(key);
        let end = self.used.wrapping_add(bytes.len());
        let Some(behind) = memory.get_mut(at..end) else {
            return false;
        };
        shift_up(behind, bytes.len());
        copy(behind, bytes);
        if let Some(slot) = self.find(key) {
            slot.set_len(slot.len().wrapping_add(short(bytes.len())));
            self.used = end;
        }
        true
    }

    #[inline(never)]
    fn gathered<'m>(&self, key: Key, memory: &'m [u8]) -> &'m [u8] {
        let (start, end) = self.locate(key);
        memory.get(start..end).unwrap_or_default()
    }

    fn take(&mut self, key: Key, memory: &mut [u8]) {
        self.release(memory);
        self.taken.set(key);
    }

    fn taken<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        self.gathered(self.taken.get(), memory)
    }

    #[inline]
    fn release(&mut self, memory: &mut [u8]) {
        if self.taken.get() != VACANT {
            self.release_taken(memory);
        }
    }

    fn clear(&mut self, _memory: &mut [u8]) {
        self.live.clear();
        self.aside.clear();
        self.used = 0;
        self.taken.set(VACANT);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws;
    use super::*;

    #[test]
    fn fixed_requests_keep_the_laws() {
        laws::check(&mut FixedRequests::<4>::new(), &mut [0; 64]).unwrap();
        laws::check(&mut FixedRequests::<1>::new(), &mut [0; 16]).unwrap();
    }

    #[test]
    fn cleared_requests_are_new_ones() {
        let mut requests = FixedRequests::<2>::new();
        let mut memory = [0; 32];
        for _ in 0..3 {
            laws::check(&mut requests, &mut memory).unwrap();
            for (id, bits) in [(1, 0), (3, super::super::bits::ASIDE)] {
                let key = Key::request(RequestId::new(id));
                assert!(requests.open(key, 1, bits));
                assert!(requests.append(key, b"bytes", &mut memory));
            }
            requests.take(Key::request(RequestId::new(1)), &mut memory);
            requests.clear(&mut memory);
        }
    }
}
