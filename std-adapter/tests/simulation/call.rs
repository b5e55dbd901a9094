//! A call, as both its ends know it, and how it has to end.

use std::sync::Arc;

use hgrpc::Revision;
use hgrpc_std::blocking::{AnswerError, CallError};
use hgrpc_std::engine::Key;
use hgrpc_std::engine::client::{Content, NoteQueue};

use crate::bell::Bell;
use crate::handler::failure;
use crate::plan::{DataPlan, Plan, UploadEnd};

/// One call.
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) plan: Plan,
    // What the handler did.
    pub(crate) has_run: bool,
    pub(crate) said: Option<Said>,
    pub(crate) offset: usize,
    pub(crate) written: Vec<u8>,
    pub(crate) texts: usize,
    pub(crate) updates: usize,
    pub(crate) data_read: usize,
    pub(crate) has_read_all: bool,
    /// Its client wants no more of it, or its end of the connection has ended.
    pub(crate) is_given_up: bool,
    // What the caller did.
    pub(crate) stage: Stage,
    pub(crate) conn: Option<usize>,
    pub(crate) key: Option<Key>,
    pub(crate) content: Content,
    /// Bytes of the response that were read; all are as they were written.
    pub(crate) read: usize,
    /// All that had come was read then.
    pub(crate) last_empty: u64,
    pub(crate) is_asleep_until: Option<u64>,
    pub(crate) end: Option<End>,
    /// Bytes of data that were handed in.
    pub(crate) uploaded: usize,
    pub(crate) upload: UploadState,
    pub(crate) upload_bell: Arc<Bell>,
    pub(crate) upload_asleep_until: Option<u64>,
    pub(crate) notes: Option<Arc<NoteQueue>>,
    pub(crate) notes_bell: Arc<Bell>,
    pub(crate) notes_asleep_until: Option<u64>,
    pub(crate) notes_over: bool,
    pub(crate) texts_read: usize,
    pub(crate) last_update: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Sending,
    Opening,
    Reading,
    /// Nothing is read any more, and nobody says so.
    Hanging,
    /// It has ended, and is looked at once more later.
    Kept,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadState {
    None,
    Running,
    Hanging,
    Complete,
    Cut,
    Failed,
}

/// What a handler said at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Finished,
    Failed(bool),
    Unanswered,
    Panicked,
    Redirected,
    Stopped,
}

/// How a call has ended for its caller.
#[derive(Debug)]
pub(crate) enum End {
    Answered,
    Redirected,
    Failed(CallError),
    Dropped,
}

/// What may have happened besides.
pub(crate) struct Facts {
    pub(crate) now: u64,
    pub(crate) is_gentle: bool,
    pub(crate) revision: Revision,
    /// The client's end of the connection has ended, in one way or another.
    pub(crate) has_ended: bool,
    /// Requests that the server has refused, in all.
    pub(crate) refused: u64,
    pub(crate) stall: Option<u64>,
    pub(crate) response_size: u64,
}

impl Call {
    pub(crate) const fn has_data(&self) -> bool {
        !matches!(self.plan.data, DataPlan::None)
    }

    pub(crate) const fn data_len(&self) -> usize {
        match self.plan.data {
            DataPlan::None => 0,
            DataPlan::Whole(len) | DataPlan::Streamed(len, ..) => len,
        }
    }

    /// Whether less data may come than was planned.
    pub(crate) const fn may_be_cut(&self) -> bool {
        self.end.is_some()
            || self.is_given_up
            || matches!(self.upload, UploadState::Failed | UploadState::Cut)
            || matches!(self.stage, Stage::Over)
            || matches!(self.plan.data, DataPlan::Streamed(.., UploadEnd::Hangs))
    }

    /// Whether no more of it is to happen.
    pub(crate) fn is_over(&self) -> bool {
        let is_uploading = matches!(self.upload, UploadState::Running);
        matches!(self.stage, Stage::Over | Stage::Hanging) && !is_uploading && self.notes_over
    }

    /// Returns what it has failed with, and whether that is the command's own failure.
    fn failure(&self) -> Option<(bool, String)> {
        match self.said {
            Some(Said::Failed(is_command)) => {
                Some((is_command, failure(self.number, is_command).message()))
            }
            Some(Said::Unanswered) => Some((false, "the command gave no answer".into())),
            Some(Said::Panicked) => Some((false, "the command panicked".into())),
            None if self.plan.name == "unknown" => Some((true, "unknown command: unknown".into())),
            _ => None,
        }
    }

    /// Checks that it has ended as it had to.
    pub(crate) fn judge(&self, facts: &Facts) {
        let what = |error: &CallError| {
            format!("call {}: {error} ({:?}, {error:?})", self.number, self.said)
        };
        match self.end.as_ref().expect("it has ended") {
            End::Dropped => {}
            End::Answered => {
                assert_eq!(
                    self.said,
                    Some(Said::Finished),
                    "an answer that was not given"
                );
                assert_eq!(
                    self.read,
                    self.written.len(),
                    "bytes of an answer are missing"
                );
            }
            End::Redirected => assert_eq!(self.said, Some(Said::Redirected)),
            End::Failed(error @ CallError::Command(answer)) => {
                let expected = self.failure().filter(|(is_command, _)| *is_command);
                let expected = expected.map(|(_, message)| message);
                assert_eq!(expected.as_ref(), Some(&answer.message), "{}", what(error));
            }
            End::Failed(error @ CallError::Server(answer)) => {
                let is_refused = facts.refused > 0 && !facts.is_gentle;
                let is_said = self.failure().is_some_and(|(is_command, message)| {
                    // Before 0006 some of a command's own failures look like any other.
                    !(is_command && facts.revision.has_settings()) && message == answer.message
                });
                assert!(is_said || is_refused, "{}", what(error));
            }
            End::Failed(error @ CallError::Connection(_)) => {
                assert!(facts.has_ended && !facts.is_gentle, "{}", what(error));
            }
            End::Failed(CallError::Source(_)) => assert_eq!(self.upload, UploadState::Failed),
            End::Failed(error @ CallError::Answer(AnswerError::Stalled)) => {
                let stall = facts.stall.expect("there is such a limit");
                let was = facts.now - self.last_empty;
                assert!(was >= stall, "{}: {was} ms", what(error));
            }
            End::Failed(error @ CallError::Answer(AnswerError::TooLarge)) => {
                let len = u64::try_from(self.written.len()).unwrap();
                assert!(len + 20 > facts.response_size, "{}", what(error));
            }
            End::Failed(CallError::Answer(AnswerError::Redirected)) => {
                assert_eq!(self.said, Some(Said::Redirected));
            }
            End::Failed(error) => panic!("{}", what(error)),
        }
    }
}
