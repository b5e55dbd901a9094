//! What a handler's parameters are made of.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use hgrpc::cbor::{ByteString, FromArgs};

use super::conn::Conn;
use super::{Call, Data, Gone, Notes, Peer, Refusal, Reply};
use crate::engine::server::Locked as _;
use crate::engine::{Charge, Key};
use crate::host::Failure;

/// A request in parts, from which a handler's parameters are taken one after another.
pub struct Parts {
    pub(super) call: Call,
    pub(super) data: Option<Data>,
    pub(super) reply: Reply,
    pub(super) conn: Arc<Conn>,
    pub(super) key: Key,
}

/// A parameter of a handler.
///
/// [`Call`], [`State`], [`Args`], [`Data`], [`Collected`], [`Notes`], [`Gone`] and `Arc<Peer>` are
/// ones; types of one's own can be too, for example a session that is found by an argument. `S` is
/// the router's state. A [`Reply`] is the last parameter of a handler that returns nothing
/// ([`Handler`](super::Handler)).
pub trait FromParts<S>: Sized {
    /// Takes the parameter.
    ///
    /// # Errors
    /// What the client is told instead of running the command.
    fn from_parts(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Failure>> + Send;
}

impl Parts {
    /// The command.
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The request is refused; what its client is told.
    pub(super) fn refuse(&self, refusal: Refusal) -> Failure {
        self.conn
            .with(|connection| connection.refuse(self.key, refusal))
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// The router's state ([`Router::with_state`](super::Router::with_state)).
#[derive(Clone, Copy, Debug, Default)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync> FromParts<S> for State<S> {
    async fn from_parts(_parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Ok(Self(state.clone()))
    }
}

/// All arguments as a struct made by [`hgrpc::args!`]; those that do not fit are the command's
/// failure. For one that borrows from the arguments see [`Call::args_as`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Args<T>(pub T);

impl<S: Sync, T: for<'a> FromArgs<'a>> FromParts<S> for Args<T> {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        parts.call.args_as().map(Self)
    }
}

impl<S: Sync> FromParts<S> for Call {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(parts.call.clone())
    }
}

impl<S: Sync> FromParts<S> for Arc<Peer> {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(Self::clone(parts.call.peer()))
    }
}

impl<S: Sync> FromParts<S> for Gone {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(parts.call.gone().clone())
    }
}

/// Empty if it was taken before.
impl<S: Sync> FromParts<S> for Data {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(parts.data.take().unwrap_or_default())
    }
}

impl<S: Sync> FromParts<S> for Notes {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Ok(parts.reply.notes())
    }
}

/// All of a request's data: the handler runs when it has come. Requests with more than
/// [`ServerLimits::collected`](super::ServerLimits::collected) bytes are refused.
pub struct Collected {
    bytes: Vec<u8>,
    _charge: Option<Charge>,
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = ByteString::from_slice(&self.bytes);
        f.debug_tuple("Collected").field(&bytes).finish()
    }
}

impl Deref for Collected {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<S: Sync> FromParts<S> for Collected {
    async fn from_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let mut data = parts.data.take().unwrap_or_default();
        let most = parts.conn.shared.engine.limits().collected;
        let mut collected = Self {
            bytes: Vec::new(),
            _charge: None,
        };
        while let Some((chunk, charge)) = data.next_held().await? {
            if chunk.len() > most - collected.bytes.len() {
                return Err(parts.refuse(Refusal::DataTooLarge));
            }
            match &mut collected._charge {
                Some(held) => held.absorb(charge),
                held => *held = Some(charge),
            }
            collected.bytes.extend_from_slice(&chunk);
        }
        Ok(collected)
    }
}
