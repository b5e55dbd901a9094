//! Command requests as they arrive.
//!
//! Specification: messages.md, "Command request"; revision-0006.md, 2.1 and 5.7;
//! deviations.md, D5.

use super::cursor::Cursor;
use super::item::{CborError, MAJOR_BYTES, MAJOR_MAP};
use super::{Args, ByteString, ByteStrings, Value};
use crate::Revision;

/// Why a request does not decode. A request that is nested too deep is refused
/// (`nested-too-deep`); the others break the protocol (`malformed-request`, `missing-name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RequestError {
    /// Not exactly one map of the form that the revision asks for.
    Malformed,
    /// There is no `name`.
    MissingName,
    /// More than [`MAX_NESTING`](super::MAX_NESTING) levels.
    NestedTooDeep,
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed-request",
            Self::MissingName => "missing-name",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for RequestError {}

impl From<CborError> for RequestError {
    fn from(error: CborError) -> Self {
        match error {
            CborError::NestedTooDeep => Self::NestedTooDeep,
            CborError::Malformed | CborError::Incomplete => Self::Malformed,
        }
    }
}

/// A command's name and arguments, borrowed from the request's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandRequest<'a> {
    /// The command's name.
    pub name: ByteString<'a>,
    /// The arguments; empty if the request has none.
    pub args: Args<'a>,
    /// Where the client is willing to be redirected (0006).
    pub redirect: Option<RedirectTargets<'a>>,
}

impl<'a> CommandRequest<'a> {
    /// Decodes the bytes of all frames of a request, in one pass.
    ///
    /// Keys and values may come in any order and any well-formed encoding. Unknown keys of any
    /// type are ignored; `redirect` is known in 0006 only. What is wrong first, from the front,
    /// decides; a missing name is found at the end. Work is linear in the bytes.
    ///
    /// # Errors
    /// [`RequestError`]: D5 lists what is malformed here and was not in the reference.
    pub fn decode(bytes: &'a [u8], revision: Revision) -> Result<Self, RequestError> {
        let mut fields = Fields::absent();
        decode_request(bytes, revision.has_settings(), &mut fields)?;
        Ok(Self {
            name: ByteString::of(fields.name()),
            args: fields.args(),
            redirect: fields.redirect(),
        })
    }
}

/// The values of a request's known keys, each in its place.
pub(crate) struct Fields<'a>([Value<'a>; 3]);

impl<'a> Fields<'a> {
    /// No values. Not a constant: one of this size would be copied.
    #[inline]
    pub(crate) fn absent() -> Self {
        let absent = Value::absent();
        Self([absent, absent, absent])
    }

    /// The name, a byte string in any encoding.
    #[inline]
    pub(crate) fn name(&self) -> Value<'a> {
        let [name, _, _] = self.0;
        name
    }

    /// The arguments; empty if the request has none.
    #[inline]
    pub(crate) fn args(&self) -> Args<'a> {
        let [_, args, _] = self.0;
        Args::of(args)
    }

    /// `redirect`, if the request has it.
    #[inline]
    pub(crate) fn redirect(&self) -> Option<RedirectTargets<'a>> {
        let [_, _, redirect] = self.0;
        (!redirect.is_absent()).then_some(RedirectTargets(redirect))
    }
}

/// Decodes a request as [`CommandRequest::decode`] does, into places of the caller's, which are
/// absent: a result that does not fit registers would be moved.
///
/// `has_redirect`: the key `redirect` is known.
///
/// # Errors
/// [`RequestError`]; what was found then is of no use.
#[inline(never)]
pub(crate) fn decode_request<'a>(
    bytes: &'a [u8],
    has_redirect: bool,
    fields: &mut Fields<'a>,
) -> Result<(), RequestError> {
    let mut cursor = Cursor::new(bytes);
    let read = read_request(&mut cursor, has_redirect, fields);
    if read.is_none() || !cursor.rest().is_empty() {
        return Err(match cursor.error() {
            CborError::NestedTooDeep => RequestError::NestedTooDeep,
            CborError::Malformed | CborError::Incomplete => RequestError::Malformed,
        });
    }
    let [name, args, _] = &mut fields.0;
    if args.is_absent() {
        *args = Value::EMPTY_MAP;
    }
    if name.is_absent() {
        return Err(RequestError::MissingName);
    }
    Ok(())
}

