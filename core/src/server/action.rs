//! What a server's owner should do (server.md, "Actions").

use super::{Rejection, Responder, ServerState};
use crate::cbor::{Args, ByteString, RedirectTargets};
use crate::wire::RequestId;

/// What to do with the payload of a frame that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Verdict {
    /// Pass its parts on as they come.
    Deliver,
    /// Pass its parts on; they are gathered in the arena.
    Gather,
    /// Its payload is not wanted: drop it, then call `handle_part` once with nothing and `last`.
    /// (Passing it on is allowed too.)
    Skip,
}

/// What the owner of a server should do. One call gives one action.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[must_use = "an action asks for something to be done"]
pub enum ServerAction<'a> {
    /// Nothing: more parts of the frame are to come.
    Noop,
    /// Feed the next frame. Carries the state.
    WantFrame(ServerState),
    /// Run a command, then answer it.
    RunCommand(Command<'a>),
    /// A piece of a running command's data (streaming only). Pieces come in order.
    CommandData {
        /// The request that the data is for.
        request_id: RequestId,
        /// The piece, borrowed from the input; may be empty at the end.
        bytes: &'a [u8],
        /// Whether the data ends here.
        is_last: bool,
    },
    /// A request exceeds a local limit and is refused; answer it with
    /// [`Server::reject`](super::Server::reject). Its neighbours go on.
    ///
    /// It may be a command that runs already (streaming only, `too-many-frames`): then stop it; its
    /// responder is stale.
    RejectRequest(Rejection),
}

/// A command to be run. Everything is borrowed from the input or from the arena.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Command<'a> {
    /// The command's name.
    pub name: ByteString<'a>,
    /// Its arguments.
    pub args: Args<'a>,
    /// Where the client would let itself be redirected to (0006).
    pub redirect: Option<RedirectTargets<'a>>,
    /// Its data; `None` if it has none, or if the data follows (see `data_follows`).
    pub data: Option<&'a [u8]>,
    /// Whether data follows as [`ServerAction::CommandData`] (streaming only).
    pub data_follows: bool,
    /// The token to answer with; it names the request.
    pub responder: Responder,
}

impl Command<'_> {
    /// The request that the command came in.
    pub const fn request_id(&self) -> RequestId {
        self.responder.request_id()
    }
}
