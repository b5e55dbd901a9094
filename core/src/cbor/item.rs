//! Reads CBOR item by item: heads, well-formed values, and a scanner that can stop anywhere.
//!
//! Specification: messages.md, "CBOR"; RFC 8949, appendix C. Iterative, depth-bounded, and the
//! same in every build: no Cargo feature changes what is accepted.

use heapless::Vec;

/// Most levels of nesting: containers (arrays, maps) and tags count, the outermost is level 1, and
/// a 17th is refused (messages.md, "CBOR").
pub const MAX_NESTING: usize = 16;

/// Major type of unsigned integers.
pub const MAJOR_UNSIGNED: u8 = 0;
/// Major type of negative integers; the value is −1 − argument.
pub const MAJOR_NEGATIVE: u8 = 1;
/// Major type of byte strings.
pub const MAJOR_BYTES: u8 = 2;
/// Major type of text strings.
pub const MAJOR_TEXT: u8 = 3;
/// Major type of arrays.
pub const MAJOR_ARRAY: u8 = 4;
/// Major type of maps.
pub const MAJOR_MAP: u8 = 5;
/// Major type of tags.
pub const MAJOR_TAG: u8 = 6;
/// Major type of floats and simple values.
pub const MAJOR_SIMPLE: u8 = 7;

/// The byte that ends what has an indefinite length.
pub(super) const BREAK: u8 = 0xff;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CborError {
    /// Not well-formed, or not of the expected type.
    Malformed,
    /// The bytes end inside a value; more input may complete it.
    Incomplete,
    /// More than [`MAX_NESTING`] levels.
    NestedTooDeep,
}

impl core::fmt::Display for CborError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed CBOR",
            Self::Incomplete => "incomplete CBOR",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for CborError {}

/// The head of an item: initial byte and argument.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct ItemHead {
    pub(super) initial: u8,
    /// The argument; `usize::MAX` where it does not fit, as no such length or count fits in memory.
    pub(super) argument: usize,
    /// Bytes of the head itself, 1 to 9.
    pub(super) len: usize,
}

impl ItemHead {
    pub(super) const fn major(self) -> u8 {
        self.initial >> 5
    }

    pub(super) const fn is_indefinite(self) -> bool {
        self.initial & 0x1f == 31
    }
}

/// How many argument bytes follow an initial byte; an error for the reserved values 28 to 30, and
/// for 31 where no indefinite length exists. The break is let through.
fn argument_len(initial: u8) -> Result<u8, CborError> {
    const INDEFINITE: u32 =
        1 << MAJOR_BYTES | 1 << MAJOR_TEXT | 1 << MAJOR_ARRAY | 1 << MAJOR_MAP | 1 << MAJOR_SIMPLE;
    let info = initial & 0x1f;
    match info {
        0..=23 => Ok(0),
        24..=27 => Ok(1u8.wrapping_shl(u32::from(info & 3))),
        31 if INDEFINITE.wrapping_shr(u32::from(initial >> 5)) & 1 != 0 => Ok(0),
        _ => Err(CborError::Malformed),
    }
}

/// Two bytes for a simple value that one byte could hold are not well-formed.
fn check_simple(initial: u8, argument: usize) -> Result<(), CborError> {
    if initial == 0xf8 && argument < 32 {
        return Err(CborError::Malformed);
    }
    Ok(())
}

/// Reads the head at the front of `bytes`. A break is a head too: initial byte `0xff`.
pub(super) fn read_head(bytes: &[u8]) -> Result<ItemHead, CborError> {
    let mut cursor = Cursor::new(bytes);
    if !cursor.head() {
        return Err(cursor.error);
    }
    Ok(ItemHead {
        initial: cursor.initial,
        argument: cursor.argument,
        len: bytes.len().wrapping_sub(cursor.rest.len()),
    })
}

