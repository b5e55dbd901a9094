//! Encoded bytes to values: any well-formed CBOR, whatever its length forms and key order.

use std::fmt;

use super::{Cursor, Head, Integer, SET_TAG, Value};

/// Why bytes are not a CBOR value, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// Where the item begins that is at fault, in bytes from 0.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with an encoded item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside the item, or before it.
    EndOfInput,
    /// A head that RFC 8949 reserves, or does not allow.
    Reserved,
    /// A break outside of an indefinite length.
    UnexpectedBreak,
    /// A piece of an indefinite string that is not a definite string of its type.
    BadChunk,
    /// A text string that is not UTF-8.
    NotUtf8,
    /// A container within [`MAX_NESTING`](super::MAX_NESTING) others.
    NestedTooDeep,
    /// Bytes after the one value that was expected.
    TrailingBytes,
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfInput => "the input ends inside a value",
            Self::Reserved => "reserved initial byte",
            Self::UnexpectedBreak => "unexpected break",
            Self::BadChunk => "not a chunk of the string",
            Self::NotUtf8 => "text that is not UTF-8",
            Self::NestedTooDeep => "nested too deep",
            Self::TrailingBytes => "bytes after the value",
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl std::error::Error for DecodeError {}

impl Value {
    /// The one value that `bytes` are.
    ///
    /// # Errors
    /// What is malformed and where; also bytes after the value, and nesting over
    /// [`MAX_NESTING`](super::MAX_NESTING).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (value, len) = Self::decode_prefix(bytes)?;
        if len == bytes.len() {
            Ok(value)
        } else {
            Err(DecodeError {
                offset: len,
                kind: DecodeErrorKind::TrailingBytes,
            })
        }
    }

    /// The first value of `bytes` and the length of its encoding, for sequences.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), except that bytes may follow.
    pub fn decode_prefix(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let value = item(&mut cursor, 0)?;
        Ok((value, cursor.offset()))
    }
}

