//! Strings, definite or in chunks, without gathering them.

use super::Value;
use super::cursor::Cursor;
use super::item::{MAJOR_ARRAY, MAJOR_BYTES};
use super::utf8;

/// Where a string's bytes are.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Repr<'a> {
    /// Contiguous.
    Slice(&'a [u8]),
    /// At least two chunks that are not empty: the encoding.
    Chunked(&'a [u8]),
}

/// A byte string, definite or in chunks (indefinite length).
///
/// A view. Equality is by content, however it is cut.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ByteString<'a>(Repr<'a>);

/// The pieces of a string in order, none of them empty; made by [`ByteString::chunks`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Chunks<'a> {
    slice: &'a [u8],
    encoded: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let slice = core::mem::take(&mut self.slice);
            if !slice.is_empty() {
                return Some(slice);
            }
            let mut cursor = Cursor::new(self.encoded);
            self.slice = cursor.piece()?;
            self.encoded = cursor.rest();
        }
    }
}

impl core::iter::FusedIterator for Chunks<'_> {}

impl<'a> Chunks<'a> {
    /// The pieces of a string, of bytes or text.
    const fn of(value: Value<'a>) -> Self {
        Self {
            slice: &[],
            encoded: value.as_cbor(),
        }
    }

    /// Whether the pieces together are UTF-8; `each`: each of them too.
    #[inline(never)]
    fn are_utf8(self, each: bool) -> bool {
        let mut check = Utf8Check::default();
        for chunk in self {
            for byte in chunk {
                if !check.step(*byte) {
                    return false;
                }
            }
            if each && check.missing > 0 {
                return false;
            }
        }
        check.missing == 0
    }

    fn eq_slice(self, mut other: &[u8]) -> bool {
        // Byte by byte: `memcmp` is larger than this, and keys are short.
        for chunk in self {
            for byte in chunk {
                match other.split_first() {
                    Some((first, rest)) if first == byte => other = rest,
                    _ => return false,
                }
            }
        }
        other.is_empty()
    }
}

impl<'a> ByteString<'a> {
    pub(super) const EMPTY: Self = Self::from_slice(&[]);

    /// The byte string of these bytes.
    pub const fn from_slice(bytes: &'a [u8]) -> Self {
        Self(Repr::Slice(bytes))
    }

    pub(super) fn from_value(value: Value<'a>) -> Option<Self> {
        value.is_byte_string().then(|| Self::of(value))
    }

    /// The content of a string, of bytes or text.
    pub(super) fn of(value: Value<'a>) -> Self {
        // The usual encoding: a head of one byte.
        if let [0x40..=0x57 | 0x60..=0x77, content @ ..] = value.as_cbor() {
            return Self::from_slice(content);
        }
        let mut cursor = Cursor::new(value.as_cbor());
        let mut only: &[u8] = &[];
        while let Some(chunk) = cursor.piece() {
            if chunk.is_empty() {
                continue;
            }
            if !only.is_empty() {
                return Self(Repr::Chunked(value.as_cbor()));
            }
            only = chunk;
        }
        Self::from_slice(only)
    }

    /// The bytes, if they are contiguous: a definite length, or at most one chunk.
    pub const fn as_slice(&self) -> Option<&'a [u8]> {
        match self.0 {
            Repr::Slice(bytes) => Some(bytes),
            Repr::Chunked(_) => None,
        }
    }

    /// The bytes piece by piece; empty pieces are left out.
    pub const fn chunks(&self) -> Chunks<'a> {
        match self.0 {
            Repr::Slice(slice) => Chunks {
                slice,
                encoded: &[],
            },
            Repr::Chunked(encoded) => Chunks {
                slice: &[],
                encoded,
            },
        }
    }

    /// Bytes in the string. Work is linear in the number of chunks.
    pub fn len(&self) -> usize {
        self.chunks()
            .fold(0, |sum, chunk| sum.saturating_add(chunk.len()))
    }

    /// Whether there is no byte in the string.
    pub fn is_empty(&self) -> bool {
        self.chunks().next().is_none()
    }

    /// Copies the bytes to the front of `buffer` and returns how many; `None`, and nothing is
    /// written, if they do not fit.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Option<usize> {
        let len = self.len();
        let target = buffer.get_mut(..len)?;
        target
            .iter_mut()
            .zip(self.chunks().flatten())
            .for_each(|(to, from)| *to = *from);
        Some(len)
    }

    fn eq_slice(&self, other: &[u8]) -> bool {
        self.chunks().eq_slice(other)
    }

    /// Whether the content is UTF-8 as a whole.
    pub fn is_utf8(&self) -> bool {
        self.chunks().are_utf8(false)
    }
}

impl PartialEq for ByteString<'_> {
    fn eq(&self, other: &ByteString<'_>) -> bool {
        match (self.as_slice(), other.as_slice()) {
            (_, Some(slice)) => self.eq_slice(slice),
            (Some(slice), _) => other.eq_slice(slice),
            _ => self.chunks().flatten().eq(other.chunks().flatten()),
        }
    }
}

impl Eq for ByteString<'_> {}

