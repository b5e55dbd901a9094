//! Values that are written without minicbor: what answers are made of.
//!
//! The mirror of [`FromValue`](super::FromValue).

use super::{Args, ByteString, CborWriter, EncodedArgs, MAJOR_BYTES, MAJOR_TEXT, Text, Value};
use crate::ApiMisuse;

/// A type that is written as one value.
///
/// ```
/// use hgrpc::cbor::{CborWriter, ToValue};
///
/// let mut memory = [0; 16];
/// let mut writer = CborWriter::new(&mut memory);
/// Some(300u16).write(&mut writer)?;
/// "text".write(&mut writer)?;
/// b"bytes"[..].write(&mut writer)?;
/// assert_eq!(writer.finish(), b"\x19\x01\x2c\x64text\x45bytes");
/// # Ok::<(), hgrpc::ApiMisuse>(())
/// ```
/// Anything else that minicbor can encode is one in a [`Minicbor`].
pub trait ToValue {
    /// Writes the value.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if it does not fit; [`ApiMisuse::InvalidMessage`] if it refuses to be
    /// encoded. A part of it may have been written.
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse>;
}

macro_rules! to_value {
    ($($type:ty, $value:ident, $writer:ident => $write:expr;)*) => {$(
        impl ToValue for $type {
            fn write(&self, $writer: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
                let $value = self;
                $write
            }
        }
    )*};
}

to_value! {
    bool, value, writer => writer.bool(*value);
    u8, value, writer => writer.u32((*value).into());
    u16, value, writer => writer.u32((*value).into());
    u32, value, writer => writer.u32(*value);
    u64, value, writer => writer.u64(*value);
    i8, value, writer => writer.i64((*value).into());
    i16, value, writer => writer.i64((*value).into());
    i32, value, writer => writer.i64((*value).into());
    i64, value, writer => writer.i64(*value);
    f32, value, writer => writer.value(value);
    f64, value, writer => writer.value(value);
    str, value, writer => writer.text(value);
    [u8], value, writer => writer.bytes(value);
    (), _value, writer => writer.null();
    ByteString<'_>, value, writer => writer.string(MAJOR_BYTES, value);
    Text<'_>, value, writer => {
        writer.len_head(MAJOR_TEXT, value.as_bytes().len())?;
        value.as_bytes().chunks().try_for_each(|chunk| writer.raw(chunk))
    };
    Value<'_>, value, writer => writer.raw(value.as_cbor());
    Args<'_>, value, writer => writer.raw(value.as_cbor());
    EncodedArgs<'_>, value, writer => writer.raw(value.as_cbor());
}

impl<const N: usize> ToValue for [u8; N] {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        to.bytes(self)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        match self {
            Some(value) => value.write(to),
            None => to.null(),
        }
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        (**self).write(to)
    }
}

/// A value as minicbor encodes it, with floats in their shortest form.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Minicbor<T>(pub T);

impl<T: minicbor::Encode<()>> ToValue for Minicbor<T> {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        to.value(&self.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::cbor;
    use super::*;

    fn written(value: &(impl ToValue + ?Sized)) -> Vec<u8> {
        let mut memory = [0; 512];
        let mut writer = CborWriter::new(&mut memory);
        value.write(&mut writer).unwrap();
        writer.finish().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn by_hand_as_by_minicbor(any in cbor(), n: u64, shift in 0u32..64, single: f32, double: f64, text in ".{0,40}") {
            let n = n >> shift;
            macro_rules! same {
                ($($value:expr),*) => {$(
                    prop_assert_eq!(written(&$value), written(&Minicbor($value)));
                    prop_assert_eq!(written(&Some($value)), written(&$value));
                )*};
            }
            let [a, b, c, d, ..] = n.to_le_bytes();
            same!(n, n % 2 == 0, a, u16::from_le_bytes([a, b]), u32::from_le_bytes([a, b, c, d]));
            same!(!(n as i64), n as i64, a as i8, i16::from_le_bytes([a, b]), i32::from_le_bytes([a, b, c, d]));
            same!(single, double, text.as_str());
            prop_assert_eq!(written(text.as_bytes()), written(&Minicbor(minicbor::bytes::ByteVec::from(text.as_bytes().to_vec()))));
            let any = any.to_vec();
            if any.len() < 500 {
                prop_assert_eq!(written(&Value::from_cbor(&any).unwrap()), any);
            }
        }
    }

    #[test]
    fn others() {
        assert_eq!(written(&()), b"\xf6");
        assert_eq!(written(&None::<u8>), b"\xf6");
        assert_eq!(written(&[7; 3]), b"\x43\x07\x07\x07");
        assert_eq!(written(&EncodedArgs::EMPTY), b"\xa0");
        assert_eq!(written(&Minicbor((1u8, "x"))), b"\x82\x01\x61x");
    }

    #[test]
    fn strings_in_pieces_are_joined() {
        let bytes = b"\x5f\x41a\x42bc\xff";
        let string = Value::from_cbor(bytes).unwrap().as_bytes().unwrap();
        assert_eq!(written(&string), b"\x43abc");
        let text = Text::from_any(Value::from_cbor(b"\x7f\x61a\x62bc\xff").unwrap()).unwrap();
        assert_eq!(written(&text), b"\x63abc");
    }
}
