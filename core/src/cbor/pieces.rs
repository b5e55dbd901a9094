//! Cuts one encoded value into the pieces in which it goes to a stream's encoder.

use super::Value;
use super::cursor::Cursor;

/// The pieces of one encoded value (revision-0006.md, 7.1, step 3).
///
/// ```text
///   a1 | 43 | "key" | 82 | 01 | 5f | 42 | "ab" | ff
/// ```
/// Heads and contents are pieces of their own: a string is its head, then its content (left out if
/// empty); a container is its head, then the pieces of its items; a scalar is one piece; a string
/// of indefinite length is its start byte, head and content of each chunk, and the break; a tag is
/// a piece. The pieces together are the encoding. Work per piece is constant.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pieces<'a> {
    rest: &'a [u8],
    /// Bytes of the content that comes next.
    content: usize,
}

impl<'a> Pieces<'a> {
    /// The pieces of this value.
    pub const fn new(value: Value<'a>) -> Self {
        Self {
            rest: value.as_cbor(),
            content: 0,
        }
    }

    /// No pieces.
    pub const EMPTY: Self = Self::whole(&[]);

    /// These bytes as one piece.
    pub(crate) const fn whole(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            content: bytes.len(),
        }
    }

    /// What has not been taken yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut len = core::mem::take(&mut self.content);
        if len == 0 {
            // The value is well-formed, so every head can be read, and what follows a head that is
            // not a string's is another head, whatever it belongs to.
            let mut cursor = Cursor::new(self.rest);
            cursor.head();
            len = self.rest.len().wrapping_sub(cursor.rest().len());
            self.content = cursor.content_len();
        }
        let (piece, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(piece)
    }
}

impl core::iter::FusedIterator for Pieces<'_> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{Cbor, cbor, hex};
    use super::*;

    /// The pieces by the words of 7.1, from the value and not from its encoding.
    fn expected(value: &Cbor, out: &mut Vec<Vec<u8>>) {
        let whole = value.to_vec();
        let mut head = |inner: usize| out.push(whole[..whole.len() - inner].to_vec());
        match value {
            Cbor::Int(..) | Cbor::Simple(_) => head(0),
            Cbor::Str(_, chunks, false, _) => {
                let content = chunks.concat();
                head(content.len());
                out.push(content);
            }
            Cbor::Str(major, chunks, true, width) => {
                head(whole.len() - 1);
                for chunk in chunks {
                    expected(
                        &Cbor::Str(*major, std::vec![chunk.clone()], false, *width),
                        out,
                    );
                }
                out.push(std::vec![0xff]);
            }
            Cbor::Array(items, indefinite, _) => {
                let inner: usize = items.iter().map(|item| item.to_vec().len()).sum();
                head(inner + usize::from(*indefinite));
                items.iter().for_each(|item| expected(item, out));
                out.extend(indefinite.then_some(std::vec![0xff]));
            }
            Cbor::Map(items, indefinite, _) => {
                let inner: usize = items
                    .iter()
                    .map(|(k, v)| k.to_vec().len() + v.to_vec().len())
                    .sum();
                head(inner + usize::from(*indefinite));
                for (key, value) in items {
                    expected(key, out);
                    expected(value, out);
                }
                out.extend(indefinite.then_some(std::vec![0xff]));
            }
            Cbor::Tag(_, inner) => {
                head(inner.to_vec().len());
                expected(inner, out);
            }
        }
    }

    proptest! {
        #[test]
        fn heads_and_contents_are_pieces(value in cbor()) {
            let mut wanted = Vec::new();
            expected(&value, &mut wanted);
            wanted.retain(|piece| !piece.is_empty());
            let bytes = value.to_vec();
            let pieces: Vec<_> = Pieces::new(Value::from_cbor(&bytes).unwrap()).collect();
            prop_assert_eq!(&pieces, &wanted);
            prop_assert_eq!(pieces.concat(), bytes);
        }
    }

    #[test]
    fn as_in_the_drawing() {
        let bytes = hex("a1 43 6b6579 82 01 5f 42 6162 ff");
        let pieces: Vec<_> = Pieces::new(Value::from_cbor(&bytes).unwrap()).collect();
        let expected: [&[u8]; 9] = [
            b"\xa1", b"\x43", b"key", b"\x82", b"\x01", b"\x5f", b"\x42", b"ab", b"\xff",
        ];
        assert_eq!(pieces, expected);
    }
}
