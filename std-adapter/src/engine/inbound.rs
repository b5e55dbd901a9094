//! A request's data on its way to its handler, a response on its way to its caller: a bounded queue
//! of bytes.
//!
//! ```text
//!   push(bytes) ─▶ [chunk][chunk][chunk] ─▶ read: Bytes
//!                  └─ at most `capacity` bytes, each chunk charged to the connection (a server's)
//! ```
//! Every byte is copied once, on its way in. Many small pushes share a chunk.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Charge};
use super::faults::{Fault, is_planted};
use crate::host::DATA_CUT;

/// The least memory of a chunk: smaller pushes join the chunk before them where it has room.
const SMALL: usize = 2 * 1024;

/// The most bytes of a chunk.
const LARGE: usize = 32 * 1024;

/// Why data has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataError {
    /// The connection, or the response, ended first.
    Cut,
    /// The request was refused meanwhile.
    Refused,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => DATA_CUT,
            Self::Refused => "the request was refused",
        })
    }
}

impl std::error::Error for DataError {}

impl From<DataError> for io::Error {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Cut => Self::new(io::ErrorKind::UnexpectedEof, error),
            DataError::Refused => Self::new(io::ErrorKind::TimedOut, error),
        }
    }
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// All was taken.
    Taken,
    /// Nobody reads any more, or the data has ended.
    Closed,
    /// There is no room for the rest: until the reader makes some.
    Full,
    /// There is no room for the rest: until bytes are free.
    OverBudget,
}

/// What chunks are charged to.
pub(super) trait Ledger {
    /// A chunk's part of it; given back when it is dropped.
    type Charge;

    /// Charges so many bytes; `None`: they are not free.
    fn take(&self, bytes: usize) -> Option<Self::Charge>;
}

impl Ledger for Arc<Budget> {
    type Charge = Charge;

    fn take(&self, bytes: usize) -> Option<Charge> {
        Budget::take(self, bytes)
    }
}

/// Nothing is charged: the queue's capacity is the limit.
pub(super) struct Free;

impl Ledger for Free {
    type Charge = ();

    fn take(&self, _: usize) -> Option<()> {
        Some(())
    }
}

#[derive(Debug)]
struct Chunk<C> {
    bytes: BytesMut,
    charge: C,
}

/// Bytes that wait for their reader.
#[derive(Debug)]
pub(super) struct Inbound<E, C> {
    chunks: VecDeque<Chunk<C>>,
    held: usize,
    capacity: usize,
    end: Option<Result<(), E>>,
    /// The reader has gone.
    pub(super) is_abandoned: bool,
    /// The reader waits.
    pub(super) is_wanted: bool,
}

