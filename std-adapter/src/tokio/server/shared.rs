//! What all connections of a server share.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use hgrpc::wire::{FrameHeader, RequestId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::conn::Conn;
use super::router::Routes;
use super::{Call, Peer, Refusal, ServerLimits};
use crate::engine::server::{Hooks, Shared as Connections};
use crate::gate::visitors::{Visitors, millis};
use crate::host::sync::lock;
use crate::host::{Config, ConnectionError, Direction, Failure};

/// A peer's bytes in logs.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

/// The span of what happens for one request.
pub(super) fn request_span(id: RequestId, name: &[u8]) -> Span {
    tracing::info_span!("request", id = id.value(), command = %shown(name))
}

/// Reports a refused request. The core refuses some before their name is known.
fn report(id: RequestId, command: Option<&[u8]>, refusal: Refusal) {
    // One that is refused before it runs is in no span yet.
    let is_new = matches!(
        refusal,
        Refusal::UnknownCommand | Refusal::ShuttingDown | Refusal::TooManyRequests
    );
    let span = command
        .filter(|_| is_new)
        .map(|name| request_span(id, name));
    let _in_span = span.as_ref().map(Span::enter);
    tracing::debug!(
        id = id.value(),
        command = command.map(shown),
        %refusal,
        "a request was refused"
    );
}

type Allowed = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Says whether a command may be run.
pub(super) type Authorize = Box<dyn Fn(Call) -> Allowed + Send + Sync>;

/// Told of frames.
pub(super) type PeerObserver = Box<dyn Fn(&Peer, Direction, &FrameHeader) + Send + Sync>;

pub(super) struct Shared {
    pub(super) routes: Routes,
    /// What its connections share, their limits and counters among it.
    pub(super) engine: Arc<Connections>,
    pub(super) authorize: Option<Authorize>,
    /// No connection is taken any more, nor a request.
    pub(super) stopping: CancellationToken,
    registry: Mutex<Registry>,
    /// A connection has ended.
    left: Notify,
    began: Instant,
}

#[derive(Default)]
struct Registry {
    connections: HashMap<u64, Arc<Conn>>,
    next: u64,
    /// A task looks at time limits.
    is_swept: bool,
    visitors: Visitors,
}

/// A connection that was let in. Dropped, it has ended.
pub(super) struct Entry {
    pub(super) conn: Arc<Conn>,
    number: u64,
}

impl Shared {
    pub(super) fn new(
        routes: Routes,
        config: Config,
        limits: ServerLimits,
        authorize: Option<Authorize>,
        observer: Option<PeerObserver>,
    ) -> Arc<Self> {
        let hooks = Hooks {
            frame: observer,
            refusal: Some(Box::new(report)),
        };
        Arc::new(Self {
            routes,
            engine: Connections::new(config, limits, hooks),
            authorize,
            stopping: CancellationToken::new(),
            registry: Mutex::default(),
            left: Notify::new(),
            began: Instant::now(),
        })
    }

    /// Milliseconds since the server began, never 0.
    pub(super) fn now(&self) -> u64 {
        millis(self.began.elapsed()).saturating_add(1)
    }

    /// Lets a connection in, or says over which limit it is.
    pub(super) fn admit(self: &Arc<Self>, peer: Arc<Peer>) -> Result<Entry, ConnectionError> {
        if self.stopping.is_cancelled() {
            return Err(ConnectionError::Shutdown);
        }
        let (origin, limits) = (peer.origin(), self.engine.limits());
        let mut registry = lock(&self.registry);
        let entered = registry.visitors.enter(origin, self.now(), limits);
        entered.map_err(ConnectionError::Limit)?;
        let Ok(conn) = Conn::new(Arc::clone(self), peer) else {
            // One stream can always be opened on a fresh server.
            registry.visitors.leave(origin, self.now(), limits);
            return Err(ConnectionError::Shutdown);
        };
        let number = registry.next;
        registry.next += 1;
        registry.connections.insert(number, Arc::clone(&conn));
        if !std::mem::replace(&mut registry.is_swept, true) {
            tokio::spawn(sweep(Arc::clone(self)));
        }
        drop(registry);
        self.engine.counters.entered();
        Ok(Entry { conn, number })
    }

    /// Takes no connection any more, nor a request; connections end when nothing runs on them.
    pub(super) fn stop(&self) {
        self.engine.stop();
        self.stopping.cancel();
        for conn in self.connections() {
            conn.driver.ring();
        }
    }

    /// The connections that are open.
    pub(super) fn connections(&self) -> Vec<Arc<Conn>> {
        lock(&self.registry).connections.values().cloned().collect()
    }

    /// Waits until no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if lock(&self.registry).connections.is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// Looks at the time limits of all connections, as long as there are any.
async fn sweep(shared: Arc<Shared>) {
    let tick = shared.engine.limits().tick();
    loop {
        sleep(tick).await;
        let now = shared.now();
        let mut registry = lock(&shared.registry);
        if registry.connections.is_empty() {
            registry.is_swept = false;
            return;
        }
        for conn in registry.connections.values() {
            if conn.check(now).is_some() {
                conn.suspect();
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shared = &self.conn.shared;
        self.conn.end(ConnectionError::Shutdown);
        let mut registry = lock(&shared.registry);
        registry.connections.remove(&self.number);
        let origin = self.conn.peer.origin();
        let limits = shared.engine.limits();
        registry.visitors.leave(origin, shared.now(), limits);
        drop(registry);
        shared.engine.counters.left();
        shared.left.notify_waiters();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
