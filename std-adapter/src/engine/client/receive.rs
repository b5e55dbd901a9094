//! The receiving side: bytes become frames, and these pieces of responses.

use hgrpc::client::Event;
use hgrpc::wire::StreamId;

use super::answer::Step;
use super::call::has;
use super::{Connection, Note, NoteRoute};
use crate::engine::Key;
use crate::engine::clock::millis;
use crate::engine::faults::{Fault, is_planted};
use crate::host::{AnswerError, CallError, ConnectionError, mistaken};

/// An encoded payload that is being decoded: the next bytes of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoding {
    stream: StreamId,
    left: usize,
    is_last: bool,
    ends_stream: bool,
}

/// What nothing more is received for, for now.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The next so many bytes of the input are a call's, whose buffer is full.
    Data(Key, usize),
    /// Decoded bytes are.
    Decoded(Key, Vec<u8>),
    /// A note that has no room.
    Note(Key, Note),
}

impl Stuck {
    /// Whether it waits for whoever has this call.
    pub(super) fn is_for(&self, call: Key) -> bool {
        match self {
            Self::Data(key, _) | Self::Decoded(key, _) | Self::Note(key, _) => *key == call,
        }
    }
}

impl Connection {
    /// Takes bytes off the front of what has come. Gives what came beside a response, if its call
    /// takes that [directly](NoteRoute::Direct): then it is to be called again at once. `None`: all was
    /// taken, or the rest has to wait ([`is_stuck`](Self::is_stuck)).
    ///
    /// # Errors
    /// The peer broke the protocol: nothing more is received.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        now: u64,
    ) -> Result<Option<(Key, Note)>, ConnectionError> {
        if !self.has_begun && !input.is_empty() {
            self.has_begun = true;
            if let Some(protocol) = mistaken::answering(input) {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
        }
        loop {
            if let Some(stuck) = self.stuck.take() {
                self.go_on(stuck, input, now);
                if self.stuck.is_some() {
                    return Ok(None);
                }
            }
            let step = if let Some(decoding) = self.decoding {
                self.decode(decoding, input)?
            } else if self.frames.is_inside() || self.begin(input) {
                match self.part(input)? {
                    Some(step) => step,
                    None => return Ok(None),
                }
            } else {
                return Ok(None);
            };
            match step {
                Step::Note(key, event) => {
                    if let Some(event) = self.note(key, event) {
                        return Ok(Some((key, event)));
                    }
                }
                Step::Error(error) => return Err(error),
                _ => {}
            }
            if self.stuck.is_some() && self.since == 0 {
                self.since = now;
            }
        }
    }

    /// Whether something that has come waits for something else than more bytes. After
    /// [`Wakes::input`](super::Wakes::input) and at the [deadline](Self::deadline),
    /// [`receive`](Self::receive) is to be called again with the bytes that it left, be they none;
    /// until then no more are to be read.
    pub const fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// When a call is given up whose reader does not take what came.
    pub fn deadline(&self) -> Option<u64> {
        let stall = self.limits.stall?;
        match self.stuck {
            _ if is_planted(Fault::StallUnnoticed) => None,
            Some(Stuck::Data(..) | Stuck::Decoded(..)) => {
                Some(self.since.saturating_add(millis(stall)))
            }
            _ => None,
        }
    }

    /// Tries again what was stuck.
    fn go_on(&mut self, stuck: Stuck, input: &mut &[u8], now: u64) {
        match stuck {
            Stuck::Note(key, event) => {
                if let Some(event) = self.queue_note(key, event) {
                    self.stuck = Some(Stuck::Note(key, event));
                    return;
                }
            }
            Stuck::Data(key, left) => {
                let (mut bytes, behind) = input.split_at_checked(left).unwrap_or((input, &[]));
                if !self.push(key, &mut bytes, left, now) {
                    let mut taken = left - bytes.len();
                    taken -= usize::from(taken > 0 && is_planted(Fault::ByteTwice));
                    *input = input.get(taken..).unwrap_or_default();
                    self.stuck = Some(Stuck::Data(key, left - taken));
                    return;
                }
                *input = behind;
                self.after_delivery(key);
            }
            Stuck::Decoded(key, bytes) => {
                let mut rest = bytes.as_slice();
                let left = rest.len();
                if !self.push(key, &mut rest, left, now) {
                    let taken = left - rest.len();
                    let mut bytes = bytes;
                    bytes.drain(..taken);
                    self.stuck = Some(Stuck::Decoded(key, bytes));
                    return;
                }
                self.after_delivery(key);
            }
        }
        self.since = 0;
    }

    /// Delivers bytes that waited. `false`: some still do. After the deadline their call is given up;
    /// what came meanwhile buys time.
    fn push(&mut self, key: Key, bytes: &mut &[u8], left: usize, now: u64) -> bool {
        if self.calls.deliver(key, bytes) {
            return true;
        }
        if bytes.len() < left {
            self.since = now;
            return false;
        }
        let stall = self.limits.stall.map(millis);
        let is_late = stall.is_some_and(|stall| now >= self.since.saturating_add(stall));
        if is_late {
            self.end_call(key, Err(CallError::Answer(AnswerError::Stalled)));
            self.cancel(key);
        }
        is_late
    }

    fn after_delivery(&mut self, key: Key) {
        let step = self.calls.delivered(key);
        self.follow(step);
    }

    /// Something beside a response: what the driver has to take itself.
    fn note(&mut self, key: Key, event: Note) -> Option<Note> {
        let call = self.calls.get_mut(key)?;
        if matches!(call.notes, NoteRoute::Direct) {
            return Some(event);
        }
        if let Some(event) = self.queue_note(key, event) {
            self.stuck = Some(Stuck::Note(key, event));
        }
        None
    }

    fn queue_note(&mut self, key: Key, event: Note) -> Option<Note> {
        match &self.calls.get_mut(key)?.notes {
            NoteRoute::Queued(queue) => queue.push(event, &self.waker),
            _ => None,
        }
    }

    /// Begins a frame, when its header is there.
    fn begin(&mut self, input: &mut &[u8]) -> bool {
        let Some(header) = self.frames.begin(input) else {
            return false;
        };
        let id = header.request_id();
        let key = self.calls.slab.at(self.core.requests().tag(id));
        self.current = key.filter(|key| {
            let call = self.calls.get_mut(*key);
            call.is_some_and(|call| call.id == id && call.has & has::SENT != 0)
        });
        // Of one that is too large the core says so.
        if header.length() <= self.limits.frame_size {
            self.meter.frame_in(&header);
        }
        true
    }

    /// Hands the core what is there of the current frame. `None`: nothing is.
    fn part(&mut self, input: &mut &[u8]) -> Result<Option<Step>, ConnectionError> {
        let before = *input;
        let Some(part) = self.frames.part(input) else {
            return Ok(None);
        };
        let behind = input.len();
        let mut rest = part.bytes();
        while let Some(event) = self.core.next(&mut rest, &mut self.memory) {
            let mut step = self.calls.event(self.current, &event);
            if let Step::Encoded(stream, len, is_last, ends_stream) = step {
                if self.decoders.has_decoder(stream) {
                    // They are the last of what was taken: put back, they are decoded from there.
                    *input = before
                        .get(before.len() - behind - len..)
                        .unwrap_or_default();
                    self.decoders.came(len);
                    self.decoding = Some(Decoding {
                        stream,
                        left: len,
                        is_last,
                        ends_stream,
                    });
                    return Ok(Some(Step::Nothing));
                }
                let bytes = part.bytes();
                let bytes = bytes.get(bytes.len() - len..).unwrap_or_default();
                let event = self.core.decoded(bytes, is_last, &mut self.memory);
                step = event.map_or(Step::Nothing, |event| {
                    self.calls.event(self.current, &event)
                });
            }
            if let Step::Full(key, left) = step {
                // Likewise.
                *input = before
                    .get(before.len() - behind - left..)
                    .unwrap_or_default();
                self.stuck = Some(Stuck::Data(key, left));
                return Ok(Some(Step::Nothing));
            }
            let step = self.follow(step);
            if !matches!(step, Step::Nothing) {
                return Ok(Some(step));
            }
        }
        Ok(Some(Step::Nothing))
    }

    /// Decodes the next piece.
    fn decode(
        &mut self,
        mut decoding: Decoding,
        input: &mut &[u8],
    ) -> Result<Step, ConnectionError> {
        let Decoding {
            stream,
            left,
            is_last,
            ends_stream,
        } = decoding;
        let (mut bytes, behind) = input.split_at_checked(left).unwrap_or((input, &[]));
        let piece = self
            .decoders
            .next_piece(stream, &mut bytes, is_last)
            .map_err(ConnectionError::Decode)?;
        let has_more = piece.is_some();
        // The frame ends behind its last piece.
        let event: Option<Event<'_>> = match piece {
            Some(piece) => self.core.decoded(piece, false, &mut self.memory),
            None if is_last => self.core.decoded(&[], true, &mut self.memory),
            None => None,
        };
        let step = match &event {
            Some(event) => self.calls.event(self.current, event),
            None => Step::Nothing,
        };
        let step = match (step, event) {
            (Step::Full(key, len), Some(Event::Response { data, .. })) => {
                let rest = data.get(data.len() - len..).unwrap_or_default();
                self.stuck = Some(Stuck::Decoded(key, rest.to_vec()));
                Step::Nothing
            }
            (step, _) => step,
        };
        if has_more {
            decoding.left = bytes.len();
            *input = input.get(left - bytes.len()..).unwrap_or_default();
            self.decoding = Some(decoding);
        } else {
            *input = behind;
            self.decoding = None;
        }
        let step = self.follow(step);
        if !has_more && is_last && ends_stream {
            self.decoders.end(stream);
        }
        Ok(step)
    }

    /// Does what an event leaves to be done here; what it leaves to others.
    fn follow(&mut self, step: Step) -> Step {
        match step {
            Step::Cancel(key) => {
                self.cancel(key);
                self.settle(key);
            }
            Step::SetDecoder(stream, encoding) => {
                // The core lets those pass that the configuration names.
                if !self.decoders.install(stream, encoding) {
                    let error = hgrpc::ProtocolError::EncodingUnusable;
                    return Step::Error(ConnectionError::Protocol(error));
                }
            }
            Step::DropDecoder(stream) => self.decoders.end(stream),
            step => return step,
        }
        Step::Nothing
    }
}
