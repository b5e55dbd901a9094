//! What the tasks of both ends' connections do alike: wake up, write, wait for a deadline.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ConnectionError;

/// Bytes that are read, or written, before it is the turn of others. A peer that always sends, or
/// takes, would else be served for as long as the runtime lets a task run, which is 128 reads.
const TURN: usize = 64 * 1024;

/// Slices that are written at once.
const SLICES: usize = 16;

/// Bytes that were read and written since it was the turn of others.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) read: usize,
    written: usize,
}

impl Turn {
    pub(super) const fn is_over(&self) -> bool {
        self.read >= TURN || self.written >= TURN
    }
}

/// Wakes the connection's own task, unless that is at work and looks again by itself.
#[derive(Debug, Default)]
pub(super) struct Bell {
    waker: AtomicWaker,
    state: AtomicU8,
}

/// The task waits to be woken.
const PARKED: u8 = 0;
/// It is at work.
const WORKING: u8 = 1;
/// It is at work and has to look again.
const RUNG: u8 = 2;

impl Bell {
    /// The task begins to work.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
        self.state.store(WORKING, Ordering::SeqCst);
    }

    /// The task has done all that it knows of; `false` if there is more.
    pub(super) fn park(&self) -> bool {
        self.state.swap(PARKED, Ordering::SeqCst) != RUNG
    }

    pub(super) fn ring(&self) {
        if self.state.swap(RUNG, Ordering::SeqCst) == PARKED {
            self.waker.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// An engine's connection, as far as bytes are moved.
pub(super) trait Moves {
    /// Makes frames of what waits.
    fn fill(&mut self, now: u64);

    /// Sets slices to the bytes that are to be written next; how many were set.
    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;

    /// So many of them were written.
    fn sent(&mut self, bytes: usize, now: u64);

    /// When something is given up that has waited too long.
    fn deadline(&self) -> Option<u64>;
}

/// A connection behind a lock.
pub(super) trait Driven {
    /// The connection.
    type Connection: Moves;

    /// Does something with it, and wakes whom that concerns.
    fn locked<R>(&self, act: impl FnOnce(&mut Self::Connection) -> R) -> R;

    /// The time, in milliseconds.
    fn now(&self) -> u64;
}

/// Writes what a connection has.
#[derive(Default)]
pub(super) struct Writer {
    /// Written bytes may not have left a buffer below.
    is_dirty: bool,
}

impl Writer {
    /// Writes what there is; whether that was all, and has left.
    pub(super) fn write<C: Driven>(
        &mut self,
        connection: &C,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<bool, ConnectionError> {
        let failed = ConnectionError::writing;
        loop {
            let now = connection.now();
            let written = connection.locked(|connection| {
                connection.fill(now);
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = connection.output(&mut slices);
                if count == 0 {
                    return None;
                }
                let slices = slices.get(..count).unwrap_or_default();
                let written = match io.is_write_vectored() {
                    true => io.as_mut().poll_write_vectored(cx, slices),
                    false => {
                        let first = slices.first().map(|slice| &**slice);
                        io.as_mut().poll_write(cx, first.unwrap_or_default())
                    }
                };
                if let Poll::Ready(Ok(len)) = written {
                    connection.sent(len, now);
                }
                Some(written)
            });
            match written {
                None => break,
                Some(Poll::Pending) => return Ok(false),
                Some(Poll::Ready(Ok(0))) => {
                    return Err(failed(std::io::ErrorKind::WriteZero.into()));
                }
                Some(Poll::Ready(Ok(len))) => {
                    self.is_dirty = true;
                    turn.written += len;
                    if turn.is_over() {
                        // What the peer has made room for counts before it is blamed.
                        connection.locked(|connection| connection.fill(now));
                        return Ok(false);
                    }
                }
                Some(Poll::Ready(Err(error))) => return Err(failed(error)),
            }
        }
        if self.is_dirty {
            match io.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.is_dirty = false,
                Poll::Ready(Err(error)) => return Err(failed(error)),
            }
        }
        Ok(!self.is_dirty)
    }
}

/// Wakes when something is given up that has waited too long.
#[derive(Default)]
pub(super) struct Stall(Option<(u64, Pin<Box<Sleep>>)>);

impl Stall {
    /// Has the task woken then; whether it is time.
    pub(super) fn poll<C: Driven>(&mut self, connection: &C, cx: &mut Context<'_>) -> bool {
        let deadline = connection.locked(|connection| connection.deadline());
        match (deadline, &self.0) {
            (None, _) => self.0 = None,
            (Some(at), Some((other, _))) if at == *other => {}
            (Some(at), _) => {
                let left = at.saturating_sub(connection.now());
                let until = Instant::now() + Duration::from_millis(left);
                self.0 = Some((at, Box::pin(sleep_until(until))));
            }
        }
        let Some((_, sleep)) = &mut self.0 else {
            return false;
        };
        let is_over = sleep.as_mut().poll(cx).is_ready();
        if is_over {
            self.0 = None;
        }
        is_over
    }
}
