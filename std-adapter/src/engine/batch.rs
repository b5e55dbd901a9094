//! Bytes to be written: frames one behind another, and large payloads where they lie.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

/// Frames are gathered up to about so many bytes before they are written.
pub(super) const BATCH: usize = 64 * 1024;

/// Payloads of at least so many bytes are written from where they lie.
const LARGE: usize = 4 * 1024;

/// Frames that wait to be written.
///
/// ```text
///   bytes   [ frame | frame | header |         header | frame      ......]
///   parts     Copied(30)              Shared(…)  Copied(21)         free
/// ```
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Initialised to its full length, which is its capacity.
    bytes: Vec<u8>,
    /// Bytes before it were written.
    start: usize,
    /// Bytes before it are in use.
    end: usize,
    /// Empty: all is copied.
    parts: VecDeque<Part>,
    /// Bytes to be written.
    len: usize,
    /// Bytes that the driver has taken, and has not said to be written.
    lent: usize,
}

/// Bytes that a driver has taken to write them.
#[derive(Debug, Default)]
pub struct Taken(Batch);

impl Taken {
    /// Whether all was written.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are not written.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Sets slices to the bytes that are next; how many were set.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.0.slices(slices)
    }

    /// So many bytes were written, off the front.
    pub fn advance(&mut self, len: usize) {
        self.0.advance(len);
    }

    /// Takes all bytes out, in one.
    #[cfg(feature = "http-server")]
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        let batch = std::mem::take(&mut self.0);
        if batch.parts.is_empty() {
            return Bytes::from(batch.bytes).slice(batch.start..batch.end);
        }
        let mut all = Vec::with_capacity(batch.len);
        let mut slices = vec![IoSlice::new(&[]); batch.parts.len()];
        let count = batch.slices(&mut slices);
        for slice in slices.iter().take(count) {
            all.extend_from_slice(slice);
        }
        all.into()
    }
}

#[derive(Debug)]
enum Part {
    Copied(usize),
    Shared(Bytes),
}

impl Batch {
    /// Bytes that wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At least so many bytes to fill; [`filled`](Self::filled) says how many were.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < len {
            self.make_room(len);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    #[inline(never)]
    fn make_room(&mut self, len: usize) {
        let held = self.end - self.start;
        let wanted = held + len;
        if self.bytes.len() >= wanted && self.start >= held {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut bytes = vec![0; wanted.max(self.bytes.len() * 2).max(1024)];
            let old = self.bytes.get(self.start..self.end).unwrap_or_default();
            if let Some(to) = bytes.get_mut(..held) {
                to.copy_from_slice(old);
            }
            self.bytes = bytes;
        }
        (self.start, self.end) = (0, held);
    }

    /// So many bytes of [`room`](Self::room) were filled.
    pub(super) fn filled(&mut self, len: usize) {
        self.end += len;
        self.len += len;
        if len == 0 || self.parts.is_empty() {
            return;
        }
        match self.parts.back_mut() {
            Some(Part::Copied(last)) => *last += len,
            _ => self.parts.push_back(Part::Copied(len)),
        }
    }

    /// The last so many bytes, which were filled or copied.
    pub(super) fn last_mut(&mut self, len: usize) -> &mut [u8] {
        let from = self.end.saturating_sub(len);
        self.bytes.get_mut(from..self.end).unwrap_or_default()
    }

