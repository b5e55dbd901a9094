//! What has come means something to its call.

use hgrpc::Revision;
use hgrpc::cbor::{Location, Redirect, Status};
use hgrpc::client::Event;
use hgrpc::wire::{FrameKind, StreamId};

use super::call::{Call, has};
use super::{Note, NoteRoute, Wakes};
use crate::encoding::ContentEncoding;
use crate::engine::Key;
use crate::engine::inbound::{Free, Pushed};
use crate::engine::slab::Slab;
use crate::host::calls::{TRUNCATED, command_failure, error_response};
use crate::host::sequence::SequenceError;
use crate::host::{AnswerError, CallError, ConnectionError, Limits, ServerFailure};

/// The calls of a connection, and who is to be woken for them.
pub(super) struct Calls {
    pub(super) slab: Slab<Call>,
    pub(super) wakes: Wakes,
    revision: Revision,
    response_size: u64,
}

/// What an event leaves to be done, with nothing borrowed.
pub(super) enum Step {
    Nothing,
    /// The last so many of its bytes wait for room in the call's buffer.
    Full(Key, usize),
    /// The call is given up: what still comes of it is swallowed.
    Cancel(Key),
    /// Something came beside a response.
    Note(Key, Note),
    /// So many bytes are to be decoded; the frame, and the stream, end with them.
    Encoded(StreamId, usize, bool, bool),
    SetDecoder(StreamId, ContentEncoding),
    DropDecoder(StreamId),
    Error(ConnectionError),
}

