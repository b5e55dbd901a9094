//! A command's arguments.

use super::cursor::Cursor;
use super::item::{CborError, MAJOR_MAP};
use super::{ByteString, Entries, Value, usual};
use crate::tuned::IS_SMALL;

/// Why an argument is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ArgError {
    /// There is no such argument.
    Missing,
    /// The argument is of another type.
    WrongType,
    /// The argument is an integer, as it should be, but too large or too small for its type.
    OutOfRange,
}

impl core::fmt::Display for ArgError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::WrongType => "of the wrong type",
            Self::OutOfRange => "out of range",
        })
    }
}

impl core::error::Error for ArgError {}

impl ArgError {
    /// The message of a command that fails because of an argument, with `%s` for its key: what
    /// [`ArgsError`] shows.
    pub(crate) const fn message(self) -> &'static [u8] {
        match self {
            Self::Missing => b"argument `%s` is missing",
            Self::WrongType => b"argument `%s` is of the wrong type",
            Self::OutOfRange => b"argument `%s` is out of range",
        }
    }
}

/// Why a struct made by [`args!`](crate::args) cannot be filled: which argument, and what is
/// wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArgsError {
    /// The argument's key.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: ArgError,
}

impl core::fmt::Display for ArgsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("argument `")?;
        f.write_str(self.key)?;
        f.write_str("` is ")?;
        core::fmt::Display::fmt(&self.why, f)
    }
}

impl core::error::Error for ArgsError {}

/// Arguments as a type of their own: every struct made by [`args!`](crate::args) is one.
///
/// A type that borrows nothing is one for every lifetime, so that frameworks can take it as a
/// handler's parameter.
pub trait FromArgs<'a>: Sized {
    /// Takes the arguments that the type names.
    ///
    /// # Errors
    /// The first field that cannot be filled, and why.
    fn from_args(args: &Args<'a>) -> Result<Self, ArgsError>;
}

/// A command's arguments: a map from byte strings to any values (messages.md, "Command request").
///
/// A view of the map's encoding. Look-up and iteration walk it: work is linear in its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Args<'a>(Value<'a>);

impl<'a> Args<'a> {
    /// No arguments.
    pub const EMPTY: Self = Self(Value::EMPTY_MAP);

    /// Takes a value that is a valid argument map.
    #[inline]
    pub(super) const fn of(map: Value<'a>) -> Self {
        Self(map)
    }

    /// Takes bytes that are a valid argument map.
    pub(super) const fn new_unchecked(bytes: &'a [u8]) -> Self {
        Self(Value::new_unchecked(bytes))
    }

    /// The arguments in this encoded map; also for tests of command handlers.
    ///
    /// # Errors
    /// If the bytes are not exactly one map with byte strings as keys, at most
    /// [`MAX_NESTING`](super::MAX_NESTING) levels deep with the request around it.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        // Refused at its first byte, even if the rest of its head is not there.
        if bytes
            .first()
            .is_some_and(|initial| initial >> 5 != MAJOR_MAP)
        {
            return Err(CborError::Malformed);
        }
        let mut cursor = Cursor::new(bytes);
        cursor.args().ok_or(cursor.error())?;
        if cursor.rest().is_empty() {
            Ok(Self::new_unchecked(bytes))
        } else {
            Err(CborError::Malformed)
        }
    }

    /// The whole map's encoding, as it was received; an empty map if there was none.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    /// All keys and values, repeated keys included, in the order in which they came.
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter(self.0.entries())
    }

    /// All keys and values, the keys as they are encoded.
    pub(crate) fn pairs(&self) -> Option<Entries<'a>> {
        self.0.entries()
    }

    /// The first value with this key.
    pub fn find(&self, key: &[u8]) -> Option<Value<'a>> {
        let usual = if IS_SMALL {
            None
        } else {
            usual::find(self.as_cbor(), key)
        };
        usual.unwrap_or_else(|| self.find_of_all(key))
    }

    /// [`find`](Self::find), however the map is written.
    #[inline(never)]
    pub(super) fn find_of_all(&self, key: &[u8]) -> Option<Value<'a>> {
        let mut cursor = Cursor::new(self.as_cbor());
        let mut pairs = cursor.enter(MAJOR_MAP)?;
        while let Some(left) = cursor.next(pairs) {
            pairs = left;
            let is_key = Value::new_unchecked(cursor.known_value()?).is_bytes(key);
            let value = cursor.known_value()?;
            if is_key {
                return Some(Value::new_unchecked(value));
            }
        }
        None
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The first value with this key as any type that minicbor can decode; [`ByteString`],
    /// [`Text`](super::Text) and [`Value`] are such types. An `Option` is `None` if the key is
    /// missing or its value `null`.
    ///
    /// # Errors
    /// [`ArgError::Missing`] or [`ArgError::WrongType`].
    pub fn value<T: minicbor::Decode<'a, ()>>(&self, key: &[u8]) -> Result<T, ArgError> {
        match self.find(key) {
            Some(value) => value.decode(),
            None => T::nil().ok_or(ArgError::Missing),
        }
    }

    /// Like [`value`](Self::value), but `None` if the key is missing or its value `null`.
    ///
    /// # Errors
    /// [`ArgError::WrongType`].
    pub fn optional<T: minicbor::Decode<'a, ()>>(&self, key: &[u8]) -> Result<Option<T>, ArgError> {
        match self.find(key) {
            Some(value) if !value.is_null() => value.decode().map(Some),
            _ => Ok(None),
        }
    }
}

