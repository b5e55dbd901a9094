//! Cuts one encoded value into the pieces in which it goes to a stream's encoder.

use super::Value;
use super::item::{BREAK, MAJOR_BYTES, MAJOR_TEXT, read_head};

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
            let head = read_head(self.rest).ok()?;
            len = head.len;
            if head.initial != BREAK
                && matches!(head.major(), MAJOR_BYTES | MAJOR_TEXT)
                && !head.is_indefinite()
            {
                self.content = usize::try_from(head.argument).ok()?;
            }
        }
        let (piece, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(piece)
    }
}

impl core::iter::FusedIterator for Pieces<'_> {}
