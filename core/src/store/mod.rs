//! What a reactor remembers: requests by ID, and the bytes that are gathered of them.
//!
//! Two halves. The *requests* are a part of the reactor; the *memory* for gathered bytes stays
//! outside and is lent for each step, so that an event may borrow a request's bytes while its answer
//! changes the requests. [`FixedRequests`] keeps at most so many requests in a `heapless` map, and
//! its memory is any `[u8]`; a host's store grows. [`laws`] checks any implementation.
//!
//! # Laws
//! 1. What was inserted under a key is found under it, changes through [`Requests::find`] included,
//!    until it is removed; inserting again replaces it.
//! 2. A full store refuses without changing anything. Entries that stand aside
//!    ([`Slot::is_aside`]) have room of their own: they never take a place from requests.
//! 3. [`Requests::next_after`] yields every request once, in opening order.
//! 4. What was appended under a key is read back in order, whatever happened under other keys.
//! 5. [`Requests::append`] succeeds exactly if [`Requests::room`] has the bytes, and changes nothing
//!    if it fails.
//! 6. [`Requests::take`] ends what is gathered under a key; it stays readable, and its room taken,
//!    until [`Requests::release`]. Nothing is appended meanwhile.

mod fixed;
pub mod laws;

pub use fixed::FixedRequests;

use crate::wire::{RequestId, StreamId};

/// What a slot belongs to: a request, or something beside requests that is gathered too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key(pub(super) u32);

impl Key {
    /// The settings of the peer.
    pub(crate) const SETTINGS: Self = Self(0x0004_0000);
    /// The message that the current frame carries.
    pub(crate) const MESSAGE: Self = Self(0x0002_0000);

    /// A request.
    pub const fn request(id: RequestId) -> Self {
        let [low, high] = id.value().to_le_bytes();
        Self(u32::from_le_bytes([low, high, 1, 0]))
    }

    /// Settings of a stream.
    pub(crate) const fn stream(id: StreamId) -> Self {
        Self(u32::from_le_bytes([id.value(), 0, 3, 0]))
    }

    /// The request's ID; `None` for what is none.
    pub const fn request_id(self) -> Option<RequestId> {
        match self.0.to_le_bytes() {
            [low, high, 1, 0] => Some(RequestId::new(u16::from_le_bytes([low, high]))),
            _ => None,
        }
    }

    /// The key as a number: requests are at `0x1_0000` and their ID, all others are above.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What is remembered under one key. Opaque to stores, but for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Slot {
    /// Opening order; its low half is the generation that a token must match.
    pub(crate) order: u32,
    /// Bytes gathered.
    len: u32,
    /// Bytes of the request proper among them; what is behind is data.
    pub(crate) request_len: u32,
    /// Frames that brought the request's end no nearer.
    pub(crate) frames: u16,
    /// See [`bits`].
    pub(crate) bits: u16,
}

/// What is known of a request, in bits. None set: there is none.
pub(crate) mod bits {
    /// Server: request frames are still to come.
    pub(crate) const RECEIVING: u16 = 0x01;
    /// Server: request frames are complete, data is gathered; the command has not run.
    pub(crate) const COLLECTING: u16 = 0x02;
    /// Server: the command was handed out and its data streams in. `ACTIVE` is set too.
    pub(crate) const STREAMING: u16 = 0x04;
    /// Server: the command was handed out and is not answered.
    pub(crate) const ACTIVE: u16 = 0x08;
    /// Server: answered before its data ended; the rest is swallowed.
    pub(crate) const DRAINING: u16 = 0x10;
    /// Stands aside: a refused request of which frames are still to come, or no request at all.
    pub(crate) const ASIDE: u16 = 0x20;
    /// Data was announced.
    pub(crate) const DATA: u16 = 0x40;
    /// Bytes were gathered, be they none.
    pub(crate) const HELD: u16 = 0x80;
    /// Server: the status map is out, or whatever a response of 0003 began with.
    pub(crate) const BEGUN: u16 = 0x100;
    /// Server: a piece of the response goes out in frames of its own.
    pub(crate) const DIRECT: u16 = 0x200;
    /// Server: the response was a redirect; only its end follows.
    pub(crate) const REDIRECTED: u16 = 0x400;
    /// Server: the stream's settings went out for the response (0006). A failure is no status then.
    pub(crate) const OPENED: u16 = 0x800;
}

impl Slot {
    /// A slot with nothing in it.
    pub const EMPTY: Self = Self {
        order: 0,
        len: 0,
        request_len: 0,
        frames: 0,
        bits: 0,
    };

