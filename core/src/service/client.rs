//! What a client has to offer for the calls that [`service!`](crate::service!) declares.

use core::time::Duration;

use super::Single;
use crate::cbor::ToValue;

/// A client, whose requests are made by name: what a declaration's `Client` calls.
pub trait Client {
    /// A request that is being put together.
    type Request<'c>: Request
    where
        Self: 'c;

    /// A request of this command, to be given arguments.
    fn request(&self, command: &'static str) -> Self::Request<'_>;
}

impl<C: Client> Client for &C {
    type Request<'c>
        = C::Request<'c>
    where
        Self: 'c;

    fn request(&self, command: &'static str) -> C::Request<'_> {
        (**self).request(command)
    }
}

/// A request that is being put together, and how what it is answered is read: a future where one waits
/// by `.await`, a result where one blocks.
pub trait Request: Sized {
    /// What sending it gives for an answer of one value.
    type One<T: Single>;
    /// What sending it gives for any number of values.
    type Many<T: Single>;
    /// What sending it gives for an answer of bytes.
    type Bytes;

    /// Adds an argument.
    #[must_use]
    fn arg<T: ToValue + ?Sized>(self, key: &'static str, value: &T) -> Self;

    /// Bounds the time that the call may take in all.
    #[must_use]
    fn timeout(self, timeout: Duration) -> Self;

    /// Sends it, for one value.
    fn one<T: Single>(self) -> Self::One<T>;

    /// Sends it, for values.
    fn many<T: Single>(self) -> Self::Many<T>;

    /// Sends it, for bytes.
    fn bytes(self) -> Self::Bytes;
}

/// A request that takes data from a source `D`.
pub trait Upload<D>: Request {
    /// Has the data follow.
    #[must_use]
    fn data(self, source: D) -> Self;
}
