//! One seed: connections, calls and handlers, one after another as they are woken, and what has to hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use hgrpc_std::blocking::{CallError, ConnectionError, ConnectionLimit};
use hgrpc_std::engine::client::Outgoing;
use hgrpc_std::engine::server::{Hooks, Refusal, Shared, Stats};

use crate::bell::Bell;
use crate::call::{Call, End, Facts, Stage, UploadState};
use crate::client_end::ClientEnd;
use crate::handler::{Handler, Next};
use crate::pipe::Pipe;
use crate::plan::{Mode, Setup, millis};
use crate::random::Random;
use crate::server_end::ServerEnd;

/// How often each kind of thing came up.
pub(crate) type Census = BTreeMap<String, u64>;

/// Virtual time without any change after which something is lost: longer than every limit and pause.
const SILENCE: u64 = 150_000;

/// More turns than any seed needs.
const TURNS: u64 = 1_000_000;

struct Conn {
    client: ClientEnd,
    server: ServerEnd,
    up: Pipe,
    down: Pipe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client(usize),
    Server(usize),
    Handler(usize),
    Reader(usize),
    Uploader(usize),
    Notes(usize),
    Chaos,
}

struct Task {
    kind: Kind,
    bell: Arc<Bell>,
    at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A client gives up, in order.
    Finish(usize),
    CutClient(usize),
    CutServer(usize),
    Stop,
    Jump(u64),
}

struct World {
    setup: Setup,
    random: Random,
    now: u64,
    shared: Arc<Shared>,
    conns: Vec<Conn>,
    /// The connection that calls go over now, in each slot.
    slots: Vec<usize>,
    calls: Vec<Call>,
    outgoing: Vec<Option<Outgoing>>,
    handlers: Vec<Handler>,
    tasks: Vec<Task>,
    events: Vec<(u64, Event)>,
    census: Census,
    /// Something has happened last.
    moved: u64,
    trace: bool,
}

/// Plays a seed, and says what came up.
///
/// # Panics
/// Something does not hold.
pub(crate) fn play(seed: u64, trace: bool) -> Census {
    let mut random = Random::new(seed);
    let setup = Setup::new(&mut random);
    let shared = Shared::new(setup.server.clone(), setup.limits, Hooks::default());
    let mut world = World {
        random,
        now: 1,
        shared,
        conns: Vec::new(),
        slots: Vec::new(),
        calls: Vec::new(),
        outgoing: Vec::new(),
        handlers: Vec::new(),
        tasks: Vec::new(),
        events: Vec::new(),
        census: Census::new(),
        moved: 1,
        trace,
        setup,
    };
    world.begin();
    world.run();
    world.end();
    world.census
}

