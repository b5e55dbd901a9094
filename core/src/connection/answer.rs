//! Answers as values: what is said to a command, to be sent by whoever moves the bytes.

use core::borrow::Borrow;

use super::{End, Frames};
use crate::cbor::{ArgsError, Atom, FromArgs, MessageArgs, Progress, ToValue};
use crate::output::Output;
use crate::server::{Command, Failure, Refusal, Reply, Server};
use crate::store::Requests;
use crate::{ApiMisuse, Protocol};

/// A response, or a piece of one, that is one value.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub struct ValueOf<R, V> {
    reply: R,
    value: V,
    is_last: bool,
    is_written: bool,
}

/// A response, or a piece of one, of bytes that are encoded already.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub struct Body<'v, R> {
    reply: R,
    bytes: &'v [u8],
    is_last: bool,
}

/// The end of a response whose command failed.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub struct Failed<'v> {
    reply: Reply,
    failure: Failure<'v>,
}

/// A failure that names something: an argument, or a command that there is not.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub struct Named<'v> {
    reply: Reply,
    // Constants too have this lifetime: with two, `defmt`'s derive cannot choose.
    message: &'v [u8],
    /// What is said where there is no room for a name; it fits 64 bytes of output.
    short: &'v [u8],
    name: &'v [u8],
}

/// What a command came to: a value, or a failure.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub enum Outcome<V> {
    /// The command's value.
    Value(ValueOf<Reply, V>),
    /// An argument is missing, or is not what it should be.
    Wrong(Named<'static>),
}

/// Something beside a response.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "it has to be sent"]
pub struct Note<'r, N> {
    reply: &'r Reply,
    note: N,
}

impl Reply {
    /// The response is this value, which must fit a frame. See [`ToValue`] for what is one; for
    /// longer ones see [`body`](Self::body).
    pub const fn ok<V: ToValue>(self, value: V) -> ValueOf<Self, V> {
        ValueOf {
            reply: self,
            value,
            is_last: true,
            is_written: false,
        }
    }

    /// The response is, or ends with, these bytes, of any number: 0003 and 0005: any; 0006: encoded
    /// values.
    pub const fn body(self, bytes: &[u8]) -> Body<'_, Self> {
        Body {
            reply: self,
            bytes,
            is_last: true,
        }
    }

    /// A piece of the response, as for [`body`](Self::body); an empty one opens it. Any number of
    /// responses may be open at once. [`end`](Self::end) ends it.
    pub const fn piece<'r, 'v>(&'r self, bytes: &'v [u8]) -> Body<'v, &'r Self> {
        Body {
            reply: self,
            bytes,
            is_last: false,
        }
    }

    /// A piece of the response that is one value.
    pub const fn item<V: ToValue>(&self, value: V) -> ValueOf<&Self, V> {
        ValueOf {
            reply: self,
            value,
            is_last: false,
            is_written: false,
        }
    }

    /// The end of a response that was sent in pieces.
    pub const fn end(self) -> Body<'static, Self> {
        self.body(&[])
    }

    /// The command failed.
    pub const fn fail(self, failure: Failure<'_>) -> Failed<'_> {
        Failed {
            reply: self,
            failure,
        }
    }

    /// The command failed, because of this argument: its key and what is wrong with it are told, in
    /// the words of [`ArgsError`]. 0003 has no room for them.
    pub const fn wrong(self, error: ArgsError) -> Named<'static> {
        Named {
            reply: self,
            message: error.why.message(),
            short: WRONG_ARGUMENTS,
            name: error.key.as_bytes(),
        }
    }

    /// There is no command of this name; of a long one the beginning is told.
    pub const fn unknown(self, name: &[u8]) -> Named<'_> {
        Named {
            reply: self,
            message: UNKNOWN_COMMAND,
            short: UNKNOWN_COMMAND_SHORT,
            name,
        }
    }

    /// Text for people, beside the response. It must fit a frame.
    pub const fn text<'r, 'n>(&'r self, atoms: &'n [Atom<'n>]) -> Note<'r, &'n [Atom<'n>]> {
        Note {
            reply: self,
            note: atoms,
        }
    }

    /// An update of one operation, beside the response. It must fit a frame.
    pub const fn progress<'r, 'n>(
        &'r self,
        progress: &'n Progress<'n>,
    ) -> Note<'r, &'n Progress<'n>> {
        Note {
            reply: self,
            note: progress,
        }
    }
}