impl PartialEq<[u8]> for ByteString<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        self.eq_slice(other)
    }
}

impl PartialEq<&[u8]> for ByteString<'_> {
    fn eq(&self, other: &&[u8]) -> bool {
        self.eq_slice(other)
    }
}

impl<const N: usize> PartialEq<[u8; N]> for ByteString<'_> {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.eq_slice(other)
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for ByteString<'_> {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.eq_slice(other.as_slice())
    }
}

impl PartialEq<str> for ByteString<'_> {
    fn eq(&self, other: &str) -> bool {
        self.eq_slice(other.as_bytes())
    }
}

impl PartialEq<&str> for ByteString<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.eq_slice(other.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for ByteString<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::from_slice(bytes)
    }
}

/// As escaped text, if it is UTF-8: `b"foo\x00"`; otherwise its bytes above 0x7f in hexadecimal too.
impl core::fmt::Debug for ByteString<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("b\"")?;
        if self.is_utf8() {
            utf8::for_each_char(self, &mut |c| utf8::write_quoted(f, c))?;
            return f.write_str("\"");
        }
        for &byte in self.chunks().flatten() {
            if byte.is_ascii() {
                utf8::write_quoted(f, char::from(byte))?;
            } else {
                f.write_str("\\x")?;
                utf8::write_hex(f, u32::from(byte), 2)?;
            }
        }
        f.write_str("\"")
    }
}

/// As text, each maximal invalid part of UTF-8 shown as U+FFFD. Control characters are passed
/// through: wrap in [`Escaped`](super::Escaped) what goes to a terminal.
impl core::fmt::Display for ByteString<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        utf8::write_lossy(self, f)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for ByteString<'b> {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        <Value<'b> as minicbor::Decode<'b, C>>::decode(d, ctx)?
            .as_bytes()
            .ok_or_else(|| minicbor::decode::Error::message("not a byte string"))
    }
}

fn is_text_string(value: Value<'_>) -> bool {
    matches!(value.as_cbor().first(), Some(0x60..=0x7f))
}

/// Whether a string is UTF-8. In a text string no character may be cut by a chunk's end (RFC 8949,
/// 3.2.3).
pub(super) fn is_utf8(value: Value<'_>) -> bool {
    Chunks::of(value).are_utf8(is_text_string(value))
}

/// Checks UTF-8 byte by byte. It need not say where text is wrong, as what shows it must.
#[derive(Default)]
struct Utf8Check {
    /// Bytes of the character that are still to come.
    missing: u8,
    /// The smallest and the largest that the next of them may be.
    least: u8,
    most: u8,
}

impl Utf8Check {
    /// Whether this byte may come next.
    fn step(&mut self, byte: u8) -> bool {
        let is_right = if self.missing > 0 {
            self.missing = self.missing.wrapping_sub(1);
            (self.least..=self.most).contains(&byte)
        } else {
            self.missing = match byte {
                0xf0.. => 3,
                0xe0.. => 2,
                0xc2.. => 1,
                _ => 0,
            };
            matches!(byte, ..0x80 | 0xc2..0xf5)
        };
        // Not in too many bytes, not a surrogate, and none that is too large.
        (self.least, self.most) = match byte {
            0xe0 => (0xa0, 0xbf),
            0xed => (0x80, 0x9f),
            0xf0 => (0x90, 0xbf),
            0xf4 => (0x80, 0x8f),
            _ => (0x80, 0xbf),
        };
        is_right
    }
}

/// Text, definite or in chunks, that came as a text string or as a byte string that holds UTF-8
/// (messages.md, "Progress"). It is UTF-8 as a whole; this was checked when it was made.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Text<'a>(ByteString<'a>);

impl<'a> Text<'a> {
    /// The text of this string.
    pub const fn new(text: &'a str) -> Self {
        Self(ByteString::from_slice(text.as_bytes()))
    }

    /// The text in a text string; `None` for other types, and for what is not UTF-8.
    pub fn from_value(value: Value<'a>) -> Option<Self> {
        (is_text_string(value) && is_utf8(value)).then(|| Self::of(value))
    }

    /// The text of a string that [`is_utf8`].
    pub(super) fn of(value: Value<'a>) -> Self {
        Self(ByteString::of(value))
    }

    /// The text in a byte string; `None` if it is not UTF-8.
    pub fn from_bytes(bytes: ByteString<'a>) -> Option<Self> {
        bytes.is_utf8().then_some(Self(bytes))
    }

    /// The text in a text or byte string; `None` for other types, and for what is not UTF-8.
    pub fn from_any(value: Value<'a>) -> Option<Self> {
        let is_string = value.is_byte_string() || is_text_string(value);
        (is_string && is_utf8(value)).then(|| Self::of(value))
    }

    /// The text, if it is contiguous: a definite length, or at most one chunk.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.0.as_slice()?).ok()
    }

    /// The text's bytes.
    pub const fn as_bytes(&self) -> ByteString<'a> {
        self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(text)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == **other
    }
}

impl core::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("\"")?;
        utf8::for_each_char(&self.0, &mut |c| utf8::write_quoted(f, c))?;
        f.write_str("\"")
    }
}

