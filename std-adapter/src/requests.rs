//! Requests that grow with what peers send, within [`Budgets`].
//!
//! ```text
//!   request ID 0x0305 ─▶ directory[1] ─▶ page[0x105] ─▶ entries[2]: slot, tag, chunk ─▶ chunks[7]
//!                        128 pages       512 IDs each   dense, in any order              bytes
//! ```
//! Finding a request takes the same few steps whatever is open; IDs that follow each other share a
//! page. Pages come when their first ID is opened and go with their last one.

use hgrpc::store::{Key, Requests, Slot};
use hgrpc::wire::RequestId;

/// IDs of one page.
const PAGE: usize = 512;
/// Pages for all IDs.
const PAGES: usize = 128;
const _: () = assert!(PAGE * PAGES == 0x1_0000);

/// Marks an ID that has no entry.
const NONE: u16 = u16::MAX;

/// Most entries: places are 16 bits, and one of them is [`NONE`].
const MOST: usize = 0xffff;

/// How much [`GrowableRequests`] and their [`GatheredBytes`] may hold.
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

/// Requests by ID, for a reactor of [`hgrpc`]; [`GatheredBytes`] is the memory beside them.
#[derive(Debug)]
pub struct GrowableRequests {
    entries: Vec<Entry>,
    places: Places,
    /// Entries of requests that stand aside.
    aside: usize,
    /// Entries that belong to no request; they stand aside without being counted.
    others: usize,
    budgets: Budgets,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    /// Place of its bytes and 1; 0 if it has none.
    chunk: u32,
    tag: u32,
    slot: Slot,
}

/// The place of each request's entry.
#[derive(Debug, Default)]
struct Places {
    directory: Option<Box<[Option<Box<Page>>; PAGES]>>,
    /// A page that nothing is in, kept for the next one.
    spare: Option<Box<Page>>,
}

#[derive(Debug)]
struct Page {
    used: u16,
    places: [u16; PAGE],
}

impl Page {
    const EMPTY: Self = Self {
        used: 0,
        places: [NONE; PAGE],
    };
}

impl Places {
    fn split(id: RequestId) -> (usize, usize) {
        let id = usize::from(id.value());
        (id / PAGE, id % PAGE)
    }

    #[inline]
    fn get(&self, id: RequestId) -> Option<usize> {
        let (page, within) = Self::split(id);
        let page = self.directory.as_ref()?.get(page)?.as_ref()?;
        match *page.places.get(within)? {
            NONE => None,
            place => Some(usize::from(place)),
        }
    }

    #[inline]
    fn set(&mut self, id: RequestId, place: u16) {
        let (page, within) = Self::split(id);
        let directory = self
            .directory
            .get_or_insert_with(|| Box::new([const { None }; PAGES]));
        let Some(page) = directory.get_mut(page) else {
            return;
        };
        let spare = &mut self.spare;
        let page =
            page.get_or_insert_with(|| spare.take().unwrap_or_else(|| Box::new(Page::EMPTY)));
        if let Some(old) = page.places.get_mut(within) {
            page.used += u16::from(*old == NONE);
            *old = place;
        }
    }

    /// Forgets the place of an ID, which it had.
    #[inline]
    fn take(&mut self, id: RequestId) -> Option<usize> {
        let (number, within) = Self::split(id);
        let held = self.directory.as_mut()?.get_mut(number)?;
        let page = held.as_mut()?;
        let place = std::mem::replace(page.places.get_mut(within)?, NONE);
        if place == NONE {
            return None;
        }
        page.used -= 1;
        if page.used == 0 {
            self.spare = held.take();
        }
        Some(usize::from(place))
    }
}

impl GrowableRequests {
    /// Bytes of memory of one request.
    pub(crate) const ENTRY: usize = size_of::<Entry>();

    /// Most bytes of memory that finding requests takes, however their IDs are spread.
    pub(crate) const PLACES: usize = PAGES * (size_of::<Page>() + size_of::<Option<Box<Page>>>());

    /// No requests. Nothing is allocated before the first.
    pub fn new(budgets: Budgets) -> Self {
        Self {
            entries: Vec::new(),
            places: Places::default(),
            aside: 0,
            others: 0,
            budgets,
        }
    }

    /// The number of requests held, those that stand aside not counted.
    pub const fn len(&self) -> usize {
        self.entries.len() - self.aside - self.others
    }

