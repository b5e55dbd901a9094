//! What a frame does to a client (client.md, "A frame arrives"; revision-0006.md, 6.1 to 6.5 and 8).
//! The numbers of rows are those of the table in client.md.

use super::{Client, ClientAction, ClientError, ClientVerdict, CurrentFrame};
use crate::cbor::{Atoms, ErrorMessage, ProgressView, StatusError, StatusKind, StreamSettings};
use crate::server::Verdict;
use crate::store::{Arena, Key, Phase, Table};
use crate::wire::{FrameHeader, FrameKind, Part, ResponseFlags, SettingsFlags, StreamFlags};
use crate::{Protocol, ProtocolError};

/// What is done with the current frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Task {
    /// Nothing.
    Skip,
    /// Nothing; at its end it is an error. (An encoded payload must have gone through its decoder
    /// before anything else is said of its frame.)
    Refuse(ProtocolError),
    /// It is a piece of a response.
    Response,
    /// It is a message that is complete in one frame.
    Message(FrameKind),
    /// It is a piece of a stream's settings.
    Settings,
    /// It is of a cancelled request.
    Swallow,
}

/// A status map that has come: what it says, its bytes, and how many of them came before.
struct Opened {
    kind: StatusKind,
    len: usize,
    held: usize,
}

/// An error that concerns no request alone.
const fn connection_error(error: ProtocolError) -> ClientError {
    ClientError {
        error,
        request_id: None,
    }
}

impl<P: Protocol> Client<P> {
    /// Handles a part of a frame, as a [`FrameReader`](crate::wire::FrameReader) yields them, where
    /// no payload is encoded.
    ///
    /// The same as [`begin_frame`](Self::begin_frame) for a first part and
    /// [`handle_part`](Self::handle_part) for its bytes.
    ///
    /// # Errors
    /// The server broke the protocol. [`ProtocolError::EncodingUnusable`] for an encoded frame on
    /// a stream whose decoder would be needed cannot occur: the owner has none but `identity`.
    pub fn handle<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        part: Part<'a>,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ClientAction<'a>, ClientError> {
        if part.is_first {
            let _ = self.begin_frame(&part.header, table)?;
        }
        self.handle_part(part.bytes, part.is_last, table, arena)
    }

    /// Judges a frame by its header, before any of its payload is read.
    ///
    /// Every frame is then completed by [`handle_part`](Self::handle_part), with the payload's
    /// decoded bytes in any number of parts. Work: a few look-ups.
    ///
    /// # Errors
    /// The server broke the protocol; the frame's payload is of no use.
    pub fn begin_frame<T: Table + ?Sized>(
        &mut self,
        header: &FrameHeader,
        table: &mut T,
    ) -> Result<ClientVerdict, ClientError> {
        let stream_id = header.stream_id();
        let stream_flags = header.stream_flags();
        let ends_stream = stream_flags.contains(StreamFlags::END);
        self.frame = CurrentFrame {
            request_id: header.request_id(),
            stream_id,
            flags: header.flags(),
            task: Task::Skip,
            is_begun: false,
            ends_stream,
            ends_request: false,
        };
        if stream_id.is_odd() {
            return Err(connection_error(ProtocolError::StreamParity)); // row 1
        }
        if !self.incoming.contains(stream_id) {
            if !stream_flags.contains(StreamFlags::BEGIN) {
                return Err(connection_error(ProtocolError::StreamNotBegun)); // row 2
            }
            // On an open stream `stream-begin` changes nothing, and resets no decoder
            // (revision-0006.md, 3.3).
            self.incoming.insert(stream_id);
        }
        let is_encoded = stream_flags.contains(StreamFlags::ENCODED);
        if is_encoded && !self.revision().has_settings() {
            return Err(connection_error(ProtocolError::EncodingUnsupported)); // row 3
        }
        if ends_stream {
            self.incoming.remove(stream_id);
        }
        self.frame.task = self.judge(header, table);
        let verdict = match self.frame.task {
            Task::Skip | Task::Refuse(_) | Task::Swallow => Verdict::Skip,
            Task::Response => Verdict::Deliver,
            Task::Message(_) | Task::Settings => Verdict::Gather,
        };
        Ok(ClientVerdict {
            verdict,
            decoder: is_encoded.then_some(stream_id),
            ends_stream,
        })
    }