/// Finds the values of the known keys in one walk. `None`: the request is malformed, or, if the
/// cursor says so, nested too deep.
#[inline]
fn read_request<'a>(
    cursor: &mut Cursor<'a>,
    has_redirect: bool,
    fields: &mut Fields<'a>,
) -> Option<()> {
    let mut pairs = cursor.enter(MAJOR_MAP)?;
    while let Some(left) = cursor.next(pairs) {
        pairs = left;
        let mut key = UNKNOWN;
        if let Some(([0x44, usual @ ..], rest)) = cursor.rest().split_first_chunk::<5>() {
            if *usual == *b"name" {
                key = NAME;
            }
            if *usual == *b"args" {
                key = ARGS;
            }
            if key != UNKNOWN {
                cursor.go_on_with(rest);
            }
        }
        if key == UNKNOWN {
            key = unusual_key(Value::new_unchecked(cursor.value(1)?), has_redirect);
        }
        let value = if key == ARGS {
            cursor.args()?
        } else {
            cursor.value(1)?
        };
        let Some(slot) = fields.0.get_mut(key) else {
            continue;
        };
        let major = if key == NAME { MAJOR_BYTES } else { MAJOR_MAP };
        let value = Value::new_unchecked(value);
        if value.major() != Some(major) || !slot.is_absent() {
            return None;
        }
        *slot = value;
    }
    Some(())
}

/// The places of the known keys.
const NAME: usize = 0;
const ARGS: usize = 1;
const REDIRECT: usize = 2;
const UNKNOWN: usize = 3;

/// Returns which key this is, in any encoding.
fn unusual_key(key: Value<'_>, has_redirect: bool) -> usize {
    if key.is_bytes(b"name") {
        NAME
    } else if key.is_bytes(b"args") {
        ARGS
    } else if has_redirect && key.is_bytes(b"redirect") {
        REDIRECT
    } else {
        UNKNOWN
    }
}

/// Where a client is willing to be redirected: the map `redirect` of a request (revision-0006.md,
/// 10).
///
/// Only that it is a map is checked when the request is decoded: most commands never look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RedirectTargets<'a>(Value<'a>);

