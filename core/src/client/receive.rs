//! What a frame does to a client (client.md, "A frame arrives"; revision-0006.md, 6.1 to 6.5 and 8).
//! The numbers of rows are those of the table in client.md.

use super::{Client, Event, phase};
use crate::cbor::{
    Atoms, EncodingSet, ErrorMessage, ProgressView, StatusError, StatusKind, StreamSettings,
};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::tuned::IS_SMALL;
use crate::wire::{RequestId, ResponseFlags, SettingsFlags, StreamFlags};
use crate::{Protocol, ProtocolError};

/// What is done with the current frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Task {
    /// Nothing.
    Skip,
    /// Nothing; at its end it is the error that is kept. (An encoded payload must have gone through
    /// its decoder before anything else is said of its frame.)
    Refuse,
    /// It is a piece of a response.
    Response,
    /// It is a message that is complete in one frame.
    Message,
    /// It is a piece of a stream's settings.
    Settings,
    /// It is of a cancelled request.
    Swallow,
}

/// The current frame has had bytes.
pub(super) const BEGUN: u8 = 0x01;
/// Its stream ends with it.
const ENDS_STREAM: u8 = 0x02;
/// Its request ends with it, if it is of a request that is active.
pub(super) const ENDS_REQUEST: u8 = 0x04;
/// Its payload goes through its stream's decoder.
const DECODES: u8 = 0x08;

