//! What the parts of one client connection share: the reactor, the calls under way, the lanes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hgrpc::Revision;
use hgrpc::store::Table as _;
use hgrpc::wire::RequestId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::side::SideSender;
use super::writer::Job;
use crate::host::CallHead;
use crate::host::calls::Calls;
use crate::host::config::Meter;
use crate::host::sync::lock;
use crate::tokio::outgoing::Outgoing;
use crate::tokio::pipe::Sender;
use crate::tokio::{CallError, Config, ConnectionError, Limits};

/// What a client, its driver and its calls share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) out: Arc<Outgoing<Job>>,
    pub(super) meter: Meter,
    pub(super) limits: Limits,
    pub(super) revision: Revision,
    /// A permit for each request that the reactor's table has room for.
    pub(super) room: Arc<Semaphore>,
    /// Uploads, for the driver to run.
    pub(super) uploads: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    /// Nobody has the client any more, or it was finished.
    pub(super) closing: CancellationToken,
    /// It was closed.
    pub(super) cut: CancellationToken,
}

/// What changes with frames. Locked for a look-up or one frame's making, never across a wait.
pub(super) struct State {
    pub(super) calls: Calls<Arc<CallState>>,
    /// What holds a place in the reactor's table, for each request that is in it.
    pub(super) places: HashMap<RequestId, OwnedSemaphorePermit>,
}

impl State {
    /// Frames of this request came or went: the reactor may have forgotten it.
    pub(super) fn settle(&mut self, id: RequestId) {
        if self.calls.table.find(id).is_none() {
            self.places.remove(&id);
        }
    }
}

/// One call, as the driver sees it.
pub(super) struct CallState {
    pub(super) head: CallHead,
    pub(super) body: Sender<CallError>,
    pub(super) side: Option<Arc<SideSender>>,
    /// What makes frames of the data that is still to be sent.
    pub(super) data: Mutex<Option<hgrpc::client::Call<'static>>>,
    /// The data is of no use any more.
    pub(super) stop: Notify,
    is_given_up: AtomicBool,
}

impl CallState {
    pub(super) fn new(
        command: Vec<u8>,
        body: Sender<CallError>,
        side: Option<Arc<SideSender>>,
    ) -> Self {
        Self {
            head: CallHead::new(command),
            body,
            side,
            data: Mutex::new(None),
            stop: Notify::new(),
            is_given_up: AtomicBool::new(false),
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// The response has ended. The first end counts.
    pub(super) fn end(&self, result: Result<(), CallError>) {
        self.body.end(result);
        self.end_beside();
    }

    /// What comes beside the response has ended, and so has the data.
    fn end_beside(&self) {
        if let Some(side) = &self.side {
            side.end();
        }
        self.stop.notify_one();
    }
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)
    }
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        uploads: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    ) -> Self {
        let config = &Config {
            limits: config.limits.checked(),
            ..config.clone()
        };
        Self {
            state: Mutex::new(State {
                calls: Calls::new(config),
                places: HashMap::new(),
            }),
            out: Outgoing::new(),
            meter: Meter::new(config.observer.clone()),
            limits: config.limits,
            revision: config.revision,
            room: Arc::new(Semaphore::new(
                config.limits.calls.min(Semaphore::MAX_PERMITS),
            )),
            uploads,
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Gives a call up: what still comes of it is swallowed.
    pub(super) fn give_up(&self, call: &Arc<CallState>) {
        call.is_given_up.store(true, Ordering::Release);
        call.end_beside();
        // The lock comes first: who gives the call its ID under it looks at the flag after that.
        let state = &mut *lock(&self.state);
        let Some(id) = call.head.id() else {
            return;
        };
        // Another call may have its ID by now.
        if state
            .calls
            .open
            .find(id)
            .is_some_and(|c| Arc::ptr_eq(c, call))
        {
            state.calls.give_up(id);
            state.settle(id);
        }
    }

    /// The connection has ended: so has every call, with this error.
    pub(super) fn end(&self, error: &ConnectionError) {
        let calls = {
            let state = &mut *lock(&self.state);
            state.places.clear();
            state.calls.end(error)
        };
        self.room.close();
        for (_, call) in calls {
            call.end(Err(call.head.lost(error)));
        }
    }

    /// This end wants no more of the connection: every call is given up.
    pub(super) fn finish(&self) {
        let error = ConnectionError::Shutdown;
        let calls = {
            let state = &mut *lock(&self.state);
            state.calls.ended.get_or_insert_with(|| error.clone());
            let calls = state.calls.open.take_all();
            for (id, _) in &calls {
                // What still comes of it is swallowed.
                state.calls.give_up(*id);
                state.settle(*id);
            }
            calls
        };
        self.room.close();
        for (_, call) in calls {
            call.end(Err(call.head.lost(&error)));
        }
    }

    /// Why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<ConnectionError> {
        lock(&self.state).calls.ended.clone()
    }

    /// Why the connection has ended, of which there are signs.
    pub(super) fn why_ended(&self) -> ConnectionError {
        self.ended()
            .or_else(|| self.out.ended())
            .unwrap_or(ConnectionError::Shutdown)
    }
}
