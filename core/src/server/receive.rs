//! What a frame does to a server (server.md, "A frame arrives"; revision-0006.md, 5.1 to 5.7).
//! The numbers of rows are those of the table in server.md.

use super::{Command, Rejection, Responder, Server, ServerAction, SideFrames, Stage, Verdict};
use crate::cbor::{CommandRequest, MAX_NESTING, RequestError, SenderSettings};
use crate::revision::number;
use crate::store::{Arena, Entry, Key, Phase, Table};
use crate::wire::{
    CommandDataFlags, CommandRequestFlags, FrameHeader, Part, SettingsFlags, StreamFlags,
};
use crate::{Protocol, ProtocolError, RefusalReason};

/// What is done with the current frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Task {
    /// Nothing.
    Skip,
    /// Nothing: the frame has had its action.
    Answered,
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

impl<P: Protocol> Server<P> {
    /// Handles a part of a frame, as a [`FrameReader`](crate::wire::FrameReader) yields them.
    ///
    /// The same as [`begin_frame`](Self::begin_frame) for a first part and
    /// [`handle_part`](Self::handle_part) for its bytes. A whole frame in one part is handled
    /// without copying, unless more of the same request follows.
    ///
    /// # Errors
    /// The peer broke the protocol; the state is `errored`. The rest of the frame may be passed on
    /// and is dropped.
    #[inline]
    pub fn handle<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        part: Part<'a>,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        if part.is_first {
            self.begin_frame(&part.header, table, arena)?;
        }
        self.handle_part(part.bytes, part.is_last, table, arena)
    }

    /// Judges a frame by its header, before any of its payload is read.
    ///
    /// Every frame is then completed by [`handle_part`](Self::handle_part), with the payload's
    /// bytes in any number of parts. Work: a few look-ups.
    ///
    /// # Errors
    /// As for [`handle`](Self::handle).
    pub fn begin_frame<T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        header: &FrameHeader,
        table: &mut T,
        arena: &mut A,
    ) -> Result<Verdict, ProtocolError> {
        self.frame.request_id = header.request_id();
        self.frame.flags = header.flags();
        self.frame.is_begun = false;
        self.frame.task = Task::Skip;
        if let Err(error) = self.judge(header, table, arena) {
            return Err(self.fail(error));
        }
        Ok(match self.frame.task {
            Task::Skip | Task::Answered | Task::Refuse => Verdict::Skip,
            Task::Request | Task::Collect | Task::Settings => Verdict::Gather,
            Task::Stream => Verdict::Deliver,
        })
    }

    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.stage = Stage::Errored;
        self.frame.task = Task::Skip;
        error
    }

    /// Rows 1 to 4.
    fn judge_stream(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let stream = header.stream_id();
        let flags = header.stream_flags();
        if !stream.is_odd() {
            return Err(ProtocolError::StreamParity); // row 1
        }
        if let Some((open, bit)) = self.incoming.place(stream) {
            if !flags.contains(StreamFlags::BEGIN) && *open & bit == 0 {
                return Err(ProtocolError::StreamNotBegun); // row 2
            }
            *open |= bit;
            if flags.contains(StreamFlags::ENCODED) {
                return Err(ProtocolError::EncodingUnsupported); // row 3
            }
            if flags.contains(StreamFlags::END) {
                *open &= !bit;
            }
        }
        if self.stage == Stage::Errored {
            return Err(ProtocolError::AlreadyErrored); // row 4
        }
        Ok(())
    }

    fn judge<T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        header: &FrameHeader,
        table: &mut T,
        arena: &mut A,
    ) -> Result<(), ProtocolError> {
        self.judge_stream(header)?;
        let kind = header.kind_number();
        let is_request = kind == number::COMMAND_REQUEST;
        if self.revision().has_settings() && self.stage != Stage::Open {
            match self.stage {
                _ if kind == number::SENDER_PROTOCOL_SETTINGS => {
                    return self.judge_settings(header, arena);
                }
                Stage::Settings => return Err(ProtocolError::ExpectedSettings),
                _ if is_request => self.stage = Stage::Open,
                _ => return Err(ProtocolError::UnexpectedInitialFrame),
            }
        }
        let id = header.request_id();
        let flags = CommandRequestFlags::from(header.flags());
        let is_new = is_request && flags.contains(CommandRequestFlags::NEW);
        let continues = flags.contains(CommandRequestFlags::CONTINUATION);
        let has_data = flags.contains(CommandRequestFlags::HAVE_DATA);
        let entry = table.find(id);
        let (phase, expects_data) = entry.map_or((Phase::Vacant, false), |entry| {
            (entry.phase, entry.has_data)
        });
        if phase.is_swallowed() && !is_new {
            if self.is_last_of(expects_data, header) {
                table.remove(id);
            }
            return Ok(()); // row 4a: skipped
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
            if phase.is_receiving() {
                return Err(ProtocolError::RequestAlreadyReceiving);
            }
            if phase.is_active() {
                return Err(ProtocolError::RequestAlreadyActive);
            }
            if !is_new {
                return Err(ProtocolError::ExpectedNewRequest);
            }
            // A refused or draining request ends where a new one begins with its ID: it is replaced.
            let entry = Entry {
                order: self.next_order,
                phase: Phase::Receiving,
                has_data,
                ..Entry::VACANT
            };
            self.next_order = self.next_order.wrapping_add(1);
            self.receiving = self.receiving.wrapping_add(1);
            if table.insert(id, entry).is_err() {
                let limit = length_of(table.capacity());
                let is_last = self.is_last_of(has_data, header);
                return self.refuse(is_last, entry, RefusalReason::TooManyRequests, limit, table);
            }
        } else {
            if is_request && !continues {
                return Err(ProtocolError::NeitherNewNorContinuation); // row 6
            }
            if phase == Phase::Vacant {
                return Err(ProtocolError::RequestNotReceiving); // row 8
            }
            if phase == Phase::Active {
                return Err(ProtocolError::RequestStillActive); // row 7
            }
            if is_request {
                if phase != Phase::Receiving {
                    return Err(ProtocolError::RequestFramesDone); // row 9
                }
                if expects_data != has_data {
                    return Err(ProtocolError::ExpectDataMismatch); // row 10
                }
            } else {
                task = self.judge_data(header, phase, expects_data)?;
            }
        }
        self.admit(header, task, table, arena) // rows 11, 15 and 15a
    }

    /// Rows 12 to 16; revision-0006.md, 5.5 step 4 and 5.6.
    fn judge_data(
        &self,
        header: &FrameHeader,
        phase: Phase,
        expects_data: bool,
    ) -> Result<Task, ProtocolError> {
        if header.kind_number() != self.revision().data_number() {
            return Err(ProtocolError::UnexpectedFrameType); // row 16
        }
        if !expects_data {
            return Err(ProtocolError::UnexpectedCommandData); // row 12
        }
        let flags = CommandDataFlags::from(header.flags());
        if flags.bits() & (CommandDataFlags::CONTINUATION | CommandDataFlags::EOS).bits() == 0 {
            return Err(ProtocolError::CommandDataWithoutFlags); // row 13
        }
        match phase {
            // row 14; deviations.md, D16
            Phase::Receiving => Err(ProtocolError::RequestFramesUnfinished),
            Phase::ReceivingData if self.may_collect() => Ok(Task::Collect),
            _ => Ok(Task::Stream),
        }
    }

    /// Counts a frame against the limits, and lets it in or refuses its request.
    ///
    /// Whether a frame fits is decided by its header alone, whatever part of it is already there:
    /// the same bytes get the same answer however they are cut.
    fn admit<T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        header: &FrameHeader,
        task: Task,
        table: &mut T,
        arena: &mut A,
    ) -> Result<(), ProtocolError> {
        self.frame.task = task;
        let id = header.request_id();
        let key = Key::request(id);
        let Some(entry) = table.find_mut(id) else {
            return Ok(());
        };
        // A full or an ending data frame brings the request nearer to its end.
        let is_empty = header.length() == 0 && !is_data_end(header.flags().into());
        if entry.phase == Phase::Receiving || is_empty {
            entry.frames = entry.frames.saturating_add(1);
        }
        let entry = *entry;
        let limit = u32::from(self.request_frames);
        let (mut reason, mut limit) = (RefusalReason::TooManyFrames, limit);
        if entry.frames <= self.request_frames {
            (reason, limit) = match task {
                Task::Stream => return Ok(()),
                Task::Request => (RefusalReason::RequestTooLarge, self.request_size),
                _ => (RefusalReason::DataTooLarge, self.data_size),
            };
            let chunk = arena.find(key);
            let held = length(chunk.unwrap_or_default());
            let room = length_of(arena.room(key));
            // Where there is no room at all, not even an empty chunk may fit.
            let is_full = room == 0 && chunk.is_none();
            // Bytes of this kind that there is place for: by the limit, and by the arena.
            let counted = held.saturating_sub(entry.request_len);
            if !is_full && header.length() <= limit.saturating_sub(counted).min(room) {
                return Ok(());
            }
            limit = limit.min(counted.saturating_add(room));
        }
        arena.remove(key);
        let is_last = self.is_last_of(entry.has_data, header);
        self.refuse(is_last, entry, reason, limit, table)
    }

    /// server.md, "Refusals": remembers the request if frames of it are still to come.
    fn refuse<T: Table + ?Sized>(
        &mut self,
        is_last: bool,
        entry: Entry,
        reason: RefusalReason,
        limit: u32,
        table: &mut T,
    ) -> Result<(), ProtocolError> {
        self.frame.task = Task::Refuse;
        self.frame.reason = reason;
        self.refusal_limit = limit;
        self.receiving = self.receiving.wrapping_sub(1);
        let id = self.frame.request_id;
        let refused = Entry {
            phase: Phase::Refused,
            ..entry
        };
        if is_last {
            table.remove(id);
        } else if table.insert(id, refused).is_err() {
            return Err(ProtocolError::TooManyRefused);
        }
        Ok(())
    }

    /// The action for a request that was refused.
    fn rejection<'a>(&mut self) -> ServerAction<'a> {
        self.frame.task = Task::Answered;
        ServerAction::RejectRequest(Rejection {
            request_id: self.frame.request_id,
            reason: self.frame.reason,
            limit: self.refusal_limit,
        })
    }

    /// Whether this frame is the last of a request that is swallowed (server.md, "Refusals").
    fn is_last_of(&self, has_data: bool, header: &FrameHeader) -> bool {
        let kind = header.kind_number();
        if has_data {
            kind == self.revision().data_number() && is_data_end(header.flags().into())
        } else {
            let flags = CommandRequestFlags::from(header.flags());
            kind == number::COMMAND_REQUEST && !flags.contains(CommandRequestFlags::MORE)
        }
    }

    /// revision-0006.md, 5.3, steps (a) and (b), and the local limits.
    fn judge_settings<A: Arena + ?Sized>(
        &mut self,
        header: &FrameHeader,
        arena: &mut A,
    ) -> Result<(), ProtocolError> {
        let flags = SettingsFlags::from(header.flags());
        match (
            flags.contains(SettingsFlags::CONTINUATION),
            flags.contains(SettingsFlags::EOS),
        ) {
            (true, true) => return Err(ProtocolError::SettingsBothFlags),
            (false, false) => return Err(ProtocolError::SettingsNoFlags),
            _ => {}
        }
        let held = length(arena.find(Key::SETTINGS).unwrap_or(&[]));
        let room = u32::try_from(arena.room(Key::SETTINGS)).unwrap_or(u32::MAX);
        if header.length() > self.settings_size.saturating_sub(held).min(room)
            || self.settings_frames >= self.most_settings_frames
        {
            return Err(ProtocolError::SettingsTooLarge);
        }
        self.settings_frames = self.settings_frames.saturating_add(1);
        self.stage = Stage::Settings;
        self.frame.task = Task::Settings;
        Ok(())
    }

    /// Handles the next bytes of the frame that has begun; `is_last` says that it ends with them.
    ///
    /// Bytes that must be kept are copied once, into the arena; all others are borrowed by the
    /// action. Work is bounded by the bytes given and, where a request is complete, by its bytes.
    ///
    /// # Errors
    /// As for [`handle`](Self::handle).
    pub fn handle_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let is_whole = is_last && !self.frame.is_begun;
        self.frame.is_begun = true;
        match self.frame.task {
            Task::Skip => {}
            Task::Answered => return Ok(ServerAction::Noop),
            Task::Refuse => return Ok(self.rejection()),
            Task::Request => return self.request_part(bytes, is_last, is_whole, table, arena),
            Task::Stream => return self.stream_part(bytes, is_last, table),
            // Never reached, and so their code is dropped, where the protocol is a type that has
            // none of it.
            Task::Collect if self.may_collect() => {
                return self.collect_part(bytes, is_last, is_whole, table, arena);
            }
            Task::Settings if self.revision().has_settings() => {
                return self.settings_part(bytes, is_last, is_whole, arena);
            }
            Task::Collect | Task::Settings => {}
        }
        self.wait(is_last)
    }

    /// The answer to a part that completes nothing. After an error no frame is wanted.
    #[inline(never)]
    fn wait<'a>(&self, is_last: bool) -> Result<ServerAction<'a>, ProtocolError> {
        Ok(if is_last && self.stage != Stage::Errored {
            ServerAction::WantFrame(self.state())
        } else {
            ServerAction::Noop
        })
    }

    fn request_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        is_whole: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let id = self.frame.request_id;
        let key = Key::request(id);
        let flags = CommandRequestFlags::from(self.frame.flags);
        let is_done = is_last && !flags.contains(CommandRequestFlags::MORE);
        let collects = self.collects() && table.find(id).is_some_and(|entry| entry.has_data);
        let request = if is_whole && is_done && !collects && arena.find(key).is_none() {
            // Nothing of the request was gathered: its bytes never leave the input buffer.
            bytes
        } else {
            if arena.append(key, bytes).is_err() {
                // Admitted by its header, so the store broke its laws.
                return Err(self.fail(ProtocolError::MalformedRequest));
            }
            if is_done
                && collects
                && let Some(entry) = table.find_mut(id)
            {
                entry.phase = Phase::ReceivingData;
                entry.request_len = length(arena.find(key).unwrap_or_default());
            }
            if !is_done || collects {
                return self.wait(is_last);
            }
            arena.take(key)
        };
        self.dispatch(request, None, table)
    }

    fn collect_part<'a, T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        is_whole: bool,
        table: &mut T,
        arena: &'a mut A,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let id = self.frame.request_id;
        let key = Key::request(id);
        let Some(request_len) = table.find(id).map(|e| e.request_len) else {
            return self.wait(is_last);
        };
        let is_end = is_last && is_data_end(self.frame.flags.into());
        if is_whole && is_end && length(arena.find(key).unwrap_or(&[])) == request_len {
            // All the data is in this frame: it never leaves the input buffer.
            let request = arena.take(key);
            return self.dispatch(request, Some(bytes), table);
        }
        if arena.append(key, bytes).is_err() {
            return Err(self.fail(ProtocolError::MalformedRequest));
        }
        if !is_end {
            return self.wait(is_last);
        }
        let gathered = arena.take(key);
        let request_len = usize::try_from(request_len).unwrap_or(usize::MAX);
        let (request, data) = gathered
            .split_at_checked(request_len)
            .unwrap_or((gathered, &[]));
        self.dispatch(request, Some(data), table)
    }

    fn stream_part<'a, T: Table + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        table: &mut T,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let request_id = self.frame.request_id;
        let is_end = is_last && is_data_end(self.frame.flags.into());
        // The request may have been answered while the frame came in parts.
        let entry = table.find_mut(request_id);
        let Some(entry) = entry.filter(|e| e.phase == Phase::Streaming) else {
            if is_end {
                table.remove(request_id);
            }
            return self.wait(is_last);
        };
        if is_end {
            entry.phase = Phase::Active;
            self.receiving = self.receiving.wrapping_sub(1);
        } else if bytes.is_empty() {
            return self.wait(is_last);
        }
        Ok(ServerAction::CommandData {
            request_id,
            bytes,
            is_last: is_end,
        })
    }

    /// revision-0006.md, 5.3, steps (c) to (f).
    fn settings_part<'a, A: Arena + ?Sized>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
        is_whole: bool,
        arena: &mut A,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let is_end = SettingsFlags::from(self.frame.flags).contains(SettingsFlags::EOS);
        let gathered = if is_whole && is_end && arena.find(Key::SETTINGS).is_none() {
            bytes
        } else {
            if arena.append(Key::SETTINGS, bytes).is_err() {
                return Err(self.fail(ProtocolError::SettingsTooLarge));
            }
            arena.find(Key::SETTINGS).unwrap_or(&[])
        };
        if !is_last {
            return Ok(ServerAction::Noop);
        }
        if !is_end {
            if let Err(error) = SenderSettings::continue_ok(gathered) {
                return Err(self.fail(error));
            }
            return self.wait(is_last);
        }
        let settings = SenderSettings::finish(gathered);
        arena.remove(Key::SETTINGS);
        match settings {
            Ok(settings) => {
                self.peer_encodings = settings.encodings;
                if settings.is_hgrpc && self.side_frames == SideFrames::IfHgrpc {
                    self.side_frames = SideFrames::IsHgrpc;
                }
                self.stage = Stage::Open;
                self.wait(is_last)
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}

impl<P: Protocol> Server<P> {
    /// *Dispatch* in server.md; revision-0006.md, 5.7. A request that does not decode is an error
    /// (deviations.md, D4), but whatever its arguments hold is accepted (D15). `data` is what was collected.
    fn dispatch<'a, T: Table + ?Sized>(
        &mut self,
        request: &'a [u8],
        data: Option<&'a [u8]>,
        table: &mut T,
    ) -> Result<ServerAction<'a>, ProtocolError> {
        let id = self.frame.request_id;
        let Some(entry) = table.find_mut(id) else {
            return self.wait(true);
        };
        let data_follows = entry.has_data && data.is_none();
        let error = match CommandRequest::decode(request, self.protocol.revision()) {
            Ok(CommandRequest {
                name,
                args,
                redirect,
            }) => {
                if data_follows {
                    entry.phase = Phase::Streaming;
                } else {
                    entry.phase = Phase::Active;
                    self.receiving = self.receiving.wrapping_sub(1);
                }
                let responder = Responder::new(id, entry.order);
                return Ok(ServerAction::RunCommand(Command {
                    name,
                    args,
                    redirect,
                    data,
                    data_follows,
                    responder,
                }));
            }
            Err(error) => error,
        };
        // Either way the request ends; of one that is refused, data may still come.
        let entry = *entry;
        let is_last = !data_follows || error != RequestError::NestedTooDeep;
        let limit = length_of(MAX_NESTING);
        let refused = self.refuse(is_last, entry, RefusalReason::NestedTooDeep, limit, table);
        Err(self.fail(match (error, refused) {
            (RequestError::MissingName, _) => ProtocolError::MissingName,
            (RequestError::Malformed, _) => ProtocolError::MalformedRequest,
            (RequestError::NestedTooDeep, Ok(())) => return Ok(self.rejection()),
            (RequestError::NestedTooDeep, Err(error)) => error,
        }))
    }
}

/// Rows 15 and 15a: `continuation` wins over `eos` (revision-0006.md, 2.2, K-12).
fn is_data_end(flags: CommandDataFlags) -> bool {
    flags.contains(CommandDataFlags::EOS) && !flags.contains(CommandDataFlags::CONTINUATION)
}

fn length(bytes: &[u8]) -> u32 {
    length_of(bytes.len())
}

fn length_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
