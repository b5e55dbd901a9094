//! A handler: a list of steps, one after another, each as far as there is room for it.

use std::collections::VecDeque;

use bytes::Bytes;
use hgrpc::Revision;
use hgrpc::cbor::{Atom, Head, Location, MAJOR_BYTES, Progress as ProgressNote};
use hgrpc_std::blocking::Failure;
use hgrpc_std::engine::server::{Command, DataError, Outcome, Progress, Request, Written};
use hgrpc_std::engine::{Charge, Key};

use crate::call::{Call, Said};
use crate::plan::{Ending, Step};
use crate::random::{Random, bytes};
use crate::server_end::ServerEnd;

/// A handler, and whatever has its reply after it.
pub(crate) struct Handler {
    pub(crate) call: usize,
    pub(crate) conn: usize,
    key: Key,
    request: Option<Request>,
    steps: VecDeque<Step>,
    /// What is being written, and how.
    pending: Bytes,
    is_content: bool,
    ending: Ending,
    flushes: bool,
    has_reply: bool,
    has_data: bool,
    is_running: bool,
    /// Told that it is refused, it runs on.
    is_deaf: bool,
    is_asleep_until: Option<u64>,
    collected: Vec<(Bytes, Charge)>,
    revision: Revision,
}

/// What a handler does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on at once.
    Again,
    /// It waits to be woken, or until then.
    Wait(Option<u64>),
    Over,
}

/// A response's place in the streams of bytes.
pub(crate) const fn answers(call: usize) -> usize {
    call * 4
}

/// Its request's data's.
pub(crate) const fn data(call: usize) -> usize {
    call * 4 + 1
}

/// Its padding's.
pub(crate) const fn padding(call: usize) -> usize {
    call * 4 + 2
}

/// The failure of a call's handler.
pub(crate) fn failure(call: usize, is_command: bool) -> Failure {
    match is_command {
        true => Failure::format("no %s there", [format!("such thing as {call}")]),
        false => Failure::server(format_args!("the disk of {call} is full")),
    }
}

impl Handler {
    pub(crate) fn new(
        command: Command<()>,
        conn: usize,
        calls: &mut [Call],
        revision: Revision,
        random: &mut Random,
    ) -> Self {
        let Command {
            key,
            request,
            has_data,
            ..
        } = command;
        let args = request.args();
        let number: u32 = args.value(b"call").unwrap();
        let number = usize::try_from(number).unwrap();
        let call = &mut calls[number];
        let sent = args.find(b"padding").unwrap();
        let expected = bytes(padding(number), 0, call.plan.padding);
        let is_same = sent.is_bytes(&expected);
        assert!(is_same, "an argument has changed");
        assert!(!call.has_run, "a request is run twice");
        call.has_run = true;
        assert_eq!(request.name(), call.plan.name.as_bytes());
        assert_eq!(has_data, call.has_data(), "data comes, or not");
        Self {
            call: number,
            conn,
            key,
            request: Some(request),
            steps: call.plan.steps.iter().copied().collect(),
            pending: Bytes::new(),
            is_content: false,
            ending: call.plan.ending,
            flushes: call.plan.flushes,
            has_reply: true,
            has_data,
            is_running: true,
            is_deaf: random.percent(30),
            is_asleep_until: None,
            collected: Vec::new(),
            revision,
        }
    }

    /// Does what can be done.
    pub(crate) fn poll(
        &mut self,
        now: u64,
        server: &mut ServerEnd,
        call: &mut Call,
        random: &mut Random,
    ) -> Next {
        let key = self.key;
        if self.is_running && std::mem::take(&mut server.waiters(key).is_stopped) {
            if self.is_deaf && server.engine().ended().is_none() {
                let failure = Failure::server("the request was refused");
                server.with(|engine| engine.fail(key, &failure));
                call.said.get_or_insert(Said::Stopped);
            } else {
                return self.stop(server, call);
            }
        }
        for _ in 0..=random.below(4) {
            match self.step(now, server, call) {
                Next::Again => {}
                Next::Wait(at) => {
                    if self.flushes && self.is_running && self.has_reply {
                        server.with(|engine| engine.flush(key));
                    }
                    return Next::Wait(at);
                }
                Next::Over => {
                    self.request = None;
                    self.collected.clear();
                    return Next::Over;
                }
            }
        }
        Next::Again
    }

    /// Drops all that it has.
    fn stop(&mut self, server: &mut ServerEnd, call: &mut Call) -> Next {
        call.said.get_or_insert(Said::Stopped);
        self.drop_reply(server, false);
        self.end(server, Outcome::Dropped);
        Next::Over
    }

    fn drop_reply(&mut self, server: &mut ServerEnd, is_panicking: bool) {
        let key = self.key;
        if std::mem::take(&mut self.has_reply) {
            server.with(|engine| engine.reply_dropped(key, is_panicking));
        }
    }

    fn drop_data(&mut self, server: &mut ServerEnd) {
        let key = self.key;
        if std::mem::take(&mut self.has_data) {
            server.with(|engine| engine.data_dropped(key));
        }
    }

