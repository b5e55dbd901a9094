//! One well-formed value, as its encoding.

use super::cursor::Cursor;
use super::item::{
    CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_UNSIGNED, value_len,
};
use super::{ArgError, ByteString, Text};
use crate::bytes::equal;
use crate::tuned::IS_SMALL;

/// The encoding of one well-formed value of any kind.
///
/// A view: nothing is decoded before it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// The value `null`.
    pub const NULL: Self = Self(&[0xf6]);

    /// No value: a place for one that may come. On a device unknown to the compiler, which would copy
    /// several of them from a constant.
    #[inline]
    pub(super) fn absent() -> Self {
        Self(if IS_SMALL {
            core::hint::black_box(&[])
        } else {
            &[]
        })
    }

    /// `{}`.
    pub(super) const EMPTY_MAP: Self = Self(&[0xa0]);

    /// Returns `true` if there is no value.
    pub(crate) const fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes bytes that are one well-formed value.
    pub(super) const fn new_unchecked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The value that these bytes are, all of them.
    ///
    /// # Errors
    /// Why they are none; [`CborError::Malformed`] if bytes are left over.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        if value_len(bytes)? == bytes.len() {
            Ok(Self(bytes))
        } else {
            Err(CborError::Malformed)
        }
    }

    /// The value's encoding, as it was received.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn major(&self) -> Option<u8> {
        self.0.first().map(|initial| initial >> 5)
    }

    /// Returns the argument of an integer.
    fn argument(&self) -> u64 {
        match self.0 {
            [initial] => u64::from(initial & 0x1f),
            [_, argument @ ..] => argument
                .iter()
                .fold(0, |value, byte| (value << 8) | u64::from(*byte)),
            [] => 0,
        }
    }

    /// Decodes the value as any type that minicbor can decode.
    ///
    /// # Errors
    /// [`ArgError::WrongType`] if the value is not a `T`; [`ArgError::OutOfRange`] if both are
    /// integers.
    pub fn decode<T: minicbor::Decode<'a, ()>>(&self) -> Result<T, ArgError> {
        let mut decoder = minicbor::Decoder::new(self.0);
        match decoder.decode::<T>() {
            Ok(value) if decoder.position() == self.0.len() => Ok(value),
            // A type that takes 0 is an integer's.
            _ => Err(self.refused(minicbor::decode::<T>(&[0]).is_ok())),
        }
    }

    /// Returns why a type does not take the value, which `is_integer` or is not.
    pub(super) fn refused(&self, is_integer: bool) -> ArgError {
        if is_integer && matches!(self.major(), Some(MAJOR_UNSIGNED | MAJOR_NEGATIVE)) {
            ArgError::OutOfRange
        } else {
            ArgError::WrongType
        }
    }

    /// The value as a byte string, definite or in chunks.
    pub fn as_bytes(&self) -> Option<ByteString<'a>> {
        ByteString::from_value(*self)
    }

    /// The value as a text string of definite length that is valid UTF-8. [`Text`] takes the
    /// others too.
    pub fn as_text(&self) -> Option<&'a str> {
        Text::from_value(*self).and_then(|text| text.as_str())
    }

    /// The value as an unsigned integer, whatever the length of its encoding.
    pub fn as_u64(&self) -> Option<u64> {
        (self.major() == Some(MAJOR_UNSIGNED)).then(|| self.argument())
    }

    /// [`as_u64`](Self::as_u64) for types of at most 16 bits, in less code: no arithmetic of 64 bits.
    pub(super) fn as_small<T: TryFrom<usize>>(&self) -> Option<T> {
        self.unsigned()?.try_into().ok()
    }

    /// Returns an unsigned integer; one that is too large is some large number.
    #[cfg_attr(target_os = "none", inline(never))]
    fn unsigned(&self) -> Option<usize> {
        let mut cursor = Cursor::new(self.0);
        if !cursor.head() || cursor.major() != MAJOR_UNSIGNED {
            return None;
        }
        Some(cursor.argument())
    }

    /// Returns `true` if the value is a byte string with this content, in any encoding.
    #[inline]
    pub fn is_bytes(self, content: &[u8]) -> bool {
        self.is_short_bytes(content)
            .unwrap_or_else(|| self.is_long_bytes(content))
    }

    /// [`is_bytes`](Self::is_bytes) of a byte string with a head of one byte, as most are; `None`: it is
    /// another value. On a device all are another.
    #[inline]
    fn is_short_bytes(self, content: &[u8]) -> Option<bool> {
        let (initial, own) = self.0.split_first()?;
        (!IS_SMALL && matches!(initial, 0x40..=0x57)).then(|| equal(own, content))
    }

    #[inline(never)]
    fn is_long_bytes(self, content: &[u8]) -> bool {
        if !self.is_byte_string() {
            return false;
        }
        let mut content = content.iter();
        let mut cursor = Cursor::new(self.0);
        while let Some(piece) = cursor.piece() {
            // Byte by byte: `memcmp` is larger than this, and keys are short.
            for byte in piece {
                if content.next() != Some(byte) {
                    return false;
                }
            }
        }
        content.as_slice().is_empty()
    }

    /// The value as an integer that fits; `None` for larger ones too.
    pub fn as_i64(&self) -> Option<i64> {
        let is_negative = match self.major()? {
            MAJOR_UNSIGNED => false,
            MAJOR_NEGATIVE => true,
            _ => return None,
        };
        let argument = i64::try_from(self.argument()).ok()?;
        // −1 − argument, the bitwise complement.
        Some(if is_negative { !argument } else { argument })
    }

    /// An integer, or the nearest that fits.
    pub(super) fn saturating_i64(&self) -> i64 {
        let argument = i64::try_from(self.argument()).unwrap_or(i64::MAX);
        match self.major() {
            Some(MAJOR_NEGATIVE) => !argument,
            _ => argument,
        }
    }

    /// The value as a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self.0 {
            [bool @ 0xf4..=0xf5] => Some(*bool == 0xf5),
            _ => None,
        }
    }

    /// Whether the value is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self.0, [0xf6])
    }

    /// Whether the value is a byte string.
    pub(super) fn is_byte_string(&self) -> bool {
        self.major() == Some(MAJOR_BYTES)
    }

    /// Whether the value is a map.
    pub fn is_map(&self) -> bool {
        self.major() == Some(MAJOR_MAP)
    }

    /// Whether the value is an array.
    pub fn is_array(&self) -> bool {
        self.major() == Some(MAJOR_ARRAY)
    }

    /// The items of an array; `None` for other types. Work per item is linear in its length.
    pub fn elements(&self) -> Option<Elements<'a>> {
        let mut cursor = Cursor::new(self.0);
        let left = cursor.enter(MAJOR_ARRAY)?;
        Some(Elements { cursor, left })
    }

    /// The pairs of a map; `None` for other types. Work per pair is linear in its length.
    pub fn entries(&self) -> Option<Entries<'a>> {
        let mut cursor = Cursor::new(self.0);
        let left = cursor.enter(MAJOR_MAP)?;
        Some(Entries { cursor, left })
    }
}