/// Reads one item that lies in `depth` containers.
fn item(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, DecodeError> {
    let head = cursor.head()?;
    item_with_head(cursor, &head, depth)
}

fn item_with_head(
    cursor: &mut Cursor<'_>,
    head: &Head,
    depth: usize,
) -> Result<Value, DecodeError> {
    Ok(match head.major {
        0 | 1 => Value::Integer(Integer::from_argument(head.argument, head.major == 1)),
        2 => {
            let mut bytes = Vec::new();
            string(cursor, head, |chunk| {
                bytes.extend_from_slice(chunk);
                true
            })?;
            Value::Bytes(bytes)
        }
        3 => {
            let mut text = String::new();
            // Each chunk has to be UTF-8 by itself (RFC 8949, 3.2.3).
            string(cursor, head, |chunk| {
                std::str::from_utf8(chunk).map(|s| text.push_str(s)).is_ok()
            })?;
            Value::Text(text)
        }
        4 => Value::Array(array(cursor, head, depth)?),
        5 => {
            let depth = head.deeper(depth)?;
            let mut entries = Vec::new();
            let mut count = 0;
            while cursor.goes_on(head, count) {
                entries.push((item(cursor, depth)?, item(cursor, depth)?));
                count += 1;
            }
            Value::Map(entries)
        }
        6 => {
            let depth = head.deeper(depth)?;
            let content = cursor.head()?;
            if head.argument == SET_TAG && content.major == 4 {
                Value::Set(array(cursor, &content, depth)?)
            } else {
                let content = item_with_head(cursor, &content, depth)?;
                Value::Tag(head.argument, Box::new(content))
            }
        }
        _ => simple(head)?,
    })
}

fn array(cursor: &mut Cursor<'_>, head: &Head, depth: usize) -> Result<Vec<Value>, DecodeError> {
    let depth = head.deeper(depth)?;
    // Not reserved by the announced count: a few bytes may announce any.
    let mut items = Vec::new();
    let mut count = 0;
    while cursor.goes_on(head, count) {
        items.push(item(cursor, depth)?);
        count += 1;
    }
    Ok(items)
}

/// Gives a string's chunks to `take`, which says whether it takes them.
fn string(
    cursor: &mut Cursor<'_>,
    head: &Head,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), DecodeError> {
    let refused = || head.error(DecodeErrorKind::NotUtf8);
    if head.is_indefinite() {
        while let Some(chunk) = cursor.chunk(head)? {
            take(chunk).then_some(()).ok_or_else(refused)?;
        }
        return Ok(());
    }
    let contents = cursor.contents(head)?;
    take(contents).then_some(()).ok_or_else(refused)
}

fn simple(head: &Head) -> Result<Value, DecodeError> {
    if head.is_break() {
        return Err(head.error(DecodeErrorKind::UnexpectedBreak));
    }
    if let Some(float) = head.float() {
        return Ok(Value::Float(float));
    }
    Ok(match head.simple() {
        20 => Value::Bool(false),
        21 => Value::Bool(true),
        22 => Value::Null,
        23 => Value::Undefined,
        other => Value::Simple(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(bytes: &[u8]) -> (usize, DecodeErrorKind) {
        let error = Value::decode(bytes).unwrap_err();
        (error.offset, error.kind)
    }

    #[test]
    fn every_form_is_read() {
        let text = |s: &str| Value::Text(s.into());
        let bytes = |b: &[u8]| Value::Bytes(b.into());
        for (encoded, value) in [
            (&b"\x18\x01"[..], Value::from(1u64)),
            (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", {
                Value::Integer(Integer::from_argument(u64::MAX, true))
            }),
            (b"\x5f\x41a\x40\x42bc\xff", bytes(b"abc")),
            (b"\x7f\x61a\xff", text("a")),
            (b"\x9f\x01\xff", Value::Array(vec![Value::from(1u64)])),
            (b"\xbf\x01\x02\xff", {
                Value::Map(vec![(Value::from(1u64), Value::from(2u64))])
            }),
            (b"\xd9\x01\x02\x81\x01", Value::Set(vec![Value::from(1u64)])),
            (b"\xd9\x01\x02\x01", {
                Value::Tag(258, Box::new(Value::from(1u64)))
            }),
            (b"\xc1\x01", Value::Tag(1, Box::new(Value::from(1u64)))),
            (b"\xf7", Value::Undefined),
            (b"\xf8\xff", Value::Simple(255)),
            (b"\xf9\x3e\x00", Value::Float(1.5)),
            (b"\xfa\x3f\xc0\x00\x00", Value::Float(1.5)),
            (b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00", Value::Float(1.5)),
        ] {
            assert_eq!(Value::decode(encoded), Ok(value), "{encoded:02x?}");
        }
    }

    #[test]
    fn errors_name_the_item_at_fault() {
        use DecodeErrorKind::*;
        assert_eq!(fails(b""), (0, EndOfInput));
        assert_eq!(fails(b"\x82\x01"), (2, EndOfInput));
        assert_eq!(fails(b"\x82\x01\x19\x01"), (2, EndOfInput));
        assert_eq!(fails(b"\x82\x01\x42a"), (2, EndOfInput));
        assert_eq!(
            fails(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
            (0, EndOfInput)
        );
        assert_eq!(
            fails(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            (10, EndOfInput)
        );
        assert_eq!(fails(b"\x81\x1c"), (1, Reserved));
        assert_eq!(fails(b"\x1f"), (0, Reserved));
        assert_eq!(fails(b"\xf8\x14"), (0, Reserved));
        assert_eq!(fails(b"\xff"), (0, UnexpectedBreak));
        assert_eq!(fails(b"\x81\xff"), (1, UnexpectedBreak));
        assert_eq!(fails(b"\xbf\x01\xff"), (2, UnexpectedBreak));
        // K-16: chunks of an indefinite string are checked.
        assert_eq!(fails(b"\x5f\x1a\xff\xff\xff\xff\xff"), (1, BadChunk));
        assert_eq!(fails(b"\x5f\x5f\xff\xff"), (1, BadChunk));
        assert_eq!(fails(b"\x5f\x9a"), (1, BadChunk));
        assert_eq!(fails(b"\x81\x62\xff\xff"), (1, NotUtf8));
        assert_eq!(fails(b"\x01\x02"), (1, TrailingBytes));
    }

    #[test]
    fn nesting_ends_at_16() {
        for opener in [0x81, 0x9f, 0xc1] {
            let mut bytes = vec![opener; 16];
            bytes.push(0x01);
            bytes.extend([0xff; 16].iter().filter(|_| opener == 0x9f));
            assert!(Value::decode(&bytes).is_ok());
            bytes.insert(0, opener);
            assert_eq!(fails(&bytes), (16, DecodeErrorKind::NestedTooDeep));
        }
        assert_eq!(
            fails(&vec![0x81; 10_000_000]),
            (16, DecodeErrorKind::NestedTooDeep)
        );
    }
}
