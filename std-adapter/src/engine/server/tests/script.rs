//! What a handler does, step by step, as its request's arguments say.

use hgrpc::cbor::{Atom, Progress};

use super::super::*;
use crate::host::{Failure, arguments};

/// A handler under way.
pub(super) struct Script {
    name: Vec<u8>,
    steps: Vec<u8>,
    at: usize,
    /// Bytes that are still to be written.
    rest: Vec<u8>,
    has_reply: bool,
    has_data: bool,
}

/// What came of a step.
pub(super) enum Step {
    Waits,
    Moved,
    Ended(Outcome),
}

/// What the bytes of a script stand for; `len` bytes of anything.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    Write(usize),
    Flush,
    Values,
    Text,
    Progress,
    Fail,
    FailServer,
    Finish,
}

impl Act {
    pub(super) fn of(step: u8) -> Self {
        match step % 16 {
            0 => Self::Flush,
            1 => Self::Values,
            2 => Self::Text,
            3 => Self::Progress,
            4 => Self::Finish,
            5 => Self::Fail,
            6 => Self::FailServer,
            7..=11 => Self::Write(usize::from(step)),
            _ => Self::Write(usize::from(step) * 9),
        }
    }
}

/// Bytes that a script writes.
pub(super) fn written(at: usize, len: usize) -> Vec<u8> {
    let first = at.to_le_bytes()[0];
    (0..len)
        .map(|n| first.wrapping_mul(31).wrapping_add(n.to_le_bytes()[0]))
        .collect()
}

pub(super) const VALUES: &[u8] = b"\x01\x82\x02\x43abc\x5f\x41x\x42yz\xff\x63txt";

pub(super) fn atom() -> Atom<'static> {
    Atom {
        msg: b"note %s",
        args: &[b"one"],
        labels: &[b"ui.note"],
    }
}

pub(super) fn progress() -> Progress<'static> {
    Progress::new("reading", 3, 9)
}

pub(super) fn failure(is_server: bool) -> Failure {
    match is_server {
        true => Failure::server("the disk is full of %s"),
        false => Failure::format("no %s there", ["such\u{e4}"]),
    }
}

impl Script {
    pub(super) fn new(command: &Command<u8>) -> Self {
        let request = &command.request;
        let steps = arguments::bytes(request.args(), "steps").unwrap_or_default();
        Self {
            name: request.name().to_vec(),
            steps: steps.into_owned(),
            at: 0,
            rest: Vec::new(),
            has_reply: true,
            has_data: command.has_data,
        }
    }

    /// The handler's own end: what it has it drops.
    pub(super) fn drop_all(mut self, connection: &mut Connection, key: Key) {
        if std::mem::take(&mut self.has_reply) {
            connection.reply_dropped(key, false);
        }
        if std::mem::take(&mut self.has_data) {
            connection.data_dropped(key);
        }
    }

    pub(super) fn step(&mut self, connection: &mut Connection, key: Key) -> Step {
        if !self.rest.is_empty() {
            return match connection.write(key, &self.rest) {
                Written::Taken(len) => {
                    self.rest.drain(..len);
                    Step::Moved
                }
                Written::Full => Step::Waits,
                other => Step::Ended(Outcome::Failed(Failure::server(format_args!("{other:?}")))),
            };
        }
        match &self.name[..] {
            b"cat" => self.cat(connection, key),
            b"wait" => Step::Waits,
            b"panic" => {
                self.has_reply = false;
                connection.reply_dropped(key, true);
                Step::Ended(Outcome::Panicked)
            }
            _ => self.next_step(connection, key),
        }
    }

    fn cat(&mut self, connection: &mut Connection, key: Key) -> Step {
        match connection.read(key) {
            Some(Ok(Some(bytes))) => self.rest = bytes.to_vec(),
            Some(Ok(None)) => {
                self.has_reply = false;
                connection.finish(key);
                return Step::Ended(Outcome::Done);
            }
            Some(Err(error)) => return Step::Ended(Outcome::Failed(Failure::server(error))),
            None => return Step::Waits,
        }
        Step::Moved
    }

    fn next_step(&mut self, connection: &mut Connection, key: Key) -> Step {
        let Some(step) = self.steps.get(self.at) else {
            self.has_reply = false;
            connection.finish(key);
            return Step::Ended(Outcome::Done);
        };
        let written = match Act::of(*step) {
            Act::Write(len) => {
                self.rest = written(self.at, len);
                Written::Taken(0)
            }
            Act::Flush => connection.flush(key),
            Act::Values => connection.write_values(key, VALUES),
            Act::Text => connection.text(key, &[atom()]),
            Act::Progress => connection.progress_note(key, &progress()),
            Act::Finish => {
                self.has_reply = false;
                connection.finish(key);
                return Step::Ended(Outcome::Done);
            }
            Act::Fail => return Step::Ended(Outcome::Failed(failure(false))),
            Act::FailServer => return Step::Ended(Outcome::Failed(failure(true))),
        };
        match written {
            Written::Taken(_) => {
                self.at += 1;
                Step::Moved
            }
            Written::Full => Step::Waits,
            _ => Step::Ended(Outcome::Failed(Failure::server("gone"))),
        }
    }
}
