//! Limits of time, shutdown, and the end of a connection.

use hgrpc::server::ServerState;

use super::handle::has;
use super::{Connection, Wake};
use crate::engine::inbound::DataError;
use crate::host::{ConnectionError, ConnectionLimit};

/// What a connection waits for before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing: it goes on.
    Open,
    /// Commands that were accepted run on, or their replies wait to be written. Nothing more is
    /// received.
    Answering,
    /// All was answered and written: the sending side can be closed.
    Answered,
    /// It has ended: nothing is sent or received.
    Ended,
}

impl Connection {
    /// What it waits for. It changes with [`Wake::Progress`] and with what is written.
    pub fn progress(&self) -> Progress {
        if self.ended.is_some() {
            return Progress::Ended;
        }
        let is_answered = self.handlers == 0 && self.replies == 0;
        let is_written = self.unwritten() == 0 && self.turns.is_empty();
        match (self.is_input_over, is_answered && is_written) {
            // A server that stops ends a connection when nothing runs on it.
            (false, true) if self.shared.is_stopping() => Progress::Answered,
            (false, _) => Progress::Open,
            (true, false) => Progress::Answering,
            (true, true) => Progress::Answered,
        }
    }

    /// Whether nothing runs, nothing is partly received, and nothing waits for its turn.
    pub fn is_idle(&self) -> bool {
        self.handlers == 0
            && self.replies == 0
            && self.core.state() != ServerState::CommandReceiving
            && self.turns.is_empty()
    }

    /// Whether the peer has not taken all that was made for it.
    pub const fn is_writing(&self) -> bool {
        self.clock.is_writing()
    }

    /// The first limit of time that is passed.
    pub fn check(&self, now: u64) -> Option<ConnectionLimit> {
        self.clock
            .check(now, &self.shared.limits, || self.is_idle())
    }

    /// The input has ended, or is of no use any more. Commands that were accepted are still answered.
    ///
    /// # Errors
    /// It ended inside of a frame.
    pub fn end_input(&mut self) -> Result<(), ConnectionError> {
        let missing = self.missing().filter(|_| !self.is_input_over);
        self.is_input_over = true;
        // From here on nothing is expected of the peer but that it reads.
        self.clock.pause();
        self.budget.stop_waiting();
        // Nobody looks again whether there are bytes for it.
        if let Some(pending) = self.incoming.take_waiting() {
            self.refuse_waiting(&pending);
        }
        for key in self.commands.keys() {
            self.end_upload(key, Err(DataError::Cut));
        }
        self.incoming.clear();
        self.wake(Wake::Gone);
        self.wake(Wake::Progress);
        match missing {
            Some(missing) => Err(ConnectionError::Cut { missing }),
            None => Ok(()),
        }
    }

    /// The connection has ended: nothing is sent, and handlers are dropped.
    pub fn end(&mut self, error: ConnectionError) {
        if self.ended.is_some() {
            return;
        }
        // Why it ended inside of a frame is known already.
        let _ = self.end_input();
        self.ended = Some(error);
        self.turns.clear();
        self.refusals.clear();
        self.batch.clear();
        for key in self.commands.keys() {
            let Some(running) = self.commands.get_mut(key) else {
                continue;
            };
            if running.has & has::HANDLER != 0 {
                self.wakes.push_back(Wake::Stop(key));
            }
            if std::mem::take(&mut running.is_awaited) {
                self.wakes.push_back(Wake::Reply(key));
            }
            if running.has & has::COUNTED != 0 {
                running.has &= !has::COUNTED;
                self.shared.counters.end_request();
            }
            self.replied(key);
        }
        self.wake(Wake::Output);
        self.wake(Wake::Progress);
    }

    /// Why nothing is sent or received any more.
    pub const fn ended(&self) -> Option<&ConnectionError> {
        self.ended.as_ref()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end(ConnectionError::Shutdown);
    }
}
