//! A command's arguments.

use super::item::CborError;
use super::{ByteString, CborReader, Entries, Value};

/// Why an argument is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ArgError {
    /// There is no such argument.
    Missing,
    /// The argument is of another type, or out of the type's range.
    WrongType,
}

impl core::fmt::Display for ArgError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::WrongType => "of the wrong type",
        })
    }
}

impl core::error::Error for ArgError {}

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

/// A command's arguments: a map from byte strings to any values (messages.md, "Command request").
///
/// A view of the map's encoding. Look-up and iteration walk it: work is linear in its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Args<'a>(Value<'a>);

impl<'a> Args<'a> {
    /// No arguments.
    pub const EMPTY: Self = Self(Value::new_unchecked(&[0xa0]));

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
        let mut reader = CborReader::inside(bytes);
        let args = Self::read(&mut reader)?;
        if reader.is_empty() {
            Ok(args)
        } else {
            Err(CborError::Malformed)
        }
    }

    /// Takes an argument map off the front of what `reader` has left, in one pass.
    pub(super) fn read(reader: &mut CborReader<'a>) -> Result<Self, CborError> {
        let start = reader.rest();
        let mut items = reader.map()?;
        while reader.has_next(&mut items)? {
            reader.byte_string()?;
            reader.next_value()?;
        }
        let len = start.len().saturating_sub(reader.rest().len());
        Ok(Self(Value::new_unchecked(
            start.get(..len).unwrap_or_default(),
        )))
    }

    /// The whole map's encoding, as it was received; an empty map if there was none.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    /// All keys and values, repeated keys included, in the order in which they came.
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter(self.0.entries())
    }

    /// The first value with this key.
    pub fn find(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter()
            .find(|(k, _)| *k == *key)
            .map(|(_, value)| value)
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
/// parentheses. A field's type is any that implements `minicbor::Decode`. An `Option` is `None` if
/// the argument is missing or `null`; a field with a value after `=` has that value if the argument
/// is missing; any other is required. Arguments that no field names are ignored. A struct may have
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
        $crate::args!(@impl [$($life)?] $name {
            $($field ($crate::args!(@key $field $($key)?)) ($($default)?))*
        });
    };
    (@key $field:ident) => { ::core::stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@impl [$life:lifetime] $name:ident $fields:tt) => {
        impl<$life> $name<$life> {
            $crate::args!(@from $life $fields);
        }
    };
    (@impl [] $name:ident $fields:tt) => {
        impl $name {
            $crate::args!(@from 'args_of_hgrpc [<'args_of_hgrpc>] $fields);
        }
    };
    (@from $life:lifetime $([$($generics:tt)*])? { $($field:ident ($key:expr) ($($default:expr)?))* }) => {
        /// Takes the arguments that the fields name.
        ///
        /// # Errors
        /// The first field that cannot be filled, and why.
        #[allow(unused_variables)]
        pub fn from_args $($($generics)*)? (
            args: &$crate::cbor::Args<$life>,
        ) -> ::core::result::Result<Self, $crate::cbor::ArgsError> {
            ::core::result::Result::Ok(Self {
                $($field: match $crate::args!(@get args $key, $($default)?) {
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
    (@get $args:ident $key:expr,) => {
        $args.value(::core::primitive::str::as_bytes($key))
    };
    (@get $args:ident $key:expr, $default:expr) => {
        match $args.value(::core::primitive::str::as_bytes($key)) {
            ::core::result::Result::Err($crate::cbor::ArgError::Missing) => {
                ::core::result::Result::Ok($default)
            }
            other => other,
        }
    };
}