    /// Whether nothing is held, be it aside.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives unused memory back: all of it while nothing is held.
    pub fn shrink(&mut self) {
        self.places.spare = None;
        if self.entries.is_empty() {
            self.places.directory = None;
        }
        self.entries.shrink_to_fit();
    }

    /// The number that the owner has put beside a request; 0 if none, or if there is no request.
    #[inline]
    pub fn tag(&self, id: RequestId) -> u32 {
        let place = self.places.get(id);
        let entry = place.and_then(|place| self.entries.get(place));
        entry.map_or(0, |entry| entry.tag)
    }

    /// Puts a number beside a request, for as long as that is open.
    pub fn set_tag(&mut self, id: RequestId, tag: u32) {
        if let Some(place) = self.places.get(id)
            && let Some(entry) = self.entries.get_mut(place)
        {
            entry.tag = tag;
        }
    }

    #[inline]
    fn place(&self, key: Key) -> Option<usize> {
        match key.request_id() {
            Some(id) => self.places.get(id),
            None if self.others == 0 => None,
            None => self.entries.iter().position(|entry| entry.key == key),
        }
    }

    #[inline]
    fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.get(self.place(key)?)
    }

    #[inline]
    fn entry_mut(&mut self, key: Key) -> Option<&mut Entry> {
        let place = self.place(key)?;
        self.entries.get_mut(place)
    }

    /// Counts an entry in or out.
    fn counter(&mut self, key: Key, slot: &Slot) -> Option<&mut usize> {
        match key.request_id() {
            None => Some(&mut self.others),
            Some(_) if slot.is_aside() => Some(&mut self.aside),
            Some(_) => None,
        }
    }

    /// Adds an entry for a key that has none.
    #[inline]
    fn push(&mut self, key: Key, order: u32, bits: u16) {
        let mut slot = Slot::EMPTY;
        slot.open(order, bits);
        if let Some(counter) = self.counter(key, &slot) {
            *counter += 1;
        }
        if let Some(id) = key.request_id() {
            // Not over `MOST`.
            let place = u16::try_from(self.entries.len()).unwrap_or(NONE);
            self.places.set(id, place);
        }
        self.entries.push(Entry {
            key,
            chunk: 0,
            tag: 0,
            slot,
        });
    }

    /// Whether one more entry of this kind is over a budget.
    fn is_full(&self, key: Key, is_aside: bool) -> bool {
        match key.request_id() {
            _ if self.entries.len() >= MOST => true,
            None => false,
            Some(_) if is_aside => self.aside >= self.budgets.refused,
            Some(_) => self.len() >= self.budgets.requests,
        }
    }
}

/// The bytes that a connection gathers, each request's apart: growing one moves no other.
#[derive(Debug)]
pub struct GatheredBytes {
    chunks: Vec<Vec<u8>>,
    /// Places of chunks that are not in use.
    free: Vec<u32>,
    /// The bytes that were taken last.
    taken: Vec<u8>,
    /// Bytes held, with those that were taken.
    held: usize,
    budget: usize,
}

impl GatheredBytes {
    /// No bytes, at most `budget` of them.
    pub const fn new(budget: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            taken: Vec::new(),
            held: 0,
            budget,
        }
    }

    /// Bytes that are held now, with those that were taken and not released.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Bytes that were taken and not released.
    pub const fn taken_len(&self) -> usize {
        self.taken.len()
    }

    /// Takes at most so many bytes from now on, those that it holds included.
    pub const fn set_budget(&mut self, bytes: usize) {
        self.budget = if bytes < self.held { self.held } else { bytes };
    }

    /// Gives the memory back of what was taken last.
    pub fn release_taken(&mut self) {
        self.held -= self.taken.len();
        self.taken = Vec::new();
    }

    /// Gives unused memory back.
    pub fn shrink(&mut self) {
        if self.free.len() == self.chunks.len() {
            self.chunks = Vec::new();
            self.free = Vec::new();
        }
    }

    fn chunk(&self, chunk: u32) -> &[u8] {
        let place = usize::try_from(chunk).ok().and_then(|n| n.checked_sub(1));
        let chunk = place.and_then(|place| self.chunks.get(place));
        chunk.map(Vec::as_slice).unwrap_or_default()
    }

    /// Appends to a chunk, or to a new one; which.
    fn append(&mut self, chunk: u32, bytes: &[u8]) -> u32 {
        self.held += bytes.len();
        if bytes.is_empty() {
            return chunk;
        }
        let number = match (chunk, self.free.pop()) {
            (0, Some(free)) => free,
            (0, None) => {
                self.chunks.push(Vec::new());
                u32::try_from(self.chunks.len()).unwrap_or(u32::MAX)
            }
            (chunk, unused) => {
                self.free.extend(unused);
                chunk
            }
        };
        let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        if let Some(chunk) = place.and_then(|place| self.chunks.get_mut(place)) {
            chunk.extend_from_slice(bytes);
        }
        number
    }

    fn take(&mut self, chunk: u32) {
        let place = usize::try_from(chunk).ok().and_then(|n| n.checked_sub(1));
        if let Some(bytes) = place.and_then(|place| self.chunks.get_mut(place)) {
            self.taken = std::mem::take(bytes);
            self.free.push(chunk);
        }
    }
}

