//! What a client's end knows of one call, however its answer is carried to the caller.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hgrpc::cbor::{Location, Status};
use hgrpc::wire::RequestId;

use super::{AnswerError, CallError, ConnectionError, Lost};

/// What is set by whoever sends the request and whoever reads the answer, and read by the caller.
pub(crate) struct CallHead {
    command: Vec<u8>,
    /// Set when the first frame is made.
    id: OnceLock<RequestId>,
    /// An encoded status map that names another place (0006).
    redirect: OnceLock<Vec<u8>>,
    /// Bytes of the answer that have come.
    received: AtomicU64,
}

impl CallHead {
    pub(crate) const fn new(command: Vec<u8>) -> Self {
        Self {
            command,
            id: OnceLock::new(),
            redirect: OnceLock::new(),
            received: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> Option<RequestId> {
        self.id.get().copied()
    }

    pub(crate) fn set_id(&self, id: RequestId) {
        let _ = self.id.set(id);
    }

    pub(crate) fn set_redirect(&self, status: Vec<u8>) {
        let _ = self.redirect.set(status);
    }

    pub(crate) fn is_redirected(&self) -> bool {
        self.redirect.get().is_some()
    }

    /// Where the answer is instead; `None` if it is here.
    pub(crate) fn location(&self) -> Result<Option<Location<'_>>, CallError> {
        let Some(status) = self.redirect.get() else {
            return Ok(None);
        };
        match Status::decode(status) {
            Ok((Status::Redirect(redirect), _)) => Ok(Some(redirect.location())),
            _ => Err(CallError::Answer(AnswerError::Redirected)),
        }
    }

    /// Counts bytes of the answer that have come; returns how many that makes.
    pub(crate) fn count(&self, len: usize) -> u64 {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.received
            .fetch_add(len, Ordering::Relaxed)
            .saturating_add(len)
    }

    /// What the connection's end means to this call.
    pub(crate) fn lost(&self, error: &ConnectionError) -> CallError {
        CallError::Connection(Lost {
            command: String::from_utf8_lossy(&self.command).into_owned(),
            received: self.received.load(Ordering::Relaxed),
            error: error.clone(),
        })
    }
}

impl fmt::Debug for CallHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHead")
            .field("command", &String::from_utf8_lossy(&self.command))
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
