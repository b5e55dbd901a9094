//! The reading thread of a client connection.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hgrpc::cbor::{Atoms, ByteString, CommandError, ErrorMessage, Progress, Status};
use hgrpc::client::{ClientAction, ClientError};
use hgrpc::wire::{FrameKind, FrameReader, Part, RequestId, StreamId};
use hgrpc::{ApiMisuse, ProtocolError, Revision};

use super::exchange::{CallState, Shared, State};
use super::pipe::Pushed;
use super::sync::lock;
use super::{AnswerError, CallError, CommandFailure, ConnectionError, ServerFailure};
use crate::buffer::{Filled, ReceiveBuffer};
use crate::encoding::{ContentEncoding, StreamDecoders};

/// Reads until the connection ends, then ends every call.
pub(super) fn run(mut read: Box<dyn Read + Send>, shared: &Shared) {
    let mut receiver = Receiver {
        shared,
        decoders: StreamDecoders::new(shared.limits.decoding),
        compressed: Vec::new(),
        decoder: None,
        ends_stream: None,
    };
    let error = match receiver.read(&mut *read) {
        Ok(()) if shared.out.meter.traffic().bytes_in == 0 => ConnectionError::ClosedAtOnce,
        Ok(()) => ConnectionError::Closed,
        Err(error) => error,
    };
    shared.end(&error);
    shared.out.close(error);
}

struct Receiver<'s> {
    shared: &'s Shared,
    decoders: StreamDecoders,
    /// Streams whose decoder changes bytes.
    compressed: Vec<StreamId>,
    /// The stream through whose decoder the current frame goes.
    decoder: Option<StreamId>,
    ends_stream: Option<StreamId>,
}

/// What a piece of a frame asks for, with nothing borrowed but the piece itself.
enum Event {
    Nothing,
    /// The last so many bytes of the piece are of this call's response.
    Data {
        call: Arc<CallState>,
        len: usize,
        is_opening: bool,
        is_end: bool,
    },
    /// The call has failed.
    Failed(Arc<CallState>, CallError),
    Redirect(Arc<CallState>, Vec<u8>, bool),
    /// Encoded atoms.
    Text(Arc<CallState>, Vec<u8>),
    /// An encoded progress message.
    Progress(Arc<CallState>, Vec<u8>),
    SetDecoder(StreamId, ContentEncoding),
}

