//! What runs a command: plain async functions and closures.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use super::{FromParts, Parts, Reply};
use crate::host::{Failure, IntoReply};

/// The result of a handler that takes its [`Reply`]: nothing, or a [`Result`] of nothing and anything
/// that a [`Failure`] can be made of.
pub trait IntoEnd: Send {
    /// Returns how the handler has ended.
    ///
    /// # Errors
    /// The command has failed.
    fn into_end(self) -> Result<(), Failure>;
}

impl IntoEnd for () {
    fn into_end(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure> + Send> IntoEnd for Result<(), E> {
    fn into_end(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}

/// Runs a command: an async function or closure of up to eight parameters. It is one of two kinds:
///
/// - Each parameter is [`FromParts`], and the returned value is the response ([`IntoReply`]). Text
///   output and progress go beside it by a parameter [`Notes`](super::Notes).
/// - The last parameter is the [`Reply`], to which the handler writes its response. It returns nothing
///   but an error ([`IntoEnd`]):
///
/// ```
/// use hgrpc_std::tokio::{Failure, Reply, Router};
///
/// async fn twice(mut reply: Reply) -> Result<(), Failure> {
///     reply.value("once").await?;
///     Ok(reply.finish()?)
/// }
/// let router: Router = Router::new().command("twice", twice);
/// ```
///
/// A value beside it would be a second response, and does not compile:
///
/// ```compile_fail,E0277
/// use hgrpc_std::tokio::{Failure, Reply, Router};
///
/// async fn twice(mut reply: Reply) -> Result<String, Failure> {
///     reply.value("once").await?;
///     reply.finish()?;
///     Ok("twice".to_owned())
/// }
/// let router: Router = Router::new().command("twice", twice);
/// ```
///
/// `T` stands for its kind and its parameters' types, `S` is the router's state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of commands",
    note = "a handler is an async function whose parameters are `FromParts` and which returns `IntoReply`",
    note = "one that takes a `Reply` takes it as its last parameter, and returns `()` or `Result<(), _>`"
)]
pub trait Handler<T, S>: Clone + Send + Sync + 'static {
    /// Runs the command.
    fn run(self, parts: Parts, state: S) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A handler that returns its response, with the types of its parameters.
#[derive(Debug)]
pub struct Returns<T>(PhantomData<T>);

/// A handler that writes to its reply, with the types of its other parameters.
#[derive(Debug)]
pub struct Writes<T>(PhantomData<T>);

macro_rules! functions_are_handlers {
    ($($type:ident)*) => {
        impl<F, Fut, R, S, $($type,)*> Handler<Returns<($($type,)*)>, S> for F
        where
            F: Fn($($type),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = R> + Send,
            R: IntoReply,
            S: Send + Sync + 'static,
            $($type: FromParts<S> + Send,)*
        {
            #[allow(non_snake_case, unused_variables, unused_mut, reason = "types name their values")]
            async fn run(self, mut parts: Parts, state: S) -> Result<(), Failure> {
                $(let $type = $type::from_parts(&mut parts, &state).await?;)*
                let value = self($($type),*).await;
                parts.reply.return_value(value).await
            }
        }
    };
}

macro_rules! functions_with_replies_are_handlers {
    ($($type:ident)*) => {
        impl<F, Fut, R, S, $($type,)*> Handler<Writes<($($type,)*)>, S> for F
        where
            F: Fn($($type,)* Reply) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = R> + Send,
            R: IntoEnd,
            S: Send + Sync + 'static,
            $($type: FromParts<S> + Send,)*
        {
            #[allow(non_snake_case, unused_variables, unused_mut, reason = "types name their values")]
            async fn run(self, mut parts: Parts, state: S) -> Result<(), Failure> {
                $(let $type = $type::from_parts(&mut parts, &state).await?;)*
                self($($type,)* parts.reply).await.into_end()
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
functions_with_replies_are_handlers!();
functions_with_replies_are_handlers!(A);
functions_with_replies_are_handlers!(A B);
functions_with_replies_are_handlers!(A B C);
functions_with_replies_are_handlers!(A B C D);
functions_with_replies_are_handlers!(A B C D E);
functions_with_replies_are_handlers!(A B C D E G);
functions_with_replies_are_handlers!(A B C D E G H);

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A handler with its state.
pub(super) type Route = Arc<dyn Fn(Parts) -> Running + Send + Sync>;
