//! Requests in a map of fixed capacity, and one buffer for all that is gathered.

use super::{Key, Requests, Slot};
use crate::bytes::{copy, shift_down, shift_up};
use crate::tuned::IS_SMALL;
use crate::wire::RequestId;

/// A slot under its key. It is never moved: a vacant one stays in its place, and the next request
/// takes it over. Moving slots would bring `memmove` into a small program, which is larger than all
/// of this.
#[derive(Debug)]
struct Entry {
    key: Key,
    slot: Slot,
}

/// Marks a vacant slot.
const VACANT: Key = Key(0);

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
    /// Where those lie that were taken: from, to.
    start: usize,
    end: usize,
    /// A map, searched one by one. Its entries come in pairs, since there may be twice `REQUESTS`;
    /// any may be of either kind, so that a request that is refused stays in its place.
    map: heapless::Vec<[Entry; 2], REQUESTS>,
}

#[cfg(feature = "defmt")]
impl<const REQUESTS: usize> defmt::Format for FixedRequests<REQUESTS> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [live, aside] = [false, true].map(|is_aside| {
            let entries = self.map.as_flattened().iter();
            entries
                .filter(|entry| entry.key != VACANT && entry.slot.is_aside() == is_aside)
                .count()
        });
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
            start: 0,
            end: 0,
            map: heapless::Vec::new(),
        }
    }

    /// Bytes of memory that it takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Returns the entry of a key. On a device by [`seek`](Self::seek), as two searches are more code.
    #[inline]
    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        if IS_SMALL {
            let (entry, _) = self.seek(key);
            return entry;
        }
        let mut entries = self.map.as_flattened_mut().iter_mut();
        entries.find(|entry| entry.key == key)
    }

    /// Opens a slot, and finds it.
    #[inline(never)]
    fn open_counted(&mut self, key: Key, order: u32, bits: u16) -> Option<&mut Slot> {
        self.open(key, order, bits);
        self.find(key)
    }

    /// Gives the room back of what was taken.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn give_back(&mut self, memory: &mut [u8]) {
        let len = self.end.wrapping_sub(self.start);
        self.end = self.start;
        if let Some(bytes) = memory.get_mut(self.start..self.used) {
            shift_down(bytes, len);
            self.used = self.used.wrapping_sub(len);
        }
    }

    /// The entry of a key, and where its bytes end.
    #[inline(never)]
    fn seek(&mut self, key: Key) -> (Option<&mut Entry>, usize) {
        let mut end = 0usize;
        for entry in self.map.as_flattened_mut() {
            end = end.wrapping_add(place(entry.slot.len));
            if entry.key == key {
                return (Some(entry), end);
            }
        }
        (None, end)
    }
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
        Some(&mut self.entry(key)?.slot)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool {
        let mut left = REQUESTS;
        for entry in self.map.as_flattened() {
            let is_other = entry.key != key && entry.key != VACANT;
            if is_other && entry.slot.is_aside() == Slot::stands_aside(bits) {
                left = left.wrapping_sub(1);
            }
        }
        if left == 0 {
            return false;
        }
        self.remove(key);
        if let (Some(entry), _) = self.seek(VACANT) {
            entry.key = key;
            entry.slot.open(order, bits);
            return true;
        }
        let mut slot = Slot::EMPTY;
        slot.open(order, bits);
        self.map
            .push([Entry { key, slot }, Entry { key: VACANT, slot }])
            .is_ok()
    }

    #[inline]
    fn open_new(&mut self, key: Key, order: u32, bits: u16) -> Option<&mut Slot> {
        let mut vacant = usize::MAX;
        for (place, entry) in self.map.as_flattened().iter().enumerate() {
            if entry.key == key {
                return None;
            }
            if entry.key == VACANT {
                vacant = place;
            }
        }
        // Where there are fewer entries, there is room for one of either kind.
        if self.map.as_flattened().len() > REQUESTS || vacant == usize::MAX {
            return self.open_counted(key, order, bits);
        }
        let entry = self.map.as_flattened_mut().get_mut(vacant)?;
        entry.key = key;
        entry.slot.open(order, bits);
        Some(&mut entry.slot)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entry(key) {
            entry.key = VACANT;
        }
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)> {
        let entries = self.map.as_flattened().iter();
        entries
            .filter_map(|entry| Some((entry.key.request_id()?, entry.slot)))
            .filter(|(_, slot)| order.is_none_or(|order| slot.order > order))
            .min_by_key(|(_, slot)| slot.order)
    }

    #[inline]
    fn room(&self, memory: &[u8]) -> usize {
        memory.len().wrapping_sub(self.used)
    }

    #[inline(never)]
    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut [u8]) -> bool {
        let end = self.used.wrapping_add(bytes.len());
        let (Some(entry), at) = self.seek(key) else {
            return false;
        };
        let Some(behind) = memory.get_mut(at..end) else {
            return false;
        };
        let slot = &mut entry.slot;
        slot.set_len(slot.len().wrapping_add(short(bytes.len())));
        self.used = end;
        shift_up(behind, bytes.len());
        copy(behind, bytes);
        true
    }

    fn gathered<'m>(&self, key: Key, memory: &'m [u8]) -> &'m [u8] {
        let mut start = 0usize;
        for entry in self.map.as_flattened() {
            let len = place(entry.slot.len);
            if entry.key == key {
                if start >= self.start {
                    // What was taken lies before it.
                    start = start.wrapping_add(self.end).wrapping_sub(self.start);
                }
                let bytes = memory.get(start..).unwrap_or_default();
                return bytes.get(..len).unwrap_or_default();
            }
            start = start.wrapping_add(len);
        }
        &[]
    }

    #[inline(never)]
    fn take(&mut self, key: Key, memory: &mut [u8]) {
        self.release(memory);
        if let (Some(entry), end) = self.seek(key) {
            let len = place(entry.slot.len);
            entry.slot.set_free();
            self.start = end.wrapping_sub(len);
            self.end = end;
        }
    }

    fn taken<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        memory.get(self.start..self.end).unwrap_or_default()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn release(&mut self, memory: &mut [u8]) {
        if self.start != self.end {
            self.give_back(memory);
        }
    }

    fn clear(&mut self, _memory: &mut [u8]) {
        self.map.clear();
        self.used = 0;
        self.end = self.start;
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
