//! What moves a client connection's bytes: one future for reading, writing and the data of calls.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};
use tracing::{Instrument as _, debug, debug_span};

use super::conn::Conn;
use crate::buffer::ReceiveBuffer;
use crate::tokio::ConnectionError;
use crate::tokio::drive::{Stall, Turn, Writer};

/// How long a connection that cannot be written is read all the same: what the peer said before it
/// closed may still be on its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long what was sent may take to go out when nobody has the client any more, and the peer to
/// close its side after that.
const LINGER: Duration = Duration::from_secs(1);

/// What moves a connection's bytes, until it has ended; then, why it has. Spawn it.
///
/// It reads and writes at the same time, and reads the data of calls. Dropped, the connection is cut
/// and every open call ends with [`ConnectionError::Shutdown`]. Polled again after its end, it gives
/// the same error; after a panic of a data source or an observer, which cuts the connection,
/// [`ConnectionError::Shutdown`].
#[must_use = "nothing happens unless the driver is polled"]
pub struct Driver {
    /// What moves the bytes, or why it has ended.
    running: Result<BoxFuture<'static, ConnectionError>, ConnectionError>,
}

/// Ends the calls, also when the driver is dropped.
struct End(Arc<Conn>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.driver_ended();
    }
}

impl Driver {
    pub(super) fn new<T>(conn: Arc<Conn>, io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let end = End(conn);
        let running = async move {
            let error = run(&end.0, io).await;
            debug!(%error, "the connection has ended");
            end.0.end(&error);
            error
        };
        Self {
            running: Ok(Box::pin(running.instrument(debug_span!("hgrpc_client")))),
        }
    }
}

