//! Answers that are typed by their declaration.

use core::fmt;
use core::marker::PhantomData;

use super::command::{Problem, Why};
use super::describe::Description;
use super::{Answer, Single, Stream, Values};
use crate::cbor::{Atom, Progress};
use crate::connection::{Body, Failed, Frames, Note, ValueOf, fail_named};
use crate::output::Output;
use crate::server::{self, Failure, Server};
use crate::store::Requests;
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol};

/// Allows one answer, of the type that the command's declaration names. Four bytes; it may be kept until
/// the answer is there. What its methods give is to be sent:
///
/// - a command of one value: [`ok`](Self::ok);
/// - [`Values<T>`](Values): [`item`](Self::item) for each, then [`end`](Self::end);
/// - a [`Stream`]: [`piece`](Self::piece) for each, then `end`;
/// - any: [`fail`](Self::fail) instead, [`text`](Self::text) and [`progress`](Self::progress) before.
#[must_use = "a request whose token is dropped is never answered"]
pub struct Reply<T: ?Sized> {
    token: server::Reply,
    _answer: PhantomData<fn() -> T>,
}

impl<T: ?Sized> Reply<T> {
    #[doc(hidden)]
    pub const fn new(token: server::Reply) -> Self {
        Self {
            token,
            _answer: PhantomData,
        }
    }

    /// The request that it answers: that of the [`Event::Data`](server::Event::Data) which brings its data.
    pub const fn request_id(&self) -> RequestId {
        self.token.request_id()
    }

    /// The command failed.
    pub const fn fail(self, failure: Failure<'_>) -> Failed<'_> {
        self.token.fail(failure)
    }

    /// Text for people, beside the response. It must fit a frame.
    pub const fn text<'r, 'n>(&'r self, atoms: &'n [Atom<'n>]) -> Note<'r, &'n [Atom<'n>]> {
        self.token.text(atoms)
    }

    /// An update of one operation, beside the response. It must fit a frame.
    pub const fn progress<'r, 'n>(
        &'r self,
        progress: &'n Progress<'n>,
    ) -> Note<'r, &'n Progress<'n>> {
        self.token.progress(progress)
    }

    /// The token without its type, for answers that are encoded already.
    pub fn into_token(self) -> server::Reply {
        self.token
    }
}

impl<T: Single> Reply<T> {
    /// The response is this value, which must fit a frame.
    pub fn ok<'v>(self, value: T::Of<'v>) -> ValueOf<server::Reply, T::Of<'v>> {
        self.token.ok(value)
    }
}

impl<T: Single> Reply<Values<T>> {
    /// The next value, which must fit a frame.
    pub fn item<'v>(&self, value: T::Of<'v>) -> ValueOf<&server::Reply, T::Of<'v>> {
        self.token.item(value)
    }

    /// The end of the values.
    pub const fn end(self) -> Body<'static, server::Reply> {
        self.token.end()
    }
}

impl Reply<Stream> {
    /// The next bytes, of any number; none open the response. In 0006 they have to be encoded values, such
    /// as a byte string.
    pub const fn piece<'r, 'v>(&'r self, bytes: &'v [u8]) -> Body<'v, &'r server::Reply> {
        self.token.piece(bytes)
    }

    /// The end of the bytes.
    pub const fn end(self) -> Body<'static, server::Reply> {
        self.token.end()
    }
}

impl<T: Answer + ?Sized> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reply").field(&self.token).finish()
    }
}

#[cfg(feature = "defmt")]
impl<T: ?Sized> defmt::Format for Reply<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Reply({})", self.token);
    }
}

/// The answer that a service gives by itself: its description, or why a command cannot be run. Send it.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an answer has to be sent"]
pub struct AutoReply<'a> {
    reply: server::Reply,
    says: Says<'a>,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Says<'a> {
    Problem(Problem<'a>),
    /// The description, of which so many bytes were sent.
    Description(&'static Description, usize),
}

impl<'a> AutoReply<'a> {
    #[doc(hidden)]
    pub const fn new(
        reply: server::Reply,
        problem: Problem<'a>,
        description: &'static Description,
    ) -> Self {
        let says = match problem.why {
            Why::Described => Says::Description(description, 0),
            _ => Says::Problem(problem),
        };
        Self { reply, says }
    }

    /// Why the command cannot be run; `None` if it was `capabilities`, which is answered.
    pub const fn problem(&self) -> Option<Problem<'a>> {
        match self.says {
            Says::Problem(problem) => Some(problem),
            Says::Description(..) => None,
        }
    }
}

/// Bytes of a description that are sent at a time.
const PIECE: usize = 64;

impl<P: Protocol, T: Requests<Memory = [u8]>> Frames<Server<P, T>> for AutoReply<'_> {
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        match &mut self.says {
            Says::Description(description, sent) => {
                let mut memory = [0; PIECE];
                let (piece, is_last) = description.expand(*sent, &mut memory);
                let mut rest = piece;
                let is_taken = server.respond(&self.reply, &mut rest, is_last, out)?;
                let count = piece.len().wrapping_sub(rest.len());
                *sent = sent.wrapping_add(count);
                Ok(is_taken && is_last)
            }
            Says::Problem(Problem { why, name }) => {
                let is_of_data = matches!(why, Why::UnexpectedData | Why::MissingData);
                let name = (!is_of_data).then_some(*name);
                fail_named(server, &self.reply, [why.format(), why.short()], name, out)
            }
        }
    }
}
