//! The one reader of CBOR: bytes, and the last head that was taken off them.
//!
//! Readers differ in what they ask of the values, not in how they read: plain values
//! ([`Cursor::value`]), argument maps ([`Cursor::args`]), maps of the protocol's own
//! ([`Known`](super::known::Known)) and settings ([`Cursor::strict_value`]) are all walked here.
//! Usual items go first and cheaply: heads of one byte, scalars, short strings; the rest is out of
//! line. Results fit registers, and what is wrong is left in the cursor: what is larger is
//! expensive to return.

use super::item::{
    BREAK, CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_SIMPLE, MAJOR_TAG,
    MAJOR_TEXT, MAJOR_UNSIGNED,
};
use super::levels::{Around, Levels, Step};
use super::usual::split_plain;
use crate::tuned::IS_SMALL;

/// The major types that have an indefinite length (of [`MAJOR_SIMPLE`], it is the break).
const INDEFINITE: u32 =
    1 << MAJOR_BYTES | 1 << MAJOR_TEXT | 1 << MAJOR_ARRAY | 1 << MAJOR_MAP | 1 << MAJOR_SIMPLE;

/// Returns `true` for an initial byte with 31, where this means an indefinite length or a break.
fn has_indefinite(initial: u8) -> bool {
    let majors = INDEFINITE.wrapping_shr(u32::from(initial >> 5));
    initial & 0x1f == 31 && majors & 1 != 0
}

/// Returns how many argument bytes follow an initial byte. `None` for the reserved values 28 to
/// 30, and for 31 where no indefinite length exists. The break is let through.
pub(super) fn argument_len(initial: u8) -> Option<u8> {
    match initial & 0x1f {
        0..=23 => Some(0),
        info @ 24..=27 => Some(1u8.wrapping_shl(u32::from(info & 3))),
        _ => has_indefinite(initial).then_some(0),
    }
}

/// Returns `false` for a simple value in two bytes that one byte could hold: it is not well-formed.
pub(super) const fn is_simple_allowed(initial: u8, argument: usize) -> bool {
    initial != 0xf8 || argument >= 32
}

/// Bytes, and the last head that was taken off them.
///
/// A method that returns `false` or `None` has found no such thing, and [`error`](Self::error)
/// says why; how much was taken then is not defined, and the cursor is of no further use.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// The argument; [`OPEN`] for an indefinite length and a break; at most [`MOST`].
    argument: usize,
    initial: u8,
    error: CborError,
}

/// An indefinite length: a break ends it.
const OPEN: usize = usize::MAX;
/// Larger arguments are this one: as a length or a count, neither fits in memory. Twice as much is
/// still no count that marks an indefinite length.
const MOST: usize = usize::MAX / 2 - 2;

