//! What the threads of one client connection share: the reactor and the calls under way.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hgrpc::cbor::Atoms;
use hgrpc::client::Client;
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, Revision};

use super::outgoing::Outgoing;
use super::pipe::Sender;
use super::{CallError, Config, ConnectionError, Limits, Lost, Progress};
use crate::host::sync::lock;
use crate::store::{GrowableArena, GrowableTable};

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) out: Outgoing,
    pub(super) limits: Limits,
    pub(super) revision: Revision,
}

/// What changes with frames. Locked for a look-up or one frame's making, never while anything
/// blocks.
pub(super) struct State {
    pub(super) client: Client<Revision>,
    pub(super) table: GrowableTable,
    pub(super) arena: GrowableArena,
    pub(super) calls: HashMap<RequestId, Arc<CallState>>,
    pub(super) ended: Option<ConnectionError>,
}

impl State {
    pub(super) fn new(config: &Config, core: hgrpc::client::ClientConfig) -> Self {
        let budgets = config.limits.budgets();
        Self {
            client: Client::new(config.revision, core),
            table: GrowableTable::new(budgets),
            arena: GrowableArena::new(budgets),
            calls: HashMap::new(),
            ended: None,
        }
    }
}

pub(super) type OnText = Box<dyn FnMut(&Atoms<'_>) + Send>;
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// One call, as the reading thread sees it.
pub(super) struct CallState {
    pub(super) command: Vec<u8>,
    id: OnceLock<RequestId>,
    pub(super) body: Sender<CallError>,
    /// An encoded status map that names another place (0006).
    pub(super) redirect: OnceLock<Vec<u8>>,
    pub(super) received: AtomicU64,
    pub(super) on_text: Mutex<Option<OnText>>,
    pub(super) on_progress: Mutex<Option<OnProgress>>,
}

impl CallState {
    pub(super) fn new(
        command: Vec<u8>,
        body: Sender<CallError>,
        on_text: Option<OnText>,
        on_progress: Option<OnProgress>,
    ) -> Self {
        Self {
            command,
            id: OnceLock::new(),
            body,
            redirect: OnceLock::new(),
            received: AtomicU64::new(0),
            on_text: Mutex::new(on_text),
            on_progress: Mutex::new(on_progress),
        }
    }

    pub(super) fn id(&self) -> Option<RequestId> {
        self.id.get().copied()
    }

    pub(super) fn set_id(&self, id: RequestId) {
        let _ = self.id.set(id);
    }

    /// What the connection's end means to this call.
    pub(super) fn lost(&self, error: &ConnectionError) -> CallError {
        CallError::Connection(Lost {
            command: String::from_utf8_lossy(&self.command).into_owned(),
            received: self.received.load(Ordering::Relaxed),
            error: error.clone(),
        })
    }
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState")
            .field("command", &String::from_utf8_lossy(&self.command))
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Gives a call up: what still comes of it is swallowed.
    pub(super) fn cancel(&self, call: &Arc<CallState>) {
        let state = &mut *lock(&self.state);
        let Some(id) = call.id() else {
            return;
        };
        if state.calls.get(&id).is_some_and(|c| Arc::ptr_eq(c, call)) {
            state.calls.remove(&id);
            // It may have ended just now, without the call having been told yet.
            let _: Result<(), ApiMisuse> =
                state.client.cancel(&mut state.table, &mut state.arena, id);
        }
    }

    /// The connection has ended: so has every call, with this error.
    pub(super) fn end(&self, error: &ConnectionError) {
        let calls = {
            let state = &mut *lock(&self.state);
            state.ended.get_or_insert_with(|| error.clone());
            while state.client.handle_eof(&mut state.table).is_some() {}
            std::mem::take(&mut state.calls)
        };
        for call in calls.values() {
            call.body.end(Err(call.lost(error)));
        }
    }
}
