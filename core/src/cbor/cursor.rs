//! The one reader of CBOR: bytes, and the last head that was taken off them.
//!
//! Readers differ in what they ask of the values, not in how they read: plain values
//! ([`Cursor::skip`]), argument maps ([`Cursor::args`]), maps of the protocol's own
//! ([`Known`](super::known::Known)) and settings ([`Cursor::skip_strict`]) are all walked here.
//! Usual items go first and cheaply: heads of one byte, scalars, short strings; the rest is out of
//! line. Results fit registers, and what is wrong is left in the cursor: what is larger is
//! expensive to return.

use core::slice::Iter;

use super::Value;
use super::item::{
    BREAK, CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_SIMPLE, MAJOR_TAG, MAJOR_TEXT,
};
use super::levels::{Levels, Place, Step};

/// The major types that have an indefinite length (of [`MAJOR_SIMPLE`], it is the break).
const INDEFINITE: u32 =
    1 << MAJOR_BYTES | 1 << MAJOR_TEXT | 1 << MAJOR_ARRAY | 1 << MAJOR_MAP | 1 << MAJOR_SIMPLE;

/// Returns how many argument bytes follow an initial byte. `None` for the reserved values 28 to
/// 30, and for 31 where no indefinite length exists. The break is let through.
pub(super) fn argument_len(initial: u8) -> Option<u8> {
    match initial & 0x1f {
        0..=23 => Some(0),
        info @ 24..=27 => Some(1u8.wrapping_shl(u32::from(info & 3))),
        31 if INDEFINITE.wrapping_shr(u32::from(initial >> 5)) & 1 != 0 => Some(0),
        _ => None,
    }
}

/// Returns `false` for a simple value in two bytes that one byte could hold: it is not well-formed.
pub(super) const fn is_simple_allowed(initial: u8, argument: usize) -> bool {
    initial != 0xf8 || argument >= 32
}

/// Bytes, and the last head that was taken off them.
///
/// A method that returns `false` or `None` has found no such thing, and [`error`](Self::error)
/// says why; how much was taken then is not defined.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Cursor<'a> {
    rest: Iter<'a, u8>,
    /// The argument; `usize::MAX` where it does not fit, as no such length or count fits in memory.
    argument: usize,
    initial: u8,
    error: CborError,
}

/// Pairs, or items, of an indefinite length. As many of a definite one do not fit in memory, and
/// are counted as one less.
const OPEN: usize = usize::MAX;