    #[inline(never)]
    fn judge<T: Table + ?Sized>(&mut self, header: &FrameHeader, table: &mut T) -> Task {
        let revision = self.revision();
        let kind = header.kind(revision);
        if kind == FrameKind::StreamSettings && revision.has_settings() {
            // revision-0006.md, 6.3, steps (a) and (b)
            let flags = SettingsFlags::from(header.flags());
            let [more, eos] =
                [SettingsFlags::CONTINUATION, SettingsFlags::EOS].map(|flag| flags.contains(flag));
            return match (more, eos) {
                (true, true) => Task::Refuse(ProtocolError::SettingsBothFlags),
                (false, false) => Task::Refuse(ProtocolError::SettingsNoFlags),
                _ => Task::Settings,
            };
        }
        let is_response = kind == revision.response_kind();
        self.frame.ends_request = kind == FrameKind::ErrorResponse
            || (is_response && ResponseFlags::from(header.flags()).contains(ResponseFlags::EOS));
        match table.find(header.request_id()) {
            Some(entry) if entry.is_cancelled() => Task::Swallow,
            Some(entry) if entry.is_awaiting() => match kind {
                _ if is_response => Task::Response, // row 5
                FrameKind::ErrorResponse | FrameKind::TextOutput | FrameKind::Progress => {
                    Task::Message(kind) // row 6
                }
                _ => Task::Refuse(ProtocolError::UnhandledFrameType), // row 7
            },
            _ => Task::Refuse(ProtocolError::RequestNotActive), // row 4
        }
    }

    /// The decoder of the current frame's stream refused its bytes. Gives the error to report and
    /// drops the rest of the frame.
    pub fn handle_decode_error(&mut self, error: ProtocolError) -> ClientError {
        self.frame.task = Task::Skip;
        connection_error(error)
    }