impl<'a> Cursor<'a> {
    /// Starts at the front of `bytes`.
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            argument: 0,
            initial: 0,
            error: CborError::Incomplete,
        }
    }

    /// Returns what has not been taken.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes all but this.
    #[inline]
    pub(super) const fn go_on_with(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// Returns why there was nothing to take.
    #[inline]
    pub(super) const fn error(&self) -> CborError {
        self.error
    }

    /// Returns the argument of the last head.
    #[inline]
    pub(super) const fn argument(&self) -> usize {
        self.argument
    }

    /// Returns the initial byte of the last head.
    #[inline]
    pub(super) const fn initial(&self) -> u8 {
        self.initial
    }

    /// Returns the major type of the last head.
    #[inline]
    pub(super) const fn major(&self) -> u8 {
        self.initial >> 5
    }

    /// Returns `true` if the last head is of an indefinite length, or a break.
    #[inline]
    pub(super) const fn is_indefinite(&self) -> bool {
        self.argument == OPEN
    }

    /// Records that the bytes are not what they should be.
    #[inline]
    pub(super) const fn malformed(&mut self) -> bool {
        self.error = CborError::Malformed;
        false
    }

    /// Takes a head. A break is a head too: initial byte `0xff`.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn head(&mut self) -> bool {
        let Some((&initial, rest)) = self.rest.split_first() else {
            return false;
        };
        self.rest = rest;
        self.initial = initial;
        self.argument = usize::from(initial & 0x1f);
        self.argument < 24 || self.long()
    }

    /// Takes the rest of a head whose argument is not in its initial byte.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn long(&mut self) -> bool {
        if self.argument >= 28 {
            let is_indefinite = has_indefinite(self.initial);
            self.argument = OPEN;
            return is_indefinite || self.malformed();
        }
        let width = 1usize.wrapping_shl(u32::from(self.initial & 3));
        let Some((bytes, rest)) = self.rest.split_at_checked(width) else {
            return false;
        };
        self.rest = rest;
        let mut argument = 0usize;
        for byte in bytes {
            argument = argument.saturating_mul(0x100) | usize::from(*byte);
        }
        self.argument = argument.min(MOST);
        is_simple_allowed(self.initial, argument) || self.malformed()
    }

    /// Takes a head, and the content of a definite string behind it, which is returned; of other
    /// items, nothing.
    #[inline(never)]
    fn item(&mut self) -> Option<&'a [u8]> {
        if !self.head() {
            return None;
        }
        let (content, rest) = self.rest.split_at_checked(self.content_len())?;
        self.rest = rest;
        Some(content)
    }

    /// Takes the next piece of a string in any encoding: its content, or one chunk. `None` behind
    /// the last one, and for what is no string.
    #[inline(never)]
    pub(super) fn piece(&mut self) -> Option<&'a [u8]> {
        loop {
            let content = self.item()?;
            if !matches!(self.major(), MAJOR_BYTES | MAJOR_TEXT) {
                return None;
            }
            if !self.is_indefinite() {
                return Some(content);
            }
        }
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

    /// Takes one value of one byte, or one string with a head of one byte: most values are such. The
    /// error is told by those who take others. On a host any that is no container.
    #[inline]
    fn short(&mut self) -> Option<&'a [u8]> {
        if !IS_SMALL {
            let (value, rest) = split_plain(self.rest)?;
            self.rest = rest;
            return Some(value);
        }
        let initial = *self.rest.first()?;
        if initial & 0x1f >= 24 || matches!(initial >> 5, MAJOR_ARRAY | MAJOR_MAP | MAJOR_TAG) {
            return None;
        }
        let is_string = matches!(initial >> 5, MAJOR_BYTES | MAJOR_TEXT);
        let content = if is_string { initial & 0x1f } else { 0 };
        let len = usize::from(content).wrapping_add(1);
        let (value, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(value)
    }

    /// Takes one well-formed value that lies inside of `outer` levels.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn value(&mut self, outer: usize) -> Option<&'a [u8]> {
        match self.short() {
            None => self.any(outer, false),
            short => short,
        }
    }

    /// Takes one value as settings may hold it, by the table of revision-0006.md, 9.2, except byte
    /// strings in chunks. What is refused is refused at its first byte, even if the rest of its
    /// head is not there.
    #[inline]
    pub(super) fn strict_value(&mut self) -> Option<&'a [u8]> {
        self.any(0, true)
    }

    /// Takes one value of any kind.
    #[inline(never)]
    pub(super) fn any(&mut self, outer: usize, is_strict: bool) -> Option<&'a [u8]> {
        let start = self.rest;
        let mut levels = Levels::inside(outer);
        let mut around = Around::new();
        let mut kinds = Kinds::default();
        loop {
            if is_strict && !kinds.may_begin(self.rest, &levels) {
                self.error = CborError::Malformed;
                return None;
            }
            if self
                .rest
                .first()
                .is_some_and(|initial| !levels.may_begin(*initial))
            {
                self.error = CborError::Malformed;
                return None;
            }
            self.item()?;
            match levels.step(&mut around, self.initial, self.argument) {
                Step::More => {}
                Step::Done => return self.taken(start),
                Step::Malformed => {
                    self.error = CborError::Malformed;
                    return None;
                }
                Step::TooDeep => {
                    self.error = CborError::NestedTooDeep;
                    return None;
                }
            }
            if is_strict {
                kinds.follow(self.major(), around.len());
            }
        }
    }

    /// Returns what was taken since the rest was `start`.
    #[inline]
    fn taken(&self, start: &'a [u8]) -> Option<&'a [u8]> {
        start.get(..start.len().wrapping_sub(self.rest.len()))
    }

    /// Takes one value of bytes that are known to be well-formed: the levels need not be kept.
    ///
    /// On a device as one that is not known: less code is worth more there than a shorter walk of
    /// what is nested.
    #[inline(always)]
    pub(super) fn known_value(&mut self) -> Option<&'a [u8]> {
        if IS_SMALL {
            return self.value(0);
        }
        match self.short() {
            None => self.pass(),
            short => short,
        }
    }

    #[inline(never)]
    fn pass(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        // Items to come of definite containers.
        let mut left = 1usize;
        // Breaks to come: inside of an indefinite container, nothing else is counted.
        let mut breaks = 0usize;
        while left > 0 || breaks > 0 {
            self.item()?;
            if self.initial == BREAK {
                breaks = breaks.wrapping_sub(1);
                continue;
            }
            if breaks == 0 {
                let inner = match self.major() {
                    _ if self.is_indefinite() => 0,
                    MAJOR_ARRAY => self.argument,
                    MAJOR_MAP => self.argument.wrapping_mul(2),
                    MAJOR_TAG => 1,
                    _ => 0,
                };
                left = left.wrapping_sub(1).wrapping_add(inner);
            }
            if self.is_indefinite() {
                breaks = breaks.wrapping_add(1);
            }
        }
        self.taken(start)
    }

    /// Enters a container of this major type: how many items, or pairs, it has. They are taken
    /// next, each after [`next`](Self::next).
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn enter(&mut self, major: u8) -> Option<usize> {
        if !self.head() {
            return None;
        }
        if self.major() != major {
            self.malformed();
            return None;
        }
        Some(self.argument)
    }

    /// Returns how many items, or pairs, follow the next one; `None` if there is no next one. At the
    /// end of the bytes inside an indefinite length there seems to be one, which is incomplete then.
    /// Takes the break.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn next(&mut self, left: usize) -> Option<usize> {
        if left == OPEN {
            if self.rest.first() == Some(&BREAK) {
                self.head();
                return None;
            }
            return Some(OPEN);
        }
        left.checked_sub(1)
    }

    /// Returns `true` at the end of the bytes inside an indefinite length.
    pub(super) const fn is_cut_off(&self, left: usize) -> bool {
        left == OPEN && self.rest.is_empty()
    }

    /// Takes an argument map that lies inside of one level: byte strings are its keys. The first
    /// mistake from the front is the error.
    pub(super) fn args(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        let mut pairs = self.enter(MAJOR_MAP)?;
        while let Some(left) = self.next(pairs) {
            pairs = left;
            if *self.rest.first()? >> 5 != MAJOR_BYTES {
                self.malformed();
                return None;
            }
            self.value(2)?;
            self.value(2)?;
        }
        self.taken(start)
    }
}

