//! The server's end of one connection: the thread that reads it.

use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::conn::{Conn, Outlet};
use super::line::Line;
use super::router::Handler;
use super::workers::Workers;
use super::{Call, Config, ConnectionError, Data, Gone, Reply, Router, Traffic, Transport};
use crate::buffer::{Filled, ReceiveBuffer};
use crate::engine::Key;
use crate::engine::server::{
    Command, Connection, Hooks, Locked as _, Outcome, Peer, Refusal, ServerLimits, Shared,
};

/// How long a peer that broke the protocol may take to read its answers and to close the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection until it ends: runs the router's commands, each in a thread of its own,
/// and answers as they are done.
///
/// Returns when the input has ended and every command has been answered. A client that only closes
/// its sending half still gets its answers. So does one that breaks the protocol, of what it asked
/// before: it has a second to read them, where the transport can be [closed](Transport::on_close).
///
/// # Errors
/// The connection broke, or the peer broke the protocol. Handlers that were running then have
/// seen their data end with an error, and [`Gone`](super::Gone) told them.
pub fn serve(
    transport: Transport,
    router: &Router,
    config: &Config,
) -> Result<Traffic, ConnectionError> {
    let Transport {
        mut read,
        write,
        close,
    } = transport;
    let workers = Arc::new(Workers::new());
    let began = Instant::now();
    let shared = shared(config);
    let peer = Arc::new(Peer::UNKNOWN);
    // One stream can always be opened on a fresh server.
    let connection = Connection::new(Arc::clone(&shared), peer, Waker::noop().clone(), 1)
        .map_err(|_| ConnectionError::Shutdown)?;
    let conn = Arc::new_cyclic(|conn| {
        let line = Line::new(write, close, Arc::clone(&workers), conn.clone());
        Conn::new(connection, Outlet::Line(line), Gone::default(), began)
    });
    let reading = Reading {
        conn: &conn,
        router,
        workers: &workers,
    };
    let mut result = reading.run(&mut *read);
    let ended = conn.with_reader(Connection::end_input);
    if let Err(error @ (ConnectionError::Read(_) | ConnectionError::Link(_))) = &result {
        // Nobody is there to read answers either.
        conn.end(error.clone());
        conn.line(|line| line.half().close());
    }
    result = result.and(ended);
    workers.wait();
    conn.wait_answered();
    if let Err(ConnectionError::Protocol(_)) = &result {
        conn.line(|line| linger(&mut *read, line));
    }
    conn.line(|line| line.half().close());
    conn.end(ConnectionError::Shutdown);
    result.map(|()| Traffic::of(&shared.stats()))
}

/// The server of one connection: only the connection's own limits count.
fn shared(config: &Config) -> Arc<Shared> {
    let limits = ServerLimits::only(config.limits.checked());
    let mut hooks = Hooks::default();
    if let Some(told) = config.observer.clone() {
        hooks.frame = Some(Box::new(move |_, direction, header| {
            told(direction, header)
        }));
    }
    Shared::new(config.clone(), limits, hooks)
}

/// Reads on, for nothing, until the peer has read its answers and closes too. A socket that is closed
/// with bytes unread takes answers with it that the peer has not read.
fn linger(read: &mut dyn Read, line: &Line) {
    if !line.half().ends_reading() {
        return;
    }
    line.half().finish();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let limit = thread::Builder::new().spawn_scoped(scope, move || {
            if is_done.recv_timeout(LINGER) == Err(mpsc::RecvTimeoutError::Timeout) {
                line.half().close();
            }
        });
        if limit.is_ok() {
            // However it ends.
            let _ = io::copy(read, &mut io::sink());
        }
        drop(done);
    });
}

/// The reading side; owned by the thread that serves.
struct Reading<'a> {
    conn: &'a Arc<Conn>,
    router: &'a Router,
    workers: &'a Workers,
}

impl Reading<'_> {
    fn run(&self, read: &mut dyn Read) -> Result<(), ConnectionError> {
        let mut buffer = ReceiveBuffer::default();
        loop {
            match buffer.fill_from(read) {
                Ok(Filled::Bytes(_)) => self.handle(&mut buffer)?,
                Ok(_) => return Ok(()),
                Err(error) => return Err(ConnectionError::reading(error)),
            }
        }
    }

    /// Handles what was read, all of it.
    fn handle(&self, buffer: &mut ReceiveBuffer) -> Result<(), ConnectionError> {
        let conn = self.conn;
        loop {
            let mut input = buffer.bytes();
            let before = input.len();
            let now = conn.now();
            let (next, stuck) = conn.with_reader(|connection| {
                let next = connection.next(&mut input, now, |name| self.router.find(name));
                let stuck = connection.is_stuck().then(|| connection.deadline());
                (next, stuck)
            });
            let taken = before - input.len();
            buffer.consume(taken);
            match (next?, stuck) {
                (Some(command), _) => self.start(command),
                (None, Some(deadline)) => conn.wait_for_room(deadline),
                (None, None) => return Ok(()),
            }
        }
    }

    /// Runs a command in a thread of its own.
    fn start(&self, command: Command<Arc<dyn Handler>>) {
        let (conn, key) = (Arc::clone(self.conn), command.key);
        let job = move || {
            let ended = Ended { conn, key };
            let handler = Arc::clone(&command.route);
            let (call, reply) = parts(&ended.conn, command);
            handler.handle(call, reply);
        };
        if self.workers.run(Box::new(job)).is_err() {
            self.conn.with_reader(|connection| {
                let failure = connection.refuse(key, Refusal::TooManyRequests);
                connection.data_dropped(key);
                connection.reply_dropped(key, false);
                connection.handler_ended(key, Outcome::Failed(failure));
            });
        }
    }
}

/// What a command's handler gets.
pub(super) fn parts<R>(conn: &Arc<Conn>, command: Command<R>) -> (Call, Reply) {
    let data = command.has_data.then(|| Data::new(conn, command.key));
    let call = Call {
        request: command.request,
        args: None,
        data,
        revision: conn.revision(),
        gone: conn.gone.clone(),
    };
    (call, Reply::new(Arc::clone(conn), command.key))
}

/// Notices the end of a handler, however it comes.
pub(super) struct Ended {
    pub(super) conn: Arc<Conn>,
    pub(super) key: Key,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let outcome = match thread::panicking() {
            true => Outcome::Panicked,
            false => Outcome::Done,
        };
        self.conn
            .with(|connection| connection.handler_ended(self.key, outcome));
    }
}
