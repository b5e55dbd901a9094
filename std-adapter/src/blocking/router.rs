//! Which handler runs which command.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{Call, Failure, IntoReply, Notes, Reply};

/// Runs a command. Each call runs in a thread of its own.
///
/// Most handlers are closures given to [`Router::command`]. This is for those that keep the reply
/// and answer from elsewhere.
pub trait Handler: Send + Sync + 'static {
    /// Runs the command. A reply that is dropped without an answer is answered with an error.
    fn handle(&self, call: Call, reply: Reply);
}

impl<F: Fn(Call, Reply) + Send + Sync + 'static> Handler for F {
    fn handle(&self, call: Call, reply: Reply) {
        self(call, reply);
    }
}

/// Which handler runs which command. Cheap to clone.
#[derive(Clone, Default)]
pub struct Router {
    commands: HashMap<Vec<u8>, Arc<dyn Handler>>,
    fallback: Option<Arc<dyn Handler>>,
}

/// A closure that answers before it returns.
struct Simple<F>(F);

impl<F> Handler for Simple<F>
where
    F: Fn(&mut Call, &mut Reply) -> Result<(), Failure> + Send + Sync + 'static,
{
    fn handle(&self, mut call: Call, mut reply: Reply) {
        match (self.0)(&mut call, &mut reply) {
            // That the client is gone is nobody's error here.
            Ok(()) => drop(reply.finish()),
            Err(failure) => drop(reply.fail(failure)),
        }
    }
}

/// A closure that returns its answer.
struct Returning<F>(F);

impl<F, T> Handler for Returning<F>
where
    F: Fn(&mut Call, &Notes) -> Result<T, Failure> + Send + Sync + 'static,
    T: IntoReply,
{
    fn handle(&self, mut call: Call, reply: Reply) {
        let returned = (self.0)(&mut call, &reply.notes());
        // That the client is gone is nobody's error here.
        drop(reply.return_value(returned));
    }
}

impl Router {
    /// A router that knows no command.
    pub fn new() -> Self {
        Self::default()
    }

    /// A command that is run by this closure: what it writes to the reply is the response, which
    /// ends when it returns. Its error is the command's.
    #[must_use]
    pub fn command<F>(self, name: impl AsRef<[u8]>, handler: F) -> Self
    where
        F: Fn(&mut Call, &mut Reply) -> Result<(), Failure> + Send + Sync + 'static,
    {
        self.handler(name, Simple(handler))
    }

    /// A command that is run by this closure, whose returned value is the response: bytes, text, a
    /// [`Cbor`](super::Cbor) value, nothing. Text output and progress go beside it by the [`Notes`]:
    ///
    /// ```
    /// use hgrpc_std::blocking::{Progress, Router};
    ///
    /// let router = Router::new().function("count", |call, notes| {
    ///     let to: u8 = call.arg("to")?;
    ///     for step in 1..=to {
    ///         notes.progress(&Progress::new("counting", step.into(), to.into()))?;
    ///     }
    ///     Ok(format!("counted to {to}"))
    /// });
    /// assert_eq!(router.names(), [b"count"]);
    /// ```
    ///
    /// A closure that is given a reply returns no value, as that would be a second response:
    ///
    /// ```compile_fail,E0308
    /// # use hgrpc_std::blocking::Router;
    /// Router::new().command("count", |call, reply| Ok("counted"));
    /// ```
    #[must_use]
    pub fn function<F, T>(self, name: impl AsRef<[u8]>, function: F) -> Self
    where
        F: Fn(&mut Call, &Notes) -> Result<T, Failure> + Send + Sync + 'static,
        T: IntoReply + 'static,
    {
        self.handler(name, Returning(function))
    }

    /// A command that is run by this handler, or by a closure that takes the call and the reply
    /// for itself.
    #[must_use]
    pub fn handler(mut self, name: impl AsRef<[u8]>, handler: impl Handler) -> Self {
        self.commands
            .insert(name.as_ref().to_vec(), Arc::new(handler));
        self
    }

    /// What runs commands that have no handler. Without it they fail as unknown.
    #[must_use]
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Arc::new(handler));
        self
    }

    /// The names of all commands, in order.
    pub fn names(&self) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> = self.commands.keys().map(Vec::as_slice).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<Arc<dyn Handler>> {
        self.commands.get(name).or(self.fallback.as_ref()).cloned()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("commands", &self.names().len())
            .field("has_fallback", &self.fallback.is_some())
            .finish()
    }
}
