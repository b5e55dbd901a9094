//! What whoever answers a command has: its reply, which ends once.

use std::io;
use std::sync::Arc;

use super::Connection;
use crate::engine::Key;
use crate::host::{ConnectionError, Failure};

/// A connection behind its driver's lock.
pub(crate) trait Locked {
    /// Does something with the connection, and wakes whom that concerns.
    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R;

    /// Whether what happens is part of a panic, which then is this command's.
    fn is_panicking(&self, key: Key) -> bool;
}

/// A command's reply. Dropped before its end, it is answered with what its handler fails with, or an
/// error.
pub(crate) struct OwnedReply<C: Locked> {
    pub(crate) conn: Arc<C>,
    pub(crate) key: Key,
    has_ended: bool,
}

impl<C: Locked> OwnedReply<C> {
    pub(crate) const fn new(conn: Arc<C>, key: Key) -> Self {
        Self {
            conn,
            key,
            has_ended: false,
        }
    }

    /// Whether its end was said.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Does something that ends the reply if the answer is `true`.
    pub(crate) fn end_if(&mut self, act: impl FnOnce(&mut Connection, Key) -> bool) -> bool {
        let key = self.key;
        self.has_ended |= self.conn.with(|connection| act(connection, key));
        self.has_ended
    }

    /// Ends the response.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.has_ended = true;
        let finished = self.conn.with(|connection| connection.finish(self.key));
        finished.into_end()
    }

    /// Ends the response with a failure.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Result<(), ConnectionError> {
        self.has_ended = true;
        self.conn.with(|connection| {
            connection.fail(self.key, failure);
            connection.ended().cloned().map_or(Ok(()), Err)
        })
    }
}

impl<C: Locked> Drop for OwnedReply<C> {
    fn drop(&mut self) {
        if !self.has_ended {
            let is_panicking = self.conn.is_panicking(self.key);
            self.conn
                .with(|connection| connection.reply_dropped(self.key, is_panicking));
        }
    }
}
