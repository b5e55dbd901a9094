//! Takes values off the front of borrowed bytes.

use super::item::{BREAK, CborError, Cursor, MAJOR_ARRAY, MAJOR_MAP};
use super::{ByteString, Value};

/// Reads CBOR values, one after the other, from borrowed bytes (messages.md, "CBOR").
///
/// It knows how many levels are open around its position, so that [`MAX_NESTING`](super::MAX_NESTING)
/// holds for the whole, however it is read.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CborReader<'a> {
    cursor: Cursor<'a>,
    depth: u8,
}

/// The items still to come of an array, or pairs of a map, that a [`CborReader`] has entered.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Items {
    /// [`INDEFINITE`] for an indefinite length.
    left: usize,
}

/// More items than memory holds: that many of a definite length are counted as one less.
const INDEFINITE: usize = usize::MAX;

impl<'a> CborReader<'a> {
    /// A reader of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            depth: 0,
        }
    }

    /// A reader of bytes that will lie, or have lain, inside of one map.
    pub(super) const fn inside(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            depth: 1,
        }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.cursor.rest
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.cursor.rest.is_empty()
    }

    /// [`next_value`](Self::next_value), which returns more than fits registers.
    #[inline]
    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        self.cursor.value(self.depth).map(Value::new_unchecked)
    }

    /// Why there was nothing to take.
    #[inline]
    pub(super) const fn error(&self) -> CborError {
        self.cursor.error
    }

    /// Something that was taken is not what it should be: `error` will say so.
    #[inline]
    pub(super) const fn malformed<T>(&mut self) -> Option<T> {
        self.cursor.error = CborError::Malformed;
        None
    }

    /// Takes exactly one well-formed value of any kind. Work is linear in its length.
    ///
    /// # Errors
    /// Why there is no value; nothing is taken then.
    pub fn next_value(&mut self) -> Result<Value<'a>, CborError> {
        self.value().ok_or(self.error())
    }

    /// Takes one byte string, definite or in chunks.
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn byte_string(&mut self) -> Result<ByteString<'a>, CborError> {
        self.next_value()?.as_bytes().ok_or(CborError::Malformed)
    }

    /// Takes an argument map, in one pass.
    #[inline]
    pub(super) fn args(&mut self) -> Option<Value<'a>> {
        let args = self.cursor.nested(self.depth, true);
        args.map(Value::new_unchecked)
    }

    /// Enters a container of this major type. `None`: there is none, see `error`.
    #[inline(never)]
    pub(super) fn enter(&mut self, major: u8) -> Option<Items> {
        let start = self.cursor.rest;
        if !self.cursor.head() {
            return None;
        }
        self.cursor.error = if self.cursor.initial >> 5 != major {
            CborError::Malformed
        } else if usize::from(self.depth) >= super::MAX_NESTING {
            CborError::NestedTooDeep
        } else {
            self.depth = self.depth.wrapping_add(1);
            let left = if self.cursor.initial & 0x1f == 31 {
                INDEFINITE
            } else {
                self.cursor.argument.min(INDEFINITE - 1)
            };
            return Some(Items { left });
        };
        self.cursor.rest = start;
        None
    }

    /// Enters an array: its items are read next, each after [`has_next`](Self::has_next).
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn array(&mut self) -> Result<Items, CborError> {
        self.enter(MAJOR_ARRAY).ok_or(self.error())
    }

    /// Enters a map: its keys and values are read next in turn, each pair after
    /// [`has_next`](Self::has_next).
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn map(&mut self) -> Result<Items, CborError> {
        self.enter(MAJOR_MAP).ok_or(self.error())
    }

    /// Whether another item, or pair, of `items` follows. `false` once leaves the container.
    ///
    /// # Errors
    /// [`CborError::Incomplete`] at the end of the bytes inside an indefinite length.
    pub fn has_next(&mut self, items: &mut Items) -> Result<bool, CborError> {
        if items.left == INDEFINITE && self.is_empty() {
            return Err(CborError::Incomplete);
        }
        Ok(self.more(items))
    }

    /// [`has_next`](Self::has_next), but `true` at the end of the bytes inside an indefinite
    /// length: the next value is incomplete then.
    #[inline(never)]
    pub(super) fn more(&mut self, items: &mut Items) -> bool {
        if items.left == INDEFINITE {
            match self.cursor.rest.split_first() {
                Some((&BREAK, rest)) => self.cursor.rest = rest,
                _ => return true,
            }
        } else if items.left > 0 {
            items.left = items.left.wrapping_sub(1);
            return true;
        }
        self.depth = self.depth.wrapping_sub(1);
        false
    }
}