/// Bytes, and the last head that was taken off them.
///
/// Its methods return little, and leave the rest here: what does not fit a register or two is
/// expensive to return.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
    pub(super) argument: usize,
    pub(super) initial: u8,
    /// Why there was nothing to take.
    pub(super) error: CborError,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            argument: 0,
            initial: 0,
            error: CborError::Incomplete,
        }
    }

    /// Takes a head. `false`: there is none, see `error`.
    #[inline(never)]
    pub(super) fn head(&mut self) -> bool {
        self.error = CborError::Incomplete;
        let Some((&initial, mut rest)) = self.rest.split_first() else {
            return false;
        };
        let Ok(mut wanted) = argument_len(initial) else {
            self.error = CborError::Malformed;
            return false;
        };
        let mut argument = usize::from(initial & 0x1f);
        if wanted > 0 {
            argument = 0;
        }
        while wanted > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                return false;
            };
            rest = after;
            argument = if argument > usize::MAX >> 8 {
                usize::MAX
            } else {
                (argument << 8) | usize::from(byte)
            };
            wanted = wanted.wrapping_sub(1);
        }
        if check_simple(initial, argument).is_err() {
            self.error = CborError::Malformed;
            return false;
        }
        self.rest = rest;
        self.initial = initial;
        self.argument = argument;
        true
    }

    /// Takes the content of a string whose head was taken.
    pub(super) fn content(&mut self) -> Option<&'a [u8]> {
        let (content, rest) = self.rest.split_at_checked(self.argument)?;
        self.rest = rest;
        Some(content)
    }

    /// Takes a whole value, which lies inside of `depth` levels. `None`: there is none, see
    /// `error`; nothing is taken.
    #[inline]
    pub(super) fn value(&mut self, depth: u8) -> Option<&'a [u8]> {
        self.nested(depth, false)
    }

    /// [`value`](Self::value), or only a map with byte strings as keys (`is_args`): what is wrong
    /// first, from the front, is the error.
    ///
    /// One way for every kind of value: a shorter one for scalars saves a tenth of the instructions
    /// of a small request, and costs 100 bytes.
    #[inline(never)]
    pub(super) fn nested(&mut self, depth: u8, is_args: bool) -> Option<&'a [u8]> {
        let start = self.rest;
        let mut levels = Levels::inside(depth);
        levels.is_args = is_args;
        loop {
            match self.rest.first() {
                Some(&initial) if levels.check(initial).is_err() => {
                    self.error = CborError::Malformed;
                    break;
                }
                _ => {}
            }
            if !self.head() {
                break;
            }
            let mut step = levels.step(self.initial, self.argument);
            if let Ok(Step::Content) = step {
                if self.content().is_none() {
                    self.error = CborError::Incomplete;
                    break;
                }
                step = Ok(levels.string_done());
            }
            match step {
                Ok(Step::Done) => {
                    let len = start.len().wrapping_sub(self.rest.len());
                    return start.get(..len);
                }
                Ok(_) => {}
                Err(error) => {
                    self.error = error;
                    break;
                }
            }
        }
        self.rest = start;
        None
    }
}

/// The argument of the head that these bytes begin with, whole: for numbers, not for lengths.
pub(super) fn argument_of(bytes: &[u8], head: ItemHead) -> u64 {
    let argument = bytes.get(1..head.len).unwrap_or_default();
    if argument.is_empty() {
        return u64::from(head.initial & 0x1f);
    }
    argument
        .iter()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// Open levels with an indefinite length are marked by counts that no definite one is given. Each
/// item flips the lowest bit: a map is at a key or at a value; of an array, both mean the same.
/// Counts of maps are even at a key, definite ones too.
const MAP_AT_KEY: usize = usize::MAX - 1;
const MAP_AT_VALUE: usize = usize::MAX;
const ARRAY_OPEN: usize = usize::MAX - 3;
/// Where a count does not fit, the bytes do not fit in memory either.
const MOST_ITEMS: usize = usize::MAX - 4;

/// What a head means for the value around it.
#[derive(Clone, Copy)]
enum Step {
    /// The value goes on.
    More,
    /// The value ends with this head.
    Done,
    /// A string's content follows, as many bytes as the head's argument says; then
    /// [`Levels::string_done`].
    Content,
}

/// The levels that are open inside of one value.
#[derive(Clone, Debug)]
struct Levels {
    /// Items still to come per open level.
    counts: Vec<usize, MAX_NESTING>,
    /// How many may be open.
    limit: u8,
    /// Initial byte of the indefinite string that is open; 0 if none is.
    chunked: u8,
    /// The value must be a map with byte strings as keys.
    is_args: bool,
}

#[cfg(feature = "defmt")]
impl defmt::Format for Levels {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Levels({=[?]}, {=u8})",
            self.counts.as_slice(),
            self.chunked
        );
    }
}