impl Requests for GrowableRequests {
    type Memory = GatheredBytes;

    fn capacity(&self) -> usize {
        self.budgets.requests
    }

    #[inline]
    fn find(&mut self, key: Key) -> Option<&mut Slot> {
        self.entry_mut(key).map(|entry| &mut entry.slot)
    }

    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool {
        let is_aside = Slot::stands_aside(bits);
        let old = self.place(key);
        let is_same_kind = old
            .and_then(|place| self.entries.get(place))
            .is_some_and(|entry| entry.slot.is_aside() == is_aside);
        if !is_same_kind && self.is_full(key, is_aside) {
            return false;
        }
        if old.is_some() {
            self.remove(key);
        }
        self.push(key, order, bits);
        true
    }

    fn open_new(&mut self, key: Key, order: u32, bits: u16) -> Option<&mut Slot> {
        if self.place(key).is_some() || self.is_full(key, Slot::stands_aside(bits)) {
            return None;
        }
        self.push(key, order, bits);
        self.entries.last_mut().map(|entry| &mut entry.slot)
    }

    fn remove(&mut self, key: Key) {
        let place = match key.request_id() {
            Some(id) => self.places.take(id),
            None => self.place(key),
        };
        let Some(place) = place else {
            return;
        };
        let entry = self.entries.swap_remove(place);
        if let Some(counter) = self.counter(key, &entry.slot) {
            *counter -= 1;
        }
        if let Some(moved) = self.entries.get(place)
            && let Some(id) = moved.key.request_id()
            && let Ok(place) = u16::try_from(place)
        {
            self.places.set(id, place);
        }
    }

    /// Work is linear in the entries: for listings, which no frame asks for.
    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)> {
        let requests = self.entries.iter();
        requests
            .filter_map(|entry| Some((entry.key.request_id()?, entry.slot)))
            .filter(|(_, slot)| order.is_none_or(|order| slot.order() > order))
            .min_by_key(|(_, slot)| slot.order())
    }

    #[inline]
    fn room(&self, memory: &GatheredBytes) -> usize {
        memory.budget - memory.held
    }

    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut GatheredBytes) -> bool {
        if bytes.len() > memory.budget - memory.held {
            return false;
        }
        let Some(entry) = self.entry_mut(key) else {
            return false;
        };
        entry.chunk = memory.append(entry.chunk, bytes);
        let len = memory.chunk(entry.chunk).len();
        entry.slot.set_len(u32::try_from(len).unwrap_or(u32::MAX));
        true
    }

    fn gathered<'m>(&self, key: Key, memory: &'m GatheredBytes) -> &'m [u8] {
        let entry = self.entry(key);
        entry.map_or(&[], |entry| memory.chunk(entry.chunk))
    }

    fn take(&mut self, key: Key, memory: &mut GatheredBytes) {
        memory.release_taken();
        if let Some(entry) = self.entry_mut(key) {
            memory.take(std::mem::take(&mut entry.chunk));
            entry.slot.set_free();
        }
    }

    fn taken<'m>(&self, memory: &'m GatheredBytes) -> &'m [u8] {
        &memory.taken
    }

    #[inline]
    fn release(&mut self, memory: &mut GatheredBytes) {
        if !memory.taken.is_empty() {
            memory.release_taken();
        }
    }

    fn clear(&mut self, memory: &mut GatheredBytes) {
        *self = Self::new(self.budgets);
        *memory = GatheredBytes::new(memory.budget);
    }
}

#[cfg(test)]
mod tests;
