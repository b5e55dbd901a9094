//! Servers of services that are declared with [`hgrpc::service!`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::StreamExt as _;
use hgrpc::cbor::ToValue as _;
use hgrpc::service::{self, Description, Routes, Run, Service, Single};
use tokio::io::AsyncBufRead;

use super::{Call, Data, Reply, Router};
use crate::host::{Failure, values};

/// One exchange of a service on a server: what the trait `Serve` of a declaration is implemented for.
///
/// ```
/// use hgrpc_std::tokio::{Exchange, Failure, Router};
///
/// hgrpc::service! {
///     /// A lamp.
///     pub service lamp {
///         /// Switches it.
///         fn led(on: bool, level: u8 [unit("%"), range(0..=100)] = 100) -> bool where write;
///     }
/// }
///
/// struct Lamp;
///
/// impl lamp::Serve<Exchange> for Lamp {
///     async fn led(&self, on: bool, level: u8) -> Result<bool, Failure> {
///         Ok(on && level > 0)
///     }
/// }
///
/// let router: Router = Router::new().service(lamp::Server(Lamp));
/// assert_eq!(router.names(), ["capabilities", "led"].map(str::as_bytes));
/// ```
#[derive(Debug)]
pub struct Exchange {
    data: Data,
    reply: Reply,
}

/// Any number of values, as a function of a service gives them: each is sent when it is there.
pub struct Sequence<T>(Pin<Box<dyn Stream<Item = Result<T, Failure>> + Send>>);

impl<T> Sequence<T> {
    /// The values of a stream; its first error ends them, as the command's failure.
    pub fn new(values: impl Stream<Item = Result<T, Failure>> + Send + 'static) -> Self {
        Self(Box::pin(values))
    }
}

impl<T: Send + 'static> FromIterator<T> for Sequence<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let values: Vec<T> = values.into_iter().collect();
        Self::new(futures_util::stream::iter(values.into_iter().map(Ok)))
    }
}

impl<T> fmt::Debug for Sequence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence").finish_non_exhaustive()
    }
}

impl service::Host for Exchange {
    type Stream = Data;
    type Failure = Failure;
    type Many<T: Single> = Sequence<T::Owned>;
    /// Any reader.
    type Bytes = Pin<Box<dyn AsyncBufRead + Send>>;

    fn has_data(&self) -> bool {
        self.data.is_announced()
    }

    fn data(&mut self, _: PhantomData<service::Stream>) -> Data {
        std::mem::take(&mut self.data)
    }

    async fn one<T: Single>(self, value: T::Owned) -> Result<(), Failure> {
        let encoded = values::written(|writer| value.write(writer))?;
        drop(value);
        self.cbor(&encoded).await
    }

    async fn many<T: Single>(mut self, mut values: Sequence<T::Owned>) -> Result<(), Failure> {
        while let Some(value) = values.0.next().await {
            let value = match value {
                Ok(value) => value,
                Err(failure) => {
                    self.reply.fail(failure);
                    return Ok(());
                }
            };
            let encoded = values::written(|writer| value.write(writer))?;
            drop(value);
            self.reply.cbor(&encoded).await?;
        }
        Ok(self.reply.finish()?)
    }

    async fn bytes(mut self, mut bytes: Self::Bytes) -> Result<(), Failure> {
        tokio::io::copy_buf(&mut bytes, &mut self.reply).await?;
        Ok(self.reply.finish()?)
    }
}

impl Exchange {
    async fn cbor(mut self, values: &[u8]) -> Result<(), Failure> {
        self.reply.cbor(values).await?;
        Ok(self.reply.finish()?)
    }
}

impl From<service::Problem<'_>> for Failure {
    fn from(problem: service::Problem<'_>) -> Self {
        let message = problem.format();
        match message.contains("%s") {
            true => Self::format(message, [problem.name]),
            false => Self::command(message),
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// All commands of a service, the module's `Server` of a declaration; and `capabilities`, which says
    /// what this and the services before it declare.
    #[must_use]
    pub fn service<T: Service<Exchange>>(self, service: T) -> Self {
        let routes = T::add_to(Adding {
            router: self,
            service: Arc::new(service),
        });
        routes.router.described(T::DESCRIPTION)
    }
}

/// A service whose commands are being added to a router.
struct Adding<S, T> {
    router: Router<S>,
    service: Arc<T>,
}

impl<S: Clone + Send + Sync + 'static, T: Send + Sync + 'static> Routes<Exchange, T>
    for Adding<S, T>
{
    fn add<C: 'static>(self, name: &'static str) -> Self
    where
        T: Run<Exchange, C>,
    {
        let Self { router, service } = self;
        let running = Arc::clone(&service);
        let run = move |call: Call, data: Data, reply: Reply| -> Running {
            let service = Arc::clone(&running);
            Box::pin(async move { service.run(call.args(), Exchange { data, reply }).await })
        };
        let router = router.command(name, run);
        Self { router, service }
    }
}

/// A command that is being run.
type Running = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// What services say of themselves, together.
pub(super) fn describe(descriptions: &[&'static Description]) -> Vec<u8> {
    use crate::value::Value;

    let mut all = descriptions.iter().map(|description| description.to_vec());
    if descriptions.len() == 1 {
        return all.next().unwrap_or_default();
    }
    let is_commands = |key: &Value| *key == Value::Bytes(b"commands".to_vec());
    let (mut commands, mut services) = (Vec::new(), Vec::new());
    for description in all {
        let Ok(Value::Map(mut entries)) = Value::decode(&description) else {
            continue;
        };
        if let Some(place) = entries.iter().position(|(key, _)| is_commands(key))
            && let (_, Value::Map(more)) = entries.remove(place)
        {
            commands.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
            commands.extend(more);
        }
        services.push(Value::Map(entries));
    }
    let map = Value::object([
        ("commands", Value::Map(commands)),
        ("services", Value::Array(services)),
    ]);
    map.encode(hgrpc::KeyOrder::Bytewise).unwrap_or_default()
}