impl Default for Args<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = (ByteString<'a>, Value<'a>);
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Args<'a> {
    type Item = (ByteString<'a>, Value<'a>);
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// Keys and values of [`Args`]; made by [`Args::iter`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArgsIter<'a>(Option<Entries<'a>>);

impl<'a> Iterator for ArgsIter<'a> {
    type Item = (ByteString<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.0.as_mut()?.next()?;
        Some((key.as_bytes()?, value))
    }
}

impl core::iter::FusedIterator for ArgsIter<'_> {}

/// Makes a struct of a command's arguments, with `from_args` to fill it from [`Args`].
///
/// A field is an argument with the field's name as its key, or the key given after it in
/// parentheses. A field's type is any that implements [`FromValue`](crate::cbor::FromValue) or
/// `minicbor::Decode`. An `Option` is `None` if
/// the argument is missing or `null`; a field with a value after `=` has that value if the argument
/// is missing; any other is required. With the feature `alloc` a field may be a `String` or a `Vec<u8>`,
/// from text and from byte strings. Arguments that no field names are ignored. A struct may have
/// one lifetime: that of the bytes which it borrows.
///
/// ```
/// hgrpc::args! {
///     /// Arguments of `led`.
///     #[derive(Debug)]
///     pub struct LedArgs<'a> {
///         /// Whether to light it.
///         pub on: bool,
///         /// Brightness in percent.
///         pub level: u8 = 100,
///         /// Which one; the first if not given.
///         pub name("led-name"): Option<hgrpc::cbor::Text<'a>>,
///     }
/// }
///
/// // {"on": true}
/// let args = hgrpc::cbor::Args::from_cbor(b"\xa1\x42on\xf5").unwrap();
/// let led = LedArgs::from_args(&args).unwrap();
/// assert!(led.on && led.level == 100 && led.name.is_none());
///
/// let error = LedArgs::from_args(&hgrpc::cbor::Args::EMPTY).unwrap_err();
/// assert_eq!(error.to_string(), "argument `on` is missing");
/// ```
#[macro_export]
macro_rules! args {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$fmeta:meta])*
                $fvis:vis $field:ident $(($key:literal))? : $type:ty $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name $(<$life>)? {
            $($(#[$fmeta])* $fvis $field: $type,)*
        }
        $crate::args!(@impl [$vis] [$($life)?] $name {
            $($field ($type) ($crate::args!(@key $field $($key)?)) ($($default)?))*
        });
    };
    (@key $field:ident) => { ::core::stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@impl [$vis:vis] [$life:lifetime] $name:ident $fields:tt) => {
        impl<$life> $name<$life> {
            $crate::args!(@from [$vis] $life $fields);
        }
        impl<$life> $crate::cbor::FromArgs<$life> for $name<$life> {
            fn from_args(args: &$crate::cbor::Args<$life>) -> ::core::result::Result<Self, $crate::cbor::ArgsError> {
                <$name<$life>>::from_args(args)
            }
        }
    };
    (@impl [$vis:vis] [] $name:ident $fields:tt) => {
        impl $name {
            $crate::args!(@from [$vis] 'args_of_hgrpc [<'args_of_hgrpc>] $fields);
        }
        impl<'args_of_hgrpc> $crate::cbor::FromArgs<'args_of_hgrpc> for $name {
            fn from_args(
                args: &$crate::cbor::Args<'args_of_hgrpc>,
            ) -> ::core::result::Result<Self, $crate::cbor::ArgsError> {
                <$name>::from_args(args)
            }
        }
    };
    (@from [$vis:vis] $life:lifetime $([$($generics:tt)*])? { $($field:ident ($type:ty) ($key:expr) ($($default:expr)?))* }) => {
        /// Takes the arguments that the fields name.
        ///
        /// # Errors
        /// The first field that cannot be filled, and why.
        #[allow(unused_variables, unused_imports)]
        $vis fn from_args $($($generics)*)? (
            args: &$crate::cbor::Args<$life>,
        ) -> ::core::result::Result<Self, $crate::cbor::ArgsError> {
            use $crate::cbor::{ByHand as _, ByMinicbor as _};
            ::core::result::Result::Ok(Self {
                $($field: match $crate::args!(@get args $type, $key, $($default)?) {
                    ::core::result::Result::Ok(value) => value,
                    ::core::result::Result::Err(why) => {
                        return ::core::result::Result::Err($crate::cbor::ArgsError {
                            key: $key,
                            why,
                        });
                    }
                },)*
            })
        }
    };
    (@get $args:ident $type:ty, $key:expr,) => {
        (&$crate::cbor::Field::<$type>(::core::marker::PhantomData))
            .read($args, ::core::primitive::str::as_bytes($key))
    };
    (@get $args:ident $type:ty, $key:expr, $default:expr) => {
        match $crate::args!(@get $args $type, $key,) {
            ::core::result::Result::Err($crate::cbor::ArgError::Missing) => {
                ::core::result::Result::Ok($default)
            }
            other => other,
        }
    };
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String, ToString};

    use super::super::Text;
    use super::super::testing::hex;
    use super::*;

    crate::args! {
        /// Without a lifetime.
        #[derive(Debug, PartialEq)]
        struct Led {
            on: bool,
            level: u8 = 7,
            shade: Option<i16>,
        }
    }

    crate::args! {
        /// With one, and names of its own.
        #[derive(Debug)]
        pub(super) struct Named<'b> {
            pub r#type("type"): ByteString<'b>,
            /// Text.
            pub text: Text<'b> = Text::new("none"),
            any("any-value"): Option<Value<'b>>
        }
    }

    crate::args! { struct Empty {} }

    #[test]
    fn structs_are_filled() {
        let bytes = hex("a3 426f6e f5 456c6576656c 18ff 457368616465 20");
        let led = Led::from_args(&Args::from_cbor(&bytes).unwrap());
        let expected = Led {
            on: true,
            level: 255,
            shade: Some(-1),
        };
        assert_eq!(led, Ok(expected));
        let bytes = hex("a2 426f6e f4 457368616465 f6");
        let led = Led::from_args(&Args::from_cbor(&bytes).unwrap());
        assert_eq!(
            led,
            Ok(Led {
                on: false,
                level: 7,
                shade: None
            })
        );

        for (bytes, key, why) in [
            ("a0", "on", ArgError::Missing),
            ("a1426f6e01", "on", ArgError::WrongType),
            ("a1426f6ef6", "on", ArgError::WrongType),
            (
                "a2426f6ef5456c6576656c190100",
                "level",
                ArgError::OutOfRange,
            ),
            ("a2426f6ef5456c6576656c20", "level", ArgError::OutOfRange),
            ("a2426f6ef5456c6576656cf6", "level", ArgError::WrongType),
            ("a2426f6ef545736861646540", "shade", ArgError::WrongType),
            (
                "a2426f6ef5457368616465199000",
                "shade",
                ArgError::OutOfRange,
            ),
        ] {
            let bytes = hex(bytes);
            let error = Led::from_args(&Args::from_cbor(&bytes).unwrap());
            assert_eq!(error, Err(ArgsError { key, why }));
        }

        // type: a chunked string; text as a byte string; any: an array.
        let bytes = hex("a3 4474797065 5f41614162ff 4474657874 43e29883 49616e792d76616c7565 8101");
        let named = Named::from_args(&Args::from_cbor(&bytes).unwrap()).unwrap();
        assert_eq!(named.r#type, "ab");
        assert_eq!(named.text.as_str(), Some("\u{2603}"));
        assert!(named.any.unwrap().is_array());
        assert!(Empty::from_args(&Args::EMPTY).is_ok());
    }

    #[cfg(feature = "alloc")]
    crate::args! {
        /// Owned strings.
        #[derive(Debug)]
        struct Owned {
            name: String,
            data: std::vec::Vec<u8>,
            note: Option<String>,
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn owned_strings_are_of_either_kind() {
        // As byte strings, as text strings, and in chunks.
        for (name, data) in [
            ("43e29883", "43e29883"),
            ("63e29883", "63e29883"),
            ("5f41e24298 83ff", "5f42e29841 83ff"),
            ("7f63e2988360ff", "7f63e29883ff"),
        ] {
            let bytes = hex(&std::format!("a2 446e616d65 {name} 4464617461 {data}"));
            let owned = Owned::from_args(&Args::from_cbor(&bytes).unwrap()).unwrap();
            assert_eq!(
                (&*owned.name, &*owned.data),
                ("\u{2603}", "\u{2603}".as_bytes())
            );
            assert_eq!(owned.note, None);
        }
        for (name, why) in [("41ff", ArgError::WrongType), ("01", ArgError::WrongType)] {
            let bytes = hex(&std::format!("a2 446e616d65 {name} 4464617461 40"));
            let error = Owned::from_args(&Args::from_cbor(&bytes).unwrap()).unwrap_err();
            assert_eq!(error, ArgsError { key: "name", why });
        }
    }

    #[test]
    fn single_values_are_typed() {
        let bytes = hex("a4 4161 01 4162 f6 4163 63616263 4164 f93e00");
        let args = Args::from_cbor(&bytes).unwrap();
        assert_eq!(args.value::<u8>(b"a"), Ok(1));
        assert_eq!(args.value::<Option<u8>>(b"b"), Ok(None));
        let bytes = hex("a2 4161 190100 4162 20");
        let large = Args::from_cbor(&bytes).unwrap();
        assert_eq!(large.value::<u8>(b"a"), Err(ArgError::OutOfRange));
        assert_eq!(large.optional::<u8>(b"b"), Err(ArgError::OutOfRange));
        assert_eq!(large.value::<bool>(b"a"), Err(ArgError::WrongType));
        assert_eq!(args.value::<Option<u8>>(b"z"), Ok(None));
        assert_eq!(args.value::<u8>(b"z"), Err(ArgError::Missing));
        assert_eq!(args.value::<&str>(b"c"), Ok("abc"));
        assert_eq!(args.value::<String>(b"c"), Ok("abc".to_string()));
        assert_eq!(args.value::<bool>(b"c"), Err(ArgError::WrongType));
        assert_eq!(args.optional::<bool>(b"c"), Err(ArgError::WrongType));
        assert_eq!(args.optional::<u8>(b"b"), Ok(None));
        assert_eq!(args.optional::<u8>(b"z"), Ok(None));
        assert_eq!(args.optional::<u8>(b"a"), Ok(Some(1)));
        // The first one counts, and a type that reads less than the value is the wrong one.
        let bytes = hex("a2 4161 8101 4161 01");
        let args = Args::from_cbor(&bytes).unwrap();
        assert_eq!(args.value::<u8>(b"a"), Err(ArgError::WrongType));
        assert_eq!(args.value::<[u8; 1]>(b"a"), Ok([1]));
    }

    #[test]
    fn only_maps_of_byte_strings_are_arguments() {
        for bytes in ["", "80", "a1", "a16161 01", "a0a0", "a1 01 01"] {
            assert!(Args::from_cbor(&hex(bytes)).is_err(), "{bytes}");
        }
    }
}
