//! Bytes that were read and not taken.

use core::cell::Cell;

/// A buffer, and what of it is to be taken.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Input<'b> {
    buffer: &'b mut [u8],
    end: usize,
    /// Bytes before `end` that were not taken.
    left: Cell<usize>,
}

impl<'b> Input<'b> {
    pub(super) const fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            end: 0,
            left: Cell::new(0),
        }
    }

    /// Where to read to, when all was taken.
    pub(super) const fn room(&mut self) -> &mut [u8] {
        self.buffer
    }

    /// So many bytes were read.
    pub(super) fn filled(&mut self, len: usize) {
        let len = len.min(self.buffer.len());
        self.end = len;
        self.left.set(len);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.left.get() == 0
    }

    pub(super) fn clear(&mut self) {
        self.left.set(0);
    }

    /// What was not taken, and where to say how much of it is left.
    pub(super) fn take(&mut self) -> (&[u8], &Cell<usize>) {
        let start = self.end.wrapping_sub(self.left.get());
        let bytes = self.buffer.get(start..self.end).unwrap_or_default();
        (bytes, &self.left)
    }
}