/// What each open level is, for settings: two bits for each, the lowest for the innermost. They have
/// no indefinite lengths but for byte strings, so that these bits and the counts say all.
#[derive(Default)]
struct Kinds {
    bits: u32,
    depth: usize,
}

const KIND_ARRAY: u32 = 0;
const KIND_MAP: u32 = 1;
const KIND_TAG: u32 = 2;
/// An array right below a tag.
const KIND_SET: u32 = 3;

impl Kinds {
    fn innermost(&self) -> u32 {
        self.bits & 3
    }

    /// Follows the levels after an item of this major type.
    fn follow(&mut self, major: u8, depth: usize) {
        while self.depth > depth {
            self.bits >>= 2;
            self.depth = self.depth.wrapping_sub(1);
        }
        if self.depth < depth {
            let kind = match major {
                MAJOR_MAP => KIND_MAP,
                MAJOR_TAG => KIND_TAG,
                _ if self.innermost() == KIND_TAG => KIND_SET,
                _ => KIND_ARRAY,
            };
            self.bits = (self.bits << 2) | kind;
            self.depth = depth;
        }
    }

    /// Returns `true` if an item may begin so here, as far as its first bytes tell.
    #[inline(never)]
    fn may_begin(&self, rest: &[u8], levels: &Levels) -> bool {
        let Some((&initial, argument)) = rest.split_first() else {
            return true;
        };
        let (major, info) = (initial >> 5, initial & 0x1f);
        // Which major types may stand here, a bit for each.
        const SCALAR: u32 =
            1 << MAJOR_UNSIGNED | 1 << MAJOR_NEGATIVE | 1 << MAJOR_BYTES | 1 << MAJOR_SIMPLE;
        const SET: u32 = 1 << MAJOR_ARRAY;
        let allowed = match self.innermost() {
            KIND_TAG => SET,
            KIND_SET => SCALAR,
            KIND_MAP if levels.is_at_key() => SCALAR,
            _ => SCALAR | SET | 1 << MAJOR_MAP | 1 << MAJOR_TAG,
        };
        if allowed.wrapping_shr(u32::from(major)) & 1 == 0 {
            return false;
        }
        match major {
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
}

/// The number of the tag of sets, in eight bytes.
const TAG_SET: [u8; 8] = 258u64.to_be_bytes();

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{cbor, nearly_cbor};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn known_values_end_where_checked_ones_do(value in cbor(), after: Vec<u8>) {
            let encoded = value.to_vec();
            let bytes = [&encoded[..], &after].concat();
            let mut known = Cursor::new(&bytes);
            prop_assert_eq!(known.known_value(), Some(&encoded[..]));
            prop_assert_eq!(known.rest(), &after[..]);
            let mut passed = Cursor::new(&bytes);
            prop_assert_eq!(passed.pass(), Some(&encoded[..]));
            prop_assert_eq!(passed.rest(), &after[..]);
            let mut checked = Cursor::new(&bytes);
            prop_assert_eq!(checked.value(0), Some(&encoded[..]));
            prop_assert_eq!(checked.rest(), &after[..]);
        }

        #[test]
        fn usual_values_are_what_the_levels_find(bytes in nearly_cbor()) {
            let (mut usual, mut any) = (Cursor::new(&bytes), Cursor::new(&bytes));
            prop_assert_eq!(usual.value(0), any.any(0, false));
            prop_assert_eq!(usual.error(), any.error());
        }
    }

    #[test]
    fn arguments_that_no_memory_holds_are_no_marks_of_indefinite_lengths() {
        for head in [
            &b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xfc",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xfe",
            b"\xbb\x80\x00\x00\x00\x00\x00\x00\x00",
        ] {
            for (after, error) in [
                (&b"\x00\x00"[..], CborError::Incomplete),
                (b"\xff", CborError::Malformed),
            ] {
                let bytes = [head, after].concat();
                let mut cursor = Cursor::new(&bytes);
                assert_eq!(cursor.value(0), None);
                assert_eq!(cursor.error(), error, "{bytes:x?}");
            }
        }
    }
}
