//! The levels that are open inside of one value: where each item stands, and when the value ends.

use heapless::Vec;

use super::item::{BREAK, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_TAG, MAJOR_TEXT, MAX_NESTING};

/// Open levels with an indefinite length are marked by counts that no definite one is given. Each
/// item flips the lowest bit: a map is at a key or at a value; of an array, both mean the same.
/// Counts of maps are even at a key, definite ones too.
const MAP_AT_KEY: usize = usize::MAX - 1;
const ARRAY_OPEN: usize = usize::MAX - 3;
/// Where a count does not fit, the bytes do not fit in memory either.
pub(super) const MOST_ITEMS: usize = usize::MAX - 4;

/// What an item means for the value around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The value goes on.
    More,
    /// The value ends with this item.
    Done,
    /// The item may not stand here.
    Malformed,
    /// The item opens one level too many.
    TooDeep,
}

/// Items still to come of the levels around the innermost one, the outermost first. Apart from
/// [`Levels`], so that those stay in registers.
pub(super) type Around = Vec<usize, MAX_NESTING>;

/// Counts the items of one value, whoever reads their heads.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Levels {
    /// Items still to come of the innermost level; 1 where none is open.
    left: usize,
    /// How many levels may be open.
    limit: usize,
    /// Initial byte of the indefinite string that is open; 0 if none is. It is no level.
    chunked: u8,
}

impl Levels {
    /// No level is open of a value that lies inside of `outer` levels.
    #[inline]
    pub(super) const fn inside(outer: usize) -> Self {
        Self {
            left: 1,
            limit: MAX_NESTING.wrapping_sub(outer),
            chunked: 0,
        }
    }

    /// Returns `true` if the next item of a map is a key.
    #[inline]
    pub(super) const fn is_at_key(&self) -> bool {
        self.left & 1 == 0
    }

    /// Returns `false` if an item may not begin so inside of a string in chunks. The rest of its head
    /// need not have come.
    #[inline]
    pub(super) fn may_begin(&self, initial: u8) -> bool {
        // A chunk is a definite string of the same type: another byte with the same major type.
        self.chunked == 0 || initial == BREAK || matches!(initial ^ self.chunked, 1..=0x1f)
    }

    /// Counts an item whose head is whole; of a definite string, its content has come too. What it
    /// completes is complete then, with the levels that end with it.
    ///
    /// `argument`: [`usize::MAX`] for an indefinite length; else at most [`MOST_ITEMS`], of a map
    /// half as much.
    #[inline]
    pub(super) fn step(&mut self, around: &mut Around, initial: u8, argument: usize) -> Step {
        let major = initial >> 5;
        if matches!(major, MAJOR_ARRAY | MAJOR_MAP | MAJOR_TAG) {
            if around.len() >= self.limit {
                return Step::TooDeep;
            }
            let count = match major {
                MAJOR_TAG => 1,
                // Of the mark of an indefinite length too, this makes the mark of a map at a key.
                MAJOR_MAP => argument.wrapping_mul(2),
                _ if argument == usize::MAX => ARRAY_OPEN,
                _ => argument,
            };
            if count > 0 {
                // There is room: no limit is above the capacity.
                let _ = around.push(self.left);
                self.left = count;
                return Step::More;
            }
        } else if self.chunked != 0 {
            if initial != BREAK {
                return Step::More;
            }
            self.chunked = 0;
        } else if matches!(major, MAJOR_BYTES | MAJOR_TEXT) {
            if argument == usize::MAX {
                self.chunked = initial;
                return Step::More;
            }
        } else if initial == BREAK {
            // Only at the start of an item of indefinite length.
            if !matches!(self.left, ARRAY_OPEN..=MAP_AT_KEY) {
                return Step::Malformed;
            }
            // The end of a level is like its last item.
            self.left = 1;
        }
        loop {
            if self.left > MOST_ITEMS {
                self.left ^= 1;
                return Step::More;
            }
            self.left = self.left.wrapping_sub(1);
            if self.left > 0 {
                return Step::More;
            }
            let Some(left) = around.pop() else {
                self.left = 1;
                return Step::Done;
            };
            self.left = left;
        }
    }
}
