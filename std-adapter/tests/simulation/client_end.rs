//! A client's end: the engine, and a driver that does what the engine asks for and nothing more.

use std::io::IoSlice;
use std::sync::Arc;

use hgrpc_std::blocking::{Config, ConnectionError};
use hgrpc_std::engine::Key;
use hgrpc_std::engine::client::{Connection, Note};

use crate::bell::{Bell, Signal, Timer};
use crate::pipe::{Arrival, Pipe};
use crate::random::Random;
use crate::server_end::LINGER;

/// A client's end of one connection.
pub(crate) struct ClientEnd {
    engine: Connection,
    pub(crate) bell: Arc<Bell>,
    signal: Arc<Signal>,
    buffer: Vec<u8>,
    stage: Stage,
    is_input_due: bool,
    is_output_due: bool,
    /// The network had no room for all.
    is_blocked: bool,
    /// Places for calls that are free, of so many.
    pub(crate) places: usize,
    most_places: usize,
    /// Who waits for one.
    pub(crate) waiting: Vec<Arc<Bell>>,
    /// Uploads under way.
    pub(crate) uploads: usize,
    is_closing: bool,
    is_stuck: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Nothing can be written; what comes is read until then.
    Reading(u64),
    /// All was written; the peer's end is waited for until then.
    Closing(u64),
    Over,
}

/// What a driver's turn leaves to others.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) notes: Vec<(Key, Note)>,
    pub(crate) has_moved: bool,
    pub(crate) timer: Timer,
}

impl ClientEnd {
    pub(crate) fn new(config: &Config, bell: Arc<Bell>) -> Self {
        let signal = Arc::new(Signal::new(Arc::clone(&bell)));
        Self {
            engine: Connection::open(config, Arc::clone(&signal).into()),
            bell,
            signal,
            buffer: Vec::new(),
            stage: Stage::Serving,
            is_input_due: false,
            is_output_due: true,
            is_blocked: false,
            places: config.limits.calls,
            most_places: config.limits.calls,
            waiting: Vec::new(),
            uploads: 0,
            is_closing: false,
            is_stuck: false,
        }
    }

    pub(crate) const fn engine(&self) -> &Connection {
        &self.engine
    }

    /// Returns whether no call can begin any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.engine.ended().is_some() || self.engine.output_ended().is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Does something with the connection, and wakes whom that concerns.
    pub(crate) fn with<R>(&mut self, act: impl FnOnce(&mut Connection) -> R) -> R {
        let result = act(&mut self.engine);
        let wakes = self.engine.take_wakes();
        self.places += wakes.freed;
        assert!(self.places <= self.most_places, "a place is free twice");
        if self.places > 0 {
            self.waiting.drain(..).for_each(|bell| bell.ring());
        }
        self.is_input_due |= wakes.input;
        self.is_output_due |= wakes.output;
        if wakes.input || wakes.output {
            self.bell.ring();
        }
        wakes.wake();
        result
    }

    /// The network has room again.
    pub(crate) fn has_room(&mut self) {
        if std::mem::take(&mut self.is_blocked) {
            self.is_output_due = true;
            self.bell.ring();
        }
    }

    /// An upload has ended, which a connection that closes waits for.
    pub(crate) fn look(&mut self) {
        if self.is_closing {
            self.is_output_due = true;
            self.bell.ring();
        }
    }

    /// Gives every call up, and closes the connection behind what was sent.
    pub(crate) fn finish(&mut self) {
        self.with(Connection::finish);
        self.is_closing = true;
        self.is_output_due = true;
        self.bell.ring();
    }

