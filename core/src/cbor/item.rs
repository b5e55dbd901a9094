//! What an item of CBOR is made of, and the length of a value.
//!
//! Specification: messages.md, "CBOR"; RFC 8949, appendix C. Iterative, depth-bounded, and the
//! same in every build: no Cargo feature changes what is accepted.

use super::cursor::Cursor;

/// Most levels of nesting: containers (arrays, maps) and tags count, the outermost is level 1, and
/// a 17th is refused (messages.md, "CBOR").
pub const MAX_NESTING: usize = 16;

/// Major type of unsigned integers.
pub const MAJOR_UNSIGNED: u8 = 0;
/// Major type of negative integers; the value is −1 − argument.
pub const MAJOR_NEGATIVE: u8 = 1;
/// Major type of byte strings.
pub const MAJOR_BYTES: u8 = 2;
/// Major type of text strings.
pub const MAJOR_TEXT: u8 = 3;
/// Major type of arrays.
pub const MAJOR_ARRAY: u8 = 4;
/// Major type of maps.
pub const MAJOR_MAP: u8 = 5;
/// Major type of tags.
pub const MAJOR_TAG: u8 = 6;
/// Major type of floats and simple values.
pub const MAJOR_SIMPLE: u8 = 7;

/// The byte that ends what has an indefinite length.
pub(super) const BREAK: u8 = 0xff;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum CborError {
    /// Not well-formed, or not of the expected type.
    Malformed = 1,
    /// The bytes end inside a value; more input may complete it.
    Incomplete = 0,
    /// More than [`MAX_NESTING`] levels.
    NestedTooDeep = 2,
}

impl core::fmt::Display for CborError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed CBOR",
            Self::Incomplete => "incomplete CBOR",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for CborError {}

const _: () = assert!(MAX_NESTING == 16);

/// Returns the length of the one well-formed value, of any kind, at the front of `bytes`.
///
/// Work is linear in that length. To follow a value that comes in many parts, use
/// [`ValueScanner`](super::ValueScanner), which does not start again.
///
/// # Errors
/// [`CborError::Incomplete`] when more input is needed; otherwise why there is no value.
pub fn value_len(bytes: &[u8]) -> Result<usize, CborError> {
    let mut cursor = Cursor::new(bytes);
    cursor.value(0).map(<[u8]>::len).ok_or(cursor.error())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::ValueScanner;
    use super::super::testing::{cbor, hex, nearly_cbor, reference_len};
    use super::*;

    fn scan_in_parts(bytes: &[u8], part: usize) -> Result<usize, CborError> {
        let mut scanner = ValueScanner::new();
        let mut seen = 0;
        for part in bytes.chunks(part) {
            if let Some(end) = scanner.scan(part)? {
                assert!(!scanner.is_inside());
                return Ok(seen + end);
            }
            seen += part.len();
        }
        assert_eq!(scanner.is_inside(), !bytes.is_empty());
        Err(CborError::Incomplete)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn every_value_is_passed_over_exactly(value in cbor(), after: Vec<u8>) {
            let mut bytes = value.to_vec();
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(value_len(&bytes[..cut]), Err(CborError::Incomplete));
            }
            bytes.extend(after);
            prop_assert_eq!(value_len(&bytes), Ok(len));
            // minicbor agrees.
            let mut oracle = minicbor::Decoder::new(&bytes);
            oracle.skip().unwrap();
            prop_assert_eq!(oracle.position(), len);
        }

        #[test]
        fn any_bytes_get_the_reference_answer_however_they_are_cut(bytes in nearly_cbor(), part in 1usize..8) {
            let expected = reference_len(&bytes, 0);
            prop_assert_eq!(value_len(&bytes), expected);
            prop_assert_eq!(scan_in_parts(&bytes, part), expected);
        }
    }

    proptest! {
        #[test]
        fn a_sequence_is_whole_where_a_value_ends(
            values in prop::collection::vec(cbor(), 0..4), cut: prop::sample::Index, part in 1usize..8,
        ) {
            let mut bytes = Vec::new();
            let mut ends = std::vec![0];
            for value in values {
                bytes.extend(value.to_vec());
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let mut scanner = ValueScanner::new();
            for part in bytes[..cut].chunks(part) {
                prop_assert_eq!(scanner.scan_sequence(part), Ok(()));
            }
            prop_assert_eq!(scanner.is_inside(), !ends.contains(&cut));
        }
    }

    #[test]
    fn sixteen_levels_pass_and_seventeen_do_not() {
        for opening in [&[0x81][..], &[0x9f], &[0xa1, 0x01], &[0xbf, 0x01], &[0xc1]] {
            let mut bytes: Vec<u8> = opening.repeat(16);
            assert_eq!(value_len(&bytes), Err(CborError::Incomplete));
            bytes.push(0);
            if opening[0] & 31 == 31 {
                bytes.extend([0xff; 16]);
            }
            assert_eq!(value_len(&bytes), Ok(bytes.len()));
            let deeper = opening.repeat(17);
            assert_eq!(value_len(&deeper), Err(CborError::NestedTooDeep));
            assert_eq!(
                value_len(&opening.repeat(100_000)),
                Err(CborError::NestedTooDeep)
            );
        }
        // An empty container is a level too; a string in chunks is none.
        let mut bytes = vec![0x81; 16];
        bytes.push(0x80);
        assert_eq!(value_len(&bytes), Err(CborError::NestedTooDeep));
        bytes.splice(16.., hex("5f4161ff"));
        assert_eq!(value_len(&bytes), Ok(20));
    }

    #[test]
    fn lengths_that_no_memory_holds_are_incomplete() {
        for head in ["5b", "7b", "9b", "bb"] {
            let bytes = hex(&std::format!("{head}ffffffffffffffff"));
            assert_eq!(value_len(&bytes), Err(CborError::Incomplete));
            assert_eq!(scan_in_parts(&bytes, 1), Err(CborError::Incomplete));
        }
        // Twice this many items is no number of 64 bits.
        assert_eq!(
            value_len(&hex("bb8000000000000000 0000")),
            Err(CborError::Incomplete)
        );
    }

    #[test]
    fn what_is_not_well_formed_is_refused_at_its_first_byte() {
        for bytes in [
            "1c", "1d", "1e", "1f", "3f", "5c", "7d", "9e", "bc", "dc", "df", "fc", "ff", "81ff",
            "a1ff", "a100ff", "bf00ff", "c1ff", "5f00", "5f1a", "5f5f", "5f61", "7f41", "7f7f",
            "5ff6", "9f1c", "f81f", "f800",
        ] {
            assert_eq!(value_len(&hex(bytes)), Err(CborError::Malformed), "{bytes}");
        }
    }
}
