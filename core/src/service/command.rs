//! Finds the command of a declaration that a request names, and reads its arguments.

use crate::cbor::{ArgError, Args, Escaped, FromValue, Value};
use crate::connection::{UNKNOWN_COMMAND, UNKNOWN_COMMAND_SHORT, WRONG_ARGUMENTS};
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
    /// The message, with `%s` for the name that it is about.
    pub(super) const fn format(self) -> &'static [u8] {
        match self {
            Self::UnknownCommand => UNKNOWN_COMMAND,
            Self::UnknownArgument => b"unknown argument: %s",
            Self::Missing => ArgError::Missing.message(),
            Self::WrongType => ArgError::WrongType.message(),
            Self::OutOfRange => ArgError::OutOfRange.message(),
            Self::UnexpectedData => b"the command takes no data",
            Self::MissingData => b"the command takes data",
            Self::Described => b"",
        }
    }

    /// What is said where there is no room for more; it fits 64 bytes of output.
    pub(super) const fn short(self) -> &'static [u8] {
        match self {
            Self::UnknownCommand => UNKNOWN_COMMAND_SHORT,
            _ => WRONG_ARGUMENTS,
        }
    }
}

/// Most arguments that a command of these has.
#[doc(hidden)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler"
)]
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

/// A request, as its command is found and its arguments are taken.
#[doc(hidden)]
#[derive(Debug)]
pub struct Lookup<'f, 'a> {
    found: &'f mut [Option<Value<'a>>],
    /// The keys of the command that is found.
    keys: &'static [&'static str],
    problem: Problem<'a>,
}

impl<'f, 'a> Lookup<'f, 'a> {
    /// Of each argument that the command declares there will be a value in `found`, or none.
    pub const fn new(found: &'f mut [Option<Value<'a>>]) -> Self {
        Self {
            found,
            keys: &[],
            problem: Problem {
                why: Why::Described,
                name: b"",
            },
        }
    }

    /// Finds the command that a device was asked for, and takes in its arguments. Work is linear in the
    /// request and the declaration.
    pub fn find<P: Copy>(
        &mut self,
        commands: &'static [Declared<P>],
        command: &server::Command<'a>,
    ) -> Option<P> {
        // In parts, so that the command need not lie in memory.
        let has_data = command.data_follows || command.data.is_some();
        self.find_named(commands, command.name, command.args, has_data)
    }

    #[inline(never)]
    fn find_named<P: Copy>(
        &mut self,
        commands: &'static [Declared<P>],
        name: Value<'a>,
        args: Args<'a>,
        has_data: bool,
    ) -> Option<P> {
        for declared in commands {
            if name.is_bytes(declared.name.as_bytes()) {
                return self.accept(declared, args, has_data);
            }
        }
        if !name.is_bytes(b"capabilities") {
            self.unknown(Why::UnknownCommand, name);
        }
        None
    }

    /// Takes in the arguments of a command: puts them where their keys are among those declared. Of one
    /// that comes twice the first counts.
    pub fn accept<P: Copy>(
        &mut self,
        declared: &'static Declared<P>,
        args: Args<'a>,
        has_data: bool,
    ) -> Option<P> {
        if declared.takes_data != has_data {
            self.problem.why = if has_data {
                Why::UnexpectedData
            } else {
                Why::MissingData
            };
            return None;
        }
        self.keys = declared.keys;
        self.sort(args).then_some(declared.place)
    }

    /// Puts arguments where their keys are.
    #[inline(never)]
    fn sort(&mut self, args: Args<'a>) -> bool {
        let Some(pairs) = args.pairs() else {
            return true;
        };
        for (key, value) in pairs {
            let mut slots = self.keys.iter().zip(self.found.iter_mut());
            let Some((_, slot)) = slots.find(|(known, _)| key.is_bytes(known.as_bytes())) else {
                self.unknown(Why::UnknownArgument, key);
                return false;
            };
            slot.get_or_insert(value);
        }
        true
    }

    /// The peer named something that is not there.
    fn unknown(&mut self, why: Why, name: Value<'a>) {
        let name = name.as_bytes().and_then(|name| name.as_slice());
        self.problem = Problem {
            why,
            name: name.unwrap_or_default(),
        };
    }

    /// Takes the argument of this number; `default` stands for one that is missing.
    pub fn take<T: FromValue<'a>>(&mut self, index: usize, default: Option<T>) -> Option<T> {
        let value = self.found.get(index).copied().flatten();
        let taken = match value {
            Some(value) => T::from_value(value),
            None => default.or_else(T::missing),
        };
        if taken.is_none() {
            self.wrong(index, value.map_or(Why::Missing, |_| Why::WrongType));
        }
        taken
    }

    /// Notes what is wrong with the argument of this number.
    #[inline(never)]
    pub fn wrong(&mut self, index: usize, why: Why) {
        let key = self.keys.get(index).copied().unwrap_or_default();
        self.problem = Problem {
            why,
            name: key.as_bytes(),
        };
    }

    /// What is wrong; [`Why::Described`] if the description is the answer.
    pub const fn problem(&self) -> Problem<'a> {
        self.problem
    }
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

impl Problem<'_> {
    /// The message, with `%s` for the name if it is about one.
    pub fn format(&self) -> &'static str {
        core::str::from_utf8(self.why.format()).unwrap_or_default()
    }
}

impl core::fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let message = self.format();
        match message.split_once("%s") {
            Some((before, after)) => {
                f.write_str(before)?;
                Escaped(core::str::from_utf8(self.name).unwrap_or("?")).fmt(f)?;
                f.write_str(after)
            }
            None => f.write_str(message),
        }
    }
}

impl core::error::Error for Problem<'_> {}