    fn end(&mut self, server: &mut ServerEnd, outcome: Outcome) {
        let key = self.key;
        self.drop_data(server);
        self.request = None;
        self.collected.clear();
        if std::mem::take(&mut self.is_running) {
            server.waiters(key).is_running = false;
            server.with(|engine| engine.handler_ended(key, outcome));
        }
    }

    fn step(&mut self, now: u64, server: &mut ServerEnd, call: &mut Call) -> Next {
        if let Some(until) = self.is_asleep_until {
            if now < until {
                return Next::Wait(Some(until));
            }
            self.is_asleep_until = None;
        }
        if !self.pending.is_empty() {
            return self.write(server, call);
        }
        let Some(step) = self.steps.pop_front() else {
            return self.finish(now, server, call);
        };
        let offset = call.offset;
        let stream = answers(self.call);
        match step {
            Step::Write(len) => {
                call.offset += len;
                self.is_content = false;
                self.pending = bytes(stream, offset, len).into();
            }
            Step::Known(len) => {
                let head = Head::new(MAJOR_BYTES, u64::try_from(len).unwrap());
                let key = self.key;
                let begun =
                    server.with(|engine| engine.begin_bytes(key, u64::try_from(len).unwrap()));
                if let Some(next) = self.took(begun, server, step) {
                    return next;
                }
                if !self.revision.has_settings() {
                    call.written.extend_from_slice(head.as_slice());
                }
                call.offset += len;
                self.is_content = true;
                self.pending = bytes(stream, offset, len).into();
            }
            Step::Values(count) => {
                let mut values = Vec::new();
                for number in 0..count {
                    let first = bytes(stream, offset + number, 1)[0];
                    let len = usize::from(first) % 40;
                    let head = Head::new(MAJOR_BYTES, u64::try_from(len).unwrap());
                    values.extend_from_slice(head.as_slice());
                    values.extend(bytes(stream, offset + number, len));
                    values.push(first % 24);
                }
                let key = self.key;
                let written = server.with(|engine| engine.write_values(key, &values));
                if let Some(next) = self.took(written, server, step) {
                    return next;
                }
                call.offset += count;
                call.written.extend_from_slice(&values);
            }
            Step::Flush => {
                let key = self.key;
                let flushed = server.with(|engine| engine.flush(key));
                if let Some(next) = self.took(flushed, server, step) {
                    return next;
                }
            }
            Step::Text => {
                let key = self.key;
                let (number, text) = (self.call.to_string(), call.texts.to_string());
                let args = [number.as_bytes(), text.as_bytes()];
                let atom = Atom {
                    msg: b"%s/%s",
                    args: &args,
                    labels: &[],
                };
                let written = server.with(|engine| engine.text(key, &[atom]));
                if let Some(next) = self.took(written, server, step) {
                    return next;
                }
                call.texts += 1;
            }
            Step::Progress => {
                let key = self.key;
                let number = i64::try_from(call.updates + 1).unwrap();
                let topic = self.call.to_string();
                let note = ProgressNote::new(&topic, number, 1000);
                let written = server.with(|engine| engine.progress_note(key, &note));
                if let Some(next) = self.took(written, server, step) {
                    return next;
                }
                call.updates += 1;
            }
            Step::Sleep(millis) => self.is_asleep_until = Some(now + millis),
            Step::DropData => self.drop_data(server),
            Step::Detach => {
                self.request = None;
                let key = self.key;
                if std::mem::take(&mut self.is_running) {
                    server.waiters(key).is_running = false;
                    server.with(|engine| engine.handler_ended(key, Outcome::Done));
                }
            }
            Step::Read(_) | Step::Collect(_) | Step::Echo if !self.has_data => {}
            Step::Read(least) => return self.read(server, call, least, step),
            Step::Collect(least) => return self.read(server, call, least, step),
            Step::Echo => return self.read(server, call, usize::MAX, step),
        }
        Next::Again
    }

    /// Looks what became of something that was to be written; `None`: it was taken.
    fn took(&mut self, written: Written, server: &mut ServerEnd, step: Step) -> Option<Next> {
        match written {
            Written::Taken(_) => None,
            Written::Full => {
                server.waiters(self.key).reply = true;
                self.steps.push_front(step);
                Some(Next::Wait(None))
            }
            other => Some(self.broken(other, server)),
        }
    }

    /// Nothing more can be written.
    fn broken(&mut self, written: Written, server: &mut ServerEnd) -> Next {
        let has_ended = server.engine().ended().is_some();
        match written {
            Written::Ended(_) => assert!(has_ended, "the connection has not ended"),
            Written::Closed => assert!(self.is_deaf || has_ended, "the reply was never ended"),
            other => panic!("{other:?}"),
        }
        self.steps.clear();
        self.pending = Bytes::new();
        self.ending = Ending::Nothing;
        Next::Again
    }

