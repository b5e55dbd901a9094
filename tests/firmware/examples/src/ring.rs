//! A ring that a DMA controller fills, and what of it can be read.
//!
//! ```text
//!             start            end (where the DMA writes next)
//!   |  free     |▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒|   free   |      one piece
//!   |▒▒▒▒▒|          free           |▒▒▒▒▒▒|      two: up to the end, and from the beginning
//!       end                       start
//! ```
//! The pieces are handed on where they lie. They must be handled before the DMA comes round again:
//! the interrupts at the half and at the end of the ring, and that of an idle line, wake whoever
//! does it, so the time is that of half a ring.

use core::ops::Range;

/// Where reading a ring of `N` bytes has come to.
#[derive(Debug, Default)]
pub struct Ring<const N: usize> {
    start: usize,
}

impl<const N: usize> Ring<N> {
    /// A ring of which nothing was read.
    pub const fn new() -> Self {
        Self { start: 0 }
    }

    /// Whether nothing has come since.
    pub const fn is_read(&self, end: usize) -> bool {
        end % N == self.start
    }

    /// The next piece of what has come, `end` being where the DMA writes next; `None`: there is
    /// nothing. It counts as read.
    pub fn next(&mut self, end: usize) -> Option<Range<usize>> {
        let end = end % N;
        if end == self.start {
            return None;
        }
        let piece = self.start..if end < self.start { N } else { end };
        self.start = piece.end % N;
        Some(piece)
    }
}
