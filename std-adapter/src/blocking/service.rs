//! Clients of services that are declared with [`hgrpc::service!`].

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::time::Duration;

use hgrpc::cbor::{FromValue, ToValue};
use hgrpc::service::{self, Single};

use super::{CallError, Client, Request, Response};
use crate::host::values;

impl service::Client for Client {
    type Request<'c> = Request;

    fn request(&self, command: &'static str) -> Request {
        self.call(command)
    }
}

impl service::Request for Request {
    type One<T: Single> = Result<T::Owned, CallError>;
    type Many<T: Single> = Result<Values<T::Owned>, CallError>;
    type Bytes = Result<Response, CallError>;

    fn arg<T: ToValue + ?Sized>(mut self, key: &'static str, value: &T) -> Self {
        self.args.declared(key, value);
        self
    }

    fn timeout(self, timeout: Duration) -> Self {
        self.timeout(timeout)
    }

    fn one<T: Single>(self) -> Result<T::Owned, CallError> {
        self.send()?.declared()
    }

    fn many<T: Single>(self) -> Result<Values<T::Owned>, CallError> {
        let response = self.send()?;
        Ok(Values {
            response,
            _values: PhantomData,
        })
    }

    fn bytes(self) -> Result<Response, CallError> {
        self.send()
    }
}

impl<D: Read + Send + 'static> service::Upload<D> for Request {
    fn data(self, source: D) -> Self {
        self.data(source)
    }
}

/// The values that a command answers with, as they arrive. Dropped before its end, the call is given up.
#[must_use = "values that are dropped give their call up"]
pub struct Values<T> {
    response: Response,
    _values: PhantomData<fn() -> T>,
}

/// The next value; also the error of a command that has failed at once.
impl<T: for<'v> FromValue<'v>> Iterator for Values<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.response.next_value().transpose()?;
        Some(value.and_then(|value| values::declared(&value)))
    }
}

impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.response).finish()
    }
}
