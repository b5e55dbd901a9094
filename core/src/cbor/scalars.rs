//! Types of single values beside those of [`from_value`](super::from_value): borrowed strings, floats, arrays.

use super::float::widen;
use super::{ByteString, CborWriter, FromValue, Text, ToValue, Value};
use crate::ApiMisuse;

/// Text of a definite length, as a text string or as a byte string that holds UTF-8.
impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Value<'a>) -> Option<Self> {
        Text::from_any(value)?.as_str()
    }
}

/// A byte string of a definite length, or the bytes of a text string.
impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Value<'a>) -> Option<Self> {
        bytes(value)?.as_slice()
    }
}

/// Any float or integer: the nearest number of 64 bits.
impl<'a> FromValue<'a> for f64 {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value.as_i64() {
            #[expect(clippy::as_conversions, reason = "the nearest one is meant")]
            Some(integer) => Some(integer as Self),
            None => widen(value.as_cbor()),
        }
    }
}

/// Any float or integer within the type's range: the nearest number of 32 bits.
impl<'a> FromValue<'a> for f32 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the nearest one is meant"
    )]
    fn from_value(value: Value<'a>) -> Option<Self> {
        let wide = f64::from_value(value)?;
        let narrow = wide as Self;
        (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
    }
}

/// A byte string of exactly so many bytes, in any encoding.
impl<'a, const N: usize> FromValue<'a> for [u8; N] {
    fn from_value(value: Value<'a>) -> Option<Self> {
        let mut array = [0; N];
        (bytes(value)?.copy_to(&mut array)? == N).then_some(array)
    }
}

impl<'a> FromValue<'a> for () {
    fn from_value(value: Value<'a>) -> Option<Self> {
        value.is_null().then_some(())
    }
}

fn bytes(value: Value<'_>) -> Option<ByteString<'_>> {
    value
        .as_bytes()
        .or_else(|| Some(Text::from_value(value)?.as_bytes()))
}

/// Arrays of anything but bytes, which are byte strings.
macro_rules! arrays {
    ($($type:ty)*) => {$(
        impl<'a, const N: usize> FromValue<'a> for [$type; N] {
            fn from_value(value: Value<'a>) -> Option<Self> {
                let mut items = value.elements()?;
                let mut array = [<$type>::default(); N];
                for slot in &mut array {
                    *slot = <$type>::from_value(items.next()?)?;
                }
                items.next().is_none().then_some(array)
            }
        }

        impl<const N: usize> ToValue for [$type; N] {
            fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
                to.array(N)?;
                self.iter().try_for_each(|item| item.write(to))
            }
        }
    )*};
}
arrays! { bool u16 u32 u64 i8 i16 i32 i64 f32 f64 }

// What `alloc` owns.
#[cfg(feature = "alloc")]
impl ToValue for alloc::string::String {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        to.text(self)
    }
}

#[cfg(feature = "alloc")]
impl ToValue for alloc::vec::Vec<u8> {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        to.bytes(self)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::hex;
    use super::*;

    fn read<T: for<'a> FromValue<'a>>(bytes: &str) -> Option<T> {
        T::from_value(Value::from_cbor(&hex(bytes)).unwrap())
    }

    fn written(value: &impl ToValue) -> Vec<u8> {
        let mut memory = [0; 512];
        let mut writer = CborWriter::new(&mut memory);
        value.write(&mut writer).unwrap();
        writer.finish().to_vec()
    }

    #[test]
    fn strings_are_of_either_kind() {
        for (bytes, expected) in [("6161", Some("a")), ("4161", Some("a")), ("41ff", None)] {
            let bytes = hex(bytes);
            let value = Value::from_cbor(&bytes).unwrap();
            assert_eq!(<&str>::from_value(value), expected);
            let content = &bytes[1..];
            assert_eq!(<&[u8]>::from_value(value), Some(content));
            assert_eq!(<[u8; 1]>::from_value(value), content.try_into().ok());
            assert_eq!(<[u8; 2]>::from_value(value), None);
        }
        assert_eq!(read::<[u8; 3]>("5f 4161 426263 ff"), Some(*b"abc"));
        assert_eq!(read::<[u8; 2]>("820102"), None);
        assert_eq!(read::<()>("f6"), Some(()));
        assert_eq!(read::<()>("f5"), None);
    }

    #[test]
    fn arrays_have_all_their_items() {
        assert_eq!(read::<[u16; 2]>("82 01 190100"), Some([1, 256]));
        assert_eq!(read::<[i8; 2]>("9f 20 01 ff"), Some([-1, 1]));
        for wrong in ["8101", "83010203", "82011a00010000", "420102"] {
            assert_eq!(read::<[u16; 2]>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_of_other_kinds_are_the_nearest_float() {
        assert_eq!(read::<f64>("03"), Some(3.0));
        assert_eq!(read::<f32>("3903e7"), Some(-1000.0));
        assert_eq!(read::<f32>("fb3ff199999999999a"), Some(1.1));
        assert_eq!(read::<f32>("fb7fefffffffffffff"), None);
        assert_eq!(read::<f32>("f97c00"), Some(f32::INFINITY));
        assert_eq!(read::<f64>("f90001"), Some(2f64.powi(-24)));
        assert_eq!(read::<f64>("f98000").map(f64::to_bits), Some(1 << 63));
        assert!(read::<f64>("f97e00").unwrap().is_nan());
        assert_eq!(read::<f64>("f5"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(single: f32, double: f64, numbers: [i16; 3], floats: [f64; 2]) {
            macro_rules! same {
                ($($value:ident: $type:ty),*) => {$(
                    let bytes = written(&$value);
                    let read = <$type>::from_value(Value::from_cbor(&bytes).unwrap());
                    prop_assert_eq!(read, Some($value));
                )*};
            }
            same!(numbers: [i16; 3]);
            if !single.is_nan() {
                same!(single: f32);
            }
            if !double.is_nan() {
                same!(double: f64);
            }
            if floats.iter().all(|float| !float.is_nan()) {
                same!(floats: [f64; 2]);
            }
        }
    }
}
