//! What runs a command: plain async functions and closures.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::{FromParts, Parts, Reply};
use crate::host::{Failure, values};

/// What a handler returns: bytes, text, a [`Cbor`] value, nothing; or a [`Result`] of one of these
/// and anything that a [`Failure`] can be made of.
pub trait IntoReply: Send {
    /// Writes it. `None`: the handler has taken the reply.
    fn into_reply(
        self,
        reply: Option<&mut Reply>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl IntoReply for () {
    async fn into_reply(self, _reply: Option<&mut Reply>) -> Result<(), Failure> {
        Ok(())
    }
}

impl<T: IntoReply, E: Into<Failure> + Send> IntoReply for Result<T, E> {
    async fn into_reply(self, reply: Option<&mut Reply>) -> Result<(), Failure> {
        match self {
            Ok(value) => value.into_reply(reply).await,
            Err(error) => Err(error.into()),
        }
    }
}

/// The reply of a handler that has something to return.
fn own(reply: Option<&mut Reply>) -> Result<&mut Reply, Failure> {
    reply.ok_or_else(|| Failure::server("a handler that takes its reply returns nothing"))
}

macro_rules! bytes_are_replies {
    ($($type:ty),*) => {$(
        impl IntoReply for $type {
            async fn into_reply(self, reply: Option<&mut Reply>) -> Result<(), Failure> {
                let bytes: &[u8] = self.as_ref();
                let reply = own(reply)?;
                if !reply.answer(bytes) {
                    // That the client is gone is nobody's error here.
                    let _ = reply.write_all(bytes).await;
                }
                Ok(())
            }
        }
    )*};
}
bytes_are_replies!(Vec<u8>, Bytes, &'static [u8], String, &'static str);

/// One CBOR value, of any type that minicbor encodes.
#[derive(Clone, Copy, Debug)]
pub struct Cbor<T>(pub T);

impl<T: minicbor::Encode<()> + Send> IntoReply for Cbor<T> {
    async fn into_reply(self, reply: Option<&mut Reply>) -> Result<(), Failure> {
        let encoded = values::encode(&self.0)?;
        drop(self);
        own(reply)?.cbor(&encoded).await?;
        Ok(())
    }
}

/// Runs a command: an async function or closure of up to eight parameters, each [`FromParts`],
/// that returns what is [`IntoReply`].
///
/// `T` are its parameters' types, `S` is the router's state.
pub trait Handler<T, S>: Clone + Send + Sync + 'static {
    /// Runs the command.
    fn run(self, parts: Parts, state: S) -> impl Future<Output = Result<(), Failure>> + Send;
}

macro_rules! functions_are_handlers {
    ($($type:ident)*) => {
        impl<F, Fut, R, S, $($type,)*> Handler<($($type,)*), S> for F
        where
            F: Fn($($type),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = R> + Send,
            R: IntoReply,
            S: Send + Sync + 'static,
            $($type: FromParts<S> + Send,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "types name their values")]
            async fn run(self, mut parts: Parts, state: S) -> Result<(), Failure> {
                $(let $type = $type::from_parts(&mut parts, &state).await?;)*
                let value = self($($type),*).await;
                parts.answer(value).await
            }
        }
    };
}
functions_are_handlers!();
functions_are_handlers!(A);
functions_are_handlers!(A B);
functions_are_handlers!(A B C);
functions_are_handlers!(A B C D);
functions_are_handlers!(A B C D E);
functions_are_handlers!(A B C D E G);
functions_are_handlers!(A B C D E G H);
functions_are_handlers!(A B C D E G H I);

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A handler with its state.
pub(super) type Route = Arc<dyn Fn(Parts) -> Running + Send + Sync>;
