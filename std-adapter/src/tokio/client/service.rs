//! Clients of services that are declared with [`hgrpc::service!`].

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use hgrpc::cbor::{FromValue, ToValue};
use hgrpc::service::{self, Single};
use tokio::io::AsyncRead;

use super::{Client, ReconnectingClient, Request, Response};
use crate::host::values;
use crate::tokio::CallError;

impl service::Client for Client {
    type Request<'c> = Request<'c>;

    fn request(&self, command: &'static str) -> Request<'_> {
        self.call(command)
    }
}

impl service::Client for ReconnectingClient {
    type Request<'c> = Request<'c>;

    fn request(&self, command: &'static str) -> Request<'_> {
        self.call(command)
    }
}

/// What is waited for.
type Waiting<'c, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'c>>;

impl<'c> service::Request for Request<'c> {
    /// The value, when it has come.
    type One<T: Single> = Waiting<'c, T::Owned>;
    /// The values, when the request was sent.
    type Many<T: Single> = Waiting<'c, Values<T::Owned>>;
    /// The response, when the request was sent.
    type Bytes = Waiting<'c, Response>;

    fn arg<T: ToValue + ?Sized>(mut self, key: &'static str, value: &T) -> Self {
        self.draft.args.declared(key, value);
        self
    }

    fn timeout(self, timeout: Duration) -> Self {
        self.timeout(timeout)
    }

    fn one<T: Single>(self) -> Self::One<T> {
        fn one<'c, O: for<'v> FromValue<'v> + Send + 'static>(
            request: Request<'c>,
        ) -> Waiting<'c, O> {
            Box::pin(async move { request.send().await?.declared().await })
        }
        one(self)
    }

    fn many<T: Single>(self) -> Self::Many<T> {
        fn many<'c, O: Send + 'static>(request: Request<'c>) -> Waiting<'c, Values<O>> {
            Box::pin(async move { Ok(Values::new(request.send().await?)) })
        }
        many(self)
    }

    fn bytes(self) -> Self::Bytes {
        Box::pin(self.send())
    }
}

impl<D: AsyncRead + Send + 'static> service::Upload<D> for Request<'_> {
    fn data(self, source: D) -> Self {
        self.data(source)
    }
}

/// The values that a command answers with, as they arrive: a [`Stream`] of them. Dropped before its end,
/// the call is given up.
#[must_use = "values that are dropped give their call up"]
pub struct Values<T> {
    response: Response,
    _values: PhantomData<fn() -> T>,
}

impl<T> Values<T> {
    fn new(response: Response) -> Self {
        Self {
            response,
            _values: PhantomData,
        }
    }

    /// The response that brings them.
    pub fn into_response(self) -> Response {
        self.response
    }
}

impl<T: for<'v> FromValue<'v>> Values<T> {
    /// The next value; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// See [`CallError`]; also where the command has failed at once.
    pub async fn next(&mut self) -> Result<Option<T>, CallError> {
        let value = self.response.next_value().await?;
        value.map(|value| values::declared(&value)).transpose()
    }
}

impl<T: for<'v> FromValue<'v>> Stream for Values<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.response.poll_value(cx).map(|value| {
            let value = value.transpose()?;
            Some(value.and_then(|value| values::declared(&value)))
        })
    }
}

impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.response).finish()
    }
}
