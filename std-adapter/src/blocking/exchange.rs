//! What the threads of one client connection share: the reactor and the calls under way.

use std::fmt;
use std::sync::{Arc, Mutex};

use hgrpc::Revision;
use hgrpc::cbor::Atoms;

use super::outgoing::Outgoing;
use super::pipe::Sender;
use super::{CallError, ConnectionError, Limits, Progress};
use crate::host::CallHead;
use crate::host::calls::Calls;
use crate::host::sync::lock;

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) out: Outgoing,
    pub(super) limits: Limits,
    pub(super) revision: Revision,
}

/// What changes with frames. Locked for a look-up or one frame's making, never while anything
/// blocks.
pub(super) type State = Calls<Arc<CallState>>;

pub(super) type OnText = Box<dyn FnMut(&Atoms<'_>) + Send>;
pub(super) type OnProgress = Box<dyn FnMut(&Progress<'_>) + Send>;

/// One call, as the reading thread sees it.
pub(super) struct CallState {
    pub(super) head: CallHead,
    pub(super) body: Sender<CallError>,
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
            head: CallHead::new(command),
            body,
            on_text: Mutex::new(on_text),
            on_progress: Mutex::new(on_progress),
        }
    }
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)
    }
}

impl Shared {
    /// Gives a call up: what still comes of it is swallowed.
    pub(super) fn cancel(&self, call: &Arc<CallState>) {
        let state = &mut *lock(&self.state);
        let Some(id) = call.head.id() else {
            return;
        };
        // Another call may have its ID by now.
        if state.open.find(id).is_some_and(|c| Arc::ptr_eq(c, call)) {
            state.give_up(id);
        }
    }

    /// The connection has ended: so has every call, with this error.
    pub(super) fn end(&self, error: &ConnectionError) {
        let calls = lock(&self.state).end(error);
        for (_, call) in calls {
            call.body.end(Err(call.head.lost(error)));
        }
    }
}