impl<E: Clone, C> Inbound<E, C> {
    /// Holds at most `capacity` bytes, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            held: 0,
            capacity: capacity.max(1),
            end: None,
            is_abandoned: false,
            is_wanted: false,
        }
    }

    /// Takes bytes off the front, as many as there is room for.
    pub(super) fn push(&mut self, bytes: &mut &[u8], ledger: &impl Ledger<Charge = C>) -> Pushed {
        self.put(bytes, ledger, SMALL)
    }

    /// The same of bytes behind which nothing comes: no chunk is larger than it has to be.
    pub(super) fn push_last(
        &mut self,
        bytes: &mut &[u8],
        ledger: &impl Ledger<Charge = C>,
    ) -> Pushed {
        self.put(bytes, ledger, 0)
    }

    fn put(&mut self, bytes: &mut &[u8], ledger: &impl Ledger<Charge = C>, least: usize) -> Pushed {
        while !bytes.is_empty() {
            if self.is_closed() {
                return Pushed::Closed;
            }
            // A wake-up for every few bytes of room would cost more than it gives.
            let wanted = bytes.len().min(self.capacity.div_ceil(2)).min(LARGE);
            let room = self.capacity.saturating_sub(self.held);
            if room < wanted {
                return Pushed::Full;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room).min(LARGE));
            if !self.join(now) {
                let capacity = now.len().max(least);
                let Some(charge) = ledger.take(capacity) else {
                    return Pushed::OverBudget;
                };
                let mut chunk = BytesMut::with_capacity(capacity);
                chunk.extend_from_slice(now);
                self.chunks.push_back(Chunk {
                    bytes: chunk,
                    charge,
                });
            }
            self.held += now.len();
            *bytes = later;
        }
        match self.is_closed() {
            true => Pushed::Closed,
            false => Pushed::Taken,
        }
    }

    /// Adds a few bytes to the last chunk, if it has room for them.
    fn join(&mut self, bytes: &[u8]) -> bool {
        match self.chunks.back_mut() {
            Some(last)
                if bytes.len() < SMALL
                    && last.bytes.capacity() - last.bytes.len() >= bytes.len() =>
            {
                last.bytes.extend_from_slice(bytes);
                true
            }
            _ => false,
        }
    }

    /// Ends the data; what was pushed can still be read. The first end counts.
    pub(super) fn end(&mut self, result: Result<(), E>) {
        if is_planted(Fault::EndReplaced) {
            self.end = None;
        }
        self.end.get_or_insert(result);
    }

    /// Ends the data with an error, and drops what was not read.
    pub(super) fn give_up(&mut self, error: E) {
        self.chunks = VecDeque::new();
        self.held = 0;
        self.end(Err(error));
    }

    /// The reader goes: nothing is held for it.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.chunks = VecDeque::new();
        self.held = 0;
    }

    /// The next bytes, never empty; `Ok(None)` at the end; `None`: more are to come.
    pub(super) fn read(&mut self) -> Option<Result<Option<(Bytes, C)>, E>> {
        if let Some(Chunk { bytes, charge }) = self.chunks.pop_front() {
            self.held -= bytes.len();
            return Some(Ok(Some((bytes.freeze(), charge))));
        }
        self.is_wanted = self.end.is_none();
        let end = self.end.as_ref()?;
        Some(end.clone().map(|()| None))
    }

    /// Whether pushing is of no use any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_abandoned || self.end.is_some()
    }

    /// Whether a reader has made enough room to go on.
    pub(super) const fn has_room(&self) -> bool {
        self.held <= self.capacity / 2
    }

    /// Bytes that wait to be read.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// How it has ended, if it has.
    pub(super) const fn ended(&self) -> Option<&Result<(), E>> {
        self.end.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::budget::Pool;
    use super::*;

    fn budget(pool: &Arc<Pool>) -> Arc<Budget> {
        Budget::new(Arc::clone(pool), 1 << 20, 0, Waker::noop().clone())
    }

    #[test]
    fn bytes_come_through_in_order_and_never_more_than_fit() {
        let budget = budget(&Pool::new(1 << 20));
        let mut inbound = Inbound::<DataError, _>::new(7);
        let sent: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let (mut rest, mut all) = (&sent[..], Vec::new());
        while !rest.is_empty() {
            inbound.push(&mut rest, &budget);
            while let Some(Ok(Some((bytes, _)))) = inbound.read() {
                assert!(bytes.len() <= 7);
                all.extend_from_slice(&bytes);
            }
            assert!(inbound.is_wanted);
        }
        assert_eq!(all, sent);
    }

    #[test]
    fn an_error_comes_after_the_bytes() {
        let budget = budget(&Pool::new(1 << 20));
        let mut inbound = Inbound::new(100);
        assert_eq!(inbound.push(&mut &b"ab"[..], &budget), Pushed::Taken);
        inbound.end(Err(DataError::Cut));
        inbound.end(Ok(()));
        let (bytes, _) = inbound.read().unwrap().unwrap().unwrap();
        assert_eq!(&bytes[..], b"ab");
        assert_eq!(inbound.read().unwrap().unwrap_err(), DataError::Cut);
        assert_eq!(inbound.push(&mut &b"c"[..], &budget), Pushed::Closed);
    }

    #[test]
    fn chunks_are_charged_until_they_are_read() {
        let pool = Pool::new(3000);
        let budget = budget(&pool);
        let mut inbound = Inbound::<DataError, _>::new(1 << 20);
        for _ in 0..SMALL {
            assert_eq!(inbound.push(&mut &b"a"[..], &budget), Pushed::Taken);
        }
        // 2,048 pushes of a byte took one chunk.
        assert_eq!(pool.held(), SMALL);
        assert_eq!(inbound.push(&mut &b"b"[..], &budget), Pushed::OverBudget);
        let (chunk, charge) = inbound.read().unwrap().unwrap().unwrap();
        assert_eq!(
            (chunk.len(), charge.bytes(), pool.held()),
            (SMALL, SMALL, SMALL)
        );
        drop(charge);
        assert_eq!(pool.held(), 0);
        assert_eq!(inbound.push(&mut &b"b"[..], &budget), Pushed::Taken);
        inbound.abandon();
        assert_eq!(pool.held(), 0);
        assert_eq!(inbound.push(&mut &b"b"[..], &budget), Pushed::Closed);
    }
}
