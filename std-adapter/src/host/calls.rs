//! The calls of one client connection: the reactor, and what it makes of frames.

use std::collections::HashMap;

use hgrpc::cbor::{Atoms, ByteString, CommandError, EncodingSet, ErrorMessage, Progress, Status};
use hgrpc::client::{Announcement, Client, ClientAction, ClientConfig, ClientError, ClientVerdict};
use hgrpc::wire::{FrameHeader, FrameKind, RequestId, StreamId};
use hgrpc::{ApiMisuse, ProtocolError, Revision};

use super::sequence::{Sequence, SequenceError};
use super::{
    AnswerError, CallError, CommandFailure, Config, ConnectionError, Limits, ServerFailure,
};
use crate::encoding::ContentEncoding;
use crate::store::{GrowableArena, GrowableTable};

/// The reactor and the calls under way, each as a `C`.
pub(crate) struct Calls<C> {
    pub(crate) client: Client<Revision>,
    pub(crate) table: GrowableTable,
    pub(crate) arena: GrowableArena,
    pub(crate) open: OpenCalls<C>,
    pub(crate) ended: Option<ConnectionError>,
}

/// The calls whose responses have not ended.
pub(crate) struct OpenCalls<C>(HashMap<RequestId, Open<C>>);

struct Open<C> {
    call: C,
    /// The values of its response.
    values: Option<Sequence>,
}

/// What a piece of a frame asks for, with nothing borrowed but the piece itself.
pub(crate) enum Event<C> {
    Nothing,
    /// The last so many bytes of the piece are of this call's response, which may end with them.
    Data {
        call: C,
        len: usize,
        is_opening: bool,
        end: Option<Result<(), CallError>>,
    },
    /// The call has failed.
    Failed(C, CallError),
    /// An encoded status map that names another place, and whether the response ends with it.
    Redirect(C, Vec<u8>, bool),
    /// Encoded atoms.
    Text(C, Vec<u8>),
    /// An encoded progress message.
    Progress(C, Vec<u8>),
    SetDecoder(StreamId, ContentEncoding),
}

impl<C: Clone> Calls<C> {
    pub(crate) fn new(config: &Config) -> Self {
        let budgets = config.limits.budgets();
        Self {
            client: Client::new(config.revision, core_config(config)),
            table: GrowableTable::new(budgets),
            arena: GrowableArena::new(budgets),
            open: OpenCalls(HashMap::new()),
            ended: None,
        }
    }

    /// A frame begins.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn begin_frame(
        &mut self,
        header: &FrameHeader,
    ) -> Result<ClientVerdict, ConnectionError> {
        self.client
            .begin_frame(header, &mut self.table)
            .map_err(|error| ConnectionError::Protocol(error.error))
    }

    /// Tells the reactor.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn handle(
        &mut self,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<Event<C>, ConnectionError> {
        let revision = self.client.revision();
        let action = self
            .client
            .handle_part(bytes, is_last, &mut self.table, &mut self.arena);
        let action = match action {
            Ok(action) => action,
            Err(ClientError {
                error,
                request_id: None,
            }) => return Err(ConnectionError::Protocol(error)),
            Err(ClientError {
                error,
                request_id: Some(id),
            }) => {
                let Some(call) = self.open.remove(id) else {
                    return Ok(Event::Nothing);
                };
                self.give_up(id);
                return Ok(Event::Failed(
                    call,
                    CallError::Answer(AnswerError::Protocol(error)),
                ));
            }
        };
        Ok(match action {
            ClientAction::ResponseData {
                request_id,
                status,
                data,
                eos,
                ..
            } => {
                let Some((call, end)) = self.open.follow(request_id, data, eos) else {
                    return Ok(Event::Nothing);
                };
                match status {
                    Some(Status::Error(error)) => {
                        let failure = CallError::Command(command_failure(&error));
                        self.open.remove(request_id);
                        if !eos {
                            self.give_up(request_id);
                        }
                        Event::Failed(call, failure)
                    }
                    Some(Status::Redirect(redirect)) => {
                        let mut buffer = vec![0; bytes.len() + 4096];
                        match redirect.location().encode_status(&mut buffer) {
                            Ok(len) => buffer.truncate(len),
                            Err(_) => buffer.clear(),
                        }
                        Event::Redirect(call, buffer, eos)
                    }
                    status => Event::Data {
                        call,
                        len: data.len(),
                        is_opening: status.is_some() || !revision.has_status_map(),
                        end,
                    },
                }
            }
            ClientAction::ErrorResponse {
                request_id,
                message,
            } => match self.open.remove(request_id) {
                Some(call) => Event::Failed(call, error_response(&message)),
                None => Event::Nothing,
            },
            ClientAction::TextOutput { request_id, atoms } => match self.open.find(request_id) {
                Some(call) => Event::Text(call.clone(), atoms.as_cbor().to_vec()),
                None => Event::Nothing,
            },
            ClientAction::Progress {
                request_id,
                progress,
            } => match self.open.find(request_id) {
                Some(call) => Event::Progress(call.clone(), encode(&progress.progress(), revision)),
                None => Event::Nothing,
            },
            ClientAction::MessageTooLarge {
                request_id,
                kind: FrameKind::ErrorResponse,
            } => match self.open.remove(request_id) {
                Some(call) => Event::Failed(
                    call,
                    CallError::Server(ServerFailure {
                        kind: String::new(),
                        message: "an error whose message is too large".into(),
                    }),
                ),
                None => Event::Nothing,
            },
            ClientAction::SetDecoder {
                stream_id,
                encoding,
            } => Event::SetDecoder(stream_id, encoding),
            _ => Event::Nothing,
        })
    }

    /// Swallows what still comes of a call.
    pub(crate) fn give_up(&mut self, id: RequestId) {
        self.open.remove(id);
        // It may have ended already.
        let _: Result<(), ApiMisuse> = self.client.cancel(&mut self.table, &mut self.arena, id);
    }

    /// The connection has ended; the calls that were open.
    pub(crate) fn end(&mut self, error: &ConnectionError) -> Vec<(RequestId, C)> {
        self.ended.get_or_insert_with(|| error.clone());
        while self.client.handle_eof(&mut self.table).is_some() {}
        self.open.take_all()
    }
}