impl<'a> Command<'a> {
    /// Whether the command has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.is_bytes(name.as_bytes())
    }

    /// Runs the command with its arguments as a type, and answers with what that returns. If the
    /// arguments are not of that type, it fails and says why.
    pub fn run<A: FromArgs<'a>, V: ToValue>(self, run: impl FnOnce(A) -> V) -> Outcome<V> {
        match A::from_args(&self.args) {
            Ok(args) => Outcome::Value(self.reply.ok(run(args))),
            Err(error) => Outcome::Wrong(self.reply.wrong(error)),
        }
    }

    /// There is no such command.
    pub fn unknown(self) -> Named<'a> {
        let name = self.name.as_bytes().and_then(|name| name.as_slice());
        self.reply.unknown(name.unwrap_or_default())
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>, R: Borrow<Reply>, V: ToValue> Frames<Server<P, T>>
    for ValueOf<R, V>
{
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        let Self {
            reply,
            value,
            is_last,
            is_written,
        } = self;
        let order = server.revision().key_order();
        server.respond_with(
            (*reply).borrow(),
            |to| value.write_ordered(to, order),
            *is_last,
            is_written,
            out,
        )
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>, R: Borrow<Reply>> Frames<Server<P, T>>
    for Body<'_, R>
{
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        server.respond(self.reply.borrow(), &mut self.bytes, self.is_last, out)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for Failed<'_> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        server.fail(&self.reply, &self.failure, out)
    }
}

/// Bytes of a name that is told.
const NAME: usize = 48;

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for Named<'_> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        fail_named(
            server,
            &self.reply,
            [self.message, self.short],
            Some(self.name),
            out,
        )
    }
}

/// The message of a command that there is none of, with `%s` for its name.
pub(crate) const UNKNOWN_COMMAND: &[u8] = b"unknown command: %s";

/// What is said where there is no room for a name.
pub(crate) const UNKNOWN_COMMAND_SHORT: &[u8] = b"unknown command";
pub(crate) const WRONG_ARGUMENTS: &[u8] = b"wrong arguments";

/// Fails with a message that names something, or with the short one where there is no room for a name, or
/// messages are raw text.
pub(crate) fn fail_named<P: Protocol, T: Requests<Memory = [u8]>>(
    server: &mut Server<P, T>,
    reply: &Reply,
    [message, short]: [&[u8]; 2],
    name: Option<&[u8]>,
    out: &mut Output<'_>,
) -> Result<bool, ApiMisuse> {
    let mut memory = [0; NAME + 4];
    let args = match name {
        Some(name) => MessageArgs::encode(&[name.get(..NAME).unwrap_or(name)], &mut memory)?,
        None => MessageArgs::EMPTY,
    };
    let failure = Failure::command(message).with_args(args);
    match server.fail(reply, &failure, out) {
        Err(ApiMisuse::NotInThisRevision | ApiMisuse::TooLarge) => {
            server.fail(reply, &Failure::command(short), out)
        }
        done => done,
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>, V: ToValue> Frames<Server<P, T>> for Outcome<V> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        match self {
            Self::Value(value) => value.next_frame(server, out),
            Self::Wrong(failure) => failure.next_frame(server, out),
        }
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for Note<'_, &[Atom<'_>]> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        server.text(self.reply, self.note, out)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for Note<'_, &Progress<'_>> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        server.progress(self.reply, self.note, out)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for Refusal
where
    Server<P, T>: End,
{
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        server.refuse(self, out)
    }
}