    /// Handles the next decoded bytes of the frame that has begun; `is_last` says that it ends
    /// with them.
    ///
    /// Response data is borrowed by the action; messages, settings and status maps that come in
    /// several parts are copied once, into the arena. Work is bounded by the bytes given and the
    /// message that they complete.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn handle_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ClientAction<'a>, ClientError> {
        let is_first = !self.frame.is_begun;
        let is_whole = is_last && is_first;
        self.frame.is_begun = true;
        if is_first && matches!(self.frame.task, Task::Message(_)) {
            // What a message left that broke off inside of its frame.
            arena.remove(Key::MESSAGE);
        }
        if is_last && self.frame.ends_stream && self.frame.task != Task::Settings {
            // Settings that were not completed end with their stream.
            arena.remove(Key::stream(self.frame.stream_id));
        }
        match self.frame.task {
            Task::Refuse(error) if is_last => {
                if error != ProtocolError::UnhandledFrameType {
                    return Err(connection_error(error));
                }
                self.note_receiving(table);
                Err(self.request_error(error))
            }
            Task::Skip | Task::Refuse(_) => Ok(ClientAction::Noop),
            Task::Swallow => {
                if is_last && self.frame.ends_request {
                    self.end_request(table);
                }
                Ok(ClientAction::Noop)
            }
            // Not reached, and so the settings' code is dropped, where the revision is a type that has none.
            Task::Settings if !self.revision().has_settings() => Ok(ClientAction::Noop),
            Task::Settings => self.settings_part(bytes, is_last, arena),
            Task::Response => self.response_part(bytes, is_last, table, arena),
            Task::Message(kind) => self.message_part(kind, bytes, is_last, is_whole, table, arena),
        }
    }

    /// The current frame's request was cancelled: what is still to come of the frame is swallowed.
    pub(super) fn swallow_frame(&mut self) {
        if matches!(self.frame.task, Task::Response | Task::Message(_)) {
            self.frame.task = Task::Swallow;
        }
    }

    /// An error of the current frame's request.
    const fn request_error(&self, error: ProtocolError) -> ClientError {
        ClientError {
            error,
            request_id: Some(self.frame.request_id),
        }
    }

    /// revision-0006.md, 6.1 step 7.
    fn note_receiving<T: Table + ?Sized>(&self, table: &mut T) {
        if let Some(entry) = table.find_mut(self.frame.request_id) {
            match entry.phase {
                Phase::Sending => entry.phase = Phase::SendingAndReceiving,
                Phase::Sent => entry.phase = Phase::ReceivingResponse,
                _ => {}
            }
        }
    }

    /// The current frame's request ends. What was not sent of it is cut short.
    fn end_request<T: Table + ?Sized>(&self, table: &mut T) {
        let id = self.frame.request_id;
        match table.find_mut(id) {
            Some(entry) if entry.is_sending() => entry.phase = Phase::EndedSending,
            _ => table.remove(id),
        }
    }

    /// revision-0006.md, 6.3.
    fn settings_part<'a, A: Arena + ?Sized>(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        arena: &mut A,
    ) -> Result<ClientAction<'a>, ClientError> {
        let stream_id = self.frame.stream_id;
        let key = Key::stream(stream_id);
        let is_end = SettingsFlags::from(self.frame.flags).contains(SettingsFlags::EOS);
        let held = arena.find(key).map_or(0, <[u8]>::len);
        let result = if held.saturating_add(bytes.len()) > self.status_size()
            || arena.append(key, bytes).is_err()
        {
            Err(ProtocolError::SettingsTooLarge)
        } else if !is_last {
            return Ok(ClientAction::Noop);
        } else {
            let gathered = arena.find(key).unwrap_or(&[]);
            if is_end {
                StreamSettings::finish(gathered, self.frame.ends_stream).map(Some)
            } else {
                StreamSettings::continue_ok(gathered).map(|()| None)
            }
        };
        if is_end || self.frame.ends_stream || result.is_err() {
            arena.remove(key);
        }
        match result {
            Ok(None) => Ok(ClientAction::Noop),
            Ok(Some(encoding)) if self.config.decoders.contains(encoding) => {
                Ok(ClientAction::SetDecoder {
                    stream_id,
                    encoding,
                })
            }
            Ok(Some(_)) => Err(connection_error(ProtocolError::EncodingUnusable)),
            Err(error) => {
                self.frame.task = Task::Skip;
                Err(connection_error(error))
            }
        }
    }

    fn status_size(&self) -> usize {
        usize::try_from(self.config.status_size).unwrap_or(usize::MAX)
    }

    /// Row 5; revision-0006.md, 2.3, 6.4 and 8.
    fn response_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ClientAction<'a>, ClientError> {
        let request_id = self.frame.request_id;
        let flags = ResponseFlags::from(self.frame.flags);
        let eos = is_last && self.frame.ends_request;
        let expect_more = !is_last || flags.contains(ResponseFlags::CONTINUATION);
        self.note_receiving(table);
        let Some(entry) = table.find_mut(request_id) else {
            return Ok(ClientAction::Noop);
        };
        let wants_status = self.config.takes_status && self.revision().has_status_map();
        let mut opened = None;
        if wants_status && entry.request_len == 0 {
            match self.take_status(bytes, eos, arena) {
                Ok(Some(taken)) => {
                    entry.request_len = u32::try_from(taken.len).unwrap_or(u32::MAX);
                    opened = Some(taken);
                }
                Ok(None) => return Ok(ClientAction::Noop),
                Err(error) => {
                    // The request has failed: what still comes of it is swallowed.
                    entry.phase = if entry.is_sending() {
                        Phase::CancelledSending
                    } else {
                        Phase::Cancelled
                    };
                    self.frame.task = Task::Swallow;
                    if eos {
                        self.end_request(table);
                    }
                    return Err(self.request_error(error));
                }
            }
        }
        let (status, data) = match opened {
            None => (None, bytes),
            Some(Opened { kind, len, held }) => {
                let map = if held > 0 {
                    arena.take(Key::request(request_id))
                } else {
                    bytes
                };
                let rest = bytes.get(len.saturating_sub(held)..).unwrap_or_default();
                (Some(kind.of(map, len)), rest)
            }
        };
        if eos {
            self.end_request(table);
        } else if data.is_empty() && status.is_none() && !is_last {
            return Ok(ClientAction::Noop);
        }
        Ok(ClientAction::ResponseData {
            request_id,
            status,
            data,
            expect_more,
            eos,
        })
    }

    /// Looks for the status map at the front of a response. `None`: it is not complete. `eos`:
    /// nothing of the response follows.
    fn take_status<A: Arena + ?Sized>(
        &self,
        bytes: &[u8],
        eos: bool,
        arena: &mut A,
    ) -> Result<Option<Opened>, ProtocolError> {
        let key = Key::request(self.frame.request_id);
        let held = arena.find(key).map_or(0, <[u8]>::len);
        // A map that lies whole in these bytes is not copied, but decided as if it had come in
        // pieces: the same bytes get the same answer.
        let room = self.status_size().saturating_sub(held).min(arena.room(key));
        let more = bytes.get(..room).unwrap_or(bytes);
        let mut checked = if held == 0 {
            StatusKind::check(more)
        } else {
            Err(StatusError::Incomplete)
        };
        if checked == Err(StatusError::Incomplete) && !more.is_empty() {
            if arena.append(key, more).is_err() {
                return Err(ProtocolError::BadStatus);
            }
            if held > 0 {
                checked = StatusKind::check(arena.find(key).unwrap_or(&[]));
            }
        }
        let is_all = more.len() == bytes.len();
        let error = match checked {
            Ok((kind, len)) => return Ok(Some(Opened { kind, len, held })),
            Err(StatusError::Incomplete) if is_all && !eos => return Ok(None),
            Err(StatusError::Incomplete) if is_all => ProtocolError::TruncatedResponse,
            Err(_) => ProtocolError::BadStatus,
        };
        arena.remove(key);
        Err(error)
    }

    /// Row 6, with what the reference's client refuses (deviations.md, D14); revision-0006.md, 2.5
    /// and 6.5.
    fn message_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        kind: FrameKind,
        bytes: &'a [u8],
        is_last: bool,
        is_whole: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ClientAction<'a>, ClientError> {
        let request_id = self.frame.request_id;
        self.note_receiving(table);
        // Of messages, only errors end their requests.
        let is_error = self.frame.ends_request;
        if is_error && is_last {
            // A status map that was not completed ends with its request.
            arena.remove(Key::request(request_id));
        }
        // A whole message is not copied, but must fit as if it were: the same bytes get the same
        // answer.
        let message = if is_whole && bytes.len() <= arena.room(Key::MESSAGE) {
            bytes
        } else {
            if arena.append(Key::MESSAGE, bytes).is_err() {
                arena.remove(Key::MESSAGE);
                self.frame.task = Task::Skip;
                if is_error {
                    self.end_request(table);
                }
                return Ok(ClientAction::MessageTooLarge { request_id, kind });
            }
            if !is_last {
                return Ok(ClientAction::Noop);
            }
            arena.take(Key::MESSAGE)
        };
        if is_error {
            self.end_request(table);
        }
        let revision = self.revision();
        match kind {
            FrameKind::ErrorResponse => {
                ErrorMessage::decode(message, self.frame.flags.into(), revision)
                    .map(|message| ClientAction::ErrorResponse {
                        request_id,
                        message,
                    })
                    .map_err(|_| self.request_error(ProtocolError::MalformedErrorResponse))
            }
            FrameKind::TextOutput => Atoms::decode(message)
                .map(|atoms| ClientAction::TextOutput { request_id, atoms })
                .map_err(|_| self.request_error(ProtocolError::MalformedTextOutput)),
            _ => ProgressView::decode(message)
                .map(|progress| ClientAction::Progress {
                    request_id,
                    progress,
                })
                .map_err(|_| self.request_error(ProtocolError::MalformedProgress)),
        }
    }
}