/// What became of some bytes; the event is made of it once, behind the loop, since it borrows.
enum Step<'a> {
    /// More input is needed.
    Starved,
    /// Nothing for the owner.
    Quiet,
    /// To be decoded; the frame ends with them.
    Encoded(&'a [u8], bool),
    /// A piece of a response: expects more, and is the last.
    Response(&'a [u8], bool, bool),
    /// The same, at whose front a status map ends, of which so many bytes were taken before.
    Opened(StatusKind, usize, usize, &'a [u8], bool, bool),
    /// A message, whole in the input.
    Message(&'a [u8]),
    /// A message that was taken from the memory.
    Taken,
    TooLarge,
    SetDecoder(crate::cbor::ContentEncoding),
    DropDecoder,
    /// The server broke the protocol: the connection's error.
    Error(ProtocolError),
    /// The same, of the current frame's request.
    RequestError(ProtocolError),
}

impl<P: Protocol, T: Requests> Client<P, T> {
    /// Takes bytes off the front of `input` until they lead to an event. `None`: all were taken, and
    /// more are needed.
    ///
    /// Response data is never copied; messages, settings and status maps that come in several parts
    /// are, once, into the memory. Work is linear in the bytes taken and the message that they
    /// complete.
    pub fn next<'a, 'i: 'a>(
        &mut self,
        input: &mut &'i [u8],
        memory: &'a mut T::Memory,
    ) -> Option<Event<'a>> {
        // What the last event borrowed is given back, be there more input or not.
        self.requests.release(memory);
        if !IS_SMALL && let Some(event) = self.next_usual(input, memory) {
            return Some(event);
        }
        self.next_of_all(input, memory)
    }

    /// [`next`](Self::next), of whatever comes.
    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn next_of_all<'a, 'i: 'a>(
        &mut self,
        input: &mut &'i [u8],
        memory: &'a mut T::Memory,
    ) -> Option<Event<'a>> {
        let step = loop {
            match self.step(input, memory) {
                Step::Quiet => {}
                step => break step,
            }
        };
        self.event(step, memory)
    }

    /// Takes decoded bytes of an [`Event::Encoded`], in any number of calls; `is_last`: the frame ends
    /// with them.
    pub fn decoded<'a>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        memory: &'a mut T::Memory,
    ) -> Option<Event<'a>> {
        let step = self.part(bytes, is_last, memory);
        self.event(step, memory)
    }

    /// The decoder of the current frame's stream refused its bytes. Gives the error to report and
    /// drops the rest of the frame.
    pub fn handle_decode_error<'a>(&mut self, error: ProtocolError) -> Event<'a> {
        self.task = Task::Skip;
        self.frame &= !DECODES;
        Event::Error {
            error,
            request_id: None,
        }
    }

    #[inline]
    fn id(&self) -> RequestId {
        self.incoming.header().request_id()
    }

    fn key(&self) -> Key {
        Key::request(self.id())
    }

    fn step<'a>(&mut self, input: &mut &'a [u8], memory: &mut T::Memory) -> Step<'a> {
        if !self.incoming.is_inside() {
            if !self.incoming.begin(input) {
                return Step::Starved;
            }
            self.task = Task::Skip;
            self.frame = 0;
            if let Err(error) = self.judge() {
                // What is there of the payload goes with its frame.
                self.incoming.payload(input);
                return Step::Error(error);
            }
            if self.revision().has_settings()
                && self.frame & (ENDS_STREAM | DECODES) == ENDS_STREAM
                && self.choices.decoders() != EncodingSet::IDENTITY
            {
                return Step::DropDecoder;
            }
        } else if input.is_empty() && self.frame & (BEGUN | DECODES) != 0 {
            return Step::Starved;
        }
        let bytes = self.incoming.payload(input);
        let is_last = self.incoming.left() == 0;
        if self.revision().has_settings() && self.frame & DECODES != 0 {
            return Step::Encoded(bytes, is_last);
        }
        self.part(bytes, is_last, memory)
    }

    /// Rows 1 to 7, of a header alone.
    #[cfg_attr(target_os = "none", inline(never))]
    fn judge(&mut self) -> Result<(), ProtocolError> {
        let revision = self.revision();
        self.incoming.check(false, revision.has_settings())?; // rows 1 to 3
        let header = *self.incoming.header();
        let stream_flags = header.stream_flags();
        if stream_flags.contains(StreamFlags::ENCODED)
            && self.choices.decoders() != EncodingSet::IDENTITY
        {
            self.frame |= DECODES;
        }
        if stream_flags.contains(StreamFlags::END) {
            self.frame |= ENDS_STREAM;
        }
        let number = header.kind_number();
        self.task = Task::Refuse;
        if number == number::STREAM_SETTINGS && revision.has_settings() {
            // revision-0006.md, 6.3, steps (a) and (b)
            let flags = SettingsFlags::from(header.flags());
            let [more, eos] =
                [SettingsFlags::CONTINUATION, SettingsFlags::EOS].map(|flag| flags.contains(flag));
            match (more, eos) {
                (true, true) => self.error = ProtocolError::SettingsBothFlags,
                (false, false) => self.error = ProtocolError::SettingsNoFlags,
                _ => self.task = Task::Settings,
            }
            return Ok(());
        }
        let is_response = number == revision.response_number();
        if number == number::ERROR_RESPONSE
            || is_response && ResponseFlags::from(header.flags()).contains(ResponseFlags::EOS)
        {
            self.frame |= ENDS_REQUEST;
        }
        let key = self.key();
        let has = self.requests.find(key).map_or(0, |slot| slot.bits);
        if has & phase::CANCELLED != 0 {
            self.task = Task::Swallow;
        } else if has & phase::AWAITING == 0 {
            self.error = ProtocolError::RequestNotActive; // row 4
        } else if is_response {
            self.task = Task::Response; // row 5
        } else if matches!(number, number::ERROR_RESPONSE..=number::PROGRESS) {
            self.task = Task::Message; // row 6
        } else {
            self.error = ProtocolError::UnhandledFrameType; // row 7
        }
        Ok(())
    }

    /// The next decoded bytes of the current frame.
    fn part<'a>(&mut self, bytes: &'a [u8], is_last: bool, memory: &mut T::Memory) -> Step<'a> {
        let is_first = self.frame & BEGUN == 0;
        self.frame |= BEGUN;
        if is_first && self.task == Task::Message {
            // What a message left that broke off inside of its frame.
            self.drop_aside(Key::MESSAGE, memory);
        }
        if is_last && self.frame & ENDS_STREAM != 0 && self.task != Task::Settings {
            // Settings that were not completed end with their stream.
            let stream = self.incoming.header().stream_id();
            self.drop_aside(Key::stream(stream), memory);
        }
        match self.task {
            Task::Refuse if is_last => {
                let error = self.error;
                if error != ProtocolError::UnhandledFrameType {
                    return Step::Error(error);
                }
                self.note_receiving();
                Step::RequestError(error)
            }
            Task::Skip | Task::Refuse => Step::Quiet,
            Task::Swallow => {
                if is_last && self.frame & ENDS_REQUEST != 0 {
                    self.end_request();
                }
                Step::Quiet
            }
            // Not reached, and so the settings' code is dropped, where the revision is a type that
            // has none.
            Task::Settings if !self.revision().has_settings() => Step::Quiet,
            Task::Settings => self.settings_part(bytes, is_last, memory),
            Task::Response => self.response_part(bytes, is_last, memory),
            Task::Message => self.message_part(bytes, is_first, is_last, memory),
        }
    }

    /// The current frame's request was cancelled: what is still to come of the frame is swallowed.
    pub(super) fn swallow_frame(&mut self) {
        if matches!(self.task, Task::Response | Task::Message) {
            self.task = Task::Swallow;
        }
    }

    /// revision-0006.md, 6.1 step 7.
    fn note_receiving(&mut self) {
        let key = self.key();
        if let Some(slot) = self.requests.find(key)
            && slot.bits & phase::AWAITING != 0
        {
            slot.bits |= phase::ANSWERED;
        }
    }

    /// The current frame's request ends. What was not sent of it is cut short.
    #[inline(never)]
    fn end_request(&mut self) {
        let key = self.key();
        let Some(slot) = self.requests.find(key) else {
            return;
        };
        if slot.bits & phase::SENDING != 0 {
            slot.bits &= !(phase::AWAITING | phase::CANCELLED);
            return;
        }
        self.requests.remove(key);
    }

    /// What is gathered beside requests, and its place, are free again.
    fn drop_aside(&mut self, key: Key, memory: &mut T::Memory) {
        if self.requests.find(key).is_some() {
            self.requests.free(key, memory);
            self.requests.remove(key);
        }
    }

    /// revision-0006.md, 6.3.
    #[inline(never)]
    fn settings_part<'a>(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        let ends_stream = self.frame & ENDS_STREAM != 0;
        let key = Key::stream(self.incoming.header().stream_id());
        let is_end =
            SettingsFlags::from(self.incoming.header().flags()).contains(SettingsFlags::EOS);
        let result = if !self.append(key, bytes, memory) {
            Err(ProtocolError::SettingsTooLarge)
        } else if !is_last {
            return Step::Quiet;
        } else {
            let gathered = self.requests.gathered(key, memory);
            if is_end {
                StreamSettings::finish(gathered, ends_stream).map(Some)
            } else {
                StreamSettings::continue_ok(gathered).map(|()| None)
            }
        };
        if is_end || ends_stream || result.is_err() {
            self.drop_aside(key, memory);
        }
        match result {
            Ok(None) => Step::Quiet,
            Ok(Some(encoding)) if self.choices.decoders().contains(encoding) => {
                Step::SetDecoder(encoding)
            }
            Ok(Some(_)) => Step::Error(ProtocolError::EncodingUnusable),
            Err(error) => {
                self.task = Task::Skip;
                Step::Error(error)
            }
        }
    }

    /// Gathers bytes of what stands aside, at most as many as a status map may have.
    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut T::Memory) -> bool {
        if self.requests.find(key).is_none() && !self.requests.open(key, 0, bits::ASIDE) {
            return false;
        }
        let held = self.requests.find(key).map_or(0, |slot| slot.len());
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        (key == Key::MESSAGE || held.saturating_add(len) <= self.status_size.get())
            && self.requests.append(key, bytes, memory)
    }

    /// Row 5; revision-0006.md, 2.3, 6.4 and 8.
    fn response_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        let flags = ResponseFlags::from(self.incoming.header().flags());
        let eos = is_last && self.frame & ENDS_REQUEST != 0;
        let more = !is_last || flags.contains(ResponseFlags::CONTINUATION);
        self.note_receiving();
        let key = self.key();
        let Some(slot) = self.requests.find(key) else {
            return Step::Quiet;
        };
        let has = slot.bits;
        let wants_status = self.choices.takes_status() && self.protocol.revision().has_status_map();
        if wants_status && has & phase::STATUS == 0 {
            return match self.take_status(bytes, eos, memory) {
                Ok(Some((kind, len, held))) => {
                    if let Some(slot) = self.requests.find(key) {
                        slot.bits |= phase::STATUS;
                    }
                    if held > 0 {
                        self.requests.take(key, memory);
                    }
                    if eos {
                        self.end_request();
                    }
                    Step::Opened(kind, len, held, bytes, more, eos)
                }
                Ok(None) => Step::Quiet,
                Err(error) => {
                    // The request has failed: what still comes of it is swallowed.
                    if let Some(slot) = self.requests.find(key) {
                        slot.bits = slot.bits & !phase::AWAITING | phase::CANCELLED;
                    }
                    self.task = Task::Swallow;
                    if eos {
                        self.end_request();
                    }
                    Step::RequestError(error)
                }
            };
        }
        if eos {
            self.end_request();
        } else if bytes.is_empty() && !is_last {
            return Step::Quiet;
        }
        Step::Response(bytes, more, eos)
    }

    /// Looks for the status map at the front of a response: what it says, its length, and how many
    /// bytes of it came before. `None`: it is not complete. `eos`: nothing of the response follows.
    #[inline(never)]
    fn take_status(
        &mut self,
        bytes: &[u8],
        eos: bool,
        memory: &mut T::Memory,
    ) -> Result<Option<(StatusKind, usize, usize)>, ProtocolError> {
        let key = self.key();
        let held = self.requests.gathered(key, memory).len();
        // A map that lies whole in these bytes is not copied, but decided as if it had come in
        // pieces: the same bytes get the same answer.
        let most = usize::try_from(self.status_size.get()).unwrap_or(usize::MAX);
        let room = most.saturating_sub(held).min(self.requests.room(memory));
        let more = bytes.get(..room).unwrap_or(bytes);
        let mut checked = if held == 0 {
            StatusKind::check(more)
        } else {
            Err(StatusError::Incomplete)
        };
        if checked == Err(StatusError::Incomplete) && !more.is_empty() {
            if !self.requests.append(key, more, memory) {
                return Err(ProtocolError::BadStatus);
            }
            if held > 0 {
                checked = StatusKind::check(self.requests.gathered(key, memory));
            }
        }
        let is_all = more.len() == bytes.len();
        let error = match checked {
            Ok((kind, len)) => return Ok(Some((kind, len, held))),
            Err(StatusError::Incomplete) if is_all && !eos => return Ok(None),
            Err(StatusError::Incomplete) if is_all => ProtocolError::TruncatedResponse,
            Err(_) => ProtocolError::BadStatus,
        };
        self.requests.free(key, memory);
        Err(error)
    }

    /// Row 6, with what the reference's client refuses (deviations.md, D14); revision-0006.md, 2.5
    /// and 6.5.
    fn message_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_first: bool,
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        self.note_receiving();
        // Of messages, only errors end their requests.
        let is_error = self.frame & ENDS_REQUEST != 0;
        if is_error && is_last {
            // A status map that was not completed ends with its request.
            let key = self.key();
            self.requests.free(key, memory);
        }
        // A whole message is not copied, but must fit as if it were: the same bytes get the same
        // answer.
        let is_whole = is_first && is_last && bytes.len() <= self.requests.room(memory);
        if !is_whole && !self.append(Key::MESSAGE, bytes, memory) {
            self.drop_aside(Key::MESSAGE, memory);
            self.task = Task::Skip;
            if is_error {
                let key = self.key();
                self.requests.free(key, memory);
                self.end_request();
            }
            return Step::TooLarge;
        }
        if !is_last {
            return Step::Quiet;
        }
        if is_error {
            self.end_request();
        }
        if is_whole {
            return Step::Message(bytes);
        }
        self.requests.take(Key::MESSAGE, memory);
        self.requests.remove(Key::MESSAGE);
        Step::Taken
    }

    /// The event of a step; what it borrows of the memory lies there until the next one.
    ///
    /// Each arm makes its event where it is returned: a copy of one is a call of `memcpy`.
    fn event<'a>(&mut self, step: Step<'a>, memory: &'a T::Memory) -> Option<Event<'a>> {
        let request_id = self.id();
        let stream_id = self.incoming.header().stream_id();
        match step {
            Step::Starved | Step::Quiet => None,
            Step::Encoded(bytes, is_last) => Some(Event::Encoded {
                stream_id,
                bytes,
                is_last,
                ends_stream: self.frame & ENDS_STREAM != 0,
            }),
            Step::Response(data, expects_more, is_last) => Some(Event::Response {
                request_id,
                status: None,
                data,
                expects_more,
                is_last,
            }),
            Step::Opened(kind, len, held, bytes, expects_more, is_last) => {
                let map = if held > 0 {
                    self.requests.taken(memory)
                } else {
                    bytes
                };
                Some(Event::Response {
                    request_id,
                    status: Some(kind.of(map, len)),
                    data: bytes.get(len.saturating_sub(held)..).unwrap_or_default(),
                    expects_more,
                    is_last,
                })
            }
            Step::Message(bytes) => self.message(bytes),
            Step::Taken => self.message(self.requests.taken(memory)),
            Step::TooLarge => Some(Event::MessageTooLarge {
                request_id,
                kind: self.incoming.header().kind(self.revision()),
            }),
            Step::SetDecoder(encoding) => Some(Event::SetDecoder {
                stream_id,
                encoding,
            }),
            Step::DropDecoder => Some(Event::DropDecoder { stream_id }),
            Step::Error(error) => Some(Event::Error {
                error,
                request_id: None,
            }),
            Step::RequestError(error) => Some(Event::Error {
                error,
                request_id: Some(request_id),
            }),
        }
    }

    #[inline(never)]
    fn message<'a>(&self, message: &'a [u8]) -> Option<Event<'a>> {
        let request_id = self.id();
        let header = self.incoming.header();
        let error = match header.kind_number() {
            number::ERROR_RESPONSE => {
                let flags = header.flags().into();
                match ErrorMessage::decode(message, flags, self.revision()) {
                    Ok(message) => {
                        return Some(Event::Failed {
                            request_id,
                            message,
                        });
                    }
                    Err(_) => ProtocolError::MalformedErrorResponse,
                }
            }
            number::TEXT_OUTPUT => match Atoms::decode(message) {
                Ok(atoms) => return Some(Event::Text { request_id, atoms }),
                Err(_) => ProtocolError::MalformedTextOutput,
            },
            _ => match ProgressView::decode(message) {
                Ok(progress) => {
                    return Some(Event::Progress {
                        request_id,
                        progress,
                    });
                }
                Err(_) => ProtocolError::MalformedProgress,
            },
        };
        Some(Event::Error {
            error,
            request_id: Some(request_id),
        })
    }
}
