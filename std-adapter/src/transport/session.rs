//! One connection over a link: what its halves and the line's thread share.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hgrpc::link::LinkError;

use super::Connection;
use super::connection::Link;
use super::line::{Control, Raw};

/// Bytes that wait for their reader; then the line is not read.
const INBOX: usize = 64 * 1024;
/// Bytes that wait for the line; then writers wait.
const OUTBOX: usize = 4 * 1024;
/// How long the last bytes may take to get out.
pub(super) const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Session {
    state: Mutex<State>,
    changed: Condvar,
    line: Arc<Control>,
}

#[derive(Debug, Default)]
struct State {
    inbox: VecDeque<u8>,
    outbox: VecDeque<u8>,
    /// Why no more comes.
    ended: Option<Ended>,
    /// The owner has closed it.
    is_closed: bool,
    has_no_reader: bool,
    /// The line's thread has forgotten it.
    is_left: bool,
}

/// How a connection has ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Lost(LinkError),
    /// The line itself has ended, or failed.
    Line(Option<Arc<io::Error>>),
}

impl Ended {
    fn error(&self) -> Option<io::Error> {
        match self {
            Self::Lost(error) => Some(io::Error::new(ErrorKind::ConnectionReset, *error)),
            Self::Line(error) => {
                let error = error.as_ref()?;
                Some(io::Error::new(error.kind(), Arc::clone(error)))
            }
        }
    }
}

impl Session {
    pub(super) fn new(line: Arc<Control>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            line,
        })
    }

    /// The connection for its owner.
    pub(super) fn connection(self: &Arc<Self>, raw: &Raw) -> Connection {
        let owned = Arc::new(Owned(Arc::clone(self)));
        let mut connection = Connection::new(
            SessionReader(Arc::clone(&owned)),
            SessionWriter(Arc::clone(&owned)),
            &owned,
            raw.peer.clone(),
        );
        connection.address = raw.address;
        connection
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    // For the line's thread.

    /// Takes payload.
    pub(super) fn deliver(&self, bytes: &[u8]) {
        let mut state = self.state();
        if !state.has_no_reader && !state.is_closed {
            state.inbox.extend(bytes);
            self.changed.notify_all();
        }
    }

    /// Whether its reader has enough.
    pub(super) fn is_full(&self) -> bool {
        self.state().inbox.len() >= INBOX
    }

    /// Shows what is to be sent; takes as much of it as this says.
    pub(super) fn take_outgoing(&self, take: impl FnOnce(&[u8]) -> usize) {
        let mut state = self.state();
        let len = take(state.outbox.make_contiguous());
        if len > 0 {
            state.outbox.drain(..len);
            self.changed.notify_all();
        }
    }

    /// Whether the owner has closed it, and all that it wrote has been taken.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.is_closed && state.outbox.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// The connection has ended.
    pub(super) fn end(&self, ended: Ended) {
        let mut state = self.state();
        state.ended.get_or_insert(ended);
        state.outbox.clear();
        self.changed.notify_all();
    }

    /// The line's thread has nothing to do with it any more.
    pub(super) fn leave(&self) {
        self.state().is_left = true;
        self.changed.notify_all();
    }
}

/// What the halves hold: with the last of them the connection is closed.
#[derive(Debug)]
struct Owned(Arc<Session>);

impl Link for Owned {
    fn close(&self) {
        let mut state = self.0.state();
        state.is_closed = true;
        state.inbox.clear();
        self.0.changed.notify_all();
        drop(state);
        self.0.line.wake();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.close();
        // So that the process does not end before the last answer is out, and the peer knows.
        let state = self.0.state();
        let _ = self
            .0
            .changed
            .wait_timeout_while(state, GRACE, |state| !state.is_left);
    }
}

struct SessionReader(Arc<Owned>);

impl Read for SessionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = &self.0.0;
        let mut state = session.state();
        loop {
            if state.is_closed || buffer.is_empty() {
                return Ok(0);
            }
            if !state.inbox.is_empty() {
                let was_full = state.inbox.len() >= INBOX;
                let len = state.inbox.read(buffer)?;
                if was_full && state.inbox.len() < INBOX {
                    session.line.wake();
                }
                return Ok(len);
            }
            if let Some(ended) = &state.ended {
                return ended.error().map_or(Ok(0), Err);
            }
            state = session.wait(state);
        }
    }
}

impl Drop for SessionReader {
    fn drop(&mut self) {
        let mut state = self.0.0.state();
        state.has_no_reader = true;
        state.inbox.clear();
        drop(state);
        self.0.0.line.wake();
    }
}

struct SessionWriter(Arc<Owned>);

impl Write for SessionWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let session = &self.0.0;
        let mut state = session.state();
        loop {
            if state.is_closed {
                return Err(ErrorKind::BrokenPipe.into());
            }
            if let Some(ended) = &state.ended {
                return Err(ended.error().unwrap_or(ErrorKind::BrokenPipe.into()));
            }
            let room = OUTBOX.saturating_sub(state.outbox.len());
            let all: usize = slices.iter().map(|slice| slice.len()).sum();
            if room > 0 || all == 0 {
                let bytes = slices.iter().flat_map(|slice| slice.iter()).take(room);
                state.outbox.extend(bytes);
                drop(state);
                session.line.wake();
                return Ok(all.min(room));
            }
            state = session.wait(state);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