impl<'a> RedirectTargets<'a> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        value.is_map().then_some(Self(value))
    }

    /// The targets in this encoded map.
    ///
    /// # Errors
    /// If the bytes are not exactly one map.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        Self::from_value(Value::from_cbor(bytes)?).ok_or(CborError::Malformed)
    }

    /// The map's encoding, as it was received.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    fn list(&self, key: &[u8]) -> ByteStrings<'a> {
        self.0
            .entries()
            .and_then(|mut entries| entries.find(|(k, _)| k.as_bytes().is_some_and(|k| k == *key)))
            .map(|(_, value)| ByteStrings::new(value))
            .unwrap_or_default()
    }

    /// Names of the targets, from the server's capabilities, that the client can use. Nothing if
    /// the list is missing or not an array; items that are not byte strings are passed over.
    pub fn targets(&self) -> ByteStrings<'a> {
        self.list(b"targets")
    }

    /// Names of the hashes that the client can check; missing or foreign ones as in
    /// [`targets`](Self::targets).
    pub fn hashes(&self) -> ByteStrings<'a> {
        self.list(b"hashes")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{cbor, hex, nearly_cbor, reference_len};
    use super::*;
    use crate::REVISIONS;

    const R6: Revision = Revision::R0006;

    fn error(text: &str, revision: Revision) -> Option<RequestError> {
        CommandRequest::decode(&hex(text), revision).err()
    }

    #[test]
    fn name_and_arguments_in_any_well_formed_encoding() {
        for bytes in [
            "a2 4461726773 a1 43666f6f 01 446e616d65 43636d64",
            // Other order, longer heads, indefinite lengths, chunked keys and names.
            "a2 446e616d65 43636d64 4461726773 a1 43666f6f 01",
            "bf 5f426e61426d65ff 5f 40 41 63 42 6d64 ff 5f 4461726773 ff bf 5f 42666f 416f ff 1800 ff ff",
        ] {
            let bytes = hex(bytes);
            for revision in REVISIONS {
                let request = CommandRequest::decode(&bytes, revision).unwrap();
                assert_eq!(request.name, b"cmd");
                assert_eq!(request.args.len(), 1);
                assert!(request.args.find(b"foo").unwrap().as_u64() < Some(2));
                assert_eq!(request.redirect, None);
            }
        }
        let long = hex("b90001 5a000000046e616d65 5b0000000000000003636d64");
        let request = CommandRequest::decode(&long, R6).unwrap();
        assert_eq!(request.name, "cmd");
        assert!(request.args.is_empty());
        assert_eq!(request.args.as_cbor(), b"\xa0");
    }

    #[test]
    fn d5_what_is_malformed() {
        for bytes in [
            // Nothing, not a map, cut off, bytes left over.
            "",
            "80",
            "f6",
            "01",
            "c0a1446e616d6541 61",
            "a1",
            "a1446e616d65",
            "a1446e616d6543 6162",
            "bf446e616d654161",
            "a1446e616d654161 00",
            "a1446e616d654161 a1446e616d654161",
            "a1446e616d654161 ff",
            // The name is text, a number, null, an array with it.
            "a1446e616d656161",
            "a1446e616d6501",
            "a1446e616d65f6",
            "a1446e616d65814161",
            "a1446e616d65c04161",
            // The arguments are null, an array, have keys that are no byte strings.
            "a2446e616d654161 4461726773 f6",
            "a2446e616d654161 4461726773 80",
            "a2446e616d654161 4461726773 a1616101",
            "a2446e616d654161 4461726773 a10101",
            "a2446e616d654161 4461726773 bf7f6161ff01ff",
            // Repeated, the same and in chunks.
            "a2446e616d654161446e616d654161",
            "a2446e616d6541615f446e616d65ff4161",
            "a3446e616d654161 4461726773 a0 4461726773 a0",
        ] {
            for revision in REVISIONS {
                assert_eq!(
                    error(bytes, revision),
                    Some(RequestError::Malformed),
                    "{bytes}"
                );
            }
        }
        // `redirect` is known in 0006 only: not null, not a list, not twice.
        for bytes in [
            "a2446e616d654161 487265646972656374 f6",
            "a2446e616d654161 487265646972656374 80",
            "a3446e616d654161 487265646972656374 a0 487265646972656374 a0",
        ] {
            assert_eq!(error(bytes, R6), Some(RequestError::Malformed));
            assert_eq!(error(bytes, Revision::R0003), None);
            assert_eq!(error(bytes, Revision::R0005), None);
        }
        let bytes = hex("a2446e616d654161 487265646972656374 a0");
        assert_eq!(
            CommandRequest::decode(&bytes, R6)
                .unwrap()
                .redirect
                .unwrap()
                .as_cbor(),
            b"\xa0"
        );
    }

    #[test]
    fn d5_a_string_that_contains_name_is_not_the_name() {
        for bytes in [
            "a0",
            "bfff",
            "a14461726773a0",
            "a1456e616d657341 61",
            "a1 436e616d 4161",
            "a1646e616d654161",
        ] {
            assert_eq!(error(bytes, R6), Some(RequestError::MissingName), "{bytes}");
        }
    }

    #[test]
    fn unknown_keys_of_any_type_are_ignored() {
        let bytes = hex(
            "a8 01 02  646e616d65 6161  80 a0  a10102 f6  446e616d65 4163  f93c00 c101  5f4178ff 5fff  5f4178ff 01",
        );
        assert_eq!(CommandRequest::decode(&bytes, R6).unwrap().name, b"c");
    }

    #[test]
    fn repeated_arguments_are_all_there_and_the_first_is_found() {
        let bytes = hex("a2 446e616d65 4163 4461726773 a3 416b01 5f416bff02 416b03");
        let args = CommandRequest::decode(&bytes, R6).unwrap().args;
        let all: Vec<_> = args
            .iter()
            .map(|(_, value)| value.as_u64().unwrap())
            .collect();
        assert_eq!(all, [1, 2, 3]);
        assert_eq!(args.find(b"k").unwrap().as_u64(), Some(1));
        assert_eq!(args.find(b""), None);
    }

    #[test]
    fn nesting_counts_the_request_and_its_arguments() {
        let nested = |levels: usize, before: &str, after: &str| {
            let mut bytes = hex(before);
            bytes.extend(vec![0x81; levels]);
            bytes.extend(hex(after));
            CommandRequest::decode(&bytes, R6).err()
        };
        let args = "a2 446e616d65 4163 4461726773 a1 416b";
        assert_eq!(nested(14, args, "00"), None);
        assert_eq!(nested(15, args, "00"), Some(RequestError::NestedTooDeep));
        // Ignored values and keys count too.
        assert_eq!(nested(15, "a2 446e616d65 4163 01", "00"), None);
        assert_eq!(
            nested(16, "a2 446e616d65 4163 01", "00"),
            Some(RequestError::NestedTooDeep)
        );
        assert_eq!(
            nested(16, "a2 446e616d65 4163", "0001"),
            Some(RequestError::NestedTooDeep)
        );
        assert_eq!(
            nested(15, "a2 446e616d65 4163 487265646972656374 a101", "00"),
            Some(RequestError::NestedTooDeep)
        );
        // What comes first decides.
        assert_eq!(nested(15, args, "ff"), Some(RequestError::NestedTooDeep));
        assert_eq!(
            nested(15, "a3 446e616d65 01 4461726773 a1 416b", "00"),
            Some(RequestError::Malformed)
        );
    }

    #[test]
    fn places_hold_what_the_request_had() {
        let full = hex("a3 446e616d65 4163 4461726773 a1416b01 487265646972656374 a0");
        let mut fields = Fields::absent();
        assert_eq!(decode_request(&full, true, &mut fields), Ok(()));
        assert_eq!(
            (fields.name().as_cbor(), fields.args().len()),
            (&b"\x41c"[..], 1)
        );
        assert_eq!(fields.redirect().unwrap().as_cbor(), b"\xa0");
        let least = hex("a1 5f446e616d65ff 4164");
        let mut fields = Fields::absent();
        assert_eq!(decode_request(&least, true, &mut fields), Ok(()));
        assert_eq!(
            (fields.name().as_cbor(), fields.args()),
            (&b"\x41d"[..], Args::EMPTY)
        );
        assert_eq!(fields.redirect(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn what_decodes_is_one_well_formed_value(bytes in nearly_cbor()) {
            for revision in REVISIONS {
                if CommandRequest::decode(&bytes, revision).is_ok() {
                    prop_assert_eq!(reference_len(&bytes, 0), Ok(bytes.len()));
                }
            }
        }

        #[test]
        fn any_values_come_through_as_arguments(values in prop::collection::vec(cbor(), 0..4)) {
            let mut bytes = hex("a2 446e616d65 4163 4461726773");
            bytes.push(0xa0 | values.len() as u8);
            for value in &values {
                bytes.extend(hex("416b"));
                value.encode(&mut bytes);
            }
            let request = CommandRequest::decode(&bytes, R6).unwrap();
            let seen: Vec<_> = request.args.iter().map(|(_, v)| v.as_cbor().to_vec()).collect();
            let sent: Vec<_> = values.iter().map(|v| v.to_vec()).collect();
            prop_assert_eq!(seen, sent);
        }
    }
}