    /// Adds a copy of some bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        if let Some(to) = self.room(bytes.len()).get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
            self.filled(bytes.len());
        }
    }

    /// Adds bytes: large ones are written from where they lie.
    pub(super) fn share(&mut self, bytes: Bytes) {
        if bytes.len() < LARGE {
            return self.copy(&bytes);
        }
        if self.parts.is_empty() && self.end > self.start {
            self.parts.push_back(Part::Copied(self.end - self.start));
        }
        self.len += bytes.len();
        self.parts.push_back(Part::Shared(bytes));
    }

    /// Sets slices to the bytes that are next; how many were set.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut copied = self.bytes.get(self.start..self.end).unwrap_or_default();
        let mut count = 0;
        if self.parts.is_empty() && !copied.is_empty() {
            if let Some(slice) = slices.first_mut() {
                *slice = IoSlice::new(copied);
                count = 1;
            }
            return count;
        }
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(match part {
                Part::Copied(len) => {
                    let (bytes, rest) = copied.split_at_checked(*len).unwrap_or_default();
                    copied = rest;
                    bytes
                }
                Part::Shared(bytes) => bytes,
            });
            count += 1;
        }
        count
    }

    /// So many bytes were written, off the front.
    pub(super) fn advance(&mut self, len: usize) {
        let mut len = len.min(self.len);
        self.len -= len;
        if self.parts.is_empty() {
            self.start += len;
        }
        while len > 0
            && let Some(part) = self.parts.front_mut()
        {
            let (taken, is_empty) = match part {
                Part::Copied(left) => {
                    let taken = len.min(*left);
                    *left -= taken;
                    self.start += taken;
                    (taken, *left == 0)
                }
                Part::Shared(bytes) => {
                    let taken = len.min(bytes.len());
                    bytes.advance(taken);
                    (taken, bytes.is_empty())
                }
            };
            len -= taken;
            if is_empty {
                self.parts.pop_front();
            }
        }
        if self.len == 0 {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Bytes of memory that it has for copies.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes all bytes out for a driver that writes without the connection's lock; `false` if there are
    /// none, or some that were taken before are not [sent](Self::sent). It goes on with the memory of
    /// those that were.
    pub(super) fn take(&mut self, taken: &mut Taken) -> bool {
        if self.is_empty() || self.lent > 0 {
            return false;
        }
        std::mem::swap(&mut taken.0, self);
        self.lent = taken.0.len;
        true
    }

    /// So many bytes were written, of those that were taken or else off the front.
    pub(super) fn sent(&mut self, bytes: usize) {
        match self.lent {
            0 => self.advance(bytes),
            lent => self.lent = lent.saturating_sub(bytes),
        }
    }

    /// Bytes that are not written, with those that were taken.
    pub(super) const fn unwritten(&self) -> usize {
        self.len + self.lent
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives the memory back if nothing waits.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self {
                lent: self.lent,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_queue(ops in prop::collection::vec(
            (0..4u8, prop::sample::select(vec![0, 1, 30, 500, LARGE - 1, LARGE, LARGE + 7])), 0..20,
        )) {
            let mut batch = Batch::default();
            let mut model = Vec::new();
            let mut next = 0u8;
            for (op, len) in ops {
                next = next.wrapping_add(1);
                match op {
                    0 => {
                        batch.copy(&vec![next; len]);
                        model.resize(model.len() + len, next);
                    }
                    1 => {
                        batch.share(vec![next; len].into());
                        model.resize(model.len() + len, next);
                    }
                    2 => {
                        batch.room(len)[..len].fill(next);
                        batch.filled(len);
                        model.resize(model.len() + len, next);
                    }
                    _ => {
                        batch.advance(len);
                        model.drain(..len.min(model.len()));
                    }
                }
                prop_assert_eq!(batch.len(), model.len());
                let mut slices = [IoSlice::new(&[]); 100];
                let count = batch.slices(&mut slices);
                let all: Vec<&[u8]> = slices[..count].iter().map(|slice| &slice[..]).collect();
                prop_assert!(all.concat() == model);
                prop_assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
            }
            let mut taken = Taken::default();
            prop_assert_eq!(batch.take(&mut taken), !model.is_empty());
            prop_assert!(batch.is_empty());
            prop_assert_eq!(taken.len(), model.len());
            #[cfg(feature = "http-server")]
            prop_assert!(taken.take_bytes() == model);
        }
    }
}
