//! Who is connected, and how much each of them has under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hyper::http::request::Parts;
use tokio::sync::Notify;

use super::stats::{Counters, lower, raise};
use super::{Peer, Refusal, ServerLimits};
use crate::blocking::ConnectionLimit;
use crate::host::counting::count;
use crate::host::origin::Origin;
use crate::host::sync::lock;

/// Most bytes of a request's line that are kept for the report of a shutdown.
const SHOWN: usize = 200;

/// All connections of a server, whoever accepted them.
#[derive(Debug)]
pub(super) struct Visitors {
    limits: ServerLimits,
    pub(super) counters: Counters,
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    open: usize,
    running: usize,
    peers: HashMap<Origin, Visits>,
}

/// What one address, or user, does.
#[derive(Debug, Default)]
struct Visits {
    open: usize,
    running: usize,
}

/// A connection that was let in. Dropped, it has ended.
#[derive(Debug)]
pub(super) struct Conn {
    visitors: Arc<Visitors>,
    pub(super) peer: Arc<Peer>,
    /// The head of a request has come.
    pub(super) asked: Notify,
    /// The line of the request that is read or answered.
    request: Mutex<Option<String>>,
}

/// A request that is read or answered. Dropped, it no longer is.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Conn>);

/// A request that is answered. Dropped, it has been.
#[derive(Debug)]
pub(super) struct Slot {
    visitors: Arc<Visitors>,
    key: Origin,
}

impl Visitors {
    pub(super) fn new(limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters: Counters::default(),
            registry: Mutex::default(),
        })
    }

    /// Lets a connection in, or says over which limit it is; counted, both.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Result<Arc<Conn>, ConnectionLimit> {
        let counters = &self.counters;
        let entered = lock(&self.registry).enter(peer.origin(), &self.limits);
        if let Err(limit) = entered {
            counters.closed(limit);
            tracing::debug!(%peer, %limit, "a connection was refused");
            return Err(limit);
        }
        count(&counters.accepted);
        raise(&counters.connections, &counters.most_connections);
        Ok(Arc::new(Conn {
            visitors: Arc::clone(self),
            peer: Arc::new(peer),
            asked: Notify::new(),
            request: Mutex::default(),
        }))
    }
}

impl Registry {
    fn enter(&mut self, key: Origin, limits: &ServerLimits) -> Result<(), ConnectionLimit> {
        if self.open >= limits.connections {
            return Err(ConnectionLimit::ServerFull);
        }
        let visits = self.peers.entry(key).or_default();
        if visits.open >= limits.peer_connections {
            return Err(ConnectionLimit::PeerFull);
        }
        visits.open += 1;
        self.open += 1;
        Ok(())
    }

    /// Takes back what an address, or user, has no more; forgets who has nothing.
    fn leave(&mut self, key: Origin, leave: impl FnOnce(&mut Visits)) {
        if let Some(visits) = self.peers.get_mut(&key) {
            leave(visits);
            if (visits.open, visits.running) == (0, 0) {
                self.peers.remove(&key);
            }
        }
    }
}

impl Conn {
    /// A request's head has come.
    pub(super) fn begin(self: &Arc<Self>, head: &Parts) -> UnderWay {
        count(&self.visitors.counters.requests);
        self.asked.notify_one();
        let path = head.uri.path();
        // Paths are ASCII here; where one is not, nothing of it is shown.
        let shown = path.get(..path.len().min(SHOWN)).unwrap_or_default();
        *lock(&self.request) = Some(format!("{} {shown}", head.method));
        UnderWay(Arc::clone(self))
    }

    /// The request that is read or answered.
    pub(super) fn request(&self) -> Option<String> {
        lock(&self.request).clone()
    }

    /// Lets a request be answered, if that is not one too many.
    pub(super) fn run(&self) -> Result<Slot, Refusal> {
        let Visitors {
            limits,
            counters,
            registry,
        } = &*self.visitors;
        let mut registry = lock(registry);
        if registry.running >= limits.running {
            return Err(Refusal::TooManyRequests);
        }
        let key = self.peer.origin();
        let visits = registry.peers.entry(key).or_default();
        if visits.running >= limits.peer_running {
            return Err(Refusal::TooManyRequests);
        }
        visits.running += 1;
        registry.running += 1;
        drop(registry);
        raise(&counters.running, &counters.most_running);
        Ok(Slot {
            visitors: Arc::clone(&self.visitors),
            key,
        })
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut registry = lock(&self.visitors.registry);
        registry.open -= 1;
        registry.leave(self.peer.origin(), |visits| visits.open -= 1);
        drop(registry);
        lower(&self.visitors.counters.connections);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *lock(&self.0.request) = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut registry = lock(&self.visitors.registry);
        registry.running -= 1;
        registry.leave(self.key, |visits| visits.running -= 1);
        drop(registry);
        lower(&self.visitors.counters.running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_is_forgotten() {
        let mut limits = ServerLimits::DEFAULT;
        limits.connections = 3;
        limits.peer_connections = 2;
        limits.running = 3;
        limits.peer_running = 2;
        let visitors = Visitors::new(limits);
        let admit = |host: &str| visitors.admit(Peer::tcp(format!("{host}:1").parse().unwrap()));
        let [a, b] = [(); 2].map(|()| admit("10.0.0.1").unwrap());
        assert_eq!(admit("10.0.0.1").unwrap_err(), ConnectionLimit::PeerFull);
        let c = admit("10.0.0.2").unwrap();
        assert_eq!(admit("10.0.0.3").unwrap_err(), ConnectionLimit::ServerFull);
        let [x, y] = [&a, &b].map(|conn| conn.run().unwrap());
        assert_eq!(a.run().unwrap_err(), Refusal::TooManyRequests);
        let z = c.run().unwrap();
        assert_eq!(c.run().unwrap_err(), Refusal::TooManyRequests);
        drop(x);
        assert!(a.run().is_ok());
        drop((a, b, c));
        let stats = visitors.counters.read(0, 0);
        // Commands may outlive their connections.
        assert_eq!((stats.connections, stats.running), (0, 2));
        drop((y, z));
        let stats = visitors.counters.read(0, 0);
        assert_eq!((stats.connections, stats.running), (0, 0));
        assert_eq!((stats.most_connections, stats.most_running), (3, 3));
        assert!(lock(&visitors.registry).peers.is_empty());
    }
}
