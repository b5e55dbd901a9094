//! Types that a service names: enums and structs.

use crate::cbor::{FromValue, Text, Value};

/// Declares types for the arguments and answers of services: enums of names, and structs.
///
/// An enum is sent as the name of its variant as it is written, or the one after
/// `as`; a struct as a map. A field of a struct that is an `Option` may be missing; fields that a reader
/// does not know are ignored, so that more may be added. All of them are `Clone`, `Copy`, `Debug` and
/// `PartialEq`, so their fields are; they borrow nothing.
///
/// ```
/// hgrpc::types! {
///     /// What the lamp shines in.
///     pub enum Colour {
///         red,
///         WarmWhite as "warm-white",
///     }
///
///     /// What the sensor says.
///     pub struct Reading {
///         /// In tenths of a degree.
///         pub temperature: i16,
///         pub humidity: Option<u8>,
///     }
/// }
///
/// use hgrpc::cbor::{FromValue, Value};
/// let value = Value::from_cbor(b"\x6awarm-white").unwrap();
/// assert_eq!(Colour::from_value(value), Some(Colour::WarmWhite));
/// let value = Value::from_cbor(b"\xa1\x4btemperature\x18\xdc").unwrap();
/// assert_eq!(Reading::from_value(value), Some(Reading { temperature: 220, humidity: None }));
/// ```
#[macro_export]
macro_rules! types {
    () => {};
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$vmeta:meta])* $variant:ident $(as $as:literal)?),+ $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(non_camel_case_types, reason = "a name may be written as it is sent")]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        const _: () = {
            const NAMES: &[&::core::primitive::str] = &[$($crate::types!(@name $variant $($as)?)),+];
            const ALL: &[$name] = &[$($name::$variant),+];

            impl $name {
                /// The name that is sent.
                const fn name_in_hgrpc(self) -> &'static ::core::primitive::str {
                    match self {
                        $(Self::$variant => $crate::types!(@name $variant $($as)?),)+
                    }
                }
            }
            impl<'a> $crate::cbor::FromValue<'a> for $name {
                fn from_value(value: $crate::cbor::Value<'a>) -> ::core::option::Option<Self> {
                    ALL.get($crate::service::index_of_name(value, NAMES)?).copied()
                }
            }
            impl $crate::cbor::ToValue for $name {
                fn write(
                    &self,
                    to: &mut $crate::cbor::CborWriter<'_>,
                ) -> ::core::result::Result<(), $crate::ApiMisuse> {
                    to.text(self.name_in_hgrpc())
                }
            }
            impl $crate::service::Typed for $name {
                const TYPE: $crate::service::Type = $crate::service::Type::Names(NAMES);
            }
            impl<'s, C: $crate::service::Constant<Type = $name>> $crate::service::ToScalar<'s, C> for $name {
                const SCALAR: $crate::service::Scalar<'s> =
                    $crate::service::Scalar::Text(C::VALUE.name_in_hgrpc());
            }
            $crate::types!(@single $name);
        };
        $crate::types! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$fmeta:meta])* $fvis:vis $field:ident $(as $as:literal)? : $type:ty),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $type),* }

        const _: () = {
            const FIELDS: &[$crate::service::Field] = &[$($crate::service::Field {
                name: $crate::types!(@name $field $($as)?),
                of: <$type as $crate::service::Typed>::TYPE,
            }),*];

            impl<'a> $crate::cbor::FromValue<'a> for $name {
                fn from_value(value: $crate::cbor::Value<'a>) -> ::core::option::Option<Self> {
                    value.entries()?;
                    ::core::option::Option::Some(Self {
                        $($field: $crate::service::read_field(
                            value,
                            $crate::types!(@name $field $($as)?),
                        )?,)*
                    })
                }
            }
            impl $crate::cbor::ToValue for $name {
                fn write(
                    &self,
                    to: &mut $crate::cbor::CborWriter<'_>,
                ) -> ::core::result::Result<(), $crate::ApiMisuse> {
                    to.map(FIELDS.len())?;
                    $(
                        to.bytes(::core::primitive::str::as_bytes($crate::types!(@name $field $($as)?)))?;
                        $crate::cbor::ToValue::write(&self.$field, to)?;
                    )*
                    ::core::result::Result::Ok(())
                }
            }
            impl $crate::service::Typed for $name {
                const TYPE: $crate::service::Type = $crate::service::Type::Fields(FIELDS);
            }
            impl<'s, C: $crate::service::Constant<Type = $name>> $crate::service::ToScalar<'s, C> for $name {
                const SCALAR: $crate::service::Scalar<'s> = $crate::service::Scalar::Other;
            }
            $crate::types!(@single $name);
        };
        $crate::types! { $($rest)* }
    };
    (@name $name:ident) => { ::core::stringify!($name) };
    (@name $name:ident $as:literal) => { $as };
    (@single $name:ident) => {
        impl $crate::service::Single for $name {
            type Of<'v> = Self;
            type Owned = Self;
        }
    };
}

/// The place of a string among names.
#[doc(hidden)]
pub fn index_of_name(value: Value<'_>, names: &[&str]) -> Option<usize> {
    let text = Text::from_any(value)?.as_bytes();
    names.iter().position(|name| text == **name)
}

/// A struct's field, by a key that is a byte string or text.
#[doc(hidden)]
pub fn read_field<'a, T: FromValue<'a>>(value: Value<'a>, key: &str) -> Option<T> {
    let is_key = |name: Value<'a>| index_of_name(name, &[key]).is_some();
    match value.entries()?.find(|(name, _)| is_key(*name)) {
        Some((_, value)) => T::from_value(value),
        None => T::missing(),
    }
}
