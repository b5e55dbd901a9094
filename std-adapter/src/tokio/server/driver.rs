//! The task of one connection: it moves bytes between the socket and the engine, and polls each
//! handler once where its request was read.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use super::call::Head;
use super::conn::{Conn, outcome};
use super::handler::{Route, Running};
use super::shared::request_span;
use super::{Call, Data, Parts, Refusal, Reply};
use crate::buffer::ReceiveBuffer;
use crate::engine::server::{Command, Locked as _, Outcome, Progress};
use crate::host::{ConnectionError, ConnectionLimit, Failure};
use crate::tokio::drive::{Stall, Turn, Writer};

/// Most bytes that are read at once.
const READ: usize = 32 * 1024;

/// How long a connection that is closed waits for the peer to close it too. A socket that is closed
/// with bytes unread takes answers with it that the peer has not read.
const LINGER: Duration = Duration::from_secs(1);

/// Polls before a limit of time counts as passed: on a busy machine it may be this task that is late,
/// so that it first does what waits to be done.
const DOUBTS: u8 = 3;

/// Where a connection is.
enum Stage {
    /// Bytes are read.
    Serving,
    /// What was accepted is answered; then this is how the connection has ended.
    Answering(Result<(), ConnectionError>),
    /// The sending side is closed; the peer's end is waited for.
    Lingering(Result<(), ConnectionError>, Pin<Box<Sleep>>),
}

/// What moves a connection's bytes.
struct Driver<'a, Io> {
    conn: &'a Arc<Conn>,
    io: Pin<&'a mut Io>,
    buffer: ReceiveBuffer,
    stage: Stage,
    stall: Stall,
    writer: Writer,
    doubts: u8,
}

/// Reads and writes, both at once, until the connection ends.
pub(super) async fn drive<Io>(conn: &Arc<Conn>, io: Io) -> Result<(), ConnectionError>
where
    Io: AsyncRead + AsyncWrite + Send + 'static,
{
    let io = std::pin::pin!(io);
    let mut driver = Driver {
        conn,
        io,
        buffer: ReceiveBuffer::new(READ),
        stage: Stage::Serving,
        stall: Stall::default(),
        writer: Writer::default(),
        doubts: 0,
    };
    poll_fn(|cx| driver.poll(cx)).await
}

