//! A command's life: from its request to the end of its handler and of its reply.

use hgrpc::cbor::ContentEncoding;
use hgrpc::server::Reply;
use hgrpc::wire::RequestId;

use super::compose::{Composer, Context};
use super::{Connection, Wake};
use crate::engine::inbound::{DataError, Inbound};
use crate::engine::{Charge, Key};
use crate::gate::Refusal;
use crate::host::Failure;
use crate::host::counting::count;

/// Most bytes of a command's name that are known until it was answered.
const NAME: usize = 64;

/// What is known of a command, in bits.
pub(super) mod has {
    /// Its handler runs.
    pub(in super::super) const HANDLER: u16 = 0x01;
    /// Somebody has its reply, to write it.
    pub(in super::super) const REPLY: u16 = 0x02;
    /// Somebody has its data, to read it.
    pub(in super::super) const DATA: u16 = 0x04;
    /// The end of its reply was said.
    pub(in super::super) const ENDED: u16 = 0x08;
    /// The last frame of its reply was made.
    pub(in super::super) const REPLIED: u16 = 0x10;
    /// The first frames of its reply were made.
    pub(in super::super) const OPENED: u16 = 0x20;
    /// Its reply waits for its turn.
    pub(in super::super) const QUEUED: u16 = 0x40;
    /// It counts as one of those that run.
    pub(in super::super) const COUNTED: u16 = 0x80;
    /// Data of it is still to come.
    pub(in super::super) const UPLOADING: u16 = 0x100;
    /// The core has refused it while it ran.
    pub(in super::super) const STALE: u16 = 0x200;
}

/// A command that is not answered, or whose handler has not ended.
pub(super) struct Running {
    pub(super) token: Reply,
    name: [u8; NAME],
    name_len: u8,
    pub(super) composer: Composer,
    pub(super) data: Option<Inbound<DataError, Charge>>,
    /// What is answered instead of what its handler says.
    pub(super) refusal: Option<Failure>,
    /// Bytes that were sent of its reply, as turns count them.
    pub(super) sent: u64,
    pub(super) has: u16,
    /// Somebody waits for room in its reply.
    pub(super) is_awaited: bool,
}

impl Running {
    pub(super) fn new(token: Reply, name: &[u8]) -> Self {
        let mut kept = [0; NAME];
        let len = name.len().min(NAME);
        if let (Some(to), Some(name)) = (kept.get_mut(..len), name.get(..len)) {
            to.copy_from_slice(name);
        }
        Self {
            token,
            name: kept,
            name_len: u8::try_from(len).unwrap_or_default(),
            composer: Composer::default(),
            data: None,
            refusal: None,
            sent: 0,
            has: 0,
            is_awaited: false,
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        self.name
            .get(..usize::from(self.name_len))
            .unwrap_or_default()
    }

    /// Whether nobody can do anything with it any more.
    const fn is_over(&self) -> bool {
        self.has & (has::HANDLER | has::REPLY | has::DATA) == 0 && self.has & has::REPLIED != 0
    }
}

/// How a handler has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself.
    Done,
    /// With a failure.
    Failed(Failure),
    /// With a panic.
    Panicked,
    /// It was dropped.
    Dropped,
}

impl Connection {
    /// A command's request, and its name's first 64 bytes; `None` once it was answered.
    pub fn command(&self, key: Key) -> Option<(RequestId, &[u8])> {
        let running = self.commands.get(key)?;
        (running.has & has::REPLIED == 0).then(|| (running.token.request_id(), running.name()))
    }

    /// Returns the number of commands that are known: they are not answered, or their handler runs, or
    /// somebody has their reply or their data.
    pub fn commands(&self) -> usize {
        self.commands.len()
    }

    /// The commands that are not answered, by their requests' IDs.
    pub fn unanswered(&self) -> Vec<(RequestId, Vec<u8>)> {
        let commands = self.commands.iter();
        let mut unanswered: Vec<_> = commands
            .filter_map(|(key, _)| self.command(key))
            .map(|(id, name)| (id, name.to_vec()))
            .collect();
        unanswered.sort_unstable();
        unanswered
    }

    /// A handler has ended. A reply that it has dropped is ended with its failure, or as one that was
    /// never given.
    pub fn handler_ended(&mut self, key: Key, outcome: Outcome) {
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        if running.has & has::HANDLER == 0 {
            return;
        }
        running.has &= !has::HANDLER;
        self.handlers -= 1;
        let is_left = running.has & (has::REPLY | has::ENDED) == 0;
        if let Outcome::Failed(failure) = &outcome {
            let counters = &self.shared.counters;
            count(match failure.is_command {
                true => &counters.failed,
                false => &counters.failed_server,
            });
        }
        match outcome {
            _ if !is_left => {}
            Outcome::Failed(failure) => self.end_with(key, &failure),
            Outcome::Panicked => self.end_unanswered(key, true),
            Outcome::Done | Outcome::Dropped => self.end_unanswered(key, false),
        }
        self.settle_command(key);
    }