impl Levels {
    /// None open, for a value that lies inside of `outer` levels.
    const fn inside(outer: u8) -> Self {
        Self {
            counts: Vec::new(),
            // `MAX_NESTING`, checked below.
            limit: 16u8.saturating_sub(outer),
            chunked: 0,
            is_args: false,
        }
    }

    /// Whether an item may begin so here. The rest of its head need not have come.
    fn check(&mut self, initial: u8) -> Result<(), CborError> {
        let top = self.counts.last().copied().unwrap_or(0);
        let is_allowed = if initial == BREAK {
            // In a string in chunks, or at the start of an item of indefinite length.
            self.chunked != 0 || (top > MOST_ITEMS && top != MAP_AT_VALUE)
        } else if self.chunked != 0 {
            // A chunk is a definite string of the same type: another byte with the same major type.
            matches!(initial ^ self.chunked, 1..=0x1f)
        } else if self.is_args && self.counts.len() < 2 && top & 1 == 0 {
            // The map itself, or a key.
            initial >> 5 == if top == 0 { MAJOR_MAP } else { MAJOR_BYTES }
        } else {
            true
        };
        if is_allowed {
            Ok(())
        } else {
            Err(CborError::Malformed)
        }
    }

    /// Acts on a whole head.
    fn step(&mut self, initial: u8, argument: usize) -> Result<Step, CborError> {
        let is_indefinite = initial & 0x1f == 31;
        let major = initial >> 5;
        let count = match major {
            MAJOR_BYTES | MAJOR_TEXT if is_indefinite => {
                self.chunked = initial;
                return Ok(Step::More);
            }
            MAJOR_BYTES | MAJOR_TEXT => return Ok(Step::Content),
            MAJOR_ARRAY if is_indefinite => ARRAY_OPEN,
            MAJOR_MAP if is_indefinite => MAP_AT_KEY,
            MAJOR_ARRAY => argument.min(MOST_ITEMS),
            MAJOR_MAP => argument.min(MOST_ITEMS / 2).wrapping_mul(2),
            MAJOR_TAG => 1,
            _ => {
                if initial == BREAK {
                    if self.chunked == 0 {
                        self.counts.pop();
                    }
                    self.chunked = 0;
                }
                return Ok(self.item_done());
            }
        };
        if self.counts.len() >= usize::from(self.limit) {
            return Err(CborError::NestedTooDeep);
        }
        if count == 0 {
            return Ok(self.item_done());
        }
        // There is room: no limit is above the capacity.
        let _ = self.counts.push(count);
        Ok(Step::More)
    }

    /// A string's content has been passed over.
    fn string_done(&mut self) -> Step {
        if self.chunked != 0 {
            Step::More
        } else {
            self.item_done()
        }
    }

    /// Counts an item as complete, with the levels that end with it.
    fn item_done(&mut self) -> Step {
        while let Some(top) = self.counts.last_mut() {
            if *top > MOST_ITEMS {
                *top ^= 1;
                return Step::More;
            }
            *top = top.wrapping_sub(1);
            if *top > 0 {
                return Step::More;
            }
            self.counts.pop();
        }
        Step::Done
    }
}

const _: () = assert!(MAX_NESTING == 16);

