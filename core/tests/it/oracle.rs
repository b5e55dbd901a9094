//! A store as simple as its laws, to compare others with.

use std::collections::BTreeMap;

use hgrpc::store::{FixedRequests, Key, Requests, Slot, laws};
use hgrpc::wire::RequestId;

/// So many requests, and as many that stand aside.
#[derive(Debug)]
pub struct Oracle {
    room: usize,
    slots: BTreeMap<u32, (Key, Slot)>,
}

/// So many bytes.
#[derive(Debug)]
pub struct OracleMemory {
    bytes: usize,
    pub chunks: BTreeMap<u32, Vec<u8>>,
    taken: Vec<u8>,
}

impl Oracle {
    pub fn new(room: usize, bytes: usize) -> (Self, OracleMemory) {
        let slots = BTreeMap::new();
        let memory = OracleMemory {
            bytes,
            chunks: BTreeMap::new(),
            taken: Vec::new(),
        };
        (Self { room, slots }, memory)
    }
}

impl Requests for Oracle {
    type Memory = OracleMemory;

    fn capacity(&self) -> usize {
        self.room
    }

    fn find(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(&key.number()).map(|(_, slot)| slot)
    }

    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool {
        let is_alike = |(other, slot): &&(Key, Slot)| {
            *other != key && slot.is_aside() == Slot::stands_aside(bits)
        };
        if self.slots.values().filter(is_alike).count() >= self.room {
            return false;
        }
        let mut slot = Slot::EMPTY;
        slot.open(order, bits);
        self.slots.insert(key.number(), (key, slot));
        true
    }

    fn remove(&mut self, key: Key) {
        self.slots.remove(&key.number());
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)> {
        self.slots
            .values()
            .filter_map(|(key, slot)| Some((key.request_id()?, *slot)))
            .filter(|(_, slot)| order.is_none_or(|order| slot.order() > order))
            .min_by_key(|(_, slot)| slot.order())
    }

    fn room(&self, memory: &OracleMemory) -> usize {
        let held: usize = memory.chunks.values().map(Vec::len).sum();
        memory.bytes - held - memory.taken.len()
    }

    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut OracleMemory) -> bool {
        if bytes.len() > self.room(memory) {
            return false;
        }
        let Some(slot) = self.find(key) else {
            return false;
        };
        let chunk = memory.chunks.entry(key.number()).or_default();
        chunk.extend_from_slice(bytes);
        slot.set_len(u32::try_from(chunk.len()).unwrap());
        true
    }

    fn gathered<'m>(&self, key: Key, memory: &'m OracleMemory) -> &'m [u8] {
        let chunk = memory.chunks.get(&key.number());
        chunk.map(Vec::as_slice).unwrap_or_default()
    }

    fn take(&mut self, key: Key, memory: &mut OracleMemory) {
        memory.taken = memory.chunks.remove(&key.number()).unwrap_or_default();
        if let Some(slot) = self.find(key) {
            slot.set_free();
        }
    }

    fn taken<'m>(&self, memory: &'m OracleMemory) -> &'m [u8] {
        &memory.taken
    }

    fn release(&mut self, memory: &mut OracleMemory) {
        memory.taken.clear();
    }

    fn clear(&mut self, memory: &mut OracleMemory) {
        self.slots.clear();
        memory.chunks.clear();
        memory.taken.clear();
    }
}

#[test]
fn the_oracle_keeps_the_laws() {
    let (mut requests, mut memory) = Oracle::new(4, 64);
    laws::check(&mut requests, &mut memory).unwrap();
    laws::check(&mut FixedRequests::<4>::new(), &mut [0; 64]).unwrap();
}