impl Receiver<'_> {
    fn read(&mut self, read: &mut dyn Read) -> Result<(), ConnectionError> {
        let mut frames = FrameReader::new(self.shared.limits.frame_size);
        let mut buffer = ReceiveBuffer::default();
        let meter = Arc::clone(&self.shared.out.meter);
        let mut is_first = true;
        loop {
            match buffer.fill_from(read) {
                Ok(Filled::Bytes(len)) => meter.bytes_in(len),
                Ok(_) => break,
                Err(error) => return Err(ConnectionError::reading(error)),
            }
            let mut input = buffer.bytes();
            if std::mem::take(&mut is_first)
                && let Some(protocol) = other_protocol(input)
            {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
            let len = input.len();
            while let Some(part) = frames.next(&mut input).map_err(ConnectionError::Protocol)? {
                if part.is_first {
                    meter.frame_in(&part.header);
                }
                self.part(&part)?;
            }
            buffer.consume(len);
        }
        frames.finish().map_err(|_| ConnectionError::Cut {
            missing: frames.missing(),
        })
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), ConnectionError> {
        if part.is_first {
            let state = &mut *lock(&self.shared.state);
            let verdict = state
                .client
                .begin_frame(&part.header, &mut state.table)
                .map_err(|error| ConnectionError::Protocol(error.error))?;
            self.decoder = verdict
                .decoder
                .filter(|stream| self.compressed.contains(stream));
            self.ends_stream = verdict.ends_stream.then(|| part.header.stream_id());
        }
        match self.decoder {
            None => self.piece(part.bytes, part.is_last)?,
            Some(stream) => {
                // Taken out, since handling a piece may change them.
                let mut decoders = std::mem::take(&mut self.decoders);
                let result = self.decode(&mut decoders, stream, part);
                self.decoders = decoders;
                result?;
            }
        }
        if part.is_last
            && let Some(stream) = self.ends_stream.take()
        {
            self.set_decoder(stream, ContentEncoding::Identity);
        }
        Ok(())
    }

    fn decode(
        &mut self,
        decoders: &mut StreamDecoders,
        stream: StreamId,
        part: &Part<'_>,
    ) -> Result<(), ConnectionError> {
        let mut decoded = decoders.decode(stream, part.bytes, part.is_last);
        while let Some(piece) = decoded.next_piece().map_err(ConnectionError::Decode)? {
            self.piece(piece, false)?;
        }
        drop(decoded);
        if part.is_last {
            self.piece(&[], true)?;
        }
        Ok(())
    }

    fn set_decoder(&mut self, stream: StreamId, encoding: ContentEncoding) {
        self.compressed.retain(|other| *other != stream);
        if encoding != ContentEncoding::Identity {
            self.compressed.push(stream);
        }
        self.decoders.install(stream, encoding);
    }

    /// Handles decoded bytes. A call whose buffer is full stops the reading here; nothing is locked
    /// meanwhile.
    fn piece(&mut self, bytes: &[u8], is_last: bool) -> Result<(), ConnectionError> {
        match self.event(bytes, is_last)? {
            Event::Nothing => {}
            Event::Data {
                call,
                len,
                is_opening,
                is_end,
            } => {
                if is_opening {
                    call.body.open();
                }
                let start = bytes.len().saturating_sub(len);
                self.deliver(&call, bytes.get(start..).unwrap_or_default());
                if is_end {
                    call.body.end(Ok(()));
                }
            }
            Event::Failed(call, error) => call.body.end(Err(error)),
            Event::Redirect(call, status, is_end) => {
                let _ = call.redirect.set(status);
                call.body.open();
                if is_end {
                    call.body.end(Ok(()));
                }
            }
            Event::Text(call, cbor) => {
                if let (Some(show), Ok(atoms)) = (&mut *lock(&call.on_text), Atoms::decode(&cbor)) {
                    show(&atoms);
                }
            }
            Event::Progress(call, cbor) => {
                if let (Some(show), Ok(progress)) =
                    (&mut *lock(&call.on_progress), Progress::decode(&cbor))
                {
                    show(&progress);
                }
            }
            Event::SetDecoder(stream, encoding) => self.set_decoder(stream, encoding),
        }
        Ok(())
    }

    fn deliver(&self, call: &Arc<CallState>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        call.received.fetch_add(count, Ordering::Relaxed);
        if call.body.push(bytes, self.shared.limits.stall) == Pushed::Stalled {
            call.body.end(Err(CallError::Answer(AnswerError::Stalled)));
            self.give_up(call);
        }
    }

    /// Swallows what still comes of a call.
    fn give_up(&self, call: &CallState) {
        if let Some(id) = call.id() {
            lock(&self.shared.state).give_up(id);
        }
    }

    /// Tells the reactor.
    fn event(&self, bytes: &[u8], is_last: bool) -> Result<Event, ConnectionError> {
        let revision = self.shared.revision;
        let state = &mut *lock(&self.shared.state);
        let action = state
            .client
            .handle_part(bytes, is_last, &mut state.table, &mut state.arena);
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
                let Some(call) = state.calls.remove(&id) else {
                    return Ok(Event::Nothing);
                };
                state.give_up(id);
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
                let call = if eos {
                    state.calls.remove(&request_id)
                } else {
                    state.calls.get(&request_id).cloned()
                };
                let Some(call) = call else {
                    return Ok(Event::Nothing);
                };
                match status {
                    Some(Status::Error(error)) => {
                        let failure = CallError::Command(command_failure(&error));
                        state.calls.remove(&request_id);
                        if !eos {
                            state.give_up(request_id);
                        }
                        Event::Failed(call, failure)
                    }
                    Some(Status::Redirect(location)) => {
                        let mut buffer = vec![0; bytes.len() + 4096];
                        match location.encode_status(&mut buffer) {
                            Ok(len) => buffer.truncate(len),
                            Err(_) => buffer.clear(),
                        }
                        Event::Redirect(call, buffer, eos)
                    }
                    status => Event::Data {
                        call,
                        len: data.len(),
                        is_opening: status.is_some() || !revision.has_status_map(),
                        is_end: eos,
                    },
                }
            }
            ClientAction::ErrorResponse {
                request_id,
                message,
            } => match state.calls.remove(&request_id) {
                Some(call) => Event::Failed(call, error_response(&message)),
                None => Event::Nothing,
            },
            ClientAction::TextOutput { request_id, atoms } => match state.calls.get(&request_id) {
                Some(call) => Event::Text(Arc::clone(call), atoms.as_cbor().to_vec()),
                None => Event::Nothing,
            },
            ClientAction::Progress {
                request_id,
                progress,
            } => match state.calls.get(&request_id) {
                Some(call) => Event::Progress(Arc::clone(call), encode(&progress, revision)),
                None => Event::Nothing,
            },
            ClientAction::MessageTooLarge {
                request_id,
                kind: FrameKind::ErrorResponse,
            } => match state.calls.remove(&request_id) {
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
}

/// The protocol that begins like this. As frames, all of these are far over the largest default, so
/// that no hgrpc server is taken for another.
fn other_protocol(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'H', b'T', b'T', b'P', b'/', ..] => "HTTP",
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        // An alert of any version, which is two bytes long.
        [0x15, 3, 1..=4, 0, 2, ..] => "TLS",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "SMTP or FTP",
        [b'+', b'O', b'K', ..] => "POP3",
        [b'-', b'E', b'R', b'R', ..] => "Redis",
        _ => return None,
    })
}

impl State {
    fn give_up(&mut self, id: RequestId) {
        self.calls.remove(&id);
        // It may have ended already.
        let _: Result<(), ApiMisuse> = self.client.cancel(&mut self.table, &mut self.arena, id);
    }
}

fn command_failure(error: &CommandError<'_>) -> CommandFailure {
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
fn error_response(error: &ErrorMessage<'_>) -> CallError {
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
pub(super) const TRUNCATED: CallError =
    CallError::Answer(AnswerError::Protocol(ProtocolError::TruncatedResponse));
