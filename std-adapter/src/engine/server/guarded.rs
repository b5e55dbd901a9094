//! What a driver keeps behind its lock: a connection, and those who wait for it.

use std::io;
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::{Connection, DataError, Wake, Written};
use crate::engine::{Charge, Key};
use crate::host::ConnectionError;

/// A connection, and those who wait for room in its replies and for its commands' data.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) connection: Connection,
    waiting: Vec<(Waiting, Waker)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Reply(Key),
    Data(Key),
}

/// Whom a change concerns; told once nothing is locked.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    wakers: Vec<Waker>,
    /// Handlers that are to be dropped.
    pub(crate) stopped: Vec<Key>,
    /// Reading can go on.
    pub(crate) input: bool,
    /// There is something to write again.
    pub(crate) output: bool,
    /// Who waits for the end of commands looks again.
    pub(crate) progress: bool,
    /// The peer's input has ended.
    pub(crate) is_gone: bool,
}

impl Calls {
    /// Wakes those who waited for something of a command.
    pub(crate) fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Guarded {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self {
            connection,
            waiting: Vec::new(),
        }
    }

    /// Adds whom the connection has woken since this was called last.
    pub(crate) fn call(&mut self, calls: &mut Calls) {
        while let Some(wake) = self.connection.pop_wake() {
            let waiting = match wake {
                Wake::Reply(key) => Waiting::Reply(key),
                Wake::Data(key) => Waiting::Data(key),
                Wake::Stop(key) => {
                    calls.stopped.push(key);
                    continue;
                }
                Wake::Input => {
                    calls.input = true;
                    continue;
                }
                Wake::Output => {
                    calls.output = true;
                    continue;
                }
                Wake::Gone => {
                    calls.is_gone = true;
                    continue;
                }
                Wake::Progress => {
                    calls.progress = true;
                    continue;
                }
            };
            let called = self.waiting.extract_if(.., |(who, _)| *who == waiting);
            calls.wakers.extend(called.map(|(_, waker)| waker));
        }
    }

    fn wait(&mut self, waiting: Waiting, waker: &Waker) {
        let is_there = |(who, other): &(Waiting, Waker)| *who == waiting && other.will_wake(waker);
        if !self.waiting.iter().any(is_there) {
            self.waiting.push((waiting, waker.clone()));
        }
    }

    /// Writes something of a reply; the waker is woken when there is room for it.
    pub(crate) fn poll_written(
        &mut self,
        key: Key,
        waker: &Waker,
        write: impl FnOnce(&mut Connection) -> Written,
    ) -> Poll<io::Result<usize>> {
        let written = write(&mut self.connection);
        if matches!(written, Written::Full) {
            self.wait(Waiting::Reply(key), waker);
        }
        written.into_poll()
    }

    /// Writes something beside a reply; the waker is woken when there is room for it. Whatever is wrong
    /// but the connection's end is not: these are hints.
    pub(crate) fn poll_noted(
        &mut self,
        key: Key,
        waker: &Waker,
        write: impl FnOnce(&mut Connection, Key) -> Written,
    ) -> Poll<Result<(), ConnectionError>> {
        match write(&mut self.connection, key) {
            Written::Full => {
                self.wait(Waiting::Reply(key), waker);
                Poll::Pending
            }
            Written::Ended(error) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The next bytes of a command's data; the waker is woken when there are some.
    pub(crate) fn poll_data(
        &mut self,
        key: Key,
        waker: &Waker,
    ) -> Poll<Result<Option<(Bytes, Charge)>, DataError>> {
        match self.connection.collect(key) {
            Some(read) => Poll::Ready(read),
            None => {
                self.wait(Waiting::Data(key), waker);
                Poll::Pending
            }
        }
    }

    /// Waits until a command was answered: all its frames were made.
    #[cfg(feature = "http-server")]
    pub(crate) fn poll_answered(
        &mut self,
        key: Key,
        waker: &Waker,
    ) -> Poll<Result<(), ConnectionError>> {
        let answered = self.connection.poll_answered(key);
        if answered.is_pending() {
            self.wait(Waiting::Reply(key), waker);
        }
        answered
    }

    /// Gives the memory back that nothing is in.
    #[cfg(feature = "tokio")]
    pub(crate) fn shrink(&mut self) {
        self.connection.shrink();
        self.waiting.shrink_to_fit();
    }
}
