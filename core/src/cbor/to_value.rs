//! Values that are written without minicbor: what answers are made of.
//!
//! The mirror of [`FromValue`](super::FromValue).

use super::{Args, ByteString, CborWriter, EncodedArgs, MAJOR_BYTES, MAJOR_TEXT, Text, Value};
use crate::{ApiMisuse, KeyOrder};

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

    /// Writes the value with the keys of its maps in this order: answers are in that of their
    /// revision. [`write`](Self::write) has the order of 0003 and 0005.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    fn write_ordered(&self, to: &mut CborWriter<'_>, _order: KeyOrder) -> Result<(), ApiMisuse> {
        self.write(to)
    }
}

/// Makes a struct of a command's results, which is written as a map: the counterpart of
/// [`args!`](crate::args).
///
/// A field is an entry with the field's name as its key, or the key given after it in parentheses. A
/// field's type is any that implements [`ToValue`](crate::cbor::ToValue), such a struct too; `None` is
/// `null`. The map's length and the order of its keys, which is that of the revision, are known when
/// the program is compiled. Two fields of one key do not compile. A struct may have one lifetime.
///
/// ```
/// use hgrpc::cbor::{CborWriter, ToValue};
///
/// hgrpc::results! {
///     /// The answer to `temperature`.
///     pub struct Temperature<'a> {
///         /// In thousandths of a degree.
///         pub millis("milli-celsius"): i32,
///         pub sensor: &'a str,
///     }
/// }
///
/// let mut memory = [0; 64];
/// let mut writer = CborWriter::new(&mut memory);
/// Temperature { millis: 21_500, sensor: "soil" }.write(&mut writer)?;
/// // {"sensor": "soil", "milli-celsius": 21500}
/// assert_eq!(writer.finish(), b"\xa2\x46sensor\x64soil\x4dmilli-celsius\x19\x53\xfc");
/// # Ok::<(), hgrpc::ApiMisuse>(())
/// ```
#[macro_export]
macro_rules! results {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$fmeta:meta])*
                $fvis:vis $field:ident $(($key:literal))? : $type:ty
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name $(<$life>)? {
            $($(#[$fmeta])* $fvis $field: $type,)*
        }
        impl $(<$life>)? $crate::cbor::ToValue for $name $(<$life>)? {
            fn write(
                &self,
                to: &mut $crate::cbor::CborWriter<'_>,
            ) -> ::core::result::Result<(), $crate::ApiMisuse> {
                $crate::cbor::ToValue::write_ordered(self, to, $crate::KeyOrder::ShorterFirst)
            }

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn write_ordered(
                &self,
                to: &mut $crate::cbor::CborWriter<'_>,
                order: $crate::KeyOrder,
            ) -> ::core::result::Result<(), $crate::ApiMisuse> {
                const KEYS: &[&str] = &[$($crate::args!(@key $field $($key)?)),*];
                const SHORTER_FIRST: [usize; KEYS.len()] =
                    $crate::cbor::sorted_keys(KEYS, $crate::KeyOrder::ShorterFirst);
                const BYTEWISE: [usize; KEYS.len()] =
                    $crate::cbor::sorted_keys(KEYS, $crate::KeyOrder::Bytewise);
                to.map(KEYS.len())?;
                let sorted = match order {
                    $crate::KeyOrder::ShorterFirst => SHORTER_FIRST,
                    $crate::KeyOrder::Bytewise => BYTEWISE,
                };
                for place in sorted {
                    let mut at = 0usize;
                    $(
                        if at == place {
                            to.bytes(::core::primitive::str::as_bytes($crate::args!(@key $field $($key)?)))?;
                            $crate::cbor::ToValue::write_ordered(&self.$field, to, order)?;
                        }
                        at = at.wrapping_add(1);
                    )*
                }
                ::core::result::Result::Ok(())
            }
        }
    };
}

/// Returns the places of keys in this order, inside of [`results!`](crate::results).
///
/// # Panics
/// While a program is compiled: for two keys that are the same.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while a program is compiled"
)]
pub const fn sorted_keys<const N: usize>(keys: &[&str], order: KeyOrder) -> [usize; N] {
    let mut places = [0; N];
    let mut at = 0;
    while at < N {
        // How many keys come before this one.
        let (mut before, mut other) = (0, 0);
        while other < N {
            if other != at && comes_before(keys[other].as_bytes(), keys[at].as_bytes(), order) {
                before += 1;
            }
            other += 1;
        }
        places[before] = at;
        at += 1;
    }
    places
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it runs while a program is compiled"
)]
const fn comes_before(left: &[u8], right: &[u8], order: KeyOrder) -> bool {
    if matches!(order, KeyOrder::ShorterFirst) && left.len() != right.len() {
        return left.len() < right.len();
    }
    let mut at = 0;
    while at < left.len() && at < right.len() {
        if left[at] != right[at] {
            return left[at] < right[at];
        }
        at += 1;
    }
    assert!(left.len() != right.len(), "two fields have one key");
    left.len() < right.len()
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

    fn write_ordered(&self, to: &mut CborWriter<'_>, order: KeyOrder) -> Result<(), ApiMisuse> {
        match self {
            Some(value) => value.write_ordered(to, order),
            None => to.null(),
        }
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn write(&self, to: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        (**self).write(to)
    }

    fn write_ordered(&self, to: &mut CborWriter<'_>, order: KeyOrder) -> Result<(), ApiMisuse> {
        (**self).write_ordered(to, order)
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

    crate::results! {
        struct Inner {
            b: bool,
            aa: (),
        }
    }

    crate::results! {
        /// Keys of its own, in no order, with another one inside.
        struct Outer<'a> {
            total: u16,
            inner("a"): Option<Inner>,
            name: &'a str,
            bb: Option<i8>,
        }
    }

    crate::results! { struct Empty {} }

    #[test]
    fn results_are_maps_in_the_order_of_the_revision() {
        let outer = Outer {
            total: 300,
            inner: Some(Inner { b: true, aa: () }),
            name: "x",
            bb: None,
        };
        let ordered = |order| {
            let mut memory = [0; 64];
            let mut writer = CborWriter::new(&mut memory);
            outer.write_ordered(&mut writer, order).unwrap();
            writer.finish().to_vec()
        };
        let shorter =
            b"\xa4\x41a\xa2\x41b\xf5\x42aa\xf6\x42bb\xf6\x44name\x61x\x45total\x19\x01\x2c";
        assert_eq!(ordered(KeyOrder::ShorterFirst), shorter);
        assert_eq!(written(&outer), shorter);
        let bytewise =
            b"\xa4\x41a\xa2\x42aa\xf6\x41b\xf5\x42bb\xf6\x44name\x61x\x45total\x19\x01\x2c";
        assert_eq!(ordered(KeyOrder::Bytewise), bytewise);
        assert_eq!(written(&Empty {}), b"\xa0");
        // What is written is what `args!` reads.
        let args = Args::from_cbor(shorter).unwrap();
        assert_eq!(args.value::<u16>(b"total"), Ok(300));
        let mut writer = CborWriter::new(&mut []);
        assert_eq!(outer.write(&mut writer), Err(ApiMisuse::TooLarge));
    }

    #[test]
    fn others() {
        assert_eq!(written(&()), b"\xf6");
        assert_eq!(written(&None::<u8>), b"\xf6");
        assert_eq!(written(&[7u8; 3]), b"\x43\x07\x07\x07");
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
