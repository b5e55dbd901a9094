//! The strict decoding of settings payloads (revision-0006.md, 9.2).

use super::item::{
    BREAK, CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_SIMPLE, MAJOR_TAG,
    MAJOR_UNSIGNED, MAX_NESTING, read_head,
};

/// Why a settings payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StrictError {
    /// It holds an item that settings may not hold, or is not well-formed.
    Malformed,
    /// More than [`MAX_NESTING`] levels.
    NestedTooDeep,
}

impl core::fmt::Display for StrictError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed-settings",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for StrictError {}

/// What has come of a settings payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StrictValues {
    /// Complete values at top level. A byte string in chunks counts as a value for each chunk and
    /// one for its end, so that it is one value only if it has no chunks.
    pub complete: usize,
    /// Whether the bytes end inside a value.
    pub has_tail: bool,
    /// Bytes of the first value; 0 if none is complete.
    pub first_len: usize,
}

/// What an open level holds.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Kind {
    Array,
    Map,
    /// The array inside of a set's tag.
    Set,
    /// A set's tag: its array comes next.
    SetTag,
}

/// An open array, map, set or tag.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Level {
    /// Items still to come; keys and values count each.
    left: usize,
    kind: Kind,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Expect {
    Any,
    /// Not an array, a map or a set: a key, or a set's element.
    Scalar,
    /// An array.
    SetArray,
    /// A chunk of a byte string, or its end.
    Chunk,
}

/// The tag of sets.
const TAG_SET: u64 = 258;

/// Judges a settings payload of which more may come, by the table of revision-0006.md, 9.2.
///
/// An item that is refused is refused as soon as its first byte is there, even if the rest of its
/// head is not. Iterative; work is linear in the bytes.
///
/// # Errors
/// [`StrictError`].
pub fn check_strict(bytes: &[u8]) -> Result<StrictValues, StrictError> {
    let mut values = StrictValues::default();
    let mut levels = [Level {
        left: 0,
        kind: Kind::Array,
    }; MAX_NESTING];
    let mut depth = 0usize;
    let mut in_chunks = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        values.has_tail = true;
        let top = levels.get(depth.wrapping_sub(1));
        let expect = match top.map(|level| (level.kind, level.left & 1)) {
            None if in_chunks => Expect::Chunk,
            None | Some((Kind::Array, _) | (Kind::Map, 1)) => Expect::Any,
            Some((Kind::Map | Kind::Set, _)) => Expect::Scalar,
            Some((Kind::SetTag, _)) => Expect::SetArray,
        };
        if !may_begin(rest, expect, depth == 0) {
            return Err(StrictError::Malformed);
        }
        let head = match read_head(rest) {
            Ok(head) => head,
            Err(CborError::Incomplete) => return Ok(values),
            Err(_) => return Err(StrictError::Malformed),
        };
        rest = rest.get(head.len..).unwrap_or_default();
        let argument = usize::try_from(head.argument).unwrap_or(usize::MAX);
        let opened = match head.major() {
            MAJOR_BYTES if head.is_indefinite() => {
                in_chunks = true;
                continue;
            }
            MAJOR_BYTES => {
                let Some((_, after)) = rest.split_at_checked(argument) else {
                    return Ok(values);
                };
                rest = after;
                None
            }
            MAJOR_TAG => Some((1, Kind::SetTag)),
            MAJOR_ARRAY if expect == Expect::SetArray => Some((argument, Kind::Set)),
            MAJOR_ARRAY => Some((argument, Kind::Array)),
            // Kept even where it does not fit: such a map never ends.
            MAJOR_MAP => Some((argument.saturating_mul(2) & !1, Kind::Map)),
            _ => {
                in_chunks = in_chunks && head.initial != BREAK;
                None
            }
        };
        if let Some((left, kind)) = opened {
            let slot = levels.get_mut(depth).ok_or(StrictError::NestedTooDeep)?;
            if left > 0 {
                *slot = Level { left, kind };
                depth = depth.saturating_add(1);
                continue;
            }
        }
        // An item is complete, and with it the levels whose last item it is.
        while let Some(level) = levels.get_mut(depth.wrapping_sub(1)) {
            level.left = level.left.saturating_sub(1);
            if level.left > 0 {
                break;
            }
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            values.has_tail = in_chunks;
            values.complete = values.complete.saturating_add(1);
            if values.complete == 1 {
                values.first_len = bytes.len().saturating_sub(rest.len());
            }
        }
    }
    Ok(values)
}

/// Whether an item that begins so is allowed here, as far as its first bytes tell.
fn may_begin(rest: &[u8], expect: Expect, is_top: bool) -> bool {
    let Some((&initial, argument)) = rest.split_first() else {
        return true;
    };
    let info = initial & 0x1f;
    let is_definite = info <= 27;
    match initial >> 5 {
        MAJOR_BYTES if expect == Expect::Chunk => is_definite,
        _ if expect == Expect::Chunk => initial == BREAK,
        MAJOR_ARRAY => is_definite && expect != Expect::Scalar,
        _ if expect == Expect::SetArray => false,
        MAJOR_UNSIGNED | MAJOR_NEGATIVE => is_definite,
        MAJOR_BYTES => is_definite || (info == 31 && is_top),
        MAJOR_MAP => is_definite && expect == Expect::Any,
        // The tag's number, as far as it has come; one byte cannot hold it.
        MAJOR_TAG => {
            let width = match info {
                25 => 2,
                26 => 4,
                27 => 8,
                _ => return false,
            };
            let wanted = TAG_SET.to_be_bytes();
            expect == Expect::Any
                && wanted
                    .iter()
                    .skip(8usize.saturating_sub(width))
                    .zip(argument)
                    .all(|(wanted, byte)| wanted == byte)
        }
        // false, true, null.
        MAJOR_SIMPLE => matches!(initial, 0xf4..=0xf6),
        _ => false,
    }
}
