//! A command that is being run: what the client asked for.

use std::borrow::Cow;
use std::sync::Arc;

use hgrpc::Revision;
use hgrpc::cbor::{Args, FromArgs, RedirectTargets};
use hgrpc::wire::RequestId;

use super::{Gone, Peer};
use crate::engine::server::Request;
use crate::host::{Failure, arguments};

/// A command that is being run: its name, its arguments, who asks. Cheap to clone.
///
/// Its data is [`Data`](super::Data) or [`Collected`](super::Collected), its response
/// [`Reply`](super::Reply): parameters of a handler of their own.
#[derive(Clone, Debug)]
pub struct Call(pub(super) Arc<Head>);

#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) revision: Revision,
    pub(super) peer: Arc<Peer>,
    pub(super) gone: Gone,
}

impl Call {
    /// The command's name.
    pub fn name(&self) -> &[u8] {
        self.0.request.name()
    }

    /// All arguments.
    pub fn args(&self) -> Args<'_> {
        self.0.request.args()
    }

    /// All arguments as a struct made by [`hgrpc::args!`], which may borrow from the call.
    ///
    /// # Errors
    /// A failure of the command that names the argument, to be returned with `?`.
    pub fn args_as<'a, T: FromArgs<'a>>(&'a self) -> Result<T, Failure> {
        Ok(T::from_args(&self.args())?)
    }

    /// An argument as any type that minicbor decodes; an `Option` may be missing.
    ///
    /// # Errors
    /// As for [`args_as`](Self::args_as).
    pub fn arg<'a, T: minicbor::Decode<'a, ()>>(&'a self, key: &str) -> Result<T, Failure> {
        arguments::value(self.args(), key)
    }

    /// An argument that is a byte string.
    ///
    /// # Errors
    /// As for [`args_as`](Self::args_as).
    pub fn arg_bytes(&self, key: &str) -> Result<Cow<'_, [u8]>, Failure> {
        arguments::bytes(self.args(), key)
    }

    /// An argument that is text: a text string, or a byte string that holds UTF-8.
    ///
    /// # Errors
    /// As for [`args_as`](Self::args_as).
    pub fn arg_text(&self, key: &str) -> Result<Cow<'_, str>, Failure> {
        arguments::text(self.args(), key)
    }

    /// Where the client would let itself be redirected to (0006).
    pub fn redirect_targets(&self) -> Option<RedirectTargets<'_>> {
        self.0.request.redirect_targets()
    }

    /// The request's ID on its connection.
    pub fn request_id(&self) -> RequestId {
        self.0.request.id()
    }

    /// The revision that the client speaks.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// Who asks.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.0.peer
    }

    /// Tells when the client has gone.
    pub fn gone(&self) -> &Gone {
        &self.0.gone
    }
}