impl<Io: AsyncRead + AsyncWrite> Driver<'_, Io> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut turn = Turn::default();
        loop {
            self.conn.driver.begin(cx);
            match self.work(cx, &mut turn) {
                Ok(Poll::Ready(())) => {
                    let Stage::Lingering(result, _) =
                        std::mem::replace(&mut self.stage, Stage::Serving)
                    else {
                        return Poll::Ready(Ok(()));
                    };
                    return Poll::Ready(result);
                }
                Ok(Poll::Pending) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if turn.is_over() {
                // Others have their turn.
                self.conn.driver.park();
                return std::pin::pin!(yield_now()).poll(cx).map(Ok);
            }
            if self.conn.driver.park() {
                return Poll::Pending;
            }
        }
    }

    /// Does what can be done. Ready: the connection has ended as its last stage says.
    fn work(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Result<Poll<()>, ConnectionError> {
        if let Some(error) = self.conn.killed() {
            return match &self.stage {
                // Nothing is lost.
                Stage::Lingering(..) => Ok(Poll::Ready(())),
                _ => Err(error.clone()),
            };
        }
        self.check(cx)?;
        if matches!(self.stage, Stage::Serving) {
            let served = self.serve(cx, turn);
            if self.stall.poll(&**self.conn, cx) {
                self.conn.driver.ring();
            }
            let ended = match served {
                Poll::Pending => self.stopped(),
                Poll::Ready(ended) => Some(ended),
            };
            if let Some(ended) = ended {
                self.end_input(ended)?;
            }
        }
        if matches!(self.stage, Stage::Serving | Stage::Answering(_)) {
            self.writer
                .write(&**self.conn, self.io.as_mut(), cx, turn)?;
        }
        if let Stage::Answering(_) = self.stage
            && self.conn.with(|connection| connection.progress()) == Progress::Answered
        {
            match self.io.as_mut().poll_shutdown(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(error)) => return Err(ConnectionError::writing(error)),
                Poll::Ready(Ok(())) => {}
            }
            if let Stage::Answering(result) = std::mem::replace(&mut self.stage, Stage::Serving) {
                self.stage = Stage::Lingering(result, Box::pin(sleep(LINGER)));
            }
        }
        if let Stage::Lingering(_, over) = &mut self.stage {
            let is_over = over.as_mut().poll(cx).is_ready();
            return Ok(match is_over {
                true => Poll::Ready(()),
                false => self.drain(cx),
            });
        }
        Ok(Poll::Pending)
    }

    /// A server that stops ends a connection when all was answered.
    fn stopped(&self) -> Option<Result<(), ConnectionError>> {
        let is_stopping = self.conn.shared.engine.is_stopping();
        let progress = || self.conn.with(|connection| connection.progress());
        (is_stopping && progress() == Progress::Answered).then_some(Ok(()))
    }

    /// Limits of time.
    fn check(&mut self, cx: &mut Context<'_>) -> Result<(), ConnectionError> {
        if self.conn.is_suspected() {
            self.doubts += 1;
            if self.doubts <= DOUBTS {
                cx.waker().wake_by_ref();
            } else {
                self.doubts = 0;
                self.conn.trust();
                if let Some(limit) = self.conn.check(self.conn.shared.now()) {
                    return Err(ConnectionError::Limit(limit));
                }
            }
        }
        Ok(())
    }

    /// Reads and handles what comes. Ready: the input has ended.
    fn serve(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Poll<Result<(), ConnectionError>> {
        loop {
            if let Err(error) = self.handle() {
                return Poll::Ready(Err(error));
            }
            if !self.buffer.bytes().is_empty() || turn.is_over() {
                return Poll::Pending;
            }
            let mut room = ReadBuf::new(self.buffer.unfilled());
            let read = self.io.as_mut().poll_read(cx, &mut room);
            let len = room.filled().len();
            match read {
                Poll::Pending => {
                    // While it waits for the first byte it holds no memory.
                    self.buffer.release();
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(ConnectionError::reading(error)));
                }
                Poll::Ready(Ok(())) if len == 0 => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            self.buffer.filled(len);
            turn.read += len;
        }
    }

    /// Handles what was read.
    fn handle(&mut self) -> Result<(), ConnectionError> {
        let conn = self.conn;
        loop {
            let mut input = self.buffer.bytes();
            let before = input.len();
            let now = conn.shared.now();
            let next = conn.with(|connection| {
                connection.next(&mut input, now, |name| conn.shared.routes.find(name))
            });
            let taken = before - input.len();
            self.buffer.consume(taken);
            match next? {
                Some(command) => run(conn, command),
                None => return Ok(()),
            }
        }
    }

    /// The input has ended like this: what was accepted is still answered, unless the line is lost.
    fn end_input(&mut self, ended: Result<(), ConnectionError>) -> Result<(), ConnectionError> {
        if let Err(
            error @ (ConnectionError::Read(_)
            | ConnectionError::Link(_)
            | ConnectionError::Limit(_)
            | ConnectionError::Shutdown),
        ) = ended
        {
            return Err(error);
        }
        let end = self.conn.with(|connection| connection.end_input());
        self.buffer = ReceiveBuffer::new(READ);
        self.stage = Stage::Answering(ended.and(end));
        Ok(())
    }

    /// Reads to the end, for nothing.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut bytes = [0; 512];
            let mut room = ReadBuf::new(&mut bytes);
            match self.io.as_mut().poll_read(cx, &mut room) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

/// Runs a command: its handler is polled once here, and has a task only if it waits.
fn run(conn: &Arc<Conn>, command: Command<Route>) {
    let Command {
        key,
        route,
        request,
        has_data,
    } = command;
    let id = request.id();
    let span = request_span(id, request.name());
    let call = Call(Arc::new(Head {
        request,
        revision: conn.shared.engine.config().revision,
        peer: Arc::clone(&conn.peer),
        gone: conn.gone.clone(),
    }));
    let parts = Parts {
        call,
        data: Some(Data::new(conn, has_data.then_some(key))),
        reply: Reply::new(Arc::clone(conn), key),
        conn: Arc::clone(conn),
        key,
    };
    let mut handler: Running = match &conn.shared.authorize {
        None => route(parts),
        Some(_) => Box::pin(authorized(Arc::clone(conn), route, parts)),
    };
    let in_span = span.enter();
    let mut cx = Context::from_waker(Waker::noop());
    match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(&mut cx))) {
        Ok(Poll::Pending) => {
            drop(in_span);
            conn.spawn(key, handler, span);
        }
        Ok(Poll::Ready(result)) => {
            drop(handler);
            conn.handler_ended(key, outcome(result));
        }
        Err(_) => {
            // What it holds may panic once more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(handler)));
            conn.handler_ended(key, Outcome::Panicked);
        }
    }
}

/// Runs a handler if its peer may.
async fn authorized(conn: Arc<Conn>, route: Route, parts: Parts) -> Result<(), Failure> {
    let Some(authorize) = &conn.shared.authorize else {
        return route(parts).await;
    };
    if let Err(failure) = authorize(parts.call.clone()).await {
        parts.refuse(Refusal::Forbidden);
        parts.reply.fail(failure);
        return Ok(());
    }
    route(parts).await
}

/// What a connection is cut for.
pub(super) const DEADLINE: ConnectionError = ConnectionError::Limit(ConnectionLimit::Deadline);
