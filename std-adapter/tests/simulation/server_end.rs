//! A server's end: the engine, and a driver that does what the engine asks for and nothing more.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use hgrpc_std::blocking::{ConnectionError, ConnectionLimit};
use hgrpc_std::engine::Key;
use hgrpc_std::engine::server::{Command, Connection, Peer, Progress, Shared, Wake};

use crate::bell::{Bell, Signal, Timer};
use crate::pipe::{Arrival, Pipe, wide};
use crate::plan::millis;
use crate::random::Random;

/// How long a closed connection waits for its peer to close it too.
pub(crate) const LINGER: u64 = 1000;

/// A server's end of one connection.
pub(crate) struct ServerEnd {
    engine: Connection,
    pub(crate) bell: Arc<Bell>,
    signal: Arc<Signal>,
    buffer: Vec<u8>,
    stage: Stage,
    is_input_due: bool,
    is_output_due: bool,
    /// The network had no room for all.
    is_blocked: bool,
    is_progress_due: bool,
    commands: BTreeMap<Key, Waiters>,
    pub(crate) error: Option<ConnectionError>,
    watch: Watch,
    tick: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Answering,
    Lingering(u64),
    Over,
}

/// Who waits for something of a command.
pub(crate) struct Waiters {
    pub(crate) handler: Arc<Bell>,
    pub(crate) reply: bool,
    pub(crate) data: bool,
    pub(crate) is_running: bool,
    pub(crate) is_stopped: bool,
}

/// What the peer did, as the network saw it.
#[derive(Debug, Default)]
struct Watch {
    opened: u64,
    last_in: u64,
    /// When, and how many bytes had come then.
    history: Vec<(u64, u64)>,
    total: u64,
    /// The peer has taken nothing since.
    blocked: Option<u64>,
    head: Vec<u8>,
    payload: usize,
    /// When the frame began that has come in part, and how much of it has come since.
    partial: Option<(u64, u64)>,
    frames: u64,
}

/// What a driver's turn leaves to others.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) commands: Vec<Command<()>>,
    pub(crate) has_moved: bool,
    pub(crate) timer: Timer,
}

impl ServerEnd {
    pub(crate) fn new(shared: &Arc<Shared>, bell: Arc<Bell>, now: u64, tick: Option<u64>) -> Self {
        let signal = Arc::new(Signal::new(Arc::clone(&bell)));
        let waker = Arc::clone(&signal).into();
        let peer = Arc::new(Peer::UNKNOWN);
        Self {
            engine: Connection::new(Arc::clone(shared), peer, waker, now).unwrap(),
            bell,
            signal,
            buffer: Vec::new(),
            stage: Stage::Serving,
            is_input_due: false,
            // A stream was opened.
            is_output_due: true,
            is_blocked: false,
            is_progress_due: false,
            commands: BTreeMap::new(),
            error: None,
            watch: Watch {
                opened: now,
                last_in: now,
                history: vec![(now, 0)],
                ..Watch::default()
            },
            tick: tick.map(|tick| (now + tick, tick)),
        }
    }

