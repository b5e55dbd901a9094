//! Reads the heads of encoded items (RFC 8949, section 3).

use super::{DecodeError, DecodeErrorKind, MAX_NESTING};

/// The byte that ends an indefinite length.
const BREAK: u8 = 0xff;

/// An item's first bytes: what it is, and its argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Where the item begins.
    pub(crate) offset: usize,
    /// The major type, 0 to 7.
    pub(crate) major: u8,
    /// The additional information, 0 to 31: 24 to 27 say how wide the argument is, 31 is an
    /// indefinite length or a break.
    pub(crate) info: u8,
    /// The argument; 0 for an indefinite length.
    pub(crate) argument: u64,
}

impl Head {
    /// The head of a break, which ends an indefinite length.
    pub(crate) fn is_break(&self) -> bool {
        self.major == 7 && self.info == 31
    }

    /// Whether the item's length is not given.
    pub(crate) fn is_indefinite(&self) -> bool {
        self.info == 31
    }

    /// The value of a float's head; `None` if it is not one.
    pub(crate) fn float(&self) -> Option<f64> {
        let [.., b4, b5, b6, b7] = self.argument.to_be_bytes();
        match (self.major, self.info) {
            (7, 25) => Some(half::f16::from_be_bytes([b6, b7]).to_f64()),
            (7, 26) => Some(f32::from_be_bytes([b4, b5, b6, b7]).into()),
            (7, 27) => Some(f64::from_bits(self.argument)),
            _ => None,
        }
    }

    /// The number of a simple value's head that is not a float or a break.
    pub(crate) fn simple(&self) -> u8 {
        // The argument of such a head came in at most one byte.
        self.argument.to_be_bytes()[7]
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            offset: self.offset,
            kind,
        }
    }

    /// One level deeper, for what a container with this head holds.
    ///
    /// # Errors
    /// `NestedTooDeep` at [`MAX_NESTING`].
    pub(crate) fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        if depth < MAX_NESTING {
            Ok(depth + 1)
        } else {
            Err(self.error(DecodeErrorKind::NestedTooDeep))
        }
    }
}

/// A place in encoded bytes.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// What is not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next item's head. A break is given as it is; whether it may come is for the caller.
    pub(crate) fn head(&mut self) -> Result<Head, DecodeError> {
        let offset = self.offset;
        let fail = |kind| DecodeError { offset, kind };
        let [first] = *self
            .take(1)
            .ok_or_else(|| fail(DecodeErrorKind::EndOfInput))?
        else {
            return Err(fail(DecodeErrorKind::EndOfInput));
        };
        let (major, info) = (first >> 5, first & 0x1f);
        let width = match info {
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            28..=30 => return Err(fail(DecodeErrorKind::Reserved)),
            31 if matches!(major, 0 | 1 | 6) => return Err(fail(DecodeErrorKind::Reserved)),
            _ => 0,
        };
        let argument = match info {
            0..=23 => info.into(),
            31 => 0,
            _ => self
                .take(width)
                .ok_or_else(|| fail(DecodeErrorKind::EndOfInput))?
                .iter()
                .fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        // Simple values below 32 have no two-byte form.
        if major == 7 && info == 24 && argument < 32 {
            return Err(fail(DecodeErrorKind::Reserved));
        }
        Ok(Head {
            offset,
            major,
            info,
            argument,
        })
    }

    /// The contents of the definite string with this head.
    pub(crate) fn contents(&mut self, head: &Head) -> Result<&'a [u8], DecodeError> {
        usize::try_from(head.argument)
            .ok()
            .and_then(|len| self.take(len))
            .ok_or_else(|| head.error(DecodeErrorKind::EndOfInput))
    }

    /// The next chunk of the indefinite string with this head; `None` at its break.
    pub(crate) fn chunk(&mut self, string: &Head) -> Result<Option<&'a [u8]>, DecodeError> {
        // Told by the first byte: the fault is the same however much of the chunk has come.
        if let [first, ..] = self.rest
            && *first != BREAK
            && (first >> 5 != string.major || first & 0x1f == 31)
        {
            return Err(DecodeError {
                offset: self.offset,
                kind: DecodeErrorKind::BadChunk,
            });
        }
        let head = self.head()?;
        if head.is_break() {
            return Ok(None);
        }
        self.contents(&head).map(Some)
    }

    /// Whether the container with this head goes on after `count` of its items (a map's entries
    /// are two each); takes the break that ends one of indefinite length.
    pub(crate) fn goes_on(&mut self, container: &Head, count: u64) -> bool {
        if !container.is_indefinite() {
            return count < container.argument;
        }
        if let [BREAK, ..] = self.rest {
            self.take(1);
            return false;
        }
        true
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.offset += len;
        Some(taken)
    }
}
