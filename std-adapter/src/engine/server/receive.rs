//! The receiving side: bytes become frames, and these commands and data.

use std::collections::VecDeque;

use hgrpc::RefusalReason;
use hgrpc::server::{Event, Refusal as CoreRefusal};
use hgrpc::store::{Key as CoreKey, Requests as _};
use hgrpc::wire::{CommandRequestFlags, FrameKind, HEADER_LEN, RequestId};

use super::admit::{Arrived, Command, Pending};
use super::handle::has;
use super::{Connection, Wake};
use crate::engine::frames::Frames;
use crate::engine::{Charge, Key};
use crate::gate::Refusal;
use crate::host::counting::{add, count};
use crate::host::{ConnectionError, ConnectionLimit, Direction, mistaken};

/// What is being received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    frames: Frames,
    frame: Frame,
    /// What the requests hold that come in several frames.
    pub(super) gathered: Option<Charge>,
    /// Requests that are not complete, and when they began.
    begun: VecDeque<(RequestId, u64)>,
    /// Frames that brought no request nearer to its end, less those that did.
    empty_frames: u32,
    /// Something has come.
    has_begun: bool,
    stuck: Option<Stuck>,
    /// When it was stuck first; 0 if it is not.
    pub(super) since: u64,
    /// Bytes that came since the clock was told, and whether a frame has ended with them.
    came: u64,
    has_ended: bool,
}

/// The frame that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// It has no payload.
    is_empty: bool,
    /// It begins a request, and all of it is there.
    is_whole: bool,
    /// What it brings may be held.
    has_room: bool,
}

/// Why nothing more is received for now.
#[derive(Debug)]
pub(super) enum Stuck {
    /// A frame's bytes are to be gathered: until so many may be held.
    Frame(usize),
    /// The peer's settings are held, and are more than may be.
    Settings,
    /// A command waits for bytes.
    Command(Box<Pending>),
    /// The next bytes are data, for which there is no room.
    Data {
        key: Key,
        left: usize,
        is_last: bool,
    },
    /// Too many answers to refused requests wait: so often it is looked again.
    Refusals(u8),
}

impl Incoming {
    pub(super) fn stick(&mut self, stuck: Stuck) {
        self.stuck = Some(stuck);
    }

    /// Whether it waits for room in a command's data.
    pub(super) fn waits_for(&self, command: Key) -> bool {
        matches!(&self.stuck, Some(Stuck::Data { key, .. }) if *key == command)
    }

    /// Whether a header has come, and not all of its payload.
    pub(super) const fn is_in_payload(&self) -> bool {
        self.frames.is_inside()
    }

    fn forget_begun(&mut self, id: RequestId) {
        self.begun.retain(|(begun, _)| *begun != id);
    }

    /// Takes the command that waits for bytes.
    pub(super) fn take_waiting(&mut self) -> Option<Box<Pending>> {
        match self.stuck.take() {
            Some(Stuck::Command(pending)) => Some(pending),
            _ => None,
        }
    }

    /// Nothing more is received.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.begun.shrink_to_fit();
    }
}

