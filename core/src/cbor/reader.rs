//! Takes values off the front of borrowed bytes.

use super::cursor::Cursor;
use super::item::{CborError, MAJOR_ARRAY, MAJOR_MAP, MAX_NESTING};
use super::{ByteString, Value};

/// Reads CBOR values, one after the other, from borrowed bytes (messages.md, "CBOR").
///
/// It knows how many levels are open around its position, so that [`MAX_NESTING`] holds for the
/// whole, however it is read.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CborReader<'a> {
    rest: &'a [u8],
    depth: u8,
}

/// The items still to come of an array, or pairs of a map, that a [`CborReader`] has entered.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Items {
    left: usize,
}

impl<'a> CborReader<'a> {
    /// Creates a reader of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    /// Returns what has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns `true` if everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes exactly one well-formed value of any kind. Work is linear in its length.
    ///
    /// # Errors
    /// Why there is no value; nothing is taken then.
    pub fn next_value(&mut self) -> Result<Value<'a>, CborError> {
        let mut cursor = Cursor::new(self.rest);
        let value = cursor.value(self.depth.into()).ok_or(cursor.error())?;
        self.rest = cursor.rest();
        Ok(Value::new_unchecked(value))
    }

    /// Takes one byte string, definite or in chunks.
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn byte_string(&mut self) -> Result<ByteString<'a>, CborError> {
        self.next_value()?.as_bytes().ok_or(CborError::Malformed)
    }

    /// Enters a container of this major type.
    fn enter(&mut self, major: u8) -> Result<Items, CborError> {
        let mut cursor = Cursor::new(self.rest);
        let left = cursor.enter(major).ok_or(cursor.error())?;
        if usize::from(self.depth) >= MAX_NESTING {
            return Err(CborError::NestedTooDeep);
        }
        self.depth = self.depth.wrapping_add(1);
        self.rest = cursor.rest();
        Ok(Items { left })
    }

    /// Enters an array: its items are read next, each after [`has_next`](Self::has_next).
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn array(&mut self) -> Result<Items, CborError> {
        self.enter(MAJOR_ARRAY)
    }

    /// Enters a map: its keys and values are read next in turn, each pair after
    /// [`has_next`](Self::has_next).
    ///
    /// # Errors
    /// Why there is none; [`CborError::Malformed`] for other types.
    pub fn map(&mut self) -> Result<Items, CborError> {
        self.enter(MAJOR_MAP)
    }

    /// Returns `true` if another item, or pair, of `items` follows. `false` once leaves the
    /// container.
    ///
    /// # Errors
    /// [`CborError::Incomplete`] at the end of the bytes inside an indefinite length.
    pub fn has_next(&mut self, items: &mut Items) -> Result<bool, CborError> {
        let mut cursor = Cursor::new(self.rest);
        if cursor.is_cut_off(items.left) {
            return Err(CborError::Incomplete);
        }
        let left = cursor.next(items.left);
        self.rest = cursor.rest();
        items.left = left.unwrap_or_default();
        if left.is_none() {
            self.depth = self.depth.wrapping_sub(1);
        }
        Ok(left.is_some())
    }
}