/// Finds the end of one well-formed value in bytes that come in parts.
///
/// Holds no input: a few counters and one number per level of nesting, about 90 bytes on a 32-bit
/// device. Feed it with [`scan`](Self::scan); work is linear in the bytes, whatever the split.
/// (Containers of more than `usize::MAX − 3` items, keys and values counted, never end for it.)
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ValueScanner {
    levels: Levels,
    /// The current item's initial byte.
    initial: u8,
    /// Argument bytes still to come.
    missing: u8,
    started: bool,
    argument: u64,
    /// Bytes of a string still to pass over: a stream may be longer than memory.
    skip: u64,
}

impl Default for ValueScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ValueScanner {
    /// A scanner at the start of a value.
    pub const fn new() -> Self {
        Self {
            levels: Levels::inside(0),
            initial: 0,
            missing: 0,
            started: false,
            argument: 0,
            skip: 0,
        }
    }

    /// Whether the scanner is inside a value: some of its bytes have come, but not the last.
    pub const fn is_inside(&self) -> bool {
        self.started
    }

    /// Scans the next bytes of a sequence of values. [`is_inside`](Self::is_inside) then says
    /// whether the sequence would end inside a value (revision-0006.md, 8).
    ///
    /// # Errors
    /// As for [`scan`](Self::scan).
    pub fn scan_sequence(&mut self, bytes: &[u8]) -> Result<(), CborError> {
        let mut rest = bytes;
        while let Some(len) = self.scan(rest)? {
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Scans the next bytes. `Some(n)`: the value ends after `n` of them, and the scanner is ready
    /// for the next value. `None`: all of them belong to the value, and more must come.
    ///
    /// # Errors
    /// [`CborError::Malformed`] or [`CborError::NestedTooDeep`] as soon as the bytes show it; the
    /// scanner is of no further use then. Never [`CborError::Incomplete`].
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, CborError> {
        let mut rest = bytes;
        loop {
            let mut step = Step::More;
            if self.skip > 0 {
                let wanted = usize::try_from(self.skip).unwrap_or(usize::MAX);
                let (passed, after) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
                rest = after;
                let count = u64::try_from(passed.len()).unwrap_or(self.skip);
                self.skip = self.skip.saturating_sub(count);
                if self.skip > 0 {
                    return Ok(None);
                }
                step = self.levels.string_done();
            } else {
                let Some((&byte, after)) = rest.split_first() else {
                    return Ok(None);
                };
                rest = after;
                if self.missing > 0 {
                    self.argument = (self.argument << 8) | u64::from(byte);
                    self.missing = self.missing.wrapping_sub(1);
                } else {
                    self.started = true;
                    self.levels.check(byte)?;
                    self.missing = argument_len(byte)?;
                    self.initial = byte;
                    self.argument = if self.missing == 0 {
                        u64::from(byte & 0x1f)
                    } else {
                        0
                    };
                }
                if self.missing == 0 {
                    let argument = usize::try_from(self.argument).unwrap_or(usize::MAX);
                    check_simple(self.initial, argument)?;
                    step = self.levels.step(self.initial, argument)?;
                    if let Step::Content = step {
                        self.skip = self.argument;
                        if self.skip == 0 {
                            step = self.levels.string_done();
                        }
                    }
                }
            }
            if let Step::Done = step {
                self.started = false;
                return Ok(Some(bytes.len().wrapping_sub(rest.len())));
            }
        }
    }
}

/// The length of the one well-formed value, of any kind, at the front of `bytes`.
///
/// Work is linear in that length. To follow a value that comes in many parts, use
/// [`ValueScanner`], which does not start again.
///
/// # Errors
/// [`CborError::Incomplete`] when more input is needed; otherwise why there is no value.
pub fn value_len(bytes: &[u8]) -> Result<usize, CborError> {
    let mut cursor = Cursor::new(bytes);
    cursor.value(0).map(<[u8]>::len).ok_or(cursor.error)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{cbor, hex, nearly_cbor, reference_len};
    use super::*;

    fn scan_in_parts(bytes: &[u8], part: usize) -> Result<usize, CborError> {
        let mut scanner = ValueScanner::new();
        let mut seen = 0;
        for part in bytes.chunks(part) {
            if let Some(end) = scanner.scan(part)? {
                assert!(!scanner.is_inside());
                return Ok(seen + end);
            }
            seen += part.len();
        }
        assert_eq!(scanner.is_inside(), !bytes.is_empty());
        Err(CborError::Incomplete)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn every_value_is_passed_over_exactly(value in cbor(), after: Vec<u8>) {
            let mut bytes = value.to_vec();
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(value_len(&bytes[..cut]), Err(CborError::Incomplete));
            }
            bytes.extend(after);
            prop_assert_eq!(value_len(&bytes), Ok(len));
            // minicbor agrees.
            let mut oracle = minicbor::Decoder::new(&bytes);
            oracle.skip().unwrap();
            prop_assert_eq!(oracle.position(), len);
        }

        #[test]
        fn any_bytes_get_the_reference_answer_however_they_are_cut(bytes in nearly_cbor(), part in 1usize..8) {
            let expected = reference_len(&bytes, 0);
            prop_assert_eq!(value_len(&bytes), expected);
            prop_assert_eq!(scan_in_parts(&bytes, part), expected);
        }
    }

    proptest! {
        #[test]
        fn a_sequence_is_whole_where_a_value_ends(
            values in prop::collection::vec(cbor(), 0..4), cut: prop::sample::Index, part in 1usize..8,
        ) {
            let mut bytes = Vec::new();
            let mut ends = std::vec![0];
            for value in values {
                bytes.extend(value.to_vec());
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let mut scanner = ValueScanner::new();
            for part in bytes[..cut].chunks(part) {
                prop_assert_eq!(scanner.scan_sequence(part), Ok(()));
            }
            prop_assert_eq!(scanner.is_inside(), !ends.contains(&cut));
        }
    }

    #[test]
    fn sixteen_levels_pass_and_seventeen_do_not() {
        for opening in [&[0x81][..], &[0x9f], &[0xa1, 0x01], &[0xbf, 0x01], &[0xc1]] {
            let mut bytes: Vec<u8> = opening.repeat(16);
            assert_eq!(value_len(&bytes), Err(CborError::Incomplete));
            bytes.push(0);
            if opening[0] & 31 == 31 {
                bytes.extend([0xff; 16]);
            }
            assert_eq!(value_len(&bytes), Ok(bytes.len()));
            let deeper = opening.repeat(17);
            assert_eq!(value_len(&deeper), Err(CborError::NestedTooDeep));
            assert_eq!(
                value_len(&opening.repeat(100_000)),
                Err(CborError::NestedTooDeep)
            );
        }
        // An empty container is a level too; a string in chunks is none.
        let mut bytes = vec![0x81; 16];
        bytes.push(0x80);
        assert_eq!(value_len(&bytes), Err(CborError::NestedTooDeep));
        bytes.splice(16.., hex("5f4161ff"));
        assert_eq!(value_len(&bytes), Ok(20));
    }

    #[test]
    fn lengths_that_no_memory_holds_are_incomplete() {
        for head in ["5b", "7b", "9b", "bb"] {
            let bytes = hex(&std::format!("{head}ffffffffffffffff"));
            assert_eq!(value_len(&bytes), Err(CborError::Incomplete));
            assert_eq!(scan_in_parts(&bytes, 1), Err(CborError::Incomplete));
        }
        // Twice this many items is no number of 64 bits.
        assert_eq!(
            value_len(&hex("bb8000000000000000 0000")),
            Err(CborError::Incomplete)
        );
    }

    #[test]
    fn what_is_not_well_formed_is_refused_at_its_first_byte() {
        for bytes in [
            "1c", "1d", "1e", "1f", "3f", "5c", "7d", "9e", "bc", "dc", "df", "fc", "ff", "81ff",
            "a1ff", "a100ff", "bf00ff", "c1ff", "5f00", "5f1a", "5f5f", "5f61", "7f41", "7f7f",
            "5ff6", "9f1c", "f81f", "f800",
        ] {
            assert_eq!(value_len(&hex(bytes)), Err(CborError::Malformed), "{bytes}");
        }
    }
}
