//! What is usually received, on a host: heads of one byte, keys in one piece. Nothing here says why
//! bytes are not what they should be, or takes all that is well-formed: where it finds nothing, a
//! [`Cursor`] decides.

use super::cursor::Cursor;
use super::item::{MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_SIMPLE, MAJOR_TAG, MAJOR_TEXT};
use super::{Args, EncodedArgs, Value};
use crate::bytes::equal;

/// The length of a value that begins with each byte; 0 if that is told by more than the byte.
static LENGTHS: [u8; 256] = lengths();

const fn lengths() -> [u8; 256] {
    let mut lengths = [0; 256];
    let mut rest = lengths.as_mut_slice();
    let mut initial = 0u8;
    while let Some((first, behind)) = rest.split_first_mut() {
        *first = length(initial);
        initial = initial.wrapping_add(1);
        rest = behind;
    }
    lengths
}

const fn length(initial: u8) -> u8 {
    match (initial >> 5, initial & 0x1f) {
        (MAJOR_ARRAY | MAJOR_MAP | MAJOR_TAG, _) | (_, 28..) => 0,
        (MAJOR_BYTES | MAJOR_TEXT, len @ 0..=23) => len.wrapping_add(1),
        (MAJOR_BYTES | MAJOR_TEXT, _) => 0,
        (_, 0..=23) => 1,
        // A simple value in two bytes is not well-formed if one could hold it.
        (MAJOR_SIMPLE, 24) => 0,
        (_, 24) => 2,
        (_, 25) => 3,
        (_, 26) => 5,
        (_, _) => 9,
    }
}

/// Splits off one value that is no container. `None`: there is none, or its head is unusually long.
#[inline]
pub(super) fn split_plain(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match LENGTHS.get(usize::from(*bytes.first()?))? {
        0 => split_at(bytes, string_len(bytes)),
        len => split_at(bytes, usize::from(*len)),
    }
}

/// Splits off any value inside of `outer` levels. `None`: there is none.
#[inline]
fn split_value(bytes: &[u8], outer: usize) -> Option<(&[u8], &[u8])> {
    match LENGTHS.get(usize::from(*bytes.first()?))? {
        0 => split_at(bytes, any_len(bytes, outer)),
        len => split_at(bytes, usize::from(*len)),
    }
}

/// Splits so many bytes off; `None` for none.
#[inline]
fn split_at(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    if len == 0 {
        return None;
    }
    bytes.split_at_checked(len)
}

/// The length of a string whose head has one, two or four bytes of argument; 0 if there is none.
#[inline(never)]
fn string_len(bytes: &[u8]) -> usize {
    let argument = match bytes {
        [0x58 | 0x78, a, ..] => [0, 0, 0, *a],
        [0x59 | 0x79, a, b, ..] => [0, 0, *a, *b],
        [0x5a | 0x7a, a, b, c, d, ..] => [*a, *b, *c, *d],
        _ => return 0,
    };
    let head_len = match bytes {
        [0x58 | 0x78, ..] => 2,
        [0x59 | 0x79, ..] => 3,
        _ => 5,
    };
    let content = usize::try_from(u32::from_be_bytes(argument)).unwrap_or(usize::MAX);
    content.saturating_add(head_len)
}

/// The length of any value inside of `outer` levels; 0 if there is none.
#[inline(never)]
fn any_len(bytes: &[u8], outer: usize) -> usize {
    let mut cursor = Cursor::new(bytes);
    cursor.value(outer).unwrap_or_default().len()
}

/// Splits off a byte string with a head of one byte, as most keys are: its content.
#[inline]
fn split_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (initial, rest) = bytes.split_first()?;
    let len = initial.wrapping_sub(MAJOR_BYTES << 5);
    if len > MOST_SHORT {
        return None;
    }
    rest.split_at_checked(usize::from(len))
}

/// Splits off the head of a map that is one byte: how many pairs follow.
#[inline]
fn split_map(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (initial, rest) = bytes.split_first()?;
    let pairs = initial.wrapping_sub(MAJOR_MAP << 5);
    (pairs <= MOST_SHORT).then_some((pairs, rest))
}

/// The largest argument that a head of one byte holds.
const MOST_SHORT: u8 = 23;

/// Reads a request of nothing but a name and arguments, as
/// [`decode_request`](super::decode_request) would: these. `None`: it is another, or malformed.
#[inline(always)]
pub(crate) fn usual_request(bytes: &[u8]) -> Option<(Value<'_>, Args<'_>)> {
    let (mut pairs, mut rest) = split_map(bytes)?;
    let (mut name, mut args) = (Value::absent(), Value::absent());
    while pairs > 0 {
        pairs = pairs.wrapping_sub(1);
        let (key, behind) = rest.split_first_chunk::<5>()?;
        if key == b"\x44name" && name.is_absent() {
            let (_, after) = split_key(behind)?;
            name = between(behind, after);
            rest = after;
        } else if key == b"\x44args" && args.is_absent() {
            let (mut left, mut after) = split_map(behind)?;
            while left > 0 {
                left = left.wrapping_sub(1);
                let (_, value) = split_key(after)?;
                (_, after) = split_value(value, 2)?;
            }
            args = between(behind, after);
            rest = after;
        } else {
            return None;
        }
    }
    if args.is_absent() {
        args = Value::EMPTY_MAP;
    }
    (rest.is_empty() && !name.is_absent()).then_some((name, Args::of(args)))
}

/// What a request is made of, as [`RequestPieces`](super::RequestPieces) are, but for its start, which
/// follows from this: its arguments, empty if there are none, and the key `name` with the head of
/// its value. `None`: it is written unusually.
#[inline]
pub(crate) fn usual_pieces<'a>(name: &[u8], args: &EncodedArgs<'a>) -> Option<(&'a [u8], [u8; 6])> {
    let len = u8::try_from(name.len()).ok()?;
    let (pairs, _) = split_map(args.as_cbor())?;
    let args = if pairs == 0 { &[] } else { args.as_cbor() };
    let name_head = [0x44, b'n', b'a', b'm', b'e', MAJOR_BYTES << 5 | len];
    (len <= MOST_SHORT).then_some((args, name_head))
}

/// What was taken off the front of `bytes`, of which this is left.
#[inline]
fn between<'a>(bytes: &'a [u8], rest: &[u8]) -> Value<'a> {
    let taken = bytes.get(..bytes.len().wrapping_sub(rest.len()));
    Value::new_unchecked(taken.unwrap_or_default())
}

/// Finds the first value of a key in a map that was checked before. `None`: the map is written
/// unusually; `Some(None)`: there is no such key.
#[inline]
pub(super) fn find<'a>(map: &'a [u8], key: &[u8]) -> Option<Option<Value<'a>>> {
    let (mut pairs, mut rest) = split_map(map)?;
    while pairs > 0 {
        pairs = pairs.wrapping_sub(1);
        let (own, behind) = split_key(rest)?;
        let (value, after) = split_value(behind, 0)?;
        if equal(own, key) {
            return Some(Some(Value::new_unchecked(value)));
        }
        rest = after;
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::CommandRequest;
    use super::super::testing::{cbor, nearly_cbor};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn plain_values_are_values(bytes in nearly_cbor(), after: Vec<u8>, value in cbor()) {
            let encoded = value.to_vec();
            for bytes in [bytes, [&encoded[..], &after].concat()] {
                if let Some((plain, rest)) = split_plain(&bytes) {
                    let mut cursor = Cursor::new(&bytes);
                    prop_assert_eq!(cursor.any(0, false), Some(plain));
                    prop_assert_eq!(cursor.rest(), rest);
                }
            }
        }
    }
}
