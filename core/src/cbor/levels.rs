//! The levels that are open inside of one value: where each item stands, and when the value ends.

use heapless::Vec;

use super::item::{BREAK, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAX_NESTING};

/// Open levels with an indefinite length are marked by counts that no definite one is given. Each
/// item flips the lowest bit: a map is at a key or at a value; of an array, both mean the same.
/// Counts of maps are even at a key, definite ones too.
const MAP_AT_KEY: usize = usize::MAX - 1;
const MAP_AT_VALUE: usize = usize::MAX;
const ARRAY_OPEN: usize = usize::MAX - 3;
/// Where a count does not fit, the bytes do not fit in memory either.
const MOST_ITEMS: usize = usize::MAX - 4;

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

/// Counts the items of one value, whoever reads their heads.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// Items still to come of the innermost level; 1 where none is open.
    left: usize,
    /// The same for the levels around it, the outermost first.
    around: Vec<usize, MAX_NESTING>,
    /// Two bits for each open level, the lowest for the innermost: what it is. For readers that ask.
    kinds: u32,
}

#[cfg(feature = "defmt")]
impl defmt::Format for Levels {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Levels({=[?]}, {=usize})",
            self.around.as_slice(),
            self.left
        );
    }
}

/// What the innermost level is.
const KIND: u32 = 3;
const KIND_ARRAY: u32 = 0;
const KIND_MAP: u32 = 1;
const KIND_TAG: u32 = 2;
/// An array right below a tag.
const KIND_SET: u32 = 3;

/// What may come next, where a reader is strict (revision-0006.md, 9.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At top level, in an array, a map's value.
    Any,
    /// A map's key, an element of a set.
    Scalar,
    /// What a tag stands before.
    Set,
}

impl Levels {
    /// No level is open.
    pub(super) const fn new() -> Self {
        Self {
            left: 1,
            around: Vec::new(),
            kinds: 0,
        }
    }

    /// Acts on a whole head that is not a string's. `outer` levels are open around the value.
    #[inline]
    pub(super) fn step(&mut self, initial: u8, argument: usize, outer: usize) -> Step {
        let is_indefinite = initial & 0x1f == 31;
        let major = initial >> 5;
        let count = match major {
            MAJOR_ARRAY if is_indefinite => ARRAY_OPEN,
            MAJOR_MAP if is_indefinite => MAP_AT_KEY,
            MAJOR_ARRAY => argument.min(MOST_ITEMS),
            MAJOR_MAP => argument.min(MOST_ITEMS / 2).wrapping_mul(2),
            MAJOR_TAG => 1,
            _ => {
                if initial == BREAK {
                    // Only at the start of an item of indefinite length.
                    if self.left <= MOST_ITEMS || self.left == MAP_AT_VALUE {
                        return Step::Malformed;
                    }
                    self.close();
                }
                return self.item_done();
            }
        };
        if self.around.len().wrapping_add(outer) >= MAX_NESTING {
            return Step::TooDeep;
        }
        if count == 0 {
            return self.item_done();
        }
        // There is room, as was checked.
        let _ = self.around.push(self.left);
        self.left = count;
        let kind = match major {
            MAJOR_MAP => KIND_MAP,
            MAJOR_TAG => KIND_TAG,
            _ if self.kinds & KIND == KIND_TAG => KIND_SET,
            _ => KIND_ARRAY,
        };
        self.kinds = (self.kinds << 2) | kind;
        Step::More
    }

    /// Leaves the innermost level. `false`: there is none.
    #[inline]
    fn close(&mut self) -> bool {
        self.kinds >>= 2;
        match self.around.pop() {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 1;
                false
            }
        }
    }

    /// Counts an item as complete, with the levels that end with it.
    #[inline]
    pub(super) fn item_done(&mut self) -> Step {
        loop {
            if self.left > MOST_ITEMS {
                self.left ^= 1;
                return Step::More;
            }
            self.left = self.left.wrapping_sub(1);
            if self.left > 0 {
                return Step::More;
            }
            if !self.close() {
                return Step::Done;
            }
        }
    }

    /// Returns what may come next by the table of revision-0006.md, 9.2, which knows no indefinite
    /// lengths here.
    pub(super) fn place(&self) -> Place {
        match self.kinds & KIND {
            KIND_TAG => Place::Set,
            KIND_SET => Place::Scalar,
            KIND_MAP if self.left & 1 == 0 => Place::Scalar,
            _ => Place::Any,
        }
    }
}