    pub(crate) const fn engine(&self) -> &Connection {
        &self.engine
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Does something with the connection, and wakes whom it names.
    pub(crate) fn with<R>(&mut self, act: impl FnOnce(&mut Connection) -> R) -> R {
        let result = act(&mut self.engine);
        self.settle();
        result
    }

    pub(crate) fn waiters(&mut self, key: Key) -> &mut Waiters {
        self.commands.get_mut(&key).expect("its key was given out")
    }

    fn settle(&mut self) {
        let unwritten = self.engine.unwritten();
        assert!(
            unwritten < (64 << 10) + (40 << 10),
            "{unwritten} bytes wait"
        );
        while let Some(wake) = self.engine.pop_wake() {
            let known = "a wake-up for a command that was never given out";
            match wake {
                Wake::Reply(key) => {
                    let waiters = self.commands.get_mut(&key).expect(known);
                    if std::mem::take(&mut waiters.reply) {
                        waiters.handler.ring();
                    }
                }
                Wake::Data(key) => {
                    let waiters = self.commands.get_mut(&key).expect(known);
                    if std::mem::take(&mut waiters.data) {
                        waiters.handler.ring();
                    }
                }
                Wake::Stop(key) => {
                    let waiters = self.commands.get_mut(&key).expect(known);
                    assert!(waiters.is_running, "a handler is stopped that has ended");
                    waiters.is_stopped = true;
                    waiters.handler.ring();
                }
                Wake::Input => self.is_input_due = true,
                Wake::Output => self.is_output_due = true,
                Wake::Gone | Wake::Progress => self.is_progress_due = true,
                wake => panic!("an unknown wake-up: {wake:?}"),
            }
        }
        if self.is_input_due || self.is_output_due || self.is_progress_due {
            self.bell.ring();
        }
    }

    /// Has the driver look whether the server stops.
    pub(crate) fn look(&mut self) {
        self.is_progress_due = true;
        self.bell.ring();
    }

    /// The network has room again.
    pub(crate) fn has_room(&mut self) {
        if std::mem::take(&mut self.is_blocked) {
            self.is_output_due = true;
            self.bell.ring();
        }
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
        loop {
            let mut has_moved = false;
            if self.stage == Stage::Serving {
                has_moved |= self.serve(now, random, reads_on, up, &mut turn);
            } else {
                self.is_input_due = false;
            }
            has_moved |= self.write(now, random, down);
            if std::mem::take(&mut self.is_progress_due) {
                self.progress(now, down);
            }
            if let Stage::Lingering(until) = self.stage {
                let mut nothing = Vec::new();
                match up.read(now, &mut nothing, random) {
                    Arrival::Bytes => has_moved = true,
                    Arrival::End => self.end(ConnectionError::Shutdown, up, down),
                    _ if now >= until => self.end(ConnectionError::Shutdown, up, down),
                    Arrival::Later(at) => turn.timer.wait(at.min(until)),
                    Arrival::Nothing => turn.timer.wait(until),
                }
            }
            if self.stage == Stage::Over {
                turn.has_moved = true;
                return turn;
            }
            turn.has_moved |= has_moved;
            if !has_moved && !self.is_input_due && !self.is_output_due && !self.is_progress_due {
                break;
            }
        }
        self.check(now, up, down);
        turn.has_moved |= self.is_over();
        if let Some((at, _)) = self.tick {
            turn.timer.wait(at);
        }
        if let Some(at) = self
            .engine
            .deadline()
            .filter(|_| self.stage == Stage::Serving)
        {
            turn.timer.wait(at);
        }
        turn
    }

    /// Reads and handles what comes.
    fn serve(
        &mut self,
        now: u64,
        random: &mut Random,
        reads_on: bool,
        up: &mut Pipe,
        turn: &mut Turn,
    ) -> bool {
        let mut has_moved = false;
        self.is_input_due |= self.engine.deadline().is_some_and(|at| now >= at);
        let mut was_stuck = self.engine.is_stuck();
        while std::mem::take(&mut self.is_input_due) {
            match self.next(now) {
                Ok(Some(command)) => {
                    has_moved = true;
                    self.is_input_due = true;
                    turn.commands.push(command);
                }
                Ok(None) => was_stuck |= self.engine.is_stuck(),
                Err(error @ ConnectionError::Limit(_)) => {
                    self.stage = Stage::Answering;
                    self.error = Some(error.clone());
                    self.with(|engine| engine.end(error));
                    return true;
                }
                Err(error) => panic!("the server does not understand: {error}"),
            }
        }
        if was_stuck {
            self.watch.resume(now);
        }
        let may_read = self.buffer.is_empty() || reads_on && self.buffer.len() < 50_000;
        if !may_read {
            return has_moved;
        }
        let before = self.buffer.len();
        match up.read(now, &mut self.buffer, random) {
            Arrival::Bytes => {
                self.watch.came(now, &self.buffer[before..]);
                self.is_input_due = true;
                has_moved = true;
            }
            Arrival::Later(at) => turn.timer.wait(at),
            Arrival::Nothing => {}
            // What came before is handled first.
            Arrival::End if !self.buffer.is_empty() => {}
            Arrival::End => {
                self.stage = Stage::Answering;
                let end = self.with(Connection::end_input);
                assert_eq!(end.is_err(), self.watch.is_inside(), "{end:?}");
                self.error = end.err();
                has_moved = true;
            }
        }
        has_moved
    }

    fn next(&mut self, now: u64) -> Result<Option<Command<()>>, ConnectionError> {
        let mut input = self.buffer.as_slice();
        let before = input.len();
        let next = self
            .engine
            .next(&mut input, now, |name| (name == b"work").then_some(()));
        let taken = before - input.len();
        self.buffer.drain(..taken);
        if let Ok(Some(command)) = &next {
            let waiters = Waiters {
                handler: Arc::default(),
                reply: false,
                data: false,
                is_running: true,
                is_stopped: false,
            };
            let other = self.commands.insert(command.key, waiters);
            assert!(other.is_none(), "a key was given out twice");
        }
        self.settle();
        next
    }

    /// Writes what there is.
    fn write(&mut self, now: u64, random: &mut Random, down: &mut Pipe) -> bool {
        let mut has_moved = false;
        while std::mem::take(&mut self.is_output_due) {
            if matches!(self.stage, Stage::Lingering(_) | Stage::Over) {
                return false;
            }
            self.with(|engine| engine.fill(now));
            let mut slices = [IoSlice::new(&[]); 3];
            let count = self.engine.output(&mut slices);
            if count == 0 {
                self.watch.blocked = None;
                break;
            }
            let Ok(len) = down.write(&slices[..count], random) else {
                let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
                let error = ConnectionError::Write(Arc::new(error));
                self.error = Some(error.clone());
                self.with(|engine| engine.end(error));
                return true;
            };
            if len == 0 {
                self.is_blocked = true;
            } else {
                self.with(|engine| engine.sent(len, now));
                has_moved = true;
                self.is_output_due = true;
                self.is_progress_due = true;
                // It goes on after the driver has written.
                self.is_input_due |= self.engine.is_stuck();
                self.watch.blocked = None;
            }
            if self.engine.unwritten() > 0 {
                self.watch.blocked.get_or_insert(now);
            }
        }
        has_moved
    }

    fn progress(&mut self, now: u64, down: &mut Pipe) {
        match self.engine.progress() {
            Progress::Open | Progress::Answering => {}
            Progress::Answered => {
                if self.stage == Stage::Serving {
                    let end = self.with(Connection::end_input);
                    self.error = end.err();
                }
                if matches!(self.stage, Stage::Serving | Stage::Answering) {
                    down.close();
                    self.stage = Stage::Lingering(now + LINGER);
                }
            }
            Progress::Ended => {
                if !matches!(self.stage, Stage::Over) {
                    down.close();
                    self.stage = Stage::Lingering(now);
                }
            }
        }
    }

    /// Ends the connection at once.
    pub(crate) fn end(&mut self, error: ConnectionError, up: &mut Pipe, down: &mut Pipe) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        self.error.get_or_insert_with(|| error.clone());
        self.with(|engine| engine.end(error));
        up.break_off();
        down.close();
    }