impl Future for Driver {
    type Output = ConnectionError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        // Taken out: one that panics is not polled again either.
        let running = std::mem::replace(&mut self.running, Err(ConnectionError::Shutdown));
        let polled = match running {
            Ok(mut running) => match running.as_mut().poll(cx) {
                Poll::Ready(error) => Err(error),
                Poll::Pending => Ok(running),
            },
            Err(error) => Err(error),
        };
        self.running = polled;
        match &self.running {
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(error.clone()),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// Where a connection is.
enum Stage {
    Serving,
    /// Nothing can be written, for this reason; what comes is still read.
    Reading(ConnectionError, Pin<Box<Sleep>>),
    /// Nobody wants more of it. What was sent goes out; what the peer still says is read, so that it
    /// can read that, and a socket is not reset under it.
    Closing(Pin<Box<Sleep>>),
}

/// What moves a connection's bytes.
struct Mover<'a, Io> {
    conn: &'a Arc<Conn>,
    io: Pin<&'a mut Io>,
    buffer: ReceiveBuffer,
    stage: Stage,
    stall: Stall,
    writer: Writer,
    uploads: FuturesUnordered<BoxFuture<'static, ()>>,
    /// What was read waits for room.
    is_stuck: bool,
    /// Nothing more is read.
    has_read: bool,
    /// All was written, and the sending side closed.
    has_written: bool,
}

async fn run<Io: AsyncRead + AsyncWrite>(conn: &Arc<Conn>, io: Io) -> ConnectionError {
    let io = std::pin::pin!(io);
    let mut mover = Mover {
        conn,
        io,
        buffer: ReceiveBuffer::default(),
        stage: Stage::Serving,
        stall: Stall::default(),
        writer: Writer::default(),
        uploads: FuturesUnordered::new(),
        is_stuck: false,
        has_read: false,
        has_written: false,
    };
    poll_fn(|cx| mover.poll(cx)).await
}

impl<Io: AsyncRead + AsyncWrite> Mover<'_, Io> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        let mut turn = Turn::default();
        loop {
            self.conn.bell.begin(cx);
            if let Some(error) = self.work(cx, &mut turn) {
                return Poll::Ready(error);
            }
            if turn.is_over() {
                // Others have their turn.
                self.conn.bell.park();
                return std::pin::pin!(yield_now())
                    .poll(cx)
                    .map(|()| ConnectionError::Shutdown);
            }
            if self.conn.bell.park() {
                return Poll::Pending;
            }
        }
    }

    /// Does what can be done; why the connection has ended, if it has.
    fn work(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Option<ConnectionError> {
        if self.conn.is_cut() {
            return Some(ConnectionError::Shutdown);
        }
        self.run_uploads(cx);
        if !self.has_read
            && let Poll::Ready(error) = self.read(cx, turn)
        {
            self.has_read = true;
            match &self.stage {
                Stage::Serving => return Some(error),
                Stage::Reading(first, _) => return Some(first.clone()),
                Stage::Closing(_) => {}
            }
        }
        if self.stall.poll(&**self.conn, cx) {
            self.conn.bell.ring();
        }
        let is_closing = self.conn.is_closing();
        if matches!(self.stage, Stage::Serving) && is_closing && self.uploads.is_empty() {
            self.stage = Stage::Closing(Box::pin(sleep(LINGER)));
        }
        let written = match &self.stage {
            Stage::Reading(..) => Ok(()),
            Stage::Closing(_) if self.has_written => Ok(()),
            _ => self.write(cx, turn),
        };
        match &mut self.stage {
            Stage::Serving => {
                if let Err(error) = written {
                    self.conn.with(|engine| engine.end_output(&error));
                    self.stage = Stage::Reading(error, Box::pin(sleep(PATIENCE)));
                    self.conn.bell.ring();
                }
                None
            }
            Stage::Reading(error, over) => {
                let is_over = is_closing || over.as_mut().poll(cx).is_ready();
                is_over.then(|| error.clone())
            }
            Stage::Closing(over) => {
                let is_over = over.as_mut().poll(cx).is_ready();
                self.has_written |= written.is_err();
                (is_over || self.has_read && self.has_written).then_some(ConnectionError::Shutdown)
            }
        }
    }

    fn run_uploads(&mut self, cx: &mut Context<'_>) {
        self.uploads.extend(self.conn.take_uploads());
        while let Poll::Ready(Some(())) = self.uploads.poll_next_unpin(cx) {}
    }

    /// Reads and handles what comes. Ready: why nothing more does.
    fn read(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<ConnectionError> {
        loop {
            if let Err(error) = self.handle() {
                return Poll::Ready(error);
            }
            if self.is_stuck || turn.is_over() {
                return Poll::Pending;
            }
            let mut room = ReadBuf::new(self.buffer.unfilled());
            let read = self.io.as_mut().poll_read(cx, &mut room);
            let len = room.filled().len();
            match read {
                Poll::Pending => {
                    let is_large = self.buffer.capacity() > ReceiveBuffer::INITIAL;
                    if is_large && self.conn.with(|engine| engine.is_idle()) {
                        self.buffer.release();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(ConnectionError::reading(error)),
                Poll::Ready(Ok(())) if len == 0 => {
                    return Poll::Ready(self.conn.with(|engine| engine.end_input()));
                }
                Poll::Ready(Ok(())) => {}
            }
            self.buffer.filled(len);
            self.conn.meter.bytes_in(len);
            turn.read += len;
        }
    }

    /// Handles what was read.
    fn handle(&mut self) -> Result<(), ConnectionError> {
        use crate::tokio::drive::Driven as _;
        let mut input = self.buffer.bytes();
        let before = input.len();
        // Decoded bytes may wait, and notes, though all that came was taken.
        if before == 0 && !self.is_stuck {
            return Ok(());
        }
        let now = self.conn.now();
        let (result, is_stuck) = self.conn.with(|engine| {
            let result = engine.receive(&mut input, now);
            (result, engine.is_stuck())
        });
        self.is_stuck = is_stuck;
        let taken = before - input.len();
        self.buffer.consume(taken);
        // Nothing is taken directly here.
        result.map(|_| ())
    }

    /// Writes what there is; closes the sending side behind the last of it.
    fn write(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Result<(), ConnectionError> {
        let is_all = self
            .writer
            .write(&**self.conn, self.io.as_mut(), cx, turn)?;
        if is_all && matches!(self.stage, Stage::Closing(_)) {
            match self.io.as_mut().poll_shutdown(cx) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    self.has_written = true;
                    result.map_err(ConnectionError::writing)?;
                }
            }
        }
        Ok(())
    }
}