    /// Whoever had a reply has dropped it without ending it: if its handler runs, that may say why.
    /// Not so where the drop is part of a panic.
    pub fn reply_dropped(&mut self, key: Key, is_panicking: bool) {
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        running.has &= !has::REPLY;
        if running.has & has::ENDED == 0 && (running.has & has::HANDLER == 0 || is_panicking) {
            self.end_unanswered(key, is_panicking);
        }
        self.settle_command(key);
    }

    /// Ends a reply that nobody has ended.
    fn end_unanswered(&mut self, key: Key, is_panic: bool) {
        let Some(running) = self.commands.get(key) else {
            return;
        };
        let counters = &self.shared.counters;
        let failure = if running.refusal.is_some() || running.has & has::STALE != 0 {
            // Whoever refused it has counted that, and has said what is answered.
            Failure::server("the request was refused")
        } else if is_panic {
            count(&counters.panicked);
            Failure::server("the command panicked")
        } else {
            count(&counters.unanswered);
            Failure::server("the command gave no answer")
        };
        self.end_with(key, &failure);
    }

    /// Ends a reply with a failure, or with what it was refused for.
    pub(super) fn end_with(&mut self, key: Key, failure: &Failure) {
        let has_ended = self.ended.is_some();
        let Some((running, mut context)) = self.composing(key) else {
            return;
        };
        if running.has & has::ENDED != 0 {
            return;
        }
        running.has |= has::ENDED;
        let refusal = running.refusal.take();
        let failure = refusal.as_ref().unwrap_or(failure);
        running.composer.fail(failure, &mut context);
        match has_ended {
            true => self.replied(key),
            false => self.queue(key),
        }
    }

    /// A command and what its reply is composed with.
    pub(super) fn composing(&mut self, key: Key) -> Option<(&mut Running, Context<'_>)> {
        let context = Context {
            core: &mut self.core,
            streams: &mut self.streams,
            config: &self.shared.config,
        };
        Some((self.commands.get_mut(key)?, context))
    }

    /// Refuses a command that runs: its handler is dropped, and this is answered instead.
    pub(super) fn refuse_running(&mut self, key: Key, refusal: Refusal) {
        let failure = self.shared.refusal(refusal);
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        running.refusal = Some(failure);
        let id = running.token.request_id();
        self.shared.refused(id, Some(running.name()), refusal);
        self.stop_running(key);
    }

    /// Drops a command's handler, and what it has not read of its data.
    pub(super) fn stop_running(&mut self, key: Key) {
        self.end_upload(key, Err(DataError::Refused));
        let running = self.commands.get(key);
        if running.is_some_and(|running| running.has & has::HANDLER != 0) {
            self.wake(Wake::Stop(key));
        }
    }

    /// Whether a command was refused while it ran: its handler is to be dropped.
    pub fn is_stopped(&self, key: Key) -> bool {
        let running = self.commands.get(key);
        running.is_some_and(|running| running.refusal.is_some() || running.has & has::STALE != 0)
    }

    /// A request is refused by whoever runs it, for a limit of its own; what its client is told.
    pub fn refuse(&mut self, key: Key, refusal: Refusal) -> Failure {
        if let Some(running) = self.commands.get(key) {
            let id = running.token.request_id();
            self.shared.refused(id, Some(running.name()), refusal);
        }
        self.shared.refusal(refusal)
    }

    /// The last frame of a reply was made, or nothing is sent any more.
    pub(super) fn replied(&mut self, key: Key) {
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        if running.has & has::REPLIED != 0 {
            return;
        }
        running.has |= has::REPLIED | has::ENDED;
        self.replies -= 1;
        running.composer.jobs.clear();
        let is_broken = running.composer.is_broken || self.ended.is_some();
        let is_awaited = std::mem::take(&mut running.is_awaited);
        if let Some(coded) = running.composer.coded.take()
            && self.streams.give_back(&mut self.core, coded, is_broken)
            && let Ok(plain) = self.core.open_stream(&[ContentEncoding::Identity])
        {
            // What comes later goes uncompressed.
            self.stream = plain;
        }
        if is_awaited {
            self.wake(Wake::Reply(key));
        }
        // What of its data has not come yet is swallowed.
        self.end_upload(key, Err(DataError::Cut));
        self.settle_command(key);
    }

    /// Something of a command has ended: it goes when all of it has.
    pub(super) fn settle_command(&mut self, key: Key) {
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        let is_done = running.has & has::HANDLER == 0 && running.has & has::REPLIED != 0;
        if is_done && running.has & has::COUNTED != 0 {
            running.has &= !has::COUNTED;
            self.shared.counters.end_request();
        }
        if running.is_over() {
            self.commands.remove(key);
        }
        if is_done && self.handlers == 0 && self.replies == 0 {
            self.wake(Wake::Progress);
        }
    }
}