impl<'a> Cursor<'a> {
    /// Starts at the front of `bytes`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.iter(),
            argument: 0,
            initial: 0,
            error: CborError::Incomplete,
        }
    }

    /// Returns what has not been taken.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest.as_slice()
    }

    /// Returns why there was nothing to take.
    pub(super) const fn error(&self) -> CborError {
        self.error
    }

    /// Returns the argument of the last head, or the count of an entered container.
    pub(super) const fn argument(&self) -> usize {
        self.argument
    }

    /// Returns the initial byte of the last head.
    pub(super) const fn initial(&self) -> u8 {
        self.initial
    }

    /// Returns the major type of the last head.
    const fn major(&self) -> u8 {
        self.initial >> 5
    }

    /// Returns `true` if the last head is of an indefinite length, or a break.
    const fn is_indefinite(&self) -> bool {
        self.initial & 0x1f == 31
    }

    /// Records that the bytes are not what they should be.
    #[inline]
    pub(super) fn malformed(&mut self) -> bool {
        self.error = CborError::Malformed;
        false
    }

    /// Takes a head. A break is a head too: initial byte `0xff`.
    #[inline(never)]
    pub(super) fn head(&mut self) -> bool {
        let Some(&initial) = self.rest.next() else {
            return false;
        };
        self.initial = initial;
        self.argument = usize::from(initial & 0x1f);
        self.argument < 24 || self.long()
    }

    /// Takes the rest of a head whose argument is not in its initial byte.
    #[inline(never)]
    fn long(&mut self) -> bool {
        if self.argument >= 28 {
            let has_indefinite = INDEFINITE.wrapping_shr(u32::from(self.major())) & 1 != 0;
            return (has_indefinite && self.is_indefinite()) || self.malformed();
        }
        let width = 1usize.wrapping_shl(u32::from(self.initial & 3));
        let Some((bytes, rest)) = self.rest().split_at_checked(width) else {
            return false;
        };
        self.rest = rest.iter();
        let mut argument = 0usize;
        for byte in bytes {
            argument = if argument > usize::MAX >> 8 {
                usize::MAX
            } else {
                (argument << 8) | usize::from(*byte)
            };
        }
        self.argument = argument;
        is_simple_allowed(self.initial, argument) || self.malformed()
    }

    /// Takes the content of a definite string whose head was taken.
    #[inline(never)]
    pub(super) fn content(&mut self) -> Option<&'a [u8]> {
        let (content, rest) = self.rest().split_at_checked(self.argument)?;
        self.rest = rest.iter();
        Some(content)
    }

    /// Returns the length of the content that follows the last head: none but a definite string's.
    #[inline]
    pub(super) const fn content_len(&self) -> usize {
        if matches!(self.major(), MAJOR_BYTES | MAJOR_TEXT) && !self.is_indefinite() {
            self.argument
        } else {
            0
        }
    }

    /// Takes what belongs to a string whose head was taken: its content, or its chunks and the
    /// break.
    fn string(&mut self) -> bool {
        if !self.is_indefinite() {
            return self.content().is_some();
        }
        let opened = self.initial;
        while let Some(&initial) = self.rest().first() {
            if initial == BREAK {
                self.rest.next();
                return true;
            }
            // A chunk is a definite string of the same type: another byte with the same major type.
            if !matches!(initial ^ opened, 1..=0x1f) {
                return self.malformed();
            }
            if !self.head() || self.content().is_none() {
                return false;
            }
        }
        false
    }

    /// Takes one value of one byte, or one string with a head of one byte: most values are such.
    /// `false`: it is another, or there is none; nothing is taken, and no error is told.
    #[inline]
    fn short(&mut self) -> bool {
        let mut rest = self.rest.clone();
        let Some(&initial) = rest.next() else {
            return false;
        };
        let info = initial & 0x1f;
        if info >= 24 || matches!(initial >> 5, MAJOR_ARRAY | MAJOR_MAP | MAJOR_TAG) {
            return false;
        }
        if matches!(initial >> 5, MAJOR_BYTES | MAJOR_TEXT) {
            let Some(after) = rest.as_slice().get(usize::from(info)..) else {
                return false;
            };
            rest = after.iter();
        }
        self.rest = rest;
        true
    }

    /// Takes one well-formed value that lies inside of `outer` levels.
    #[inline(never)]
    pub(super) fn skip(&mut self, outer: usize) -> bool {
        self.short() || self.skip_any(outer, false)
    }

    /// Takes one value as settings may hold it, by the table of revision-0006.md, 9.2, except byte
    /// strings in chunks. What is refused is refused at its first byte, even if the rest of its
    /// head is not there.
    pub(super) fn skip_strict(&mut self) -> bool {
        self.skip_any(0, true)
    }

    /// Takes one value of any kind.
    #[inline(never)]
    fn skip_any(&mut self, outer: usize, is_strict: bool) -> bool {
        let mut levels = Levels::new();
        loop {
            if is_strict && !may_begin(self.rest(), levels.place()) {
                return self.malformed();
            }
            if !self.head() {
                return false;
            }
            let step = if matches!(self.major(), MAJOR_BYTES | MAJOR_TEXT) {
                if !self.string() {
                    return false;
                }
                levels.item_done()
            } else {
                levels.step(self.initial, self.argument, outer)
            };
            match step {
                Step::More => {}
                Step::Done => return true,
                Step::Malformed => return self.malformed(),
                Step::TooDeep => {
                    self.error = CborError::NestedTooDeep;
                    return false;
                }
            }
        }
    }

    /// Takes one value of bytes that are known to be well-formed: no levels need be kept.
    #[inline(never)]
    pub(super) fn pass(&mut self) {
        if !self.short() {
            self.pass_any();
        }
    }

    /// Counts the items to come of definite containers; inside of an indefinite one, only what has
    /// a break of its own.
    #[inline(never)]
    fn pass_any(&mut self) {
        let mut left = 1usize;
        let mut breaks = 0usize;
        while (left > 0 || breaks > 0) && self.head() {
            let major = self.major();
            let mut inner = 0;
            if self.initial == BREAK {
                breaks = breaks.wrapping_sub(1);
                continue;
            }
            if breaks == 0 {
                left = left.wrapping_sub(1);
            }
            if self.is_indefinite() {
                breaks = breaks.wrapping_add(1);
                continue;
            }
            match major {
                MAJOR_BYTES | MAJOR_TEXT => {
                    self.content();
                }
                MAJOR_ARRAY => inner = self.argument,
                MAJOR_MAP => inner = self.argument.wrapping_mul(2),
                MAJOR_TAG => inner = 1,
                _ => {}
            }
            if breaks == 0 {
                left = left.wrapping_add(inner);
            }
        }
    }

    /// Enters a container of this major type: how many items, or pairs, it has. They are taken
    /// next, each after [`more`](Self::more).
    #[inline(never)]
    pub(super) fn enter(&mut self, major: u8) -> Option<usize> {
        if !self.head() {
            return None;
        }
        if self.major() != major {
            self.malformed();
            return None;
        }
        Some(if self.is_indefinite() {
            OPEN
        } else {
            self.argument.min(OPEN - 1)
        })
    }

    /// Returns `true` if another item, or pair, follows; `true` too at the end of the bytes inside
    /// an indefinite length: the next item is incomplete then. Takes the break.
    #[inline(never)]
    pub(super) fn more(&mut self, left: &mut usize) -> bool {
        if *left == OPEN {
            let mut rest = self.rest.clone();
            if rest.next() != Some(&BREAK) {
                return true;
            }
            self.rest = rest;
            *left = 0;
            return false;
        }
        if *left == 0 {
            return false;
        }
        *left = left.wrapping_sub(1);
        true
    }

    /// Like [`more`](Self::more), but incomplete at the end of the bytes inside an indefinite
    /// length.
    pub(super) fn has_next(&mut self, left: &mut usize) -> Result<bool, CborError> {
        if *left == OPEN && self.rest().is_empty() {
            return Err(CborError::Incomplete);
        }
        Ok(self.more(left))
    }

    /// Takes an argument map that lies inside of one level: byte strings are its keys. What is
    /// wrong first, from the front, is the error.
    #[inline(never)]
    pub(super) fn args(&mut self) -> bool {
        if self
            .rest()
            .first()
            .is_some_and(|initial| initial >> 5 != MAJOR_MAP)
        {
            return self.malformed();
        }
        let Some(mut pairs) = self.enter(MAJOR_MAP) else {
            return false;
        };
        while self.more(&mut pairs) {
            match self.rest().first() {
                Some(0x40..=0x5f) => {}
                Some(_) => return self.malformed(),
                None => return false,
            }
            if !self.skip(2) || !self.skip(2) {
                return false;
            }
        }
        true
    }

    /// Returns the value that was taken since `start` was the rest.
    #[inline]
    pub(super) fn since(&self, start: &'a [u8]) -> Value<'a> {
        let len = start.len().wrapping_sub(self.rest.len());
        Value::new_unchecked(start.get(..len).unwrap_or_default())
    }

    /// Takes one value and returns it. `None`: see [`error`](Self::error).
    #[inline]
    pub(super) fn value(&mut self, outer: usize) -> Option<Value<'a>> {
        let start = self.rest();
        self.skip(outer).then(|| self.since(start))
    }

    /// Takes one value of bytes that are known to be well-formed, and returns it.
    #[inline]
    pub(super) fn known_value(&mut self) -> Value<'a> {
        let start = self.rest();
        self.pass();
        self.since(start)
    }
}

/// The number of the tag of sets, in eight bytes.
const TAG_SET: [u8; 8] = 258u64.to_be_bytes();

/// Returns `true` if an item of settings may begin so in its place, as far as its first bytes tell.
fn may_begin(rest: &[u8], place: Place) -> bool {
    let Some((&initial, argument)) = rest.split_first() else {
        return true;
    };
    let (major, info) = (initial >> 5, initial & 0x1f);
    let is_in_place = match major {
        MAJOR_ARRAY => place != Place::Scalar,
        MAJOR_MAP | MAJOR_TAG => place == Place::Any,
        MAJOR_TEXT => false,
        _ => place != Place::Set,
    };
    is_in_place
        && match major {
            // false, true, null.
            MAJOR_SIMPLE => matches!(initial, 0xf4..=0xf6),
            // The tag's number, as far as it has come; one byte cannot hold it.
            MAJOR_TAG => {
                let width = 1usize.wrapping_shl(u32::from(info & 3));
                let spare = 8usize.wrapping_sub(width);
                let wanted = TAG_SET.iter().skip(spare);
                matches!(info, 25..=27) && wanted.zip(argument).all(|(wanted, byte)| wanted == byte)
            }
            _ => info <= 27,
        }
}