impl Calls {
    pub(super) fn new(revision: Revision, limits: &Limits) -> Self {
        Self {
            slab: Slab::new(),
            wakes: Wakes::default(),
            revision,
            response_size: limits.response_size,
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Call> {
        self.slab.get_mut(key)
    }

    /// Has whoever waits for a call woken.
    pub(super) fn wake_caller(&mut self, key: Key) {
        if let Some(call) = self.slab.get_mut(key) {
            self.wakes.push(call.caller.take());
        }
    }

    /// Has whoever has its data woken.
    pub(super) fn wake_upload(&mut self, key: Key) {
        if let Some(call) = self.slab.get_mut(key) {
            self.wakes.push(call.uploader.take());
        }
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.slab.shrink();
    }

    /// The response has ended; the first end counts.
    pub(super) fn end(&mut self, key: Key, result: Result<(), CallError>) {
        if let Some(call) = self.slab.get_mut(key) {
            call.body.end(result);
            call.notes.end();
            self.wake_caller(key);
        }
    }

    /// Something has come of the frame that is of this call.
    pub(super) fn event(&mut self, current: Option<Key>, event: &Event<'_>) -> Step {
        match event {
            Event::Encoded {
                stream_id,
                bytes,
                is_last,
                ends_stream,
            } => return Step::Encoded(*stream_id, bytes.len(), *is_last, *ends_stream),
            Event::SetDecoder {
                stream_id,
                encoding,
            } => return Step::SetDecoder(*stream_id, *encoding),
            Event::DropDecoder { stream_id } => return Step::DropDecoder(*stream_id),
            Event::Error {
                error,
                request_id: None,
            } => return Step::Error(ConnectionError::Protocol(*error)),
            _ => {}
        }
        let Some(key) = current else {
            return Step::Nothing;
        };
        let Some(call) = self.slab.get_mut(key) else {
            return Step::Nothing;
        };
        if call.has & has::COMPLETE != 0 {
            return Step::Nothing;
        }
        match event {
            Event::Response {
                status,
                data,
                is_last,
                ..
            } => {
                if *is_last {
                    call.has |= has::COMPLETE;
                }
                let end = call.follow(data, *is_last);
                match status {
                    Some(Status::Error(error)) => {
                        let failure = CallError::Command(command_failure(error));
                        return self.fail(key, failure);
                    }
                    Some(Status::Redirect(redirect)) => {
                        call.redirect = Some(encode_redirect(redirect));
                        call.has |= has::OPENED;
                        if *is_last {
                            self.end(key, Ok(()));
                            return Step::Cancel(key);
                        }
                        self.wake_caller(key);
                        return Step::Nothing;
                    }
                    _ => {}
                }
                if (status.is_some() || !self.revision.has_status_map())
                    && call.has & has::OPENED == 0
                {
                    call.has |= has::OPENED;
                    if data.is_empty() && end.is_none() {
                        self.wake_caller(key);
                    }
                }
                self.begin_delivery(key, data, end)
            }
            Event::Failed { message, .. } => {
                call.has |= has::COMPLETE;
                self.fail(key, error_response(message))
            }
            Event::MessageTooLarge {
                kind: FrameKind::ErrorResponse,
                ..
            } => {
                call.has |= has::COMPLETE;
                let failure = ServerFailure {
                    kind: String::new(),
                    message: "an error whose message is too large".into(),
                };
                self.fail(key, CallError::Server(failure))
            }
            Event::Error { error, .. } => {
                self.fail(key, CallError::Answer(AnswerError::Protocol(*error)))
            }
            Event::Text { atoms, .. } if !matches!(call.notes, NoteRoute::Ignored) => {
                Step::Note(key, Note::text(atoms))
            }
            Event::Progress { progress, .. } if !matches!(call.notes, NoteRoute::Ignored) => {
                let event = Note::progress(&progress.progress(), self.revision);
                Step::Note(key, event)
            }
            _ => Step::Nothing,
        }
    }

    /// The call has failed.
    fn fail(&mut self, key: Key, error: CallError) -> Step {
        self.end(key, Err(error));
        Step::Cancel(key)
    }

    /// New bytes of a response, which may end with them.
    fn begin_delivery(
        &mut self,
        key: Key,
        data: &[u8],
        end: Option<Result<(), CallError>>,
    ) -> Step {
        let Some(call) = self.slab.get_mut(key) else {
            return Step::Nothing;
        };
        call.end = end;
        call.received = call.received.saturating_add(len(data));
        if call.received > self.response_size {
            return self.fail(key, CallError::Answer(AnswerError::TooLarge));
        }
        let mut rest = data;
        if self.deliver(key, &mut rest) {
            return self.delivered(key);
        }
        Step::Full(key, rest.len())
    }

    /// Bytes of a response go into its buffer. `false`: the rest waits for room.
    pub(super) fn deliver(&mut self, key: Key, bytes: &mut &[u8]) -> bool {
        let Some(call) = self.slab.get_mut(key) else {
            return true;
        };
        let before = bytes.len();
        let is_whole = call.end.is_some();
        let pushed = match is_whole {
            true => call.body.push_last(bytes, &Free),
            false => call.body.push(bytes, &Free),
        };
        if bytes.len() < before {
            self.wake_caller(key);
        }
        pushed != Pushed::Full
    }

    /// All bytes of an event have their place: the response ends behind them, if it does.
    pub(super) fn delivered(&mut self, key: Key) -> Step {
        let end = self.slab.get_mut(key).and_then(|call| call.end.take());
        match end {
            None => Step::Nothing,
            Some(end) => {
                self.end(key, end);
                Step::Cancel(key)
            }
        }
    }
}

impl Call {
    /// Follows the next bytes of the response; how it has ended if it ends with them.
    fn follow(&mut self, data: &[u8], is_last: bool) -> Option<Result<(), CallError>> {
        let Some(values) = &mut self.values else {
            return is_last.then_some(Ok(()));
        };
        values.scan(data);
        is_last.then(|| {
            values.end().map_err(|error| match error {
                SequenceError::Truncated => TRUNCATED,
                SequenceError::Malformed => CallError::Answer(AnswerError::NotValues),
            })
        })
    }
}

/// Most bytes of a redirect's status map, encoded anew.
const REDIRECT: usize = 32 * 1024;

/// The status map of a redirect; empty if it has no place.
fn encode_redirect(redirect: &Redirect<'_>) -> Vec<u8> {
    let mut buffer = vec![0; REDIRECT];
    let len = redirect.location().encode_status(&mut buffer);
    buffer.truncate(len.unwrap_or_default());
    buffer.shrink_to_fit();
    buffer
}

/// Where an answer is instead, by the status map that says so; `None` if it is here.
///
/// # Errors
/// It says no place.
pub(crate) fn location(redirect: Option<&[u8]>) -> Result<Option<Location<'_>>, CallError> {
    let Some(status) = redirect else {
        return Ok(None);
    };
    match Status::decode(status) {
        Ok((Status::Redirect(redirect), _)) => Ok(Some(redirect.location())),
        _ => Err(CallError::Answer(AnswerError::Redirected)),
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