    /// For stores: begins anew, for a request that is opened in this order, of which this is known.
    ///
    /// Field by field: a copy of a slot is a call of `memcpy`.
    #[inline]
    pub const fn open(&mut self, order: u32, bits: u16) {
        self.order = order;
        self.len = 0;
        self.request_len = 0;
        self.frames = 0;
        self.bits = bits;
    }

    /// For stores: whether a slot of which this is known [stands aside](Self::is_aside).
    #[inline]
    pub const fn stands_aside(bits: u16) -> bool {
        bits & bits::ASIDE != 0
    }

    /// Whether it stands aside: a refused request that is only remembered to swallow its frames, or
    /// something that is no request. Such slots have room of their own in a store.
    #[inline]
    pub const fn is_aside(&self) -> bool {
        Self::stands_aside(self.bits)
    }

    /// The place in the opening order.
    pub const fn order(&self) -> u32 {
        self.order
    }

    /// Bytes gathered, as the store counts them with [`set_len`](Self::set_len).
    #[inline]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no byte is gathered.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// For stores: how many bytes are gathered now; something was appended, be it nothing.
    #[inline]
    pub const fn set_len(&mut self, len: u32) {
        self.len = len;
        self.bits |= bits::HELD;
    }

    /// For stores: nothing is gathered any more.
    #[inline]
    pub const fn set_free(&mut self) {
        self.len = 0;
        self.bits &= !bits::HELD;
    }

    /// Whether something was appended, be it nothing.
    #[inline]
    pub const fn is_held(&self) -> bool {
        self.bits & bits::HELD != 0
    }
}

/// Requests by key, and what is gathered of them. See the [laws](self).
pub trait Requests {
    /// Where the gathered bytes are.
    type Memory: ?Sized;

    /// How many slots that do not stand aside there is room for in all.
    fn capacity(&self) -> usize;

    /// The slot under a key, to be changed, its [order](Slot::order) included. Reactors never change
    /// [`Slot::is_aside`] through it.
    fn find(&mut self, key: Key) -> Option<&mut Slot>;

    /// [Opens](Slot::open) a slot under this key, the one that is there or another. `false`: there is
    /// no room, and nothing changed. Nothing may be gathered under the key.
    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool;

    /// [Opens](Self::open) a slot under a key that has none, and returns it. `None`: the key has one, or
    /// there is no room, and nothing changed.
    fn open_new(&mut self, key: Key, order: u32, bits: u16) -> Option<&mut Slot> {
        if self.find(key).is_some() || !self.open(key, order, bits) {
            return None;
        }
        self.find(key)
    }

    /// Removes the slot under a key, if there is one. Nothing may be gathered under the key.
    fn remove(&mut self, key: Key);

    /// The request with the smallest order greater than `order` (of all, for `None`).
    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)>;

    /// Bytes that could be appended now, whatever the key.
    fn room(&self, memory: &Self::Memory) -> usize;

    /// Appends bytes under a key that has a slot. `false`: there is no room, and nothing changed.
    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut Self::Memory) -> bool;

    /// The bytes gathered under a key.
    fn gathered<'m>(&self, key: Key, memory: &'m Self::Memory) -> &'m [u8];

    /// Ends what is gathered under a key; [`taken`](Self::taken) has it until the next
    /// [`release`](Self::release). What was taken before is released.
    fn take(&mut self, key: Key, memory: &mut Self::Memory);

    /// What was taken last.
    fn taken<'m>(&self, memory: &'m Self::Memory) -> &'m [u8];

    /// Gives the room back of what was taken.
    fn release(&mut self, memory: &mut Self::Memory);

    /// Forgets everything, for a connection that begins anew; what is in the memory is worth
    /// nothing then.
    fn clear(&mut self, memory: &mut Self::Memory);

    /// Drops what is gathered under a key.
    fn free(&mut self, key: Key, memory: &mut Self::Memory) {
        self.take(key, memory);
        self.release(memory);
    }
}

/// The requests of which any of this is known, in opening order.
pub(crate) fn listed<T: Requests>(requests: &T, wanted: u16) -> impl Iterator<Item = RequestId> {
    let mut next = requests.next_after(None);
    core::iter::from_fn(move || {
        loop {
            let (id, slot) = next?;
            next = requests.next_after(Some(slot.order));
            if slot.bits & wanted != 0 {
                return Some(id);
            }
        }
    })
}