impl Value<'_> {
    /// Writes the value's encoding: `Value(f7)`.
    pub(super) fn write_encoding(&self, w: &mut dyn core::fmt::Write) -> core::fmt::Result {
        w.write_str("Value(")?;
        for byte in self.0 {
            super::utf8::write_hex(w, u32::from(*byte), 2)?;
        }
        w.write_str(")")
    }
}

/// As a literal: `{b"on": true, b"list": [1, "text", null]}`. Tags, `undefined` and the like show their
/// encoding: `Value(f7)`. Levels are as deep as the value, whose depth was checked.
impl core::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if let Some(bytes) = self.as_bytes() {
            bytes.fmt(f)
        } else if let Some(text) = Text::from_value(*self) {
            text.fmt(f)
        } else if let Some(elements) = self.elements() {
            f.debug_list().entries(elements).finish()
        } else if let Some(entries) = self.entries() {
            f.debug_map().entries(entries).finish()
        } else if let Some(integer) = self.as_i64() {
            integer.fmt(f)
        } else if let Some(integer) = self.as_u64() {
            integer.fmt(f)
        } else if let Some(bool) = self.as_bool() {
            bool.fmt(f)
        } else if self.is_null() {
            f.write_str("null")
        } else if let Ok(float) = self.decode::<f64>() {
            float.fmt(f)
        } else {
            self.write_encoding(f)
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Value<'b> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let start = d.position();
        let rest = d.input().get(start..).unwrap_or_default();
        // Inside of a value that is checked already, so that its depth needs no second count.
        let len = value_len(rest).map_err(|_| minicbor::decode::Error::message("no value"))?;
        d.set_position(start.saturating_add(len));
        Ok(Self(rest.get(..len).unwrap_or_default()))
    }
}

/// The items of an array; made by [`Value::elements`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Elements<'a> {
    cursor: Cursor<'a>,
    /// Items, or pairs, to come.
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let left = self.cursor.next(self.left);
        self.left = left.unwrap_or_default();
        left?;
        self.cursor.known_value().map(Value)
    }
}

/// The pairs of a map; made by [`Value::entries`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    /// Items, or pairs, to come.
    left: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.cursor.next(self.left);
        self.left = left.unwrap_or_default();
        left?;
        let key = Value(self.cursor.known_value()?);
        Some((key, Value(self.cursor.known_value()?)))
    }
}

impl core::iter::FusedIterator for Elements<'_> {}
impl core::iter::FusedIterator for Entries<'_> {}