    /// Looks at the limits of time.
    fn check(&mut self, now: u64, up: &mut Pipe, down: &mut Pipe) {
        let Some((at, every)) = self.tick.filter(|(at, _)| now >= *at) else {
            return;
        };
        self.tick = Some((at.max(now) + every, every));
        let limits = *self.engine.shared().limits();
        let limit = self.engine.check(now);
        let is_serving = self.stage == Stage::Serving && !self.engine.is_stuck();
        let is_idle = self.engine.is_idle();
        match limit {
            None => self.watch.assert_in_time(now, &limits, is_serving, is_idle),
            Some(limit) => {
                self.watch.assert_late(now, &limits, limit);
                self.end(ConnectionError::Limit(limit), up, down);
            }
        }
    }
}

impl Watch {
    /// This end does not read: what is late is not the peer's fault.
    fn resume(&mut self, now: u64) {
        self.last_in = now;
        if let Some((since, bytes)) = &mut self.partial {
            (*since, *bytes) = (now, 0);
        }
    }

    fn came(&mut self, now: u64, mut bytes: &[u8]) {
        self.last_in = now;
        self.total += wide(bytes.len());
        self.history.push((now, self.total));
        let mut has_ended = false;
        let len = wide(bytes.len());
        while let Some((byte, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let taken = self.payload.min(bytes.len());
                self.payload -= taken;
                bytes = &bytes[taken..];
            } else {
                self.head.push(*byte);
                bytes = rest;
            }
            if self.head.len() == 8 {
                let head = std::mem::take(&mut self.head);
                self.payload =
                    usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
            }
            if self.head.is_empty() && self.payload == 0 {
                has_ended = true;
                self.frames += 1;
            }
        }
        self.partial = match self.partial {
            _ if !self.is_inside() => None,
            Some((since, before)) if !has_ended => Some((since, before + len)),
            _ => Some((now, 0)),
        };
    }