impl core::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

/// Accepts text strings and byte strings that hold UTF-8.
impl<'b, C> minicbor::Decode<'b, C> for Text<'b> {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let value = <Value<'b> as minicbor::Decode<'b, C>>::decode(d, ctx)?;
        Self::from_any(value).ok_or_else(|| minicbor::decode::Error::message("not text"))
    }
}

/// Byte strings in an array; made by the views that hold such arrays. Items of other types are
/// passed over.
#[derive(Clone, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ByteStrings<'a>(Option<super::Elements<'a>>);

impl<'a> ByteStrings<'a> {
    /// The byte strings in this array; nothing if the value is not an array.
    pub fn new(value: Value<'a>) -> Self {
        Self(value.elements())
    }

    /// The byte strings in this array; `None` if it is not an array, or holds anything else.
    pub fn strict(value: Value<'a>) -> Option<Self> {
        Self::are_strict(value).then(|| Self::new(value))
    }

    /// Whether this is an array of nothing but byte strings.
    pub(super) fn are_strict(value: Value<'_>) -> bool {
        let mut cursor = Cursor::new(value.as_cbor());
        let Some(mut items) = cursor.enter(MAJOR_ARRAY) else {
            return false;
        };
        while let Some(left) = cursor.next(items) {
            items = left;
            let is_bytes = cursor.rest().first().map(|initial| initial >> 5) == Some(MAJOR_BYTES);
            if !is_bytes || cursor.known_value().is_none() {
                return false;
            }
        }
        true
    }
}

impl<'a> Iterator for ByteStrings<'a> {
    type Item = ByteString<'a>;

    fn next(&mut self) -> Option<ByteString<'a>> {
        self.0.as_mut()?.find_map(|item| item.as_bytes())
    }
}

impl core::iter::FusedIterator for ByteStrings<'_> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{Cbor, hex, width};
    use super::*;

    proptest! {
        #[test]
        fn a_string_is_its_content_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..5),
            other in prop::collection::vec(any::<u8>(), 0..4), indefinite: bool, width in width(),
        ) {
            let content = chunks.concat();
            let encoded = Cbor::Str(2, chunks.clone(), indefinite, width).to_vec();
            let string = Value::from_cbor(&encoded).unwrap().as_bytes().unwrap();
            prop_assert_eq!(string.len(), content.len());
            prop_assert_eq!(string.is_empty(), content.is_empty());
            prop_assert_eq!(string.chunks().collect::<Vec<_>>().concat(), content.clone());
            prop_assert!(string == content[..]);
            prop_assert_eq!(string == other[..], content == other);
            prop_assert_eq!(string, ByteString::from_slice(&content));
            let filled = chunks.iter().filter(|chunk| !chunk.is_empty()).count();
            prop_assert_eq!(string.as_slice(), (!indefinite || filled < 2).then_some(&content[..]));
            let mut buffer = std::vec![0xee; content.len() + 1];
            prop_assert_eq!(string.copy_to(&mut buffer), Some(content.len()));
            prop_assert_eq!(&buffer[..content.len()], &content[..]);
            prop_assert_eq!(string.copy_to(&mut buffer[..content.len().saturating_sub(1)]).is_none(), !content.is_empty());
            // Two cuts of the same content.
            let mut joined = encoded.clone();
            joined.splice(.., Cbor::Str(2, content.chunks(1).map(<[u8]>::to_vec).collect(), true, 0).to_vec());
            prop_assert_eq!(Value::from_cbor(&joined).unwrap().as_bytes().unwrap(), string);
        }
    }

    #[test]
    fn text_is_utf8_in_both_types() {
        let text = |bytes: &str| {
            let bytes = hex(bytes);
            let value = Value::from_cbor(&bytes).unwrap();
            let strict = value.as_text().map(ToString::to_string);
            (strict, Text::from_any(value).map(|t| t.to_string()))
        };
        let snow = "\u{2603}".to_string();
        assert_eq!(text("63e29883"), (Some(snow.clone()), Some(snow.clone())));
        assert_eq!(text("43e29883"), (None, Some(snow.clone())));
        // A character that is cut by a chunk's end: in byte strings only.
        assert_eq!(text("5f41e2429883ff"), (None, Some(snow.clone())));
        assert_eq!(text("7f61e2629883ff"), (None, None));
        assert_eq!(text("7f63e298836161ff"), (None, Some(snow.clone() + "a")));
        assert_eq!(text("7f63e29883ff"), (Some(snow.clone()), Some(snow)));
        assert_eq!(text("61ff"), (None, None));
        assert_eq!(text("41ff"), (None, None));
        assert_eq!(text("f6"), (None, None));
    }

    #[test]
    fn strings_are_shown() {
        let bytes = ByteString::from_slice(b"a\"\x00\xff\xc3\xa9");
        assert_eq!(format!("{bytes:?}"), r#"b"a\"\x00\xff\xc3\xa9""#);
        assert_eq!(format!("{bytes}"), "a\"\0\u{fffd}é");
        assert_eq!(format!("{:?}", Text::new("a\"\n")), r#""a\"\n""#);
    }
}
