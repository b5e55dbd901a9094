//! The strict decoding of settings payloads (revision-0006.md, 9.2).

use super::cursor::Cursor;
use super::item::{BREAK, CborError, MAJOR_BYTES};

/// Why a settings payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StrictError {
    /// It holds an item that settings may not hold, or is not well-formed.
    Malformed,
    /// More than [`MAX_NESTING`](super::MAX_NESTING) levels.
    NestedTooDeep,
}

impl core::fmt::Display for StrictError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed-settings",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for StrictError {}

/// What has come of a settings payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StrictValues {
    /// Complete values at top level. A byte string in chunks counts as a value for each chunk and
    /// one for its end, so that it is one value only if it has no chunks.
    pub complete: usize,
    /// Whether the bytes end inside a value.
    pub has_tail: bool,
    /// Bytes of the first value; 0 if none is complete.
    pub first_len: usize,
}

/// The initial byte of a byte string of indefinite length.
const BYTES_IN_CHUNKS: u8 = 0x5f;

/// Judges a settings payload of which more may come, by the table of revision-0006.md, 9.2.
///
/// An item that is refused is refused as soon as its first byte is there, even if the rest of its
/// head is not. Iterative; work is linear in the bytes.
///
/// # Errors
/// [`StrictError`].
pub fn check_strict(bytes: &[u8]) -> Result<StrictValues, StrictError> {
    let mut values = StrictValues::default();
    let mut in_chunks = false;
    let mut cursor = Cursor::new(bytes);
    while let Some(&initial) = cursor.rest().first() {
        values.has_tail = true;
        let is_end = in_chunks && initial == BREAK;
        if is_end {
            cursor.head();
            in_chunks = false;
        } else if in_chunks && initial >> 5 != MAJOR_BYTES {
            return Err(StrictError::Malformed);
        } else if initial == BYTES_IN_CHUNKS && !in_chunks {
            cursor.head();
            in_chunks = true;
            continue;
        } else if cursor.strict_value().is_none() {
            return match cursor.error() {
                CborError::Incomplete => Ok(values),
                CborError::Malformed => Err(StrictError::Malformed),
                CborError::NestedTooDeep => Err(StrictError::NestedTooDeep),
            };
        }
        values.has_tail = in_chunks;
        values.complete = values.complete.wrapping_add(1);
        if values.complete == 1 {
            values.first_len = bytes.len().wrapping_sub(cursor.rest().len());
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::MAX_NESTING;
    use super::super::testing::{hex, nearly_cbor};
    use super::*;

    type Judged = Result<Option<usize>, StrictError>;
    const BAD: Judged = Err(StrictError::Malformed);

    /// The table of 9.2 by recursion: the item's end, `None` if it is cut off.
    fn item(b: &[u8], is_scalar: bool, only_array: bool, level: usize) -> Judged {
        let Some(&initial) = b.first() else {
            return Ok(None);
        };
        let (major, info) = (initial >> 5, initial & 31);
        match (major, info) {
            _ if only_array && major != 4 => return BAD,
            (7, _) => {
                return if (0xf4..=0xf6).contains(&initial) {
                    Ok(Some(1))
                } else {
                    BAD
                };
            }
            (3, _) | (_, 28..) | (6, 0..=24) => return BAD,
            (4..=6, _) if is_scalar => return BAD,
            _ => {}
        }
        let width = if info < 24 { 0 } else { 1 << (info - 24) };
        let number = b
            .get(1..1 + width)
            .map(|raw| raw.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        if major == 6 {
            let have = &b[1..b.len().min(1 + width)];
            let want = &258u64.to_be_bytes()[8 - width..];
            if !want.starts_with(have) {
                return BAD;
            }
        }
        let Some(number) = number else {
            return Ok(None);
        };
        let number = if width == 0 { u64::from(info) } else { number };
        let mut at = 1 + width;
        if major >= 4 && level == MAX_NESTING {
            return Err(StrictError::NestedTooDeep);
        }
        let inner: u128 = match major {
            0 | 1 => 0,
            2 => {
                let end = at as u128 + u128::from(number);
                return Ok((end <= b.len() as u128).then_some(end as usize));
            }
            4 => u128::from(number),
            5 => u128::from(number) * 2,
            _ => 1,
        };
        for i in 0..inner {
            let scalar = (major == 5 && i % 2 == 0) || only_array;
            match item(&b[at..], scalar, major == 6, level + 1)? {
                Some(len) => at += len,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn reference(bytes: &[u8]) -> Result<StrictValues, StrictError> {
        let mut values = StrictValues::default();
        let mut at = 0;
        let complete = |values: &mut StrictValues, at| {
            values.complete += 1;
            if values.complete == 1 {
                values.first_len = at;
            }
        };
        while at < bytes.len() {
            values.has_tail = true;
            if bytes[at] == 0x5f {
                at += 1;
                loop {
                    match bytes.get(at) {
                        None => return Ok(values),
                        Some(0xff) => break,
                        Some(0x40..=0x5b) => {}
                        Some(_) => return Err(StrictError::Malformed),
                    }
                    let Some(len) = item(&bytes[at..], true, false, 0)? else {
                        return Ok(values);
                    };
                    at += len;
                    complete(&mut values, at);
                }
                at += 1;
            } else {
                match item(&bytes[at..], false, false, 0)? {
                    Some(len) => at += len,
                    None => return Ok(values),
                }
            }
            values.has_tail = false;
            complete(&mut values, at);
        }
        Ok(values)
    }

    fn strictish() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(
            &[
                "00",
                "1800",
                "20",
                "41 61",
                "40",
                "5800",
                "80",
                "81",
                "82",
                "a0",
                "a1",
                "a1 41 61",
                "d90102",
                "d901",
                "da00000102",
                "db0000000000000102",
                "d8",
                "d90103",
                "f4",
                "f6",
                "f7",
                "5f",
                "ff",
                "5f 41 61 ff",
                "60",
                "9f",
                "bf",
                "f9",
                "9b7fffffffffffffff",
                "bb8000000000000000",
                "d90102 82 00 40",
            ][..],
        );
        prop_oneof![
            3 => prop::collection::vec(piece, 0..24).prop_map(|pieces| hex(&pieces.concat())),
            1 => nearly_cbor(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn agrees_with_the_table(bytes in strictish()) {
            prop_assert_eq!(check_strict(&bytes), reference(&bytes));
        }

        #[test]
        fn a_refusal_stays_one_as_more_comes(bytes in strictish()) {
            let whole = check_strict(&bytes);
            for cut in 0..bytes.len() {
                if let Err(error) = check_strict(&bytes[..cut]) {
                    prop_assert_eq!(whole, Err(error));
                }
            }
        }
    }

    #[test]
    fn each_row_of_the_table() {
        let judge = |text: &str| {
            let values = check_strict(&hex(text));
            values.map(|v| (v.complete, v.has_tail, v.first_len))
        };
        for (bytes, expected) in [
            ("", (0, false, 0)),
            ("00", (1, false, 1)),
            ("1b0000000000000000 3800", (2, false, 9)),
            ("5803 616263", (1, false, 5)),
            ("1a0000", (0, true, 0)),
            ("5803 6162", (0, true, 0)),
            ("5f", (0, true, 0)),
            ("5fff", (1, false, 2)),
            ("5f 41 61", (1, true, 3)),
            ("5f 41 61 ff", (2, false, 3)),
            ("5f 41 61 42", (1, true, 3)),
            ("80 a0 81", (2, true, 1)),
            ("d90102 80", (1, false, 4)),
            ("da0000", (0, true, 0)),
            ("d90102 84 f4 f5 f6 00", (1, false, 8)),
            ("a3 f6 00 00 81 80 41 61 d90102 80", (1, false, 12)),
        ] {
            assert_eq!(judge(bytes), Ok(expected), "{bytes}");
        }
        for bytes in [
            // Refused at the first byte, though the rest of the head has not come.
            "1c",
            "1f",
            "60",
            "78",
            "7f",
            "9f",
            "bf",
            "d8",
            "c0",
            "f8",
            "f9",
            "fa",
            "fb",
            "f7",
            "e0",
            "ff",
            // Tags but 258, sets that are none, what may not be an element or a key.
            "d901ff",
            "d902",
            "d90102 00",
            "d90102 a0",
            "d90102 9f",
            "d90102 d9",
            "d90102 81 80",
            "d90102 81 a0",
            "d90102 81 d9",
            "a1 80",
            "a1 a0",
            "a1 d9",
            "a1 5f",
            "81 5f",
            "a1 00 5f",
            "d90102 81 5f",
            // Chunks.
            "5f 00",
            "5f 1a",
            "5f f5",
            "5f 5f",
            "5f 61",
        ] {
            assert_eq!(judge(bytes), Err(StrictError::Malformed), "{bytes}");
        }
        let deep = |levels| judge(&(String::from("81").repeat(levels) + "00"));
        assert_eq!(deep(16), Ok((1, false, 17)));
        assert_eq!(deep(17), Err(StrictError::NestedTooDeep));
    }
}