    fn is_inside(&self) -> bool {
        !self.head.is_empty() || self.payload > 0
    }

    /// Checks that no limit is passed.
    fn assert_in_time(
        &self,
        now: u64,
        limits: &hgrpc_std::engine::server::ServerLimits,
        is_serving: bool,
        is_idle: bool,
    ) {
        let is_over = |since: u64, limit: Option<Duration>| {
            limit.is_some_and(|limit| now - since >= millis(limit))
        };
        if let Some(since) = self.blocked {
            let is_late = is_over(since, limits.not_reading);
            assert!(!is_late, "a peer that does not read is not noticed");
        }
        if !is_serving {
            return;
        }
        if self.frames == 0 {
            let is_late = is_over(self.opened, limits.first_frame);
            assert!(!is_late, "a peer that says nothing is not noticed");
        }
        if let Some((since, bytes)) = self.partial {
            let wanted = (now - since) * u64::from(limits.min_rate) / 1000;
            let is_late = is_over(since, limits.slow_frame) && bytes < wanted;
            assert!(!is_late, "a frame that does not come is not noticed");
        }
        let is_late = is_idle && is_over(self.last_in, limits.idle);
        assert!(!is_late, "a silent peer is not noticed");
    }

    /// Checks that a limit is passed.
    fn assert_late(
        &self,
        now: u64,
        limits: &hgrpc_std::engine::server::ServerLimits,
        limit: ConnectionLimit,
    ) {
        let is_over = |since: u64, limit: Option<Duration>| {
            limit.is_some_and(|limit| now - since >= millis(limit))
        };
        // Whether less came than at the least rate, for at least so long.
        let is_slow = |limit: Option<Duration>| {
            let rate = u64::from(limits.min_rate);
            self.history.iter().any(|(since, before)| {
                let bytes = self.total - before;
                is_over(*since, limit) && bytes * 1000 <= (now - since) * rate
            })
        };
        let is_late = match limit {
            ConnectionLimit::FirstFrame => {
                self.frames == 0 && is_over(self.opened, limits.first_frame)
            }
            ConnectionLimit::Idle => is_over(self.last_in, limits.idle),
            ConnectionLimit::SlowFrame => is_slow(limits.slow_frame),
            ConnectionLimit::SlowData => is_slow(limits.data_silence),
            ConnectionLimit::Unfinished => {
                is_over(self.last_in, limits.data_silence)
                    || is_over(self.opened, limits.request_time)
            }
            ConnectionLimit::NotReading => self
                .blocked
                .is_some_and(|since| is_over(since, limits.not_reading)),
            limit => panic!("a limit that is not of time: {limit}"),
        };
        assert!(
            is_late,
            "a peer that moves is blamed: {limit}, {now} ms, {self:?}"
        );
    }
}
