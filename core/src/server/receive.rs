//! What a frame does to a server (server.md, "A frame arrives"; revision-0006.md, 5.1 to 5.7).
//! The numbers of rows are those of the table in server.md.

use super::{Command, Event, Notes, Refusal, Reply, Server, Stage};
use crate::cbor::{Fields, MAX_NESTING, RequestError, SenderSettings, decode_request};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::tuned::IS_SMALL;
use crate::wire::{CommandDataFlags, CommandRequestFlags, SettingsFlags, TypeFlags};
use crate::{Protocol, ProtocolError, RefusalReason};

/// What is done with the current frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Task {
    /// Nothing.
    Skip,
    /// Nothing, but the request is refused first.
    Refuse,
    /// It is a piece of a request.
    Request,
    /// It is a piece of data that is collected.
    Collect,
    /// It is a piece of data that is streamed.
    Stream,
    /// It is a piece of the peer's settings.
    Settings,
}

/// What became of some bytes; the event is made of it once, behind the loop, since it borrows.
enum Step<'a> {
    /// More input is needed.
    Starved,
    /// Nothing for the owner.
    Quiet,
    /// A request is complete, whole in the input.
    Whole(&'a [u8]),
    /// A request is complete, and what was taken from the memory.
    Taken,
    /// The same, and its collected data is whole in the input.
    TakenWith(&'a [u8]),
    Data(&'a [u8], bool),
    Refused,
    Error(ProtocolError),
}

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Takes bytes off the front of `input` until they lead to an event. `None`: all were taken, and
    /// more are needed.
    ///
    /// A frame that lies whole in the input is not copied, unless more of its request follows. Work
    /// is linear in the bytes taken and, where a request is complete, in its own.
    ///
    /// # Example
    /// ```
    /// # use hgrpc::server::{Event, Server, ServerConfig};
    /// # use hgrpc::store::FixedRequests;
    /// # use hgrpc::{R0005, Streaming};
    /// let mut server = Server::new(
    ///     Streaming(R0005),
    ///     ServerConfig::STREAMING,
    ///     FixedRequests::<4>::new(),
    /// );
    /// let mut memory = [0; 256];
    /// let mut input: &[u8] = b"\x0b\0\0\x01\0\x01\x01\x11\xa1\x44name\x44ping";
    /// while let Some(event) = server.next(&mut input, &mut memory) {
    ///     if let Event::Command(command) = event {
    ///         assert_eq!(command.name.as_cbor(), b"\x44ping");
    ///     }
    /// }
    /// # assert_eq!(server.active().count(), 1);
    /// ```
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &mut self,
        input: &mut &'i [u8],
        memory: &'a mut T::Memory,
    ) -> Option<Event<'a>> {
        if !IS_SMALL && let Some(event) = self.next_data(input, memory) {
            return Some(event);
        }
        if !IS_SMALL && let Some(event) = self.next_request(input, memory) {
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
        let (request, data) = loop {
            match self.step(input, memory) {
                Step::Quiet => {}
                Step::Starved => return None,
                Step::Data(bytes, is_last) => {
                    return Some(Event::Data {
                        request_id: self.incoming.header().request_id(),
                        bytes,
                        is_last,
                    });
                }
                Step::Refused => return self.refusal(),
                Step::Error(error) => return self.fail_with(error),
                Step::Whole(request) => break (request, None),
                Step::Taken => {
                    let taken = self.requests.taken(memory);
                    break self.split(taken);
                }
                Step::TakenWith(data) => break (self.requests.taken(memory), Some(data)),
            }
        };
        self.dispatch(request, data)
    }

    /// Divides what was taken into a request and, where it was collected, its data.
    fn split<'a>(&mut self, taken: &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
        if !self.may_collect() {
            return (taken, None);
        }
        let key = self.key();
        match self.requests.find(key) {
            Some(slot) if slot.bits & bits::COLLECTING != 0 => {
                let len = usize::try_from(slot.request_len).unwrap_or(usize::MAX);
                let (request, data) = taken.split_at_checked(len).unwrap_or((taken, &[]));
                (request, Some(data))
            }
            _ => (taken, None),
        }
    }

    #[inline]
    fn key(&self) -> Key {
        Key::request(self.incoming.header().request_id())
    }

    #[inline]
    fn flags(&self) -> TypeFlags {
        self.incoming.header().flags()
    }

    #[inline]
    fn step<'a>(&mut self, input: &mut &'a [u8], memory: &mut T::Memory) -> Step<'a> {
        let is_first = !self.incoming.is_inside();
        if is_first {
            if !self.incoming.begin(input) {
                return Step::Starved;
            }
            self.requests.release(memory);
            self.task = Task::Skip;
            if let Err(error) = self.judge(memory) {
                // What is there of the payload goes with its frame.
                self.incoming.payload(input);
                return Step::Error(error);
            }
        } else if input.is_empty() {
            return Step::Starved;
        }
        let bytes = self.incoming.payload(input);
        let is_last = self.incoming.left() == 0;
        match self.task {
            Task::Skip => Step::Quiet,
            Task::Refuse => Step::Refused,
            Task::Request => self.request_part(bytes, is_first, is_last, memory),
            Task::Stream => self.stream_part(bytes, is_last),
            // Never reached, and so their code is dropped, where the protocol is a type that has
            // none of it.
            Task::Collect if self.may_collect() => {
                self.collect_part(bytes, is_first, is_last, memory)
            }
            Task::Settings if self.revision().has_settings() => {
                self.settings_part(bytes, is_last, memory)
            }
            Task::Collect | Task::Settings => Step::Quiet,
        }
    }

    fn fail_with<'a>(&mut self, error: ProtocolError) -> Option<Event<'a>> {
        self.stage = Stage::Errored;
        self.task = Task::Skip;
        Some(Event::Error(error))
    }

    #[inline(never)]
    fn refusal<'a>(&mut self) -> Option<Event<'a>> {
        self.task = Task::Skip;
        Some(Event::Refused(Refusal {
            request_id: self.incoming.header().request_id(),
            reason: self.reason,
            limit: self.refusal_limit,
        }))
    }

    /// Judges a frame by its header.
    #[cfg_attr(target_os = "none", inline(never))]
    fn judge(&mut self, memory: &mut T::Memory) -> Result<(), ProtocolError> {
        self.incoming.check(true, false)?; // rows 1 to 3
        if self.stage == Stage::Errored {
            return Err(ProtocolError::AlreadyErrored); // row 4
        }
        let header = self.incoming.header();
        let (kind, flags) = (header.kind_number(), header.flags());
        let is_request = kind == number::COMMAND_REQUEST;
        let key = self.key();
        if self.revision().has_settings() && self.stage != Stage::Open {
            match self.stage {
                _ if kind == number::SENDER_PROTOCOL_SETTINGS => {
                    return self.judge_settings(memory);
                }
                Stage::Settings => return Err(ProtocolError::ExpectedSettings),
                _ if is_request => self.stage = Stage::Open,
                _ => return Err(ProtocolError::UnexpectedInitialFrame),
            }
        }
        let flags = CommandRequestFlags::from(flags);
        let is_new = is_request && flags.contains(CommandRequestFlags::NEW);
        let continues = flags.contains(CommandRequestFlags::CONTINUATION);
        let data = if flags.contains(CommandRequestFlags::HAVE_DATA) {
            bits::DATA
        } else {
            0
        };
        let has = self.requests.find(key).map_or(0, |slot| slot.bits);
        self.has = has;
        if has & (bits::ASIDE | bits::DRAINING) != 0 && !is_new {
            if self.is_last() {
                self.requests.remove(key);
            }
            return Ok(()); // row 4a
        }
        let mut task = Task::Request;
        if self.receiving == 0 || is_new {
            // row 5, *New request* in server.md; revision-0006.md, 5.4
            if !is_request {
                return Err(ProtocolError::ExpectedCommandRequest);
            }
            if is_new && continues {
                return Err(ProtocolError::NewAndContinuation);
            }
            if !is_new && !continues {
                return Err(ProtocolError::NeitherNewNorContinuation);
            }
            if has & (bits::RECEIVING | bits::COLLECTING | bits::STREAMING) != 0 {
                return Err(ProtocolError::RequestAlreadyReceiving);
            }
            if has & bits::ACTIVE != 0 {
                return Err(ProtocolError::RequestAlreadyActive);
            }
            if !is_new {
                return Err(ProtocolError::ExpectedNewRequest);
            }
            // A refused or draining request ends where a new one begins with its ID.
            let order = self.next_order;
            self.next_order = order.wrapping_add(1);
            self.receiving = self.receiving.wrapping_add(1);
            self.has = bits::RECEIVING | data;
            if !self.requests.open(key, order, self.has) {
                let limit = length_of(self.requests.capacity());
                return self.refuse_with(RefusalReason::TooManyRequests, limit, order);
            }
        } else {
            if is_request && !continues {
                return Err(ProtocolError::NeitherNewNorContinuation); // row 6
            }
            if has == 0 {
                return Err(ProtocolError::RequestNotReceiving); // row 8
            }
            if has & (bits::ACTIVE | bits::STREAMING) == bits::ACTIVE {
                return Err(ProtocolError::RequestStillActive); // row 7
            }
            if is_request {
                if has & bits::RECEIVING == 0 {
                    return Err(ProtocolError::RequestFramesDone); // row 9
                }
                if has & bits::DATA != data {
                    return Err(ProtocolError::ExpectDataMismatch); // row 10
                }
            } else {
                // revision-0006.md, 5.5 step 4 and 5.6
                if kind != self.revision().data_number() {
                    return Err(ProtocolError::UnexpectedFrameType); // row 16
                }
                if has & bits::DATA == 0 {
                    return Err(ProtocolError::UnexpectedCommandData); // row 12
                }
                let any = CommandDataFlags::CONTINUATION.union(CommandDataFlags::EOS);
                if flags.bits() & any.bits() == 0 {
                    return Err(ProtocolError::CommandDataWithoutFlags); // row 13
                }
                if has & bits::RECEIVING != 0 {
                    return Err(ProtocolError::RequestFramesUnfinished); // row 14; deviations.md, D16
                }
                task = Task::Stream;
                if self.may_collect() && has & bits::COLLECTING != 0 {
                    task = Task::Collect;
                }
            }
        }
        self.admit(task, key, memory) // rows 11, 15 and 15a
    }

    /// Counts a frame against the limits, and lets it in or refuses its request.
    ///
    /// Whether a frame fits is decided by its header alone, whatever part of it is already there:
    /// the same bytes get the same answer however they are cut.
    #[inline]
    fn admit(&mut self, task: Task, key: Key, memory: &mut T::Memory) -> Result<(), ProtocolError> {
        self.task = task;
        let left = self.incoming.left();
        // A full or an ending data frame brings the request nearer to its end.
        if task == Task::Stream && left > 0 {
            return Ok(());
        }
        let is_counted = task == Task::Request || left == 0 && !is_data_end(self.flags());
        let Some(slot) = self.requests.find(key) else {
            return Ok(());
        };
        if is_counted {
            // No limit is above the largest number.
            slot.frames = slot.frames.wrapping_add(1);
        }
        let (order, frames) = (slot.order, slot.frames);
        let counted = slot.len().wrapping_sub(slot.request_len);
        let limit = self.request_frames.get();
        let (mut reason, mut limit) = (RefusalReason::TooManyFrames, limit);
        if u32::from(frames) <= limit {
            if task == Task::Stream {
                return Ok(());
            }
            (reason, limit) = (RefusalReason::RequestTooLarge, self.request_size.get());
            if self.may_collect() && task == Task::Collect {
                (reason, limit) = (RefusalReason::DataTooLarge, self.data_size.get());
            }
            let room = length_of(self.requests.room(memory));
            // Bytes of this kind that there is place for: by the limit, and by the memory. Where
            // there is no room at all, not even nothing is begun.
            let most = limit.wrapping_sub(counted).min(room);
            if (room > 0 || self.has & bits::HELD != 0) && left <= most {
                return Ok(());
            }
            limit = counted.wrapping_add(most);
        }
        self.requests.free(key, memory);
        self.refuse_with(reason, limit, order)
    }

    /// server.md, "Refusals": remembers the request if frames of it are still to come.
    #[inline(never)]
    fn refuse_with(
        &mut self,
        reason: RefusalReason,
        limit: u32,
        order: u32,
    ) -> Result<(), ProtocolError> {
        self.task = Task::Refuse;
        self.reason = reason;
        self.refusal_limit = limit;
        self.receiving = self.receiving.wrapping_sub(1);
        let key = self.key();
        if self.is_last() {
            self.requests.remove(key);
            return Ok(());
        }
        let has = self.has & bits::DATA | bits::ASIDE;
        if self.requests.open(key, order, has) {
            Ok(())
        } else {
            Err(ProtocolError::TooManyRefused)
        }
    }

    /// Whether the current frame is the last of a request that is swallowed (server.md, "Refusals").
    fn is_last(&self) -> bool {
        let header = self.incoming.header();
        let (number, is_end) = if self.has & bits::DATA != 0 {
            let number = self.revision().data_number();
            (number, is_data_end(header.flags()))
        } else {
            (number::COMMAND_REQUEST, !has_more(header.flags()))
        };
        header.kind_number() == number && is_end
    }

    #[inline]
    fn request_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_first: bool,
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        let is_done = is_last && !has_more(self.flags());
        let collects = self.collects() && self.has & bits::DATA != 0;
        if is_first && is_done && !collects && self.has & bits::HELD == 0 {
            // Nothing of the request was gathered: its bytes never leave the input buffer.
            return Step::Whole(bytes);
        }
        let key = self.key();
        if !self.requests.append(key, bytes, memory) {
            // Admitted by its header, so the store broke its laws.
            return Step::Error(ProtocolError::MalformedRequest);
        }
        if !is_done {
            return Step::Quiet;
        }
        if collects && let Some(slot) = self.requests.find(key) {
            slot.bits = slot.bits & !bits::RECEIVING | bits::COLLECTING;
            slot.request_len = slot.len();
            return Step::Quiet;
        }
        self.requests.take(key, memory);
        Step::Taken
    }

    fn collect_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_first: bool,
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        let key = self.key();
        let is_end = is_last && is_data_end(self.flags());
        let is_alone = self
            .requests
            .find(key)
            .is_some_and(|slot| slot.len() == slot.request_len);
        if is_first && is_end && is_alone {
            // All the data is in this frame: it never leaves the input buffer.
            self.requests.take(key, memory);
            return Step::TakenWith(bytes);
        }
        if !self.requests.append(key, bytes, memory) {
            return Step::Error(ProtocolError::MalformedRequest);
        }
        if !is_end {
            return Step::Quiet;
        }
        self.requests.take(key, memory);
        Step::Taken
    }

    #[inline]
    fn stream_part<'a>(&mut self, bytes: &'a [u8], is_last: bool) -> Step<'a> {
        let is_end = is_last && is_data_end(self.flags());
        if !is_end && bytes.is_empty() {
            return Step::Quiet;
        }
        let key = self.key();
        // The request may have been answered while the frame came in parts.
        let Some(slot) = self.requests.find(key) else {
            return Step::Quiet;
        };
        if slot.bits & bits::STREAMING == 0 {
            if is_end {
                self.requests.remove(key);
            }
            return Step::Quiet;
        }
        if is_end {
            slot.bits &= !bits::STREAMING;
            self.receiving = self.receiving.wrapping_sub(1);
        }
        Step::Data(bytes, is_end)
    }

    /// revision-0006.md, 5.3, steps (a) and (b), and the local limits.
    #[inline(never)]
    fn judge_settings(&mut self, memory: &mut T::Memory) -> Result<(), ProtocolError> {
        let flags = SettingsFlags::from(self.flags());
        match (
            flags.contains(SettingsFlags::CONTINUATION),
            flags.contains(SettingsFlags::EOS),
        ) {
            (true, true) => return Err(ProtocolError::SettingsBothFlags),
            (false, false) => return Err(ProtocolError::SettingsNoFlags),
            _ => {}
        }
        if self.requests.find(Key::SETTINGS).is_none() {
            self.requests.open(Key::SETTINGS, 0, bits::ASIDE);
        }
        let held = self
            .requests
            .find(Key::SETTINGS)
            .map_or(0, |slot| slot.len());
        let room = length_of(self.requests.room(memory));
        if self.incoming.left() > self.settings_size.get().saturating_sub(held).min(room)
            || u32::from(self.settings_frames) >= self.most_settings_frames.get()
        {
            return Err(ProtocolError::SettingsTooLarge);
        }
        self.settings_frames = self.settings_frames.saturating_add(1);
        self.stage = Stage::Settings;
        self.task = Task::Settings;
        Ok(())
    }

    /// revision-0006.md, 5.3, steps (c) to (f).
    fn settings_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        memory: &mut T::Memory,
    ) -> Step<'a> {
        let key = Key::SETTINGS;
        if !self.requests.append(key, bytes, memory) {
            return Step::Error(ProtocolError::SettingsTooLarge);
        }
        if !is_last {
            return Step::Quiet;
        }
        let gathered = self.requests.gathered(key, memory);
        if !SettingsFlags::from(self.flags()).contains(SettingsFlags::EOS) {
            return match SenderSettings::continue_ok(gathered) {
                Ok(()) => Step::Quiet,
                Err(error) => Step::Error(error),
            };
        }
        let settings = SenderSettings::finish(gathered);
        self.requests.free(key, memory);
        self.requests.remove(key);
        match settings {
            Ok(settings) => {
                self.peer_encodings = settings.encodings;
                if settings.is_hgrpc && self.notes == Notes::IfHgrpc {
                    self.notes = Notes::IsHgrpc;
                }
                self.stage = Stage::Open;
                Step::Quiet
            }
            Err(error) => Step::Error(error),
        }
    }

    /// *Dispatch* in server.md; revision-0006.md, 5.7. A request that does not decode is an error
    /// (deviations.md, D4), but whatever its arguments hold is accepted (D15). `data` is what was
    /// collected.
    #[inline]
    fn dispatch<'a>(&mut self, request: &'a [u8], data: Option<&'a [u8]>) -> Option<Event<'a>> {
        let request_id = self.incoming.header().request_id();
        let mut fields = Fields::absent();
        let has_settings = self.revision().has_settings();
        let decoded = decode_request(request, has_settings, &mut fields);
        let key = Key::request(request_id);
        let slot = self.requests.find(key)?;
        let data_follows = slot.bits & bits::DATA != 0 && data.is_none();
        match decoded {
            Ok(()) => {
                slot.bits = slot.bits & bits::DATA | bits::ACTIVE;
                let order = slot.order;
                if data_follows {
                    slot.bits |= bits::STREAMING;
                } else {
                    self.receiving = self.receiving.wrapping_sub(1);
                }
                Some(Event::Command(Command {
                    name: fields.name(),
                    args: fields.args(),
                    redirect: if has_settings {
                        fields.redirect()
                    } else {
                        None
                    },
                    data,
                    data_follows,
                    reply: Reply::new(request_id, order),
                }))
            }
            Err(error) => {
                let order = slot.order;
                self.undecodable(error, order)
            }
        }
    }

    /// The request ends; of one that is refused, data may still come.
    fn undecodable<'a>(&mut self, error: RequestError, order: u32) -> Option<Event<'a>> {
        let error = if error == RequestError::NestedTooDeep {
            let limit = length_of(MAX_NESTING);
            match self.refuse_with(RefusalReason::NestedTooDeep, limit, order) {
                Ok(()) => return self.refusal(),
                Err(error) => error,
            }
        } else {
            let key = self.key();
            self.requests.remove(key);
            self.receiving = self.receiving.wrapping_sub(1);
            if error == RequestError::MissingName {
                ProtocolError::MissingName
            } else {
                ProtocolError::MalformedRequest
            }
        };
        self.fail_with(error)
    }
}

/// Rows 15 and 15a: `continuation` wins over `eos` (revision-0006.md, 2.2, K-12).
fn is_data_end(flags: TypeFlags) -> bool {
    flags.bits()
        & CommandDataFlags::CONTINUATION
            .union(CommandDataFlags::EOS)
            .bits()
        == CommandDataFlags::EOS.bits()
}

/// More `command-request` frames of the request follow.
fn has_more(flags: TypeFlags) -> bool {
    CommandRequestFlags::from(flags).contains(CommandRequestFlags::MORE)
}

fn length_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
