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

/// Reads a request of nothing but a name and arguments, in the order in which they are sent, as
/// [`decode_request`](super::decode_request) would. `None`: it is another, or malformed.
#[inline(always)]
pub(crate) fn usual_request(bytes: &[u8]) -> Option<(Value<'_>, Args<'_>)> {
    let (args, rest) = match bytes.split_first_chunk() {
        Some((b"\xa2\x44args", map)) => {
            let (mut pairs, mut rest) = split_map(map)?;
            while pairs > 0 {
                pairs = pairs.wrapping_sub(1);
                let (_, value) = split_key(rest)?;
                // Inside of the request and its `args`.
                (_, rest) = split_value(value, 2)?;
            }
            let map = map.get(..map.len().wrapping_sub(rest.len()))?;
            (Args::new_unchecked(map), rest)
        }
        _ => (Args::EMPTY, bytes.strip_prefix(b"\xa1")?),
    };
    let (b"\x44name", name) = rest.split_first_chunk()? else {
        return None;
    };
    let (_, end) = split_key(name)?;
    end.is_empty().then_some((Value::new_unchecked(name), args))
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

    use super::super::testing::{cbor, nearly_cbor};
    use super::super::{CommandRequest, RequestPieces};
    use super::*;
    use crate::Revision;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn plain_values_are_what_the_levels_find(bytes in nearly_cbor(), value in cbor(), after: Vec<u8>) {
            let encoded = value.to_vec();
            for bytes in [bytes, [&encoded[..], &after].concat()] {
                let mut cursor = Cursor::new(&bytes);
                let any = cursor.any(0, false);
                prop_assert_eq!(split_value(&bytes, 0), any.map(|value| (value, cursor.rest())));
                if let Some(plain) = split_plain(&bytes) {
                    prop_assert_eq!(Some(plain), split_value(&bytes, 0));
                }
            }
        }

        #[test]
        fn usual_requests_and_arguments_are_what_all_code_finds(
            name in prop::collection::vec(any::<u8>(), 0..26),
            args in prop::collection::vec(("[a-c]{0,25}", nearly_cbor()), 0..4),
            cut: prop::sample::Index, flip: u8, is_whole: bool,
        ) {
            let mut map = std::vec![0xa0 | u8::try_from(args.len()).unwrap()];
            for (key, value) in &args {
                map.extend(super::super::Head::new(MAJOR_BYTES, key.len() as u64).as_slice());
                map.extend(key.bytes());
                map.extend(value);
            }
            let written = EncodedArgs::new_unchecked(Args::new_unchecked(&map));
            let pieces = RequestPieces::new(&name, written, None, Revision::R0005).unwrap();
            let mut bytes = pieces.slices().concat();
            if !is_whole {
                let cut = cut.index(bytes.len());
                bytes[cut] = flip;
            }
            for revision in crate::REVISIONS {
                let decoded = CommandRequest::decode(&bytes, revision);
                if let Some((name, args)) = usual_request(&bytes) {
                    let expected = decoded.unwrap();
                    prop_assert_eq!(name.as_bytes().unwrap(), expected.name);
                    prop_assert_eq!(args, expected.args);
                    prop_assert_eq!(None, expected.redirect);
                    for key in args.iter().map(|(key, _)| key.chunks().flatten().copied().collect::<Vec<_>>()).chain([b"d".to_vec()]) {
                        let found = find(args.as_cbor(), &key);
                        prop_assert!(found.is_none_or(|found| found == args.find_of_all(&key)));
                    }
                }
            }
            if let Some((args, name_head)) = usual_pieces(&name, &written) {
                let start: &[u8] = if args.is_empty() { b"\xa1" } else { b"\xa2\x44args" };
                prop_assert_eq!([start, args, &name_head, &name].concat(), pieces.slices().concat());
            }
        }
    }

    #[test]
    fn usual_requests_are_taken() {
        for (request, name, args) in [
            (&b"\xa1\x44name\x41a"[..], &b"\x41a"[..], &b"\xa0"[..]),
            (
                b"\xa2\x44args\xa1\x41b\x82\x01\x58\x01c\x44name\x40",
                b"\x40",
                b"\xa1\x41b\x82\x01\x58\x01c",
            ),
            (
                b"\xa2\x44args\xa1\x41b\x1a\x00\x01\x00\x00\x44name\x41a",
                b"\x41a",
                b"\xa1\x41b\x1a\x00\x01\x00\x00",
            ),
        ] {
            let (own_name, own_args) = usual_request(request).unwrap();
            assert_eq!((own_name.as_cbor(), own_args.as_cbor()), (name, args));
        }
        assert!(find(b"\xa1\x41b\xf5", b"b").unwrap().is_some());
    }
}
