//! Who is connected, and which request of theirs is under way.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use hyper::http::request::Parts;
use tokio::sync::Notify;

use super::{Peer, Refusal, ServerLimits};
use crate::gate::stats::Counters;
use crate::gate::visitors::{Visitors, millis};
use crate::host::ConnectionLimit;
use crate::host::counting::count;
use crate::host::origin::Origin;
use crate::host::sync::lock;

/// Most bytes of a request's line that are kept for the report of a shutdown.
const SHOWN: usize = 200;

/// All connections of a server, whoever accepted them.
#[derive(Debug)]
pub(super) struct Gate {
    limits: ServerLimits,
    pub(super) counters: Counters,
    visitors: Mutex<Visitors>,
    began: Instant,
}

/// A connection that was let in. Dropped, it has ended.
#[derive(Debug)]
pub(super) struct Conn {
    gate: Arc<Gate>,
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
    gate: Arc<Gate>,
    origin: Origin,
}

impl Gate {
    pub(super) fn new(limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters: Counters::default(),
            visitors: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// Milliseconds since the server began.
    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Lets a connection in, or says over which limit it is; counted, both.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Result<Arc<Conn>, ConnectionLimit> {
        let entered = lock(&self.visitors).enter(peer.origin(), self.now(), &self.limits);
        if let Err(limit) = entered {
            self.counters.closed(limit);
            tracing::debug!(%peer, %limit, "a connection was refused");
            return Err(limit);
        }
        self.counters.entered();
        Ok(Arc::new(Conn {
            gate: Arc::clone(self),
            peer: Arc::new(peer),
            asked: Notify::new(),
            request: Mutex::default(),
        }))
    }
}

impl Conn {
    /// A request's head has come.
    pub(super) fn begin(self: &Arc<Self>, head: &Parts) -> UnderWay {
        count(&self.gate.counters.requests);
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
        let (gate, origin) = (Arc::clone(&self.gate), self.peer.origin());
        if !lock(&gate.visitors).begin_request(origin, &gate.limits) {
            return Err(Refusal::TooManyRequests);
        }
        gate.counters.begin_answer();
        Ok(Slot { gate, origin })
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let gate = &self.gate;
        lock(&gate.visitors).leave(self.peer.origin(), gate.now(), &gate.limits);
        gate.counters.left();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *lock(&self.0.request) = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let gate = &self.gate;
        lock(&gate.visitors).end_request(self.origin, gate.now(), &gate.limits);
        gate.counters.end_request();
    }
}
