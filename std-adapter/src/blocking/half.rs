//! The server's end of one half-duplex exchange, as HTTP makes them: all of the request is read,
//! then its commands run one after another (revision-0006.md, 5.8; http-v2.md, 3).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hgrpc::ProtocolError;

use super::conn::{Conn, Outlet};
use super::server::{Ended, parts};
use super::{Call, ConnectionError, Gone, Reply};
use crate::engine::server::{Command, Connection, Outcome, Peer, Shared, Taken, Wake};

/// A request that is being read.
pub(crate) struct Receiving {
    connection: Connection,
    /// Commands whose data is still to come.
    incomplete: Vec<Command<()>>,
    /// Commands that are to be run, in this order.
    complete: Vec<Command<()>>,
}

/// Why reading a request stops.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// A command is refused by the owner, and the request with it.
    Refused(E),
}

impl Receiving {
    pub(crate) fn new(shared: &Arc<Shared>, peer: &Arc<Peer>) -> Self {
        Self {
            connection: Connection::half_duplex(Arc::clone(shared), Arc::clone(peer), 1),
            incomplete: Vec::new(),
            complete: Vec::new(),
        }
    }

    /// Handles the next bytes; `check` is asked for each command that is complete, with how many
    /// came before it.
    pub(crate) fn feed<E>(
        &mut self,
        mut input: &[u8],
        mut check: impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        loop {
            let next = self.connection.next(&mut input, 1, |_| Some(()));
            while let Some(wake) = self.connection.pop_wake() {
                let Wake::Data(key) = wake else {
                    continue;
                };
                let place = self.incomplete.iter().position(|other| other.key == key);
                if let Some(place) = place {
                    let command = self.incomplete.remove(place);
                    self.add(command, &mut check)?;
                }
            }
            match next {
                Ok(None) => return Ok(()),
                Ok(Some(command)) if command.has_data => self.incomplete.push(command),
                Ok(Some(command)) => self.add(command, &mut check)?,
                Err(ConnectionError::Protocol(error)) => return Err(Stop::Protocol(error)),
                // As text, it would be a frame of a size that none may have.
                Err(_) => return Err(Stop::Protocol(ProtocolError::FrameTooLarge)),
            }
        }
    }

    /// A command is complete, or was refused meanwhile.
    fn add<E>(
        &mut self,
        command: Command<()>,
        check: &mut impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let connection = &mut self.connection;
        if connection.is_stopped(command.key) {
            connection.data_dropped(command.key);
            connection.reply_dropped(command.key, false);
            connection.handler_ended(command.key, Outcome::Dropped);
            return Ok(());
        }
        let before = self.complete.len() + usize::from(connection.has_answers());
        check(command.request.name(), before).map_err(Stop::Refused)?;
        self.complete.push(command);
        Ok(())
    }

    /// The request has ended; `None` if nothing is to be answered.
    ///
    /// # Errors
    /// It ended inside a frame.
    pub(crate) fn finish(self) -> Result<Option<Answering>, ProtocolError> {
        self.connection.finish_input()?;
        let has_some = !self.complete.is_empty() || self.connection.has_answers();
        Ok(has_some.then_some(Answering {
            connection: self.connection,
            commands: self.complete,
        }))
    }
}

/// A request that was read and is to be answered.
pub(crate) struct Answering {
    connection: Connection,
    commands: Vec<Command<()>>,
}

/// Commands are run.
const RUNNING: u8 = 0;
/// All were, and all is answered.
const DONE: u8 = 1;
/// Nobody runs them any more.
const BROKEN_OFF: u8 = 2;

struct Exchange {
    conn: Arc<Conn>,
    state: AtomicU8,
}

/// The commands of a request. Dropped, their answers are broken off.
pub(crate) struct Commands {
    exchange: Arc<Exchange>,
    commands: Vec<Command<()>>,
}

/// The frames of a request's answers. Dropped, its client has gone.
pub(crate) struct Answers {
    exchange: Arc<Exchange>,
    taken: Taken,
}

/// The commands have ended without the end of their answers.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl Answering {
    /// Begins to answer on one stream; compressed, if that may be and the client decodes it.
    pub(crate) fn begin(mut self, may_compress: bool) -> (Commands, Answers) {
        self.connection.begin_answers(may_compress);
        let outlet = Outlet::Fetched(Mutex::default());
        let conn = Conn::new(self.connection, outlet, Gone::default(), Instant::now());
        let exchange = Arc::new(Exchange {
            conn: Arc::new(conn),
            state: AtomicU8::new(RUNNING),
        });
        let commands = Commands {
            exchange: Arc::clone(&exchange),
            commands: self.commands,
        };
        let answers = Answers {
            exchange,
            taken: Taken::default(),
        };
        (commands, answers)
    }
}

impl Commands {
    /// Runs each command by `handle`, one after another; what is not answered when the client goes is
    /// not run any more.
    pub(crate) fn run(&mut self, mut handle: impl FnMut(Call, Reply)) {
        let conn = &self.exchange.conn;
        for command in self.commands.drain(..) {
            let key = command.key;
            let ended = Ended {
                conn: Arc::clone(conn),
                key,
            };
            let handle = &mut handle;
            // The reply has answered when it unwinds; the next command runs all the same.
            let _ = catch_unwind(AssertUnwindSafe(move || {
                let (call, reply) = parts(&ended.conn, command);
                let _ended = ended;
                handle(call, reply);
            }));
            // One that was kept is answered later.
            let answered = conn.block(|guarded, waker| guarded.poll_answered(key, waker));
            if answered.is_err() {
                return;
            }
        }
    }

    /// All was answered.
    pub(crate) fn finish(self) {
        self.end(DONE);
    }

    fn end(&self, state: u8) {
        let (held, order) = (&self.exchange.state, Ordering::SeqCst);
        // The first end counts.
        if held.compare_exchange(RUNNING, state, order, order).is_ok() {
            self.exchange.conn.wake_fetcher();
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.end(BROKEN_OFF);
    }
}

impl Answers {
    /// The next frames, as they are written; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let Self { exchange, taken } = self;
        let conn = &exchange.conn;
        conn.fetch_by(cx.waker());
        // Before it looks for frames: when this was set, all were made.
        let state = exchange.state.load(Ordering::SeqCst);
        let now = conn.now();
        let bytes = conn.with_writer(0, |connection| {
            connection.take_output(taken).then(|| {
                let bytes = taken.take_bytes();
                connection.sent(bytes.len(), now);
                bytes
            })
        });
        match (bytes, state) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(bytes))),
            (None, RUNNING) => Poll::Pending,
            (None, DONE) => Poll::Ready(None),
            (None, _) => Poll::Ready(Some(Err(BrokenOff))),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.exchange.conn.end(ConnectionError::Shutdown);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