impl World {
    fn count(&mut self, what: impl Into<String>) {
        *self.census.entry(what.into()).or_default() += 1;
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now, what());
        }
    }

    fn spawn(&mut self, kind: Kind, bell: Arc<Bell>) {
        bell.ring();
        self.tasks.push(Task {
            kind,
            bell,
            at: None,
        });
    }

    fn begin(&mut self) {
        self.say(|| format!("{:#?}", self.setup));
        let mode = format!("mode {:?}", self.setup.mode);
        self.count(mode);
        let revision = format!("revision {:?}", self.setup.revision);
        self.count(revision);
        for _ in 0..self.setup.slots {
            let conn = self.connect();
            self.slots.push(conn);
        }
        let most = if self.setup.mode == Mode::Tight {
            20
        } else {
            7
        };
        for number in 0..=self.random.below(most) {
            let plan = self.setup.plan(&mut self.random);
            self.say(|| format!("call {number}: {plan:?}"));
            let (call, outgoing) = Call::new(number, plan, self.setup.revision);
            let notes = call.notes.is_some().then(|| Arc::clone(&call.notes_bell));
            self.calls.push(call);
            self.outgoing.push(Some(outgoing));
            self.spawn(Kind::Reader(number), Arc::default());
            if let Some(bell) = notes {
                self.spawn(Kind::Notes(number), bell);
            }
        }
        if self.random.percent(20) {
            let jump = Event::Jump(self.random.pick(&[100, 5000, 50_000]));
            self.events.push((self.random.millis(100), jump));
        }
        if self.setup.is_harsh() && self.random.percent(25) {
            let slot = self.random.below(self.setup.slots);
            let event = match self.random.below(4) {
                0 => Event::Finish(slot),
                1 => Event::CutClient(slot),
                2 => Event::CutServer(slot),
                _ => Event::Stop,
            };
            self.events.push((self.random.millis(300), event));
        }
        if !self.events.is_empty() {
            self.spawn(Kind::Chaos, Arc::default());
        }
    }

    fn connect(&mut self) -> usize {
        let conn = self.conns.len();
        let limits = &self.setup.limits;
        let has_limits = limits.not_reading.is_some();
        let tick = has_limits.then(|| self.setup.tick());
        let [client, server] = [(); 2].map(|()| Arc::<Bell>::default());
        let mut server_end = ServerEnd::new(&self.shared, Arc::clone(&server), self.now, tick);
        if self.shared.is_stopping() {
            server_end.look();
        }
        self.conns.push(Conn {
            client: ClientEnd::new(&self.setup.client, Arc::clone(&client)),
            server: server_end,
            up: self.setup.pipe(&mut self.random),
            down: self.setup.pipe(&mut self.random),
        });
        self.spawn(Kind::Client(conn), client);
        self.spawn(Kind::Server(conn), server);
        conn
    }

    /// Runs until every call has ended, then until every connection has.
    fn run(&mut self) {
        let mut phase = 0;
        for turn in 0..TURNS {
            let is_done = match phase {
                0 | 1 => self.calls.iter().all(Call::is_over),
                _ => {
                    self.conns
                        .iter()
                        .all(|conn| conn.client.is_over() && conn.server.is_over())
                        && !self
                            .tasks
                            .iter()
                            .any(|task| matches!(task.kind, Kind::Handler(_)))
                }
            };
            match (is_done, phase) {
                (true, 0) => self.drop_hanging(),
                (true, 1) => self.close(),
                (true, _) => {
                    *self.census.entry("turns".into()).or_default() += turn;
                    return;
                }
                _ => {}
            }
            phase += u8::from(is_done);
            if !self.turn() && !is_done {
                self.assert_moving(phase);
            }
            assert!(self.now - self.moved < SILENCE, "{}", self.stuck(phase));
        }
        panic!("it goes round in circles");
    }

    fn assert_moving(&self, phase: u8) {
        panic!("{}", self.stuck(phase));
    }

    fn stuck(&self, phase: u8) -> String {
        let waiting = self.calls.iter().filter(|call| !call.is_over());
        let waiting: Vec<_> = waiting
            .map(|call| (call.number, call.stage, call.upload, call.said, call.read))
            .collect();
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.kind).collect();
        format!("nothing moves (phase {phase}): calls {waiting:?}, tasks {tasks:?}")
    }

    /// Gives up what nobody reads, or sends.
    fn drop_hanging(&mut self) {
        for call in &mut self.calls {
            let (Some(conn), Some(key)) = (call.conn, call.key) else {
                continue;
            };
            let client = &mut self.conns[conn].client;
            if call.stage == Stage::Hanging {
                client.with(|engine| engine.call_dropped(key));
                call.stage = Stage::Over;
                call.end = Some(End::Dropped);
            }
            if call.upload == UploadState::Hanging {
                call.upload_over(client, UploadState::Cut);
            }
        }
    }

    fn close(&mut self) {
        for conn in &mut self.conns {
            conn.client.finish();
        }
    }

    /// Runs one task that is woken, or lets time pass until one is; `false`: none will ever be.
    fn turn(&mut self) -> bool {
        // Some are looked at from a random place on: the first that is ready has its turn.
        let first = self.random.below(self.tasks.len().max(1));
        let mut next = None::<u64>;
        let mut ready = None;
        for index in (first..self.tasks.len()).chain(0..first) {
            let task = &self.tasks[index];
            if task.bell.is_rung() || task.at.is_some_and(|at| at <= self.now) {
                ready = Some(index);
                break;
            }
            if let Some(at) = task.at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        let Some(index) = ready else {
            let Some(at) = next else {
                return false;
            };
            self.now = at;
            return true;
        };
        let task = &mut self.tasks[index];
        task.bell.clear();
        task.at = None;
        let (kind, bell) = (task.kind, Arc::clone(&task.bell));
        let next = self.poll(kind, &bell);
        if next != Next::Wait(None) && !matches!(kind, Kind::Client(_) | Kind::Server(_)) {
            self.moved = self.now;
        }
        match next {
            Next::Again => bell.ring(),
            Next::Wait(at) => self.tasks[index].at = at,
            Next::Over => drop(self.tasks.swap_remove(index)),
        }
        true
    }

    fn poll(&mut self, kind: Kind, bell: &Arc<Bell>) -> Next {
        match kind {
            Kind::Client(conn) => self.poll_client(conn),
            Kind::Server(conn) => self.poll_server(conn),
            Kind::Handler(handler) => {
                let handler = &mut self.handlers[handler];
                let call = &mut self.calls[handler.call];
                let client = &mut self.conns[handler.conn].client;
                // Its caller may not have looked yet.
                let has_ended = call
                    .key
                    .is_none_or(|key| client.with(|engine| engine.is_answered(key)));
                call.is_given_up = has_ended || client.has_ended();
                let server = &mut self.conns[handler.conn].server;
                handler.poll(self.now, server, call, &mut self.random)
            }
            Kind::Reader(call) => self.poll_reader(call, bell),
            Kind::Uploader(call) => {
                let call = &mut self.calls[call];
                let client = &mut self.conns[call.conn.unwrap()].client;
                call.upload(self.now, client, &mut self.random)
            }
            Kind::Notes(call) => self.calls[call].read_notes(self.now, &mut self.random),
            Kind::Chaos => self.interfere(),
        }
    }

    fn poll_client(&mut self, index: usize) -> Next {
        let conn = &mut self.conns[index];
        let pipes = [&mut conn.up, &mut conn.down];
        let reads_on = self.setup.reads_on;
        let turn = conn
            .client
            .poll(self.now, &mut self.random, reads_on, pipes);
        for (key, event) in turn.notes {
            let mut calls = self.calls.iter_mut();
            let call = calls.find(|call| call.conn == Some(index) && call.key == Some(key));
            call.expect("a note of a call").note(&event);
        }
        if turn.has_moved {
            self.moved = self.now;
            conn.server.bell.ring();
            conn.server.has_room();
        }
        match conn.client.is_over() {
            true => Next::Over,
            false => Next::Wait(turn.timer.0),
        }
    }

    fn poll_server(&mut self, index: usize) -> Next {
        let conn = &mut self.conns[index];
        let pipes = [&mut conn.up, &mut conn.down];
        let reads_on = self.setup.reads_on;
        let turn = conn
            .server
            .poll(self.now, &mut self.random, reads_on, pipes);
        if turn.has_moved {
            self.moved = self.now;
            conn.client.bell.ring();
            conn.client.has_room();
        }
        let is_over = conn.server.is_over();
        let mut bells = Vec::new();
        for command in turn.commands {
            let bell = Arc::clone(&conn.server.waiters(command.key).handler);
            let handler = Handler::new(
                command,
                index,
                &mut self.calls,
                self.setup.revision,
                &mut self.random,
            );
            bells.push((self.handlers.len(), bell));
            self.handlers.push(handler);
        }
        for (handler, bell) in bells {
            self.say(|| format!("call {} runs", self.handlers[handler].call));
            self.spawn(Kind::Handler(handler), bell);
        }
        if is_over {
            let error = self.conns[index].server.error.clone();
            self.say(|| format!("server {index} is over: {error:?}"));
            self.count(match error {
                Some(ConnectionError::Limit(limit)) => format!("limit {}", limit.name()),
                Some(ConnectionError::Cut { .. }) => "end server: cut in a frame".into(),
                Some(ConnectionError::Write(_)) => "end server: not written".into(),
                _ => "end server: in order".to_owned(),
            });
            return Next::Over;
        }
        Next::Wait(turn.timer.0)
    }

    fn poll_reader(&mut self, number: usize, bell: &Arc<Bell>) -> Next {
        let waker = Waker::from(Arc::clone(bell));
        let call = &mut self.calls[number];
        let next = match call.stage {
            Stage::Waiting => return self.start(number, bell),
            Stage::Hanging | Stage::Over => Next::Over,
            Stage::Kept => {
                let client = &mut self.conns[call.conn.unwrap()].client;
                return match call.is_asleep_until {
                    Some(until) if self.now < until => Next::Wait(Some(until)),
                    _ => call.drop_ended(client),
                };
            }
            Stage::Sending => {
                let client = &mut self.conns[call.conn.unwrap()].client;
                match call.send(client, &waker) {
                    Ok(next) => next,
                    Err(unsent) => return self.unsent(number, unsent.error, unsent.outgoing),
                }
            }
            Stage::Opening => {
                let client = &mut self.conns[call.conn.unwrap()].client;
                call.open(self.now, client, &mut self.random, &waker)
            }
            Stage::Reading => {
                let client = &mut self.conns[call.conn.unwrap()].client;
                call.read(self.now, client, &mut self.random, bell)
            }
        };
        let call = &mut self.calls[number];
        let begins_upload = call.upload == UploadState::Running
            && !self
                .tasks
                .iter()
                .any(|task| task.kind == Kind::Uploader(number));
        let upload = begins_upload.then(|| Arc::clone(&call.upload_bell));
        if call.end.is_some() {
            self.judge(number);
        }
        if let Some(bell) = upload.filter(|_| next != Next::Over) {
            self.spawn(Kind::Uploader(number), bell);
        }
        next
    }

    /// Begins a call, on a new connection if the old one has ended.
    fn start(&mut self, number: usize, bell: &Arc<Bell>) -> Next {
        let call = &self.calls[number];
        if self.now < call.plan.start {
            return Next::Wait(Some(call.plan.start));
        }
        let slot = call.plan.slot;
        if self.conns[self.slots[slot]].client.has_ended() && self.setup.restarts > 0 {
            self.setup.restarts -= 1;
            self.count("restarts");
            self.slots[slot] = self.connect();
        }
        let conn = self.slots[slot];
        let client = &mut self.conns[conn].client;
        if client.places == 0 && !client.is_over() {
            client.waiting.push(Arc::clone(bell));
            self.count("waits for a place");
            return Next::Wait(None);
        }
        let outgoing = self.outgoing[number].take().expect("it is to be sent");
        self.calls[number].conn = Some(conn);
        match self.calls[number].begin(conn, client, outgoing, self.now) {
            Ok(()) => Next::Again,
            Err(unsent) => self.unsent(number, unsent.error, unsent.outgoing),
        }
    }

    fn unsent(&mut self, number: usize, error: CallError, outgoing: Option<Outgoing>) -> Next {
        assert!(
            !self.calls[number].has_run,
            "a request was sent that was not"
        );
        self.count("unsent");
        if outgoing.is_some() && self.setup.restarts > 0 {
            self.outgoing[number] = outgoing;
            self.calls[number].stage = Stage::Waiting;
            return Next::Again;
        }
        drop(outgoing);
        self.calls[number].end = Some(End::Failed(error));
        self.judge(number);
        Next::Over
    }

    /// A call has ended: so it had to.
    fn judge(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if call.stage != Stage::Kept {
            call.stage = Stage::Over;
        }
        let client = &self.conns[call.conn.unwrap()].client;
        let stats = self.shared.stats();
        let facts = Facts {
            now: self.now,
            is_gentle: !self.setup.is_harsh(),
            revision: self.setup.revision,
            has_ended: client.has_ended(),
            refused: Refusal::ALL.iter().map(|r| stats.refused_for(*r)).sum(),
            stall: self.setup.client.limits.stall.map(millis),
            response_size: self.setup.client.limits.response_size,
        };
        call.judge(&facts);
        let kind = match call.end.as_ref().unwrap() {
            End::Answered => "answered".to_owned(),
            End::Redirected => "redirected".to_owned(),
            End::Dropped => "dropped".to_owned(),
            End::Failed(CallError::Command(_)) => "command failed".to_owned(),
            End::Failed(CallError::Server(_)) => "server failed".to_owned(),
            End::Failed(CallError::Connection(lost)) => {
                let error = format!("{:?}", lost.error);
                let name: String = error.chars().take_while(|c| c.is_alphanumeric()).collect();
                format!("lost, {name}")
            }
            End::Failed(CallError::Source(_)) => "source failed".to_owned(),
            End::Failed(CallError::Answer(error)) => format!("answer {error:?}"),
            End::Failed(error) => format!("{error:?}"),
        };
        let call = &self.calls[number];
        self.say(|| format!("call {number} has ended: {:?}, {:?}", call.end, call.said));
        self.count("calls");
        self.count(format!("call {kind}"));
    }

    /// What goes wrong besides.
    fn interfere(&mut self) -> Next {
        let now = self.now;
        let due = self.events.iter().position(|(at, _)| *at <= now);
        let Some(due) = due else {
            let at = self.events.iter().map(|(at, _)| *at).min();
            return at.map_or(Next::Over, |at| Next::Wait(Some(at)));
        };
        let (_, event) = self.events.swap_remove(due);
        self.say(|| format!("{event:?}"));
        match event {
            Event::Jump(millis) => {
                self.count("clock jumps");
                self.now += millis;
                self.moved = self.now;
            }
            Event::Finish(slot) => {
                self.count("client finished");
                self.conns[self.slots[slot]].client.finish();
            }
            Event::CutClient(slot) => {
                self.count("client cut");
                let conn = &mut self.conns[self.slots[slot]];
                let error = ConnectionError::Shutdown;
                conn.client.end(&error, &mut conn.up, &mut conn.down);
                conn.server.bell.ring();
                conn.server.has_room();
            }
            Event::CutServer(slot) => {
                self.count("server cut");
                let conn = &mut self.conns[self.slots[slot]];
                let error = ConnectionError::Shutdown;
                conn.server.end(error, &mut conn.up, &mut conn.down);
                conn.client.bell.ring();
                conn.client.has_room();
            }
            Event::Stop => {
                self.count("server stops");
                self.shared.stop();
                for conn in &mut self.conns {
                    conn.server.look();
                }
            }
        }
        Next::Again
    }

    /// Checks that no more was ever held than may be.
    fn assert_budget(&self, stats: &Stats) {
        let limits = self.shared.limits();
        let all = self.conns.len().saturating_mul(limits.own_bytes);
        let all = all.saturating_add(limits.shared_bytes);
        let each = self.conns.len().saturating_mul(limits.connection_bytes);
        let most = usize::try_from(stats.most_bytes).unwrap();
        assert!(
            most <= all.min(each),
            "{most} bytes were held, of {all} and {each}"
        );
    }

    /// Checks that nothing is left.
    fn end(&mut self) {
        for (index, conn) in self.conns.iter().enumerate() {
            let known = (
                conn.client.engine().calls(),
                conn.server.engine().commands(),
            );
            assert_eq!(known, (0, 0), "calls and commands of connection {index}");
            let (up, down) = (conn.up.pieces, conn.down.pieces);
            *self.census.entry("pieces".into()).or_default() += up + down;
            *self.census.entry("connections".into()).or_default() += 1;
            let cuts = u64::from(conn.up.is_cut()) + u64::from(conn.down.is_cut());
            *self.census.entry("directions cut".into()).or_default() += cuts;
        }
        for call in &self.calls {
            call.assert_noted();
            let is_read = u64::from(call.has_read_all);
            *self
                .census
                .entry("data read to its end".into())
                .or_default() += is_read;
            *self.census.entry("texts".into()).or_default() +=
                u64::try_from(call.texts_read).unwrap();
        }
        let stats = self.shared.stats();
        assert_eq!(
            (stats.held_bytes, stats.running),
            (0, 0),
            "held bytes, running requests"
        );
        self.assert_budget(&stats);
        self.count_stats(&stats);
    }

    fn count_stats(&mut self, stats: &Stats) {
        for refusal in Refusal::ALL {
            let number = stats.refused_for(refusal);
            if number > 0 {
                *self
                    .census
                    .entry(format!("refusal {}", refusal.name()))
                    .or_default() += number;
            }
        }
        for limit in ConnectionLimit::ALL {
            // They are counted where a connection ends.
            assert_eq!(stats.closed_for(limit), 0);
        }
        if !self.setup.is_harsh() {
            let mut refused = Refusal::ALL.into_iter();
            let by_name = stats.refused_for(Refusal::UnknownCommand);
            let all: u64 = refused.by_ref().map(|r| stats.refused_for(r)).sum();
            assert_eq!(all, by_name, "refusals where nothing goes wrong");
        }
    }
}
