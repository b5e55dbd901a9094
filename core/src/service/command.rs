//! Finds the command of a declaration that a request names, and reads its arguments.

use crate::cbor::{FromValue, Value};
use crate::server;

/// A command as requests are checked against it. `P` names it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Declared<P: 'static> {
    pub place: P,
    pub name: &'static str,
    pub keys: &'static [&'static str],
    pub takes_data: bool,
}

/// Why a command cannot be run, and the name that this is about: an argument's, or the command's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Problem<'a> {
    /// Why.
    pub why: Why,
    /// The name; empty where the peer's is in chunks, or where there is none.
    pub name: &'a [u8],
}

/// Why a command cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Why {
    /// There is no such command.
    UnknownCommand,
    /// The command has no such argument.
    UnknownArgument,
    /// The argument is missing.
    Missing,
    /// The argument is of another type, or out of its type's range.
    WrongType,
    /// The argument is out of its declared range.
    OutOfRange,
    /// The command takes no data.
    UnexpectedData,
    /// The command takes data.
    MissingData,
    /// Nothing is wrong: the description is the answer.
    #[doc(hidden)]
    Described,
}

impl Why {
    /// The message with `%s` for the name, and what is said where there is no room for a name; that fits
    /// 64 bytes of output.
    pub(super) const fn messages(self) -> [&'static [u8]; 2] {
        match self {
            Self::UnknownCommand => [b"unknown command: %s", b"unknown command"],
            Self::UnknownArgument => [b"unknown argument: %s", b"unknown argument"],
            Self::Missing => [b"argument `%s` is missing", b"an argument is missing"],
            Self::WrongType => [b"argument `%s` is of the wrong type", b"wrong type"],
            Self::OutOfRange => [b"argument `%s` is out of range", b"out of range"],
            Self::UnexpectedData => [b"the command takes no data", b"takes no data"],
            Self::MissingData => [b"the command takes data", b"takes data"],
            Self::Described => [b"", b""],
        }
    }
}

/// Most arguments that a command of these has.
#[doc(hidden)]
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
pub const fn most_arguments<P>(commands: &[Declared<P>]) -> usize {
    let (mut most, mut at) = (0, 0);
    while at < commands.len() {
        if commands[at].keys.len() > most {
            most = commands[at].keys.len();
        }
        at += 1;
    }
    most
}

/// Finds the command that is meant, and puts its arguments where their keys are among those declared. Of
/// one that comes twice the first counts. Work is linear in the request and the declaration.
#[doc(hidden)]
#[inline(never)]
pub fn look_up<'a, P: Copy>(
    commands: &'static [Declared<P>],
    command: &server::Command<'a>,
    found: &mut [Option<Value<'a>>],
) -> Result<P, Problem<'a>> {
    let has_data = command.data_follows || command.data.is_some();
    look_up_parts(commands, command.name, command.args, has_data, found)
}

/// [`look_up`] of a request in parts.
#[doc(hidden)]
pub fn look_up_parts<'a, P: Copy>(
    commands: &'static [Declared<P>],
    name: Value<'a>,
    args: crate::cbor::Args<'a>,
    has_data: bool,
    found: &mut [Option<Value<'a>>],
) -> Result<P, Problem<'a>> {
    let Some(declared) = commands.iter().find(|c| name.is_bytes(c.name.as_bytes())) else {
        let why = if name.is_bytes(b"capabilities") {
            Why::Described
        } else {
            Why::UnknownCommand
        };
        return Err(Problem::of(why, name));
    };
    if declared.takes_data != has_data {
        let why = if has_data {
            Why::UnexpectedData
        } else {
            Why::MissingData
        };
        return Err(Problem { why, name: b"" });
    }
    sort(args, declared.keys, found)?;
    Ok(declared.place)
}

/// Puts arguments where their keys are.
#[inline(never)]
fn sort<'a>(
    args: crate::cbor::Args<'a>,
    keys: &[&str],
    found: &mut [Option<Value<'a>>],
) -> Result<(), Problem<'a>> {
    for (key, value) in args.pairs().into_iter().flatten() {
        let mut slots = keys.iter().zip(found.iter_mut());
        let Some((_, slot)) = slots.find(|(known, _)| key.is_bytes(known.as_bytes())) else {
            return Err(Problem::of(Why::UnknownArgument, key));
        };
        slot.get_or_insert(value);
    }
    Ok(())
}

impl<'a> Problem<'a> {
    /// A problem with something that the peer named.
    fn of(why: Why, name: Value<'a>) -> Self {
        let name = name.as_bytes().and_then(|name| name.as_slice());
        Self {
            why,
            name: name.unwrap_or_default(),
        }
    }

    /// A problem with an argument that is declared.
    const fn with(why: Why, key: &'static str) -> Self {
        Self {
            why,
            name: key.as_bytes(),
        }
    }
}

impl core::fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [message, _] = self.why.messages();
        let message = core::str::from_utf8(message).unwrap_or_default();
        match message.split_once("%s") {
            Some((before, after)) => {
                f.write_str(before)?;
                crate::cbor::Escaped(core::str::from_utf8(self.name).unwrap_or("?")).fmt(f)?;
                f.write_str(after)
            }
            None => f.write_str(message),
        }
    }
}

impl core::error::Error for Problem<'_> {}

/// Reads an argument that has no default.
#[doc(hidden)]
pub fn required<'a, T: FromValue<'a>>(
    value: Option<Value<'a>>,
    key: &'static str,
) -> Result<T, Problem<'a>> {
    match value {
        Some(value) => T::from_value(value).ok_or(Problem::with(Why::WrongType, key)),
        None => T::missing().ok_or(Problem::with(Why::Missing, key)),
    }
}

/// Reads an argument that has a default.
#[doc(hidden)]
pub fn optional<'a, T: FromValue<'a>>(
    value: Option<Value<'a>>,
    key: &'static str,
    default: T,
) -> Result<T, Problem<'a>> {
    match value {
        Some(value) => T::from_value(value).ok_or(Problem::with(Why::WrongType, key)),
        None => Ok(default),
    }
}

/// Holds an argument to its bounds.
#[doc(hidden)]
#[inline]
pub fn within<'a, T>(value: T, key: &'static str, is_within: bool) -> Result<T, Problem<'a>> {
    if is_within {
        Ok(value)
    } else {
        Err(Problem::with(Why::OutOfRange, key))
    }
}
