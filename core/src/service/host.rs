//! What a server on a host has to offer for the functions that [`service!`](crate::service!) declares.

use core::future::Future;
use core::marker::PhantomData;

use super::{Description, Problem, Single, Stream};
use crate::cbor::Args;

/// One exchange of a server on a host: a request's data, and its answer. A declaration's `Serve` names it.
pub trait Host: Sized + Send {
    /// A request's data, as it arrives.
    type Stream: Send;
    /// Why a command failed.
    type Failure: for<'p> From<Problem<'p>> + Send;
    /// Any number of values, as a function gives them.
    type Many<T: Single>: Send;
    /// Bytes, as a function gives them.
    type Bytes: Send;

    /// Whether the request has data, be it none.
    fn has_data(&self) -> bool;

    /// Takes the data.
    fn data(&mut self, of: PhantomData<Stream>) -> Self::Stream;

    /// Answers with one value.
    fn one<T: Single>(
        self,
        value: T::Owned,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Answers with values.
    fn many<T: Single>(
        self,
        values: Self::Many<T>,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Answers with bytes.
    fn bytes(self, bytes: Self::Bytes) -> impl Future<Output = Result<(), Self::Failure>> + Send;
}

/// A service that a host can run: what a declaration's `Server` is.
pub trait Service<H: Host>: Sized + Send + Sync + 'static {
    /// What it says of itself.
    const DESCRIPTION: &'static Description;

    /// Adds each of its commands, in the order of the declaration.
    fn add_to<R: Routes<H, Self>>(routes: R) -> R;
}

/// Where a service's commands are added.
pub trait Routes<H: Host, S>: Sized {
    /// Adds the command `C`, which has this name.
    #[must_use]
    fn add<C: 'static>(self, name: &'static str) -> Self
    where
        S: Run<H, C>;
}

/// Runs one command `C` of a service.
pub trait Run<H: Host, C>: Send + Sync {
    /// Runs it, and answers.
    ///
    /// The error is what the caller is told instead: the function's, or what is wrong with the request.
    fn run<'a>(
        &'a self,
        args: Args<'a>,
        host: H,
    ) -> impl Future<Output = Result<(), H::Failure>> + Send;
}
