//! What a server's owner should do (server.md, "Actions").

use crate::cbor::{Args, RedirectTargets, Value};
use crate::wire::RequestId;
use crate::{ProtocolError, RefusalReason};

/// What has come. Borrows from the input and from what was gathered, never from the server: it can
/// be answered while its arguments are still borrowed.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[must_use = "an event asks for something to be done"]
pub enum Event<'a> {
    /// Run a command, then answer it.
    Command(Command<'a>),
    /// A piece of a running command's data (streaming only). Pieces come in order.
    Data {
        /// The request that the data is for.
        request_id: RequestId,
        /// The piece, borrowed from the input; may be empty at the end.
        bytes: &'a [u8],
        /// Whether the data ends here.
        is_last: bool,
    },
    /// A request is over a local limit and is refused; answer it with
    /// [`Server::refuse`](super::Server::refuse). Its neighbours go on.
    ///
    /// It may be a command that runs already (streaming only, `too-many-frames`): then stop it; its
    /// token is stale.
    Refused(Refusal),
    /// The peer broke the protocol; the connection cannot go on. Commands that were handed out may
    /// still be answered; all input is dropped.
    Error(ProtocolError),
    /// Nothing: more is to come. Of [connections](crate::connection) alone.
    Idle,
    /// Something of the line's. Of connections over a link alone.
    #[cfg(feature = "link")]
    Line(crate::connection::LineEvent<'a>),
}

/// A command to be run.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Command<'a> {
    /// The command's name, an encoded byte string.
    pub name: Value<'a>,
    /// Its arguments.
    pub args: Args<'a>,
    /// Where the client would let itself be redirected to (0006).
    pub redirect: Option<RedirectTargets<'a>>,
    /// Its data, where data is collected and the request announced some.
    pub data: Option<&'a [u8]>,
    /// Its data follows as [`Event::Data`] (streaming only).
    pub data_follows: bool,
    /// The token to answer with.
    pub reply: Reply,
}

/// Allows one answer to one request. Four bytes, not copied; may be kept, sent to another task, and
/// used while the request's arguments are still borrowed.
///
/// Dropping one leaves its request open for ever: [`Server::active`](super::Server::active) lists
/// such requests and [`Server::take_over`](super::Server::take_over) gives a new token. A stale one
/// is refused, until 65,536 requests later.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a request whose token is dropped is never answered"]
pub struct Reply {
    request_id: RequestId,
    generation: u16,
}

impl Reply {
    pub(super) const fn new(request_id: RequestId, order: u32) -> Self {
        Self {
            request_id,
            generation: generation(order),
        }
    }

    /// The request that it answers.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Whether it is of the request that was opened as this one.
    pub(super) const fn is_of(&self, order: u32) -> bool {
        self.generation == generation(order)
    }
}

/// The half of a request's order that its token has.
pub(crate) const fn generation(order: u32) -> u16 {
    let [low, high, ..] = order.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// A refused request, to be answered with [`Server::refuse`](super::Server::refuse).
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a refused request must be answered, or its caller waits for ever"]
pub struct Refusal {
    pub(super) request_id: RequestId,
    pub(super) reason: RefusalReason,
    pub(super) limit: u32,
}

impl Refusal {
    /// The request that is refused.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Why.
    pub const fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The limit's value: requests, bytes, levels or frames.
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}