impl<C> OpenCalls<C> {
    /// Adds a call whose request was sent.
    pub(crate) fn add(&mut self, id: RequestId, call: C, revision: Revision) {
        let values = Sequence::of_response(revision);
        self.0.insert(id, Open { call, values });
    }

    pub(crate) fn find(&self, id: RequestId) -> Option<&C> {
        self.0.get(&id).map(|open| &open.call)
    }

    fn remove(&mut self, id: RequestId) -> Option<C> {
        self.0.remove(&id).map(|open| open.call)
    }

    pub(crate) fn take_all(&mut self) -> Vec<(RequestId, C)> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.map(|(id, open)| (id, open.call)).collect()
    }
}

impl<C: Clone> OpenCalls<C> {
    /// Follows the next bytes of a response; its call, and how the response has ended if it ends
    /// with them.
    fn follow(
        &mut self,
        id: RequestId,
        data: &[u8],
        is_last: bool,
    ) -> Option<(C, Option<Result<(), CallError>>)> {
        let open = self.0.get_mut(&id)?;
        let mut result = Ok(());
        if let Some(values) = &mut open.values {
            values.scan(data);
            result = values.end().map_err(|error| match error {
                SequenceError::Truncated => TRUNCATED,
                SequenceError::Malformed => CallError::Answer(AnswerError::NotValues),
            });
        }
        let call = open.call.clone();
        if !is_last {
            return Some((call, None));
        }
        self.0.remove(&id);
        Some((call, Some(result)))
    }
}

/// What the core's reactor is told.
fn core_config(config: &Config) -> ClientConfig {
    let Limits {
        send_frame_size,
        frame_size,
        ..
    } = config.limits;
    let mut core = ClientConfig::FULL_DUPLEX;
    core.send_frame_size = send_frame_size;
    core.max_frame_size = frame_size;
    // Other servers' messages may be as long as a frame.
    core.status_size = 16 << 10;
    let mut encodings = [None; 3];
    let mut decoders = EncodingSet::IDENTITY;
    // `identity` must always be listed (revision-0006.md, 4.1).
    let mut listed: Vec<ContentEncoding> = Vec::new();
    for encoding in config.decodes.iter().chain([&ContentEncoding::Identity]) {
        if !listed.contains(encoding) {
            listed.push(*encoding);
        }
    }
    for (slot, encoding) in encodings.iter_mut().zip(listed) {
        *slot = Some(encoding);
        decoders = decoders.with(encoding);
    }
    core.announcement = Some(Announcement {
        encodings,
        is_hgrpc: true,
    });
    core.decoders = decoders;
    core
}

pub(crate) fn command_failure(error: &CommandError<'_>) -> CommandFailure {
    match error.atoms() {
        Some(atoms) => from_atoms(&atoms),
        None => CommandFailure {
            message: error.to_string(),
            format: error.message().as_bytes().map(owned).unwrap_or_default(),
            args: error.args().map(owned).collect(),
        },
    }
}

/// A single atom is a format and its arguments, as 0005 sends them.
fn from_atoms(atoms: &Atoms<'_>) -> CommandFailure {
    let mut failure = CommandFailure {
        message: atoms.to_string(),
        format: Vec::new(),
        args: Vec::new(),
    };
    let mut iter = atoms.iter();
    if let (Some(atom), None) = (iter.next(), iter.next()) {
        failure.format = owned(atom.msg());
        failure.args = atom.args().map(owned).collect();
    }
    failure
}

fn owned(bytes: ByteString<'_>) -> Vec<u8> {
    bytes.chunks().flatten().copied().collect()
}

/// An error response: the command's own after output has begun, or the server's.
pub(crate) fn error_response(error: &ErrorMessage<'_>) -> CallError {
    let message = error.to_string();
    let kind = match error {
        ErrorMessage::Structured { kind, message } if *kind == *b"command" => {
            return CallError::Command(match Atoms::from_value(*message) {
                Some(atoms) => from_atoms(&atoms),
                None => CommandFailure {
                    message: error.to_string(),
                    format: Vec::new(),
                    args: Vec::new(),
                },
            });
        }
        ErrorMessage::Structured { kind, .. } => kind.to_string(),
        _ => String::new(),
    };
    CallError::Server(ServerFailure { kind, message })
}

fn encode(progress: &Progress<'_>, revision: Revision) -> Vec<u8> {
    let text = |text: &hgrpc::cbor::Text<'_>| text.as_bytes().len() + 16;
    let len = 64
        + text(&progress.topic)
        + progress.label.as_ref().map_or(0, text)
        + progress.item.as_ref().map_or(0, text);
    let mut buffer = vec![0; len];
    match progress.encode(revision, &mut buffer) {
        Ok(len) => buffer.truncate(len),
        Err(_) => buffer.clear(),
    }
    buffer
}

/// The rule for an answer that ends inside a value.
pub(crate) const TRUNCATED: CallError =
    CallError::Answer(AnswerError::Protocol(ProtocolError::TruncatedResponse));
