//! Which handler runs which command.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hgrpc::service::Description;

use super::handler::Route;
use super::service::describe;
use super::{Handler, Reply};
use crate::host::Failure;

/// A handler that waits for its state.
type Stateless<S> = Arc<dyn Fn(&S) -> Route + Send + Sync>;

/// Which handler runs which command. Cheap to clone.
///
/// Handlers are async functions and closures; their parameters say what they want of a request
/// ([`FromParts`](super::FromParts)). `S` is state that is still missing: a router whose handlers
/// take [`State`](super::State) is given it with [`with_state`](Self::with_state) before it is
/// served.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use hgrpc_std::tokio::{Args, Call, Cbor, Collected, Data, Failure, Reply, Router, State};
///
/// #[derive(Clone, Default)]
/// struct Fleet {
///     lamps: Arc<AtomicU64>,
/// }
///
/// hgrpc::args! {
///     /// Arguments of `lamp`.
///     struct Lamp {
///         on: bool,
///     }
/// }
///
/// // Typed arguments, shared state, a CBOR value as the answer.
/// async fn lamp(State(fleet): State<Fleet>, Args(Lamp { on }): Args<Lamp>) -> Cbor<u64> {
///     let change = if on { 1 } else { 0 };
///     Cbor(fleet.lamps.fetch_add(change, Ordering::Relaxed) + change)
/// }
///
/// // Data streams in while the response streams out, in constant memory.
/// async fn cat(mut data: Data, mut reply: Reply) -> Result<(), Failure> {
///     tokio::io::copy_buf(&mut data, &mut reply).await?;
///     reply.finish()?;
///     Ok(())
/// }
///
/// // All of the data at once: the handler runs when it has come.
/// async fn count(data: Collected) -> String {
///     data.len().to_string()
/// }
///
/// let router: Router = Router::new()
///     .command("lamp", lamp)
///     .command("cat", cat)
///     .command("count", count)
///     .command("greet", |call: Call| async move {
///         Ok::<_, Failure>(format!("hello {}", call.arg_text("name")?))
///     })
///     .fallback(|call: Call| async move {
///         Err::<(), _>(Failure::command(format_args!("{} bytes of nonsense", call.name().len())))
///     })
///     .with_state(Fleet::default());
/// assert_eq!(router.names(), ["cat", "count", "greet", "lamp"].map(str::as_bytes));
/// ```
pub struct Router<S = ()> {
    commands: HashMap<Vec<u8>, Stateless<S>>,
    fallback: Option<Stateless<S>>,
    /// Of the services among the commands.
    descriptions: Vec<&'static Description>,
}

impl<S> Router<S> {
    /// A router that knows no command.
    pub fn new() -> Self {
        Self {
            commands: HashMap::new(),
            fallback: None,
            descriptions: Vec::new(),
        }
    }

    /// The names of all commands, in order.
    pub fn names(&self) -> Vec<&[u8]> {
        let mut names: Vec<&[u8]> = self.commands.keys().map(Vec::as_slice).collect();
        names.sort_unstable();
        names
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A command that is run by this handler. Another of the same name is replaced.
    #[must_use]
    pub fn command<T: 'static>(
        mut self,
        name: impl AsRef<[u8]>,
        handler: impl Handler<T, S>,
    ) -> Self {
        self.commands
            .insert(name.as_ref().to_vec(), stateless(handler));
        self
    }

    /// What runs commands that have no handler. Without it they fail as unknown.
    #[must_use]
    pub fn fallback<T: 'static>(mut self, handler: impl Handler<T, S>) -> Self {
        self.fallback = Some(stateless(handler));
        self
    }

    /// All commands of another router beside these; its own win where both have a name.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.commands.extend(other.commands);
        self.fallback = other.fallback.or(self.fallback);
        match other.descriptions.is_empty() {
            true => self,
            false => other.descriptions.into_iter().fold(self, Self::described),
        }
    }

    /// Adds what a service says of itself to what `capabilities` answers.
    pub(super) fn described(mut self, description: &'static Description) -> Self {
        self.descriptions.push(description);
        let all = Bytes::from(describe(&self.descriptions));
        self.command("capabilities", move |mut reply: Reply| {
            let all = all.clone();
            async move {
                reply.cbor(&all).await?;
                Ok::<_, Failure>(reply.finish()?)
            }
        })
    }

    /// Gives the handlers their state. What misses none, as `()`, can be served.
    #[must_use]
    pub fn with_state<R>(self, state: S) -> Router<R> {
        let give = |stateless: Stateless<S>| -> Stateless<R> {
            let route = stateless(&state);
            Arc::new(move |_| Route::clone(&route))
        };
        Router {
            commands: self
                .commands
                .into_iter()
                .map(|(name, handler)| (name, give(handler)))
                .collect(),
            fallback: self.fallback.map(give),
            descriptions: self.descriptions,
        }
    }
}

fn stateless<S, T, H>(handler: H) -> Stateless<S>
where
    S: Clone + Send + Sync + 'static,
    T: 'static,
    H: Handler<T, S>,
{
    Arc::new(move |state| {
        let (handler, state) = (handler.clone(), state.clone());
        Arc::new(move |parts| Box::pin(handler.clone().run(parts, state.clone())))
    })
}

/// What a server looks commands up in.
pub(super) struct Routes {
    commands: HashMap<Vec<u8>, Route>,
    fallback: Option<Route>,
}

impl Routes {
    pub(super) fn new(router: Router) -> Self {
        Self {
            commands: router
                .commands
                .into_iter()
                .map(|(name, handler)| (name, handler(&())))
                .collect(),
            fallback: router.fallback.map(|handler| handler(&())),
        }
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Route> {
        self.commands.get(name).or(self.fallback.as_ref()).cloned()
    }
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            fallback: self.fallback.clone(),
            descriptions: self.descriptions.clone(),
        }
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("commands", &self.commands.len())
            .field("has_fallback", &self.fallback.is_some())
            .finish()
    }
}