    fn write(&mut self, server: &mut ServerEnd, call: &mut Call) -> Next {
        let (key, pending) = (self.key, self.pending.clone());
        let written = server.with(|engine| match self.is_content {
            true => engine.write_content(key, &pending),
            false => engine.write(key, &pending),
        });
        match written {
            Written::Taken(len) => {
                assert!(len > 0, "nothing was taken, and nobody says when");
                call.written.extend_from_slice(&self.pending.split_to(len));
                Next::Again
            }
            Written::Full => {
                server.waiters(key).reply = true;
                Next::Wait(None)
            }
            other => self.broken(other, server),
        }
    }

    fn read(&mut self, server: &mut ServerEnd, call: &mut Call, least: usize, step: Step) -> Next {
        let key = self.key;
        match server.with(|engine| engine.collect(key)) {
            None => {
                server.waiters(key).data = true;
                self.steps.push_front(step);
                return Next::Wait(None);
            }
            Some(Ok(Some((bytes, charge)))) => {
                assert!(!bytes.is_empty() && charge.bytes() > 0);
                let stream = data(self.call);
                let expected = self::bytes(stream, call.data_read, bytes.len());
                assert!(bytes == expected, "data has changed at {}", call.data_read);
                call.data_read += bytes.len();
                assert!(call.data_read <= call.uploaded, "data that was not sent");
                let left = least.saturating_sub(bytes.len());
                let again = match step {
                    Step::Read(_) => Step::Read(left),
                    Step::Collect(_) => Step::Collect(left),
                    other => other,
                };
                if left > 0 {
                    self.steps.push_front(again);
                }
                match step {
                    Step::Echo => {
                        self.is_content = false;
                        self.pending = bytes;
                    }
                    Step::Collect(_) => self.collected.push((bytes, charge)),
                    _ => {}
                }
            }
            Some(Ok(None)) => {
                assert!(
                    call.data_read == call.data_len() || call.may_be_cut(),
                    "{} of {} bytes of data",
                    call.data_read,
                    call.data_len()
                );
                call.has_read_all = true;
            }
            Some(Err(error)) => {
                let engine = server.engine();
                let is_over = engine.progress() != Progress::Open
                    || engine.ended().is_some()
                    || call.said.is_some();
                assert!(
                    is_over || error == DataError::Refused && engine.is_stopped(key),
                    "{error}"
                );
            }
        }
        Next::Again
    }

    /// Does what it does last.
    fn finish(&mut self, now: u64, server: &mut ServerEnd, call: &mut Call) -> Next {
        let key = self.key;
        if !self.has_reply {
            // It has lingered.
            self.end(server, Outcome::Done);
            return Next::Over;
        }
        let ending = match self.ending {
            Ending::Return(_) | Ending::Panic if !self.is_running => Ending::Nothing,
            ending => ending,
        };
        let mut outcome = Outcome::Done;
        match ending {
            Ending::Answer(len) => {
                let all = bytes(answers(self.call), call.offset, len);
                if server.with(|engine| engine.answer(key, &all)) {
                    self.has_reply = false;
                    call.written.extend_from_slice(&all);
                    call.said.get_or_insert(Said::Finished);
                } else {
                    self.ending = Ending::Finish;
                    self.steps.push_back(Step::Write(len));
                    return Next::Again;
                }
            }
            Ending::Redirect => {
                let location = Location::new(b"https://example.net/", b"text/plain");
                match server.with(|engine| engine.redirect(key, &location)) {
                    Ok(Written::Taken(_)) => {
                        self.has_reply = false;
                        call.said.get_or_insert(Said::Redirected);
                    }
                    Ok(other) => return self.broken(other, server),
                    Err(_) => self.ending = Ending::Finish,
                }
                if self.has_reply {
                    return Next::Again;
                }
            }
            Ending::Finish | Ending::Linger(_) => {
                match server.with(|engine| engine.finish(key)) {
                    Written::Taken(_) => {
                        call.said.get_or_insert(Said::Finished);
                    }
                    other => drop(self.broken(other, server)),
                }
                self.has_reply = false;
                if let Ending::Linger(millis) = ending {
                    self.is_asleep_until = Some(now + millis);
                    if self.has_data {
                        self.steps.push_back(Step::Read(1));
                    }
                    return Next::Again;
                }
            }
            Ending::Fail(is_command) => {
                let failure = failure(self.call, is_command);
                self.has_reply = false;
                server.with(|engine| engine.fail(key, &failure));
                call.said.get_or_insert(Said::Failed(is_command));
            }
            Ending::Return(is_command) => {
                call.said.get_or_insert(Said::Failed(is_command));
                outcome = Outcome::Failed(failure(self.call, is_command));
                self.drop_reply(server, false);
            }
            Ending::Panic => {
                call.said.get_or_insert(Said::Panicked);
                outcome = Outcome::Panicked;
                self.drop_reply(server, true);
            }
            Ending::Nothing => {
                call.said.get_or_insert(Said::Unanswered);
                self.drop_reply(server, false);
            }
        }
        self.end(server, outcome);
        Next::Over
    }
}
