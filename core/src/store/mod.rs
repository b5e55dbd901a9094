//! Where a reactor keeps what it must remember: two borrows beside it, a *table* of requests and
//! an *arena* of bytes.
//!
//! They are two, so that an action may borrow a request's bytes from the arena while its answer
//! changes the table. [`FixedStore`] holds both in fixed memory; a host's growable store is in the
//! adapter crate. [`laws`] checks any implementation.
//!
//! # Laws of a table
//! 1. What was inserted under an ID is found under it, changes made through `find_mut` included,
//!    until it is removed; inserting again replaces it.
//! 2. A full table refuses without changing anything. Refused entries
//!    ([`Entry::is_refused`]) have room of their own: they never take a slot from other requests.
//! 3. `next_after` yields every entry once, in opening order.
//!
//! # Laws of an arena
//! 1. What was appended under a key is read back in order, whatever happened under other keys.
//! 2. `append` succeeds exactly if `room` says so, and changes nothing if it fails.
//! 3. `take` ends a key; its bytes stay readable through the borrow. Afterwards their room is free.

mod fixed;
pub mod laws;

pub use fixed::{FixedArena, FixedStore, FixedTable};

use crate::wire::{RequestId, StreamId};

/// What a reactor remembers of one request. Opaque to stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// Opening order, and the generation that an answer's token must match.
    pub(crate) order: u32,
    /// Bytes of the request proper; what the arena holds beyond them is data.
    pub(crate) request_len: u32,
    /// Frames that brought the request's end no nearer.
    pub(crate) frames: u16,
    pub(crate) phase: Phase,
    /// Data was announced.
    pub(crate) has_data: bool,
}

impl Entry {
    /// A slot that stands empty, in stores that keep slots.
    pub(crate) const VACANT: Self = Self {
        order: 0,
        request_len: 0,
        frames: 0,
        phase: Phase::Vacant,
        has_data: false,
    };

    /// Whether the request was refused and is only remembered to swallow its frames. Such entries
    /// have room of their own in a table.
    pub const fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused)
    }

    /// The place of the entry in the opening order.
    pub const fn order(&self) -> u32 {
        self.order
    }
}

/// What phase a request is in, on either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Phase {
    /// Not a request: what stands for one that there is none of.
    Vacant,
    /// Server: request frames are still to come.
    Receiving,
    /// Server: request frames are complete, data is still to come; the command has not run.
    ReceivingData,
    /// Server: the command was handed out and its data streams in.
    Streaming,
    /// Server: the command was handed out and everything of it has come.
    Active,
    /// Server: answered before its data ended; the rest is swallowed.
    Draining,
    /// Server: refused; what still comes is swallowed.
    Refused,
    /// Client: called, no frame taken yet.
    Pending,
    /// Client: some frames taken, no answer yet.
    Sending,
    /// Client: all frames taken, no answer yet.
    Sent,
    /// Client: answer frames arrive.
    ReceivingResponse,
    /// Client: answer frames arrive while request frames are still to be taken.
    SendingAndReceiving,
    /// Client: ended while request frames are still to be taken.
    EndedSending,
    /// Client: cancelled while request frames are still to be taken; what arrives is swallowed.
    CancelledSending,
    /// Client: cancelled; what arrives is swallowed.
    Cancelled,
}

/// No room for another entry; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TableFull;

/// Requests by ID. See the [laws](self).
pub trait Table {
    /// The entry of a request.
    fn find(&self, id: RequestId) -> Option<&Entry>;

    /// The entry of a request, to be changed. Reactors never change
    /// [`is_refused`](Entry::is_refused) or [`order`](Entry::order) through it.
    fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry>;

    /// Adds or replaces the entry of a request.
    ///
    /// # Errors
    /// [`TableFull`]: no room, and nothing changed.
    fn insert(&mut self, id: RequestId, entry: Entry) -> Result<(), TableFull>;

    /// Removes the entry of a request, if there is one.
    fn remove(&mut self, id: RequestId);

    /// The entry with the smallest order greater than `order` (of all, for `None`).
    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Entry)>;

    /// How many entries that are not refused there is room for in all.
    fn capacity(&self) -> usize;
}

/// What bytes in an arena belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key(u32);

impl Key {
    /// No key: a place that stands empty, in stores that keep places.
    pub(crate) const FREE: Self = Self(0);

    /// The key of nothing.
    pub(crate) const NONE: Self = Self(1);

    /// Bytes of a request, or of its response's status map.
    pub(crate) fn request(id: RequestId) -> Self {
        Self(0x0001_0000 | u32::from(id.value()))
    }

    /// Settings of a stream.
    pub(crate) fn stream(id: StreamId) -> Self {
        Self(0x0002_0000 | u32::from(id.value()))
    }

    /// The settings of the peer.
    pub(crate) const SETTINGS: Self = Self(0x0003_0000);

    /// The message that the current frame carries.
    pub(crate) const MESSAGE: Self = Self(0x0004_0000);

    /// Bytes that were taken and whose room is free at the next change.
    pub(crate) const TAKEN: Self = Self(u32::MAX);
}

/// No room for the bytes; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArenaFull;

/// Bytes by key. See the [laws](self).
pub trait Arena {
    /// How many bytes could be appended under `key` now.
    fn room(&self, key: Key) -> usize;

    /// Appends bytes under `key`, which begins with the first ones, be they none.
    ///
    /// # Errors
    /// [`ArenaFull`]: no room, and nothing changed.
    fn append(&mut self, key: Key, bytes: &[u8]) -> Result<(), ArenaFull>;

    /// The bytes under `key`; `None` if nothing was appended.
    fn find(&self, key: Key) -> Option<&[u8]>;

    /// Ends `key` and lends its bytes; empty if there are none.
    fn take(&mut self, key: Key) -> &[u8];

    /// Ends `key`, if it was begun.
    fn remove(&mut self, key: Key);

    /// How many bytes there is room for in all.
    fn capacity(&self) -> usize;
}
