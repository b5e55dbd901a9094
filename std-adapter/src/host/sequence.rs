//! Follows the values of a response, in constant memory.
//!
//! In 0006 a response is a CBOR sequence behind its status map: one that ends inside a value is
//! `truncated-response` (revision-0006.md, 8), however it is read.

use hgrpc::Revision;
use hgrpc::cbor::{CborError, ValueScanner};

/// Where in a response's values the bytes end that have come.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    scanner: ValueScanner,
    is_malformed: bool,
}

/// Why a response that has ended is not a sequence of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceError {
    /// It ends inside a value.
    Truncated,
    /// It holds bytes that are not CBOR.
    Malformed,
}

impl Sequence {
    /// The start of a sequence.
    pub(crate) const fn new() -> Self {
        Self {
            scanner: ValueScanner::new(),
            is_malformed: false,
        }
    }

    /// The start of a response; `None` before 0006, where its bytes are whatever the command wrote.
    pub(crate) fn of_response(revision: Revision) -> Option<Self> {
        revision.has_settings().then(Self::new)
    }

    /// Follows the next bytes.
    pub(crate) fn scan(&mut self, bytes: &[u8]) {
        if !self.is_malformed {
            let scanned: Result<(), CborError> = self.scanner.scan_sequence(bytes);
            self.is_malformed = scanned.is_err();
        }
    }

    /// Whether the sequence may end here.
    pub(crate) const fn end(&self) -> Result<(), SequenceError> {
        if self.is_malformed {
            Err(SequenceError::Malformed)
        } else if self.scanner.is_inside() {
            Err(SequenceError::Truncated)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_where_a_value_does() {
        let end = |pieces: &[&[u8]]| {
            let mut sequence = Sequence::new();
            pieces.iter().for_each(|piece| sequence.scan(piece));
            sequence.end()
        };
        assert_eq!(end(&[]), Ok(()));
        assert_eq!(end(&[b"\x01\x42", b"ab", b"", b"\x80"]), Ok(()));
        assert_eq!(end(&[b"\x01\x42a"]), Err(SequenceError::Truncated));
        // What comes behind a fault says nothing any more.
        assert_eq!(end(&[b"\x01\xff", b"\x01"]), Err(SequenceError::Malformed));
        assert_eq!(end(&[b"\x5f\x01", b"\xff"]), Err(SequenceError::Malformed));
        assert!(Sequence::of_response(Revision::R0005).is_none());
    }
}
