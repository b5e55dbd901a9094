//! Maps of the protocol's own, whose keys are known (messages.md, "CBOR").

use super::cursor::Cursor;
use super::item::{
    CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_TEXT, MAJOR_UNSIGNED,
};
use super::string::is_utf8;
use super::{ByteStrings, Value};

/// What the value of a known key must be: a bit for each type that it may have, or none for any
/// type, and what else is asked of it.
pub(super) type Kind = u8;

pub(super) const ANY: Kind = 0;
pub(super) const UNSIGNED: Kind = 1 << MAJOR_UNSIGNED;
pub(super) const INTEGER: Kind = UNSIGNED | 1 << MAJOR_NEGATIVE;
pub(super) const BYTES: Kind = 1 << MAJOR_BYTES;
pub(super) const ARRAY: Kind = 1 << MAJOR_ARRAY;
/// A text string, or a byte string that holds UTF-8.
pub(super) const TEXT: Kind = BYTES | 1 << MAJOR_TEXT | UTF8;
/// An array of nothing but byte strings.
pub(super) const BYTE_STRINGS: Kind = ARRAY | ITEMS_ARE_BYTES;
/// The key must be there.
pub(super) const REQUIRED: Kind = 0x20;
const ITEMS_ARE_BYTES: Kind = 0x40;
const UTF8: Kind = 0x80;
const TYPES: Kind = 0x1f;

/// Keys that are known, and what their values must be: one table for a map, and one function that
/// reads by it. Code for each field of each map would be larger.
pub(super) struct Known {
    /// The keys, as [`index_of`] wants them.
    pub(super) keys: &'static [u8],
    pub(super) kinds: &'static [Kind],
}

impl Known {
    /// Takes a map, and puts the values of the known keys into `found`, in the table's order. Other
    /// keys, of any type, are ignored; a known one twice is malformed.
    ///
    /// # Errors
    /// Why there is no map; [`CborError::Malformed`] if a value is not what it must be.
    #[inline(never)]
    pub(super) fn read<'a>(
        &self,
        cursor: &mut Cursor<'a>,
        found: &mut [Option<Value<'a>>],
    ) -> Result<(), CborError> {
        let mut pairs = cursor.enter(MAJOR_MAP).ok_or(cursor.error())?;
        while let Some(left) = cursor.next(pairs) {
            pairs = left;
            let key = cursor.value(1).ok_or(cursor.error())?;
            let value = cursor.value(1).ok_or(cursor.error())?;
            let [key, value] = [key, value].map(Value::new_unchecked);
            if let Some(slot) = found.get_mut(index_of(key, self.keys))
                && slot.replace(value).is_some()
            {
                return Err(CborError::Malformed);
            }
        }
        let mut kinds = self.kinds.iter().zip(found);
        if kinds.all(|(kind, value)| allows(*kind, *value)) {
            Ok(())
        } else {
            Err(CborError::Malformed)
        }
    }

    /// [`read`](Self::read) of a value.
    pub(super) fn read_value<'a>(
        &self,
        value: Value<'a>,
        found: &mut [Option<Value<'a>>],
    ) -> Option<()> {
        self.read(&mut Cursor::new(value.as_cbor()), found).ok()
    }
}

/// The place of a value among names, which stand one behind another as they are on the wire: byte
/// strings of at most 23 bytes. If it is none of them: a place behind them.
#[inline(never)]
pub(super) fn index_of(value: Value<'_>, mut names: &'static [u8]) -> usize {
    let mut index = 0usize;
    while let Some((head, rest)) = names.split_first() {
        let (name, rest) = rest
            .split_at_checked(usize::from(head & 0x1f))
            .unwrap_or_default();
        if value.is_bytes(name) {
            break;
        }
        names = rest;
        index = index.wrapping_add(1);
    }
    index
}

/// Whether a known key may have this value.
fn allows(kind: Kind, value: Option<Value<'_>>) -> bool {
    let Some(value) = value else {
        return kind & REQUIRED == 0;
    };
    let initial = value.as_cbor().first().copied().unwrap_or_default();
    let types = kind & TYPES;
    if types != 0 && types.wrapping_shr(u32::from(initial >> 5)) & 1 == 0 {
        false
    } else if kind & ITEMS_ARE_BYTES != 0 {
        ByteStrings::are_strict(value)
    } else {
        kind & UTF8 == 0 || is_utf8(value)
    }
}