impl Connection {
    /// Takes bytes off the front of what has come until there is a command to be run. `None`: all
    /// was taken, or the rest has to wait ([`is_stuck`](Self::is_stuck)).
    ///
    /// `find` looks for what runs a command of this name.
    ///
    /// # Errors
    /// The peer broke the protocol or went over a limit: nothing more is received.
    pub fn next<R>(
        &mut self,
        input: &mut &[u8],
        now: u64,
        find: impl Fn(&[u8]) -> Option<R>,
    ) -> Result<Option<Command<R>>, ConnectionError> {
        if self.is_input_over {
            *input = &[];
            return Ok(None);
        }
        if !self.incoming.has_begun && !input.is_empty() {
            self.incoming.has_begun = true;
            if let Some(protocol) = mistaken::asking(input) {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
        }
        loop {
            if let Some(stuck) = self.incoming.stuck.take() {
                let is_late = self.is_late(now);
                let command = self.go_on(stuck, input, is_late, &find)?;
                self.pause(now);
                if command.is_some() {
                    return Ok(command);
                }
                if self.incoming.stuck.is_some() {
                    return Ok(None);
                }
            }
            let before = input.len();
            let has_more = (self.incoming.frames.is_inside() || self.begin(input, now))
                && (self.incoming.stuck.is_some() || self.part(input)?);
            let taken = before - input.len();
            self.incoming.came += u64::try_from(taken).unwrap_or(u64::MAX);
            add(&self.shared.counters.bytes_in, taken);
            if !has_more {
                self.starved(now);
                return Ok(None);
            }
        }
    }

    /// Whether bytes that have come wait for something else than more of them. After
    /// [`Wake::Input`], after the driver has written, and at the [deadline](Self::deadline),
    /// [`next`](Self::next) is to be called again with the same bytes.
    pub const fn is_stuck(&self) -> bool {
        self.incoming.stuck.is_some()
    }

    /// Whether bytes waited for answers to refused requests to be written, and enough of them were:
    /// for drivers that do not go on after each write.
    pub fn has_room_for_refusals(&self) -> bool {
        let waits = matches!(self.incoming.stuck, Some(Stuck::Refusals(_)));
        waits && self.refusals.len() <= self.shared.limits.refusals
    }

    /// When something is given up that has waited too long.
    pub fn deadline(&self) -> Option<u64> {
        let stall = self.shared.config.limits.stall?;
        let since = self.incoming.since;
        let stall = u64::try_from(stall.as_millis()).unwrap_or(u64::MAX);
        (since != 0).then(|| since.saturating_add(stall))
    }

    fn is_late(&self, now: u64) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// This end stops reading, or reads again: meanwhile the peer's time stands still.
    fn pause(&mut self, now: u64) {
        if self.incoming.stuck.is_some() {
            if self.incoming.since == 0 {
                self.incoming.since = now;
                self.clock.pause();
            }
        } else {
            // What waited for bytes may be of no more use.
            self.budget.stop_waiting();
            if self.incoming.since != 0 {
                self.incoming.since = 0;
                self.clock.resume(now, &self.shared.limits);
            }
        }
    }

    /// Tries again what was stuck.
    fn go_on<R>(
        &mut self,
        stuck: Stuck,
        input: &mut &[u8],
        is_late: bool,
        find: &impl Fn(&[u8]) -> Option<R>,
    ) -> Result<Option<Command<R>>, ConnectionError> {
        match stuck {
            Stuck::Command(pending) => return Ok(self.admit(*pending, is_late, find)),
            Stuck::Data { key, left, is_last } => {
                let before = input.len();
                self.push_data(key, left, is_last, input, is_late);
                let taken = before - input.len();
                self.incoming.came += u64::try_from(taken).unwrap_or(u64::MAX);
                add(&self.shared.counters.bytes_in, taken);
            }
            Stuck::Frame(bytes) => {
                if !self.charge(bytes) {
                    if !is_late {
                        self.incoming.stick(stuck);
                        return Ok(None);
                    }
                    self.budget.stop_waiting();
                    // Then the core refuses this request, and no other.
                    self.incoming.frame.has_room = false;
                }
            }
            Stuck::Settings => {
                if !self.charge(self.memory.held()) {
                    if is_late {
                        // Settings are no request that could be refused.
                        return Err(ConnectionError::Limit(ConnectionLimit::ServerBytes));
                    }
                    self.incoming.stick(stuck);
                }
            }
            Stuck::Refusals(tries) => {
                if self.refusals.len() > self.shared.limits.refusals {
                    match tries.checked_sub(1) {
                        Some(tries) => {
                            self.incoming.stick(Stuck::Refusals(tries));
                            self.wake(Wake::Output);
                        }
                        None => return Err(ConnectionError::Limit(ConnectionLimit::Refusals)),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Charges what is gathered, up to so many bytes; `false` if they are not free.
    fn charge(&mut self, bytes: usize) -> bool {
        let charged = self.incoming.gathered.as_ref().map_or(0, Charge::bytes);
        if bytes <= charged {
            return true;
        }
        let Some(charge) = self.budget.take(bytes - charged) else {
            return false;
        };
        match &mut self.incoming.gathered {
            Some(gathered) => gathered.absorb(charge),
            gathered => *gathered = Some(charge),
        }
        true
    }

    /// Begins a frame, when its header is there.
    fn begin(&mut self, input: &mut &[u8], now: u64) -> bool {
        let incoming = &mut self.incoming;
        let before = input.len();
        let is_partial = incoming.frames.is_partial();
        let Some(header) = incoming.frames.begin(input) else {
            return false;
        };
        let left = usize::try_from(header.length()).unwrap_or(usize::MAX);
        let is_there = !is_partial && before - HEADER_LEN >= left;
        let revision = self.shared.config.revision;
        let flags = CommandRequestFlags::from(header.flags());
        let is_request = header.kind(revision) == FrameKind::CommandRequest;
        let is_new = is_request && flags.contains(CommandRequestFlags::NEW);
        let has_more = flags.contains(CommandRequestFlags::MORE);
        if is_new && has_more {
            incoming.begun.push_back((header.request_id(), now));
        }
        incoming.frame = Frame {
            is_empty: left == 0,
            is_whole: is_new && is_there,
            has_room: true,
        };
        if header.length() > self.shared.config.limits.frame_size {
            // The core says so.
            return true;
        }
        count(&self.shared.counters.frames_in);
        self.shared.saw(&self.peer, Direction::In, &header);
        // Bytes that will be gathered are charged before, beside those that are held.
        let is_gathered = if is_new {
            has_more || !is_there
        } else {
            // What is left of a refused one is not kept.
            let key = CoreKey::request(header.request_id());
            let slot = self.core.requests_mut().find(key);
            is_request && slot.is_some_and(|slot| !slot.is_aside())
        };
        if is_gathered {
            let bytes = self.memory.held().saturating_add(left);
            if !self.charge(bytes) {
                self.incoming.stick(Stuck::Frame(bytes));
            }
        }
        true
    }

    /// Hands the core what is there of the current frame. `false`: nothing is.
    fn part(&mut self, input: &mut &[u8]) -> Result<bool, ConnectionError> {
        let before = *input;
        let Some(part) = self.incoming.frames.part(input) else {
            return Ok(false);
        };
        let frame = self.incoming.frame;
        if !frame.has_room {
            self.memory.set_budget(self.memory.held());
        }
        let is_last = part.is_last;
        self.incoming.has_ended |= is_last;
        let is_empty = frame.is_empty;
        let mut is_progress = !is_empty;
        let mut arrived = None;
        let mut rest = part.bytes();
        match self.core.next(&mut rest, &mut self.memory) {
            None => {}
            Some(Event::Command(command)) => {
                is_progress = true;
                arrived = Some(Arrived::new(command));
            }
            Some(Event::Data {
                request_id,
                bytes,
                is_last,
            }) => {
                is_progress |= is_last;
                let left = bytes.len();
                if let Some(key) = self.uploading(request_id) {
                    // They are the last of what was taken: put back, they go in where there is room.
                    let behind = input.len();
                    *input = before
                        .get(before.len() - behind - left..)
                        .unwrap_or_default();
                    self.incoming.stick(Stuck::Data { key, left, is_last });
                }
            }
            Some(Event::Refused(refusal)) => self.core_refused(refusal, frame.has_room)?,
            Some(Event::Error(error)) => return Err(ConnectionError::Protocol(error)),
            Some(_) => {}
        }
        self.count_progress(is_empty && is_last, is_progress)?;
        self.memory.release_taken();
        self.memory.set_budget(self.shared.config.limits.gathered);
        if let Some(arrived) = arrived {
            self.incoming.forget_begun(arrived.id());
            let pending = self.arrived(arrived, frame.is_whole);
            self.incoming.stick(Stuck::Command(Box::new(pending)));
        }
        self.settle(is_last);
        Ok(true)
    }

    /// Something was handled: charges what is held now, and no more once a frame has ended.
    fn settle(&mut self, is_last: bool) {
        let held = self.memory.held();
        if !self.charge(held) {
            // A command has its bytes already.
            self.incoming.stuck.get_or_insert(Stuck::Settings);
        } else if is_last {
            match &mut self.incoming.gathered {
                Some(gathered) if held > 0 => gathered.keep(held),
                gathered => *gathered = None,
            }
        }
    }

    /// The core has refused a request, which may run already.
    fn core_refused(
        &mut self,
        refusal: CoreRefusal,
        had_room: bool,
    ) -> Result<(), ConnectionError> {
        let id = refusal.request_id();
        let reason = match refusal.reason() {
            RefusalReason::RequestTooLarge if !had_room => Refusal::ServerBytes,
            reason => Refusal::from_core(reason),
        };
        self.incoming.forget_begun(id);
        let uploads = self.commands.iter();
        let running = (self.uploads > 0)
            .then_some(uploads)
            .and_then(|mut uploads| {
                uploads.find(|(_, running)| {
                    running.token.request_id() == id && running.has & has::UPLOADING != 0
                })
            });
        let running = running.map(|(key, running)| (key, running.name().to_vec()));
        let name = running.as_ref().map(|(_, name)| name.as_slice());
        self.shared.refused(id, name, reason);
        if let Some((key, _)) = running {
            if let Some(running) = self.commands.get_mut(key) {
                running.has |= has::STALE;
            }
            self.stop_running(key);
        }
        self.push_refusal(refusal);
        if self.refusals.len() > self.shared.limits.refusals {
            // A peer that reads them is not to blame for how many came at once.
            self.take_turns();
            if self.refusals.len() > self.shared.limits.refusals {
                self.incoming.stick(Stuck::Refusals(1));
                self.wake(Wake::Output);
            }
        }
        Ok(())
    }

    /// Frames without a byte cost no memory, but work.
    fn count_progress(&mut self, is_empty: bool, is_progress: bool) -> Result<(), ConnectionError> {
        let frames = &mut self.incoming.empty_frames;
        if is_progress {
            *frames = frames.saturating_sub(1);
        } else if is_empty {
            *frames += 1;
        }
        if *frames > self.shared.limits.empty_frames {
            return Err(ConnectionError::Limit(ConnectionLimit::NoProgress));
        }
        Ok(())
    }

    /// All that came was handled: the clock is told.
    fn starved(&mut self, now: u64) {
        let incoming = &mut self.incoming;
        let bytes = std::mem::take(&mut incoming.came);
        if bytes == 0 {
            return;
        }
        let has_ended = std::mem::take(&mut incoming.has_ended);
        let is_partial = incoming.frames.missing().is_some();
        let begun = incoming.begun.front().map_or(0, |(_, since)| *since);
        self.clock.received(now, bytes, has_ended, is_partial);
        self.clock.unfinished(begun);
        let has_uploads = self.uploads > 0;
        self.clock
            .data(now, bytes, has_uploads, &self.shared.limits);
    }

    /// Bytes of the current header or payload that have not come; `None` between two frames.
    pub(super) fn missing(&self) -> Option<u32> {
        self.incoming.frames.missing()
    }
}
