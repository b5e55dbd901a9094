//! CBOR values that own what they hold (messages.md, "CBOR"; revision-0006.md, 9).
//!
//! For tools, tests and applications of the host; the protocol itself is read by the core, without
//! copies. [`Value::decode`] takes any well-formed CBOR, [`Value::encode`] writes the one canonical
//! form of a revision's key order.
//!
//! Contract: no panics; recursion is bounded by [`MAX_NESTING`]; memory is bounded by the input's
//! length times the size of a [`Value`].

mod cursor;
mod decode;
mod encode;
mod order;

use std::fmt;

use hgrpc::cbor::ByteString;

pub(crate) use cursor::{Cursor, Head};
pub use decode::{DecodeError, DecodeErrorKind};
pub use encode::EncodeError;
pub(crate) use encode::{write_float, write_head, write_integer};
pub(crate) use order::compare_keys;

/// How many containers may lie in each other: arrays, maps and tags each count as one, a
/// set as two (messages.md, "CBOR": the limit is the same in every build).
pub const MAX_NESTING: usize = 16;

/// The number of the tag that makes an array a set (revision-0006.md, 9.1).
pub(crate) const SET_TAG: u64 = 258;

/// A CBOR value.
///
/// Equality is that of what is held: the order of map entries counts, and a NaN equals nothing.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// An integer.
    Integer(Integer),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map: its entries in the order in which they came, repeated keys included.
    Map(Vec<(Value, Value)>),
    /// A set: tag 258 around an array.
    Set(Vec<Value>),
    /// Any other tag and what it is about.
    Tag(u64, Box<Value>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// A simple value without a name: 0 to 19 or 32 to 255.
    Simple(u8),
    /// A floating-point number, of whatever width it came in.
    Float(f64),
}

impl Value {
    /// A map with byte strings as keys, as commands and their arguments have them.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let fields = fields.into_iter();
        Self::Map(
            fields
                .map(|(key, value)| (key.as_bytes().into(), value))
                .collect(),
        )
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, field): (_, &dyn fmt::Debug) = match self {
            Self::Integer(integer) => ("Integer", &integer.value()),
            Self::Bytes(bytes) => ("Bytes", &ByteString::from_slice(bytes)),
            Self::Text(text) => ("Text", text),
            Self::Array(items) => ("Array", items),
            Self::Map(entries) => ("Map", entries),
            Self::Set(items) => ("Set", items),
            Self::Tag(number, about) => {
                return f.debug_tuple("Tag").field(number).field(about).finish();
            }
            Self::Bool(bool) => ("Bool", bool),
            Self::Null => return f.write_str("Null"),
            Self::Undefined => return f.write_str("Undefined"),
            Self::Simple(number) => ("Simple", number),
            Self::Float(float) => ("Float", float),
        };
        f.debug_tuple(name).field(field).finish()
    }
}

/// An integer in CBOR's range, −2^64 to 2^64−1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Integer(i128);

impl Integer {
    /// The integer of this value; `None` if it is out of CBOR's range.
    pub const fn new(value: i128) -> Option<Self> {
        const MAX: i128 = u64::MAX as i128;
        if value >= -MAX - 1 && value <= MAX {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The integer's value.
    pub const fn value(self) -> i128 {
        self.0
    }

    /// The integer that a head's argument stands for: itself, or −1 less itself.
    pub(crate) fn from_argument(argument: u64, negative: bool) -> Self {
        let positive = i128::from(argument);
        Self(if negative { -1 - positive } else { positive })
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Integer {
    fn from(value: u64) -> Self {
        Self(value.into())
    }
}

impl From<i64> for Integer {
    fn from(value: i64) -> Self {
        Self(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hgrpc::KeyOrder;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_show_their_text() {
        let value = Value::Map(vec![
            (Value::Bytes(b"on".to_vec()), Value::Bool(true)),
            (
                Value::Bytes(vec![0xff]),
                Value::Tag(1, Box::new(Value::Null)),
            ),
        ]);
        let shown = r#"Map([(Bytes(b"on"), Bool(true)), (Bytes(b"\xff"), Tag(1, Null))])"#;
        assert_eq!(format!("{value:?}"), shown);
    }

    /// Any value in the form that decoding gives, nested at most 5 deep.
    pub(crate) fn values() -> impl Strategy<Value = Value> {
        let integer = prop_oneof![
            any::<i64>().prop_map(Integer::from),
            any::<u64>().prop_map(Integer::from),
            any::<u64>().prop_map(|n| Integer::from_argument(n, true)),
            (-30i64..30).prop_map(Integer::from),
        ];
        let leaf = prop_oneof![
            integer.prop_map(Value::Integer),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            "[ -~]{0,30}".prop_map(|s| Value::Bytes(s.into_bytes())),
            any::<String>().prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Null),
            Just(Value::Undefined),
            prop_oneof![0u8..20, 32u8..].prop_map(Value::Simple),
            any::<f64>()
                .prop_filter("NaN equals nothing", |f| !f.is_nan())
                .prop_map(Value::Float),
            any::<f32>()
                .prop_filter("NaN equals nothing", |f| !f.is_nan())
                .prop_map(|f| Value::Float(f.into())),
            any::<i8>().prop_map(|n| Value::Float(f64::from(n) / 4.0)),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Set),
                (any::<u32>(), inner)
                    .prop_map(|(tag, v)| Value::Tag(u64::from(tag) + 300, Box::new(v))),
            ]
        })
    }

    proptest! {
        // What is encoded decodes, and its encoding is a fixed point.
        #[test]
        fn encode_after_decode_is_the_canonical_form(value in values()) {
            for order in [KeyOrder::ShorterFirst, KeyOrder::Bytewise] {
                let bytes = value.encode(order).unwrap();
                let again = Value::decode(&bytes).unwrap();
                prop_assert_eq!(again.encode(order).unwrap(), bytes);
            }
        }

        // minicbor agrees on what is well-formed, and on where it ends.
        #[test]
        fn minicbor_reads_to_the_same_end(value in values()) {
            let bytes = value.encode(KeyOrder::Bytewise).unwrap();
            let mut decoder = minicbor::Decoder::new(&bytes);
            decoder.skip().unwrap();
            prop_assert_eq!(decoder.position(), bytes.len());
        }

        #[test]
        fn any_bytes_decode_or_name_an_offset_within(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            match Value::decode_prefix(&bytes) {
                Ok((_, len)) => {
                    prop_assert!(len <= bytes.len());
                    let mut decoder = minicbor::Decoder::new(&bytes);
                    prop_assert!(decoder.skip().is_ok());
                    prop_assert_eq!(decoder.position(), len);
                }
                Err(error) => prop_assert!(error.offset <= bytes.len()),
            }
        }
    }

    #[test]
    fn integers_end_at_64_bits() {
        let max = i128::from(u64::MAX);
        assert!(Integer::new(max).is_some());
        assert!(Integer::new(max + 1).is_none());
        assert!(Integer::new(-max - 1).is_some());
        assert!(Integer::new(-max - 2).is_none());
    }
}
