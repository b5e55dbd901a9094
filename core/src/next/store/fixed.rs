//! Requests in a map of fixed capacity, and one buffer for all that is gathered.

use core::cell::Cell;

use heapless::LinearMap;
use heapless::linear_map::LinearMapView;

use super::{Key, Requests, Slot};
use crate::bytes::{copy, shift_down, shift_up};
use crate::wire::RequestId;

/// Requests by key. No slot is ever moved: one whose request has ended stays in its place under the
/// key [`VACANT`], which is why keys are cells, and the next request takes it over. Moving slots
/// would bring `memmove` into a small program, which is larger than all of this.
type Map<const REQUESTS: usize> = LinearMap<Cell<Key>, Slot, REQUESTS>;
type Slots = LinearMapView<Cell<Key>, Slot>;

/// Marks a slot that is not in use.
const VACANT: Key = Key(u32::MAX);

/// At most `REQUESTS` requests, and as many slots that stand aside. The memory beside it is any
/// `[u8]`, which all of them share: every byte can be used by any.
///
/// ```text
///   memory  [ 5: 3 bytes | 9: 6 bytes | 7: 1 byte |      free      ]
/// ```
/// What is gathered lies one behind another. Appending moves what lies behind once; work is linear
/// in the bytes appended and those gathered.
#[derive(Debug)]
#[repr(C)]
pub struct FixedRequests<const REQUESTS: usize> {
    /// Bytes in use, with those that were taken.
    used: u32,
    /// Where what was taken lies.
    taken_start: u32,
    taken_len: u32,
    live: Map<REQUESTS>,
    aside: Map<REQUESTS>,
}

#[cfg(feature = "defmt")]
impl<const REQUESTS: usize> defmt::Format for FixedRequests<REQUESTS> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [live, aside] = [&self.live, &self.aside]
            .map(|slots| slots.keys().filter(|key| key.get() != VACANT).count());
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
            live: LinearMap::new(),
            aside: LinearMap::new(),
            used: 0,
            taken_start: 0,
            taken_len: 0,
        }
    }

    /// Bytes of memory that it takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    fn move_up(&mut self, from: u32, by: u32) {
        move_up(self.live.as_mut_view(), from, by);
        move_up(self.aside.as_mut_view(), from, by);
    }
}

/// The slot under a key, and the key's place.
#[inline(never)]
fn find(slots: &mut Slots, key: Key) -> Option<(&Cell<Key>, &mut Slot)> {
    slots.iter_mut().find(|(cell, _)| cell.get() == key)
}

fn vacate(slots: &mut Slots, key: Key) {
    if let Some((cell, _)) = find(slots, key) {
        cell.set(VACANT);
    }
}

/// The slot for a key: its own, a vacant one, or one that was never used.
#[inline(never)]
fn open(slots: &mut Slots, key: Key) -> Option<&mut Slot> {
    if find(slots, key).is_none() {
        if let Some((vacant, _)) = find(slots, VACANT) {
            vacant.set(key);
        } else {
            let _ = slots.insert(Cell::new(key), Slot::blank());
        }
    }
    find(slots, key).map(|(_, slot)| slot)
}

/// Counts what begins at `from` or behind as so many bytes further up.
#[inline(never)]
fn move_up(slots: &mut Slots, from: u32, by: u32) {
    for slot in slots.values_mut() {
        if slot.start >= from {
            slot.start = slot.start.wrapping_add(by);
        }
    }
}

/// An index, which is no more than the memory's length.
fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// A number that fits, since memories of 4 GiB are for other stores.
fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn part(memory: &[u8], start: u32, len: u32) -> &[u8] {
    let from = memory.get(place(start)..);
    from.and_then(|rest| rest.get(..place(len)))
        .unwrap_or_default()
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
        let Self { live, aside, .. } = self;
        let (slots, other) = if Slot::stands_aside(bits) {
            (aside.as_mut_view(), live.as_mut_view())
        } else {
            (live.as_mut_view(), aside.as_mut_view())
        };
        let Some(slot) = open(slots, key) else {
            return false;
        };
        slot.open(order, bits);
        vacate(other, key);
        true
    }

    fn remove(&mut self, key: Key) {
        vacate(self.live.as_mut_view(), key);
        vacate(self.aside.as_mut_view(), key);
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
        memory.len().wrapping_sub(place(self.used))
    }

    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut [u8]) -> bool {
        let used = self.used;
        let by = short(bytes.len());
        let Some(slot) = self.find(key) else {
            return false;
        };
        if !slot.is_held() {
            slot.start = used;
        }
        let start = slot.start;
        let at = start.wrapping_add(slot.len());
        let end = used.wrapping_add(by);
        let Some(behind) = memory.get_mut(place(at)..place(end)) else {
            return false;
        };
        slot.set_len(slot.len().wrapping_add(by));
        if at != used {
            shift_up(behind, bytes.len());
            self.move_up(at, by);
            // An empty one begins where it ends.
            if let Some(slot) = self.find(key) {
                slot.start = start;
            }
        }
        copy(behind, bytes);
        self.used = end;
        true
    }

    fn gathered<'m>(&self, key: Key, memory: &'m [u8]) -> &'m [u8] {
        let mut slots = self.live.iter().chain(self.aside.iter());
        slots
            .find(|(cell, _)| cell.get() == key)
            .map(|(_, slot)| part(memory, slot.start, slot.len()))
            .unwrap_or_default()
    }

    fn take(&mut self, key: Key, memory: &mut [u8]) {
        self.release(memory);
        let mut taken = (0, 0);
        if let Some(slot) = self.find(key) {
            taken = (slot.start, slot.len());
            slot.set_free();
        }
        (self.taken_start, self.taken_len) = taken;
    }

    fn taken<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        part(memory, self.taken_start, self.taken_len)
    }

    #[inline]
    fn release(&mut self, memory: &mut [u8]) {
        if self.taken_len > 0 {
            self.release_taken(memory);
        }
    }

    fn clear(&mut self, _memory: &mut [u8]) {
        self.live.clear();
        self.aside.clear();
        self.used = 0;
        self.taken_len = 0;
    }
}

impl<const REQUESTS: usize> FixedRequests<REQUESTS> {
    #[inline(never)]
    fn release_taken(&mut self, memory: &mut [u8]) {
        let len = core::mem::take(&mut self.taken_len);
        let start = self.taken_start;
        let used = self.used;
        self.used = used.wrapping_sub(len);
        let taken_and_behind = memory.get_mut(place(start)..place(used));
        shift_down(taken_and_behind.unwrap_or_default(), place(len));
        let end = start.wrapping_add(len);
        self.move_up(end, len.wrapping_neg());
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