    /// Does what can be done.
    pub(crate) fn poll(
        &mut self,
        now: u64,
        random: &mut Random,
        reads_on: bool,
        [up, down]: [&mut Pipe; 2],
    ) -> Turn {
        let mut turn = Turn::default();
        if self.stage == Stage::Over {
            return turn;
        }
        self.is_input_due |= self.signal.take();
        self.is_input_due |= self.engine.deadline().is_some_and(|at| now >= at);
        loop {
            let mut has_moved = self.read(now, random, reads_on, [&mut *up, &mut *down], &mut turn);
            has_moved |= self.write(now, random, up);
            match self.stage {
                Stage::Reading(until) | Stage::Closing(until) if now >= until => {
                    self.end(&ConnectionError::Shutdown, up, down);
                }
                Stage::Reading(until) | Stage::Closing(until) => turn.timer.wait(until),
                _ => {}
            }
            if self.stage == Stage::Over {
                turn.has_moved = true;
                return turn;
            }
            turn.has_moved |= has_moved;
            if !has_moved && !self.is_input_due && !self.is_output_due {
                break;
            }
        }
        if let Some(at) = self.engine.deadline() {
            turn.timer.wait(at);
        }
        turn
    }

    fn read(
        &mut self,
        now: u64,
        random: &mut Random,
        reads_on: bool,
        [up, down]: [&mut Pipe; 2],
        turn: &mut Turn,
    ) -> bool {
        let mut has_moved = false;
        while std::mem::take(&mut self.is_input_due) {
            let mut buffer = std::mem::take(&mut self.buffer);
            let mut input = buffer.as_slice();
            let before = input.len();
            let received = self.with(|engine| engine.receive(&mut input, now));
            let taken = before - input.len();
            buffer.drain(..taken);
            self.buffer = buffer;
            match received {
                Ok(None) => {}
                Ok(Some(note)) => {
                    turn.notes.push(note);
                    self.is_input_due = true;
                    has_moved = true;
                }
                Err(error) => panic!("the client does not understand: {error}"),
            }
            self.is_stuck = self.engine.is_stuck();
        }
        if self.is_stuck && !(reads_on && self.buffer.len() < 50_000) {
            return has_moved;
        }
        assert!(
            self.is_stuck || self.buffer.is_empty(),
            "bytes wait for nothing"
        );
        match down.read(now, &mut self.buffer, random) {
            Arrival::Bytes => {
                self.is_input_due = true;
                has_moved = true;
            }
            Arrival::Later(at) => turn.timer.wait(at),
            // What waits is not lost.
            Arrival::Nothing => {}
            Arrival::End if self.is_stuck => {}
            Arrival::End => {
                let error = self.engine.end_input();
                self.end(&error, up, down);
                has_moved = true;
            }
        }
        has_moved
    }

    fn write(&mut self, now: u64, random: &mut Random, up: &mut Pipe) -> bool {
        let mut has_moved = false;
        while std::mem::take(&mut self.is_output_due) {
            if self.stage != Stage::Serving {
                return has_moved;
            }
            self.with(Connection::fill);
            let mut slices = [IoSlice::new(&[]); 3];
            let count = self.engine.output(&mut slices);
            if count == 0 {
                if self.is_closing && self.uploads == 0 {
                    up.close();
                    self.stage = Stage::Closing(now + LINGER);
                    has_moved = true;
                }
                break;
            }
            match up.write(&slices[..count], random) {
                Ok(0) => self.is_blocked = true,
                Ok(len) => {
                    self.with(|engine| engine.sent(len));
                    has_moved = true;
                    self.is_output_due = true;
                }
                Err(()) => {
                    let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
                    let error = ConnectionError::Write(Arc::new(error));
                    self.with(|engine| engine.end_output(&error));
                    self.stage = Stage::Reading(now + LINGER);
                    return true;
                }
            }
        }
        has_moved
    }

    /// Ends the connection at once.
    pub(crate) fn end(&mut self, error: &ConnectionError, up: &mut Pipe, down: &mut Pipe) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        self.with(|engine| engine.end(error));
        self.waiting.drain(..).for_each(|bell| bell.ring());
        up.close();
        down.break_off();
    }
}
