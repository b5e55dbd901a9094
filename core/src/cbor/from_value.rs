//! Types of single values that are read without minicbor: what [`args!`](crate::args) fills fields of the usual types with.
//!
//! minicbor reads any type, but brings its errors and its reading of every width along: three
//! quarters of a kilobyte in a small program for a number and a flag.

use core::marker::PhantomData;

use super::{ArgError, Args, ByteString, Text, Value};

/// A type that is read from one value by hand. What it takes and refuses is what
/// [`Value::decode`] takes and refuses for the same type.
pub trait FromValue<'a>: Sized {
    /// The value as this type; `None` if it is of another one, or out of range. Work is linear in
    /// the value's length at most.
    fn from_value(value: Value<'a>) -> Option<Self>;

    /// Whether the type is an integer: another one than what it takes is out of range.
    const IS_INTEGER: bool = false;

    /// What stands for an argument that is missing; `None` if it is required.
    fn missing() -> Option<Self> {
        None
    }
}

macro_rules! from_value {
    ($($type:ty, $value:ident => $read:expr $(, $is_integer:literal)?;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            $(const IS_INTEGER: bool = $is_integer;)?

            fn from_value($value: Value<'a>) -> Option<Self> {
                $read
            }
        }
    )*};
}

from_value! {
    bool, value => value.as_bool();
    u8, value => value.as_small(), true;
    u16, value => value.as_small(), true;
    u32, value => value.as_u64()?.try_into().ok(), true;
    u64, value => value.as_u64(), true;
    i8, value => value.as_i64()?.try_into().ok(), true;
    i16, value => value.as_i64()?.try_into().ok(), true;
    i32, value => value.as_i64()?.try_into().ok(), true;
    i64, value => value.as_i64(), true;
    ByteString<'a>, value => value.as_bytes();
    Text<'a>, value => Text::from_any(value);
    Value<'a>, value => Some(value);
}

// Owned strings, from text and byte strings alike: a caller's library may send either.
#[cfg(feature = "alloc")]
from_value! {
    alloc::string::String, value => Some(alloc::string::ToString::to_string(&Text::from_any(value)?));
    alloc::vec::Vec<u8>, value => {
        let bytes = value.as_bytes().or_else(|| Some(Text::from_any(value)?.as_bytes()))?;
        Some(bytes.chunks().flatten().copied().collect())
    };
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        if value.is_null() {
            return Some(None);
        }
        T::from_value(value).map(Some)
    }

    const IS_INTEGER: bool = T::IS_INTEGER;

    fn missing() -> Option<Self> {
        Some(None)
    }
}

/// Chooses, inside of [`args!`](crate::args), how a field's type is read: the method of
/// [`ByHand`] is found first, where the type has it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Field<T>(pub PhantomData<T>);

#[doc(hidden)]
pub trait ByHand<'a, T> {
    fn read(&self, args: &Args<'a>, key: &[u8]) -> Result<T, ArgError>;
}

impl<'a, T: FromValue<'a>> ByHand<'a, T> for Field<T> {
    fn read(&self, args: &Args<'a>, key: &[u8]) -> Result<T, ArgError> {
        match args.find(key) {
            Some(value) => T::from_value(value).ok_or(value.refused(T::IS_INTEGER)),
            None => T::missing().ok_or(ArgError::Missing),
        }
    }
}

#[doc(hidden)]
pub trait ByMinicbor<'a, T> {
    fn read(&self, args: &Args<'a>, key: &[u8]) -> Result<T, ArgError>;
}

impl<'a, T: minicbor::Decode<'a, ()>> ByMinicbor<'a, T> for &Field<T> {
    fn read(&self, args: &Args<'a>, key: &[u8]) -> Result<T, ArgError> {
        args.value(key)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{cbor, hex};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn by_hand_as_by_minicbor(any in cbor(), n: u64, shift in 0u32..64, width in 0u8..4, major in 0u8..2) {
            // Any value, and integers in heads of any length.
            let n = n >> shift;
            let mut integer = std::vec![(major << 5) | (24 + width)];
            let bytes = n.to_be_bytes();
            integer.extend(&bytes[8 - (1 << width)..]);
            for bytes in [any.to_vec(), integer] {
                let value = Value::from_cbor(&bytes).unwrap();
                macro_rules! same {
                    ($($type:ty)*) => {$(
                        prop_assert_eq!(<$type as FromValue>::from_value(value), value.decode::<$type>().ok());
                        prop_assert_eq!(Option::<$type>::from_value(value), value.decode::<Option<$type>>().ok());
                    )*};
                }
                same!(bool u8 u16 u32 u64 i8 i16 i32 i64 ByteString<'_> Text<'_> Value<'_>);
            }
        }
    }

    // A type that only minicbor reads.
    crate::args! {
        struct Mixed<'a> {
            pair: (u8, u8),
            half: f32 = 1.5,
            text: Option<&'a str>,
            hand: u32,
        }
    }

    #[test]
    fn other_types_are_read_by_minicbor() {
        let bytes: Vec<u8> = hex("a3 4470616972 820102 4474657874 6161 4468616e64 1a00010000");
        let mixed = Mixed::from_args(&Args::from_cbor(&bytes).unwrap()).unwrap();
        assert_eq!((mixed.pair, mixed.hand), ((1, 2), 0x1_0000));
        assert_eq!((mixed.half, mixed.text), (1.5, Some("a")));
    }
}
