//! A bounded pipe of bytes between a connection and a handler or a caller: a request's data, a
//! response.
//!
//! ```text
//!   push(bytes).await ─▶ [chunk][chunk][chunk] ─▶ poll_chunk: Bytes
//!                        └─ at most `capacity` bytes
//! ```
//! Every byte is copied once, on its way in. Many small pushes share a chunk.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use crate::host::sync::lock;

/// The least memory of a chunk: smaller pushes join the chunk before them where it has room.
const SMALL: usize = 2 * 1024;

/// The most bytes of a chunk.
const LARGE: usize = 32 * 1024;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It was taken.
    Taken,
    /// Nobody reads any more, or the pipe has ended.
    Closed,
    /// The reader did not make room in time.
    Stalled,
}

#[derive(Debug)]
struct State<E> {
    chunks: VecDeque<BytesMut>,
    held: usize,
    is_opened: bool,
    end: Option<Result<(), E>>,
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl<E> State<E> {
    const fn is_closed(&self) -> bool {
        self.is_abandoned || self.end.is_some()
    }
}

#[derive(Debug)]
struct Shared<E> {
    state: Mutex<State<E>>,
    capacity: usize,
}

/// The end that is written to. One task pushes; any may end the pipe.
#[derive(Debug)]
pub(super) struct Sender<E>(Arc<Shared<E>>);

/// The end that is read. Dropped before the end, the rest is not taken any more.
#[derive(Debug)]
pub(super) struct Receiver<E>(Arc<Shared<E>>);

/// A pipe that holds at most `capacity` bytes, at least one.
pub(super) fn pipe<E: Clone>(capacity: usize) -> (Sender<E>, Receiver<E>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            chunks: VecDeque::new(),
            held: 0,
            is_opened: false,
            end: None,
            is_abandoned: false,
            reader: None,
            writer: None,
        }),
        capacity: capacity.max(1),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<E: Clone> Sender<E> {
    /// Hands bytes over; waits for room, at most for `stall` at a time.
    ///
    /// What was handed over is taken off the front of `bytes`, so that nothing is lost when this is
    /// dropped, and it can be tried again.
    pub(super) async fn push(&self, bytes: &mut &[u8], stall: Option<Duration>) -> Pushed {
        while !bytes.is_empty() {
            // A wake-up for every few bytes of room would cost more than it gives.
            let wanted = bytes.len().min(self.0.capacity.div_ceil(2)).min(LARGE);
            let room = match within(stall, poll_fn(|cx| self.poll_room(wanted, cx))).await {
                Some(Some(room)) => room,
                Some(None) => return Pushed::Closed,
                None => return Pushed::Stalled,
            };
            let (now, later) = bytes.split_at(bytes.len().min(room).min(LARGE));
            if self.join(now) {
                *bytes = later;
                continue;
            }
            let capacity = now.len().max(SMALL);
            let mut chunk = BytesMut::with_capacity(capacity);
            chunk.extend_from_slice(now);
            self.append(chunk);
            *bytes = later;
        }
        if self.is_closed() {
            Pushed::Closed
        } else {
            Pushed::Taken
        }
    }

    /// How much room there is, at least `wanted`; `None` if the pipe is closed.
    fn poll_room(&self, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut state = lock(&self.0.state);
        let room = self.0.capacity.saturating_sub(state.held);
        if state.is_closed() {
            Poll::Ready(None)
        } else if room >= wanted {
            Poll::Ready(Some(room))
        } else {
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    /// Adds a few bytes to the last chunk, if it has room for them.
    fn join(&self, bytes: &[u8]) -> bool {
        let mut state = lock(&self.0.state);
        if bytes.len() >= SMALL {
            return false;
        }
        match state.chunks.back_mut() {
            Some(last) if last.capacity() - last.len() >= bytes.len() => {
                last.extend_from_slice(bytes);
                state.held += bytes.len();
                true
            }
            _ => false,
        }
    }

    fn append(&self, chunk: BytesMut) {
        let mut state = lock(&self.0.state);
        if state.is_abandoned {
            return;
        }
        state.held += chunk.len();
        state.chunks.push_back(chunk);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Something is known before the first byte; see [`Receiver::poll_opened`].
    pub(super) fn open(&self) {
        let mut state = lock(&self.0.state);
        state.is_opened = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Ends the pipe; what was pushed can still be read. The first end counts.
    pub(super) fn end(&self, result: Result<(), E>) {
        let mut state = lock(&self.0.state);
        if state.end.is_none() {
            state.end = Some(result);
        }
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }

    /// Whether pushing is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0.state).is_closed()
    }
}

/// The future's output; `None` if it took longer. No timer is made for what is ready at once.
pub(super) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match (first, limit) {
        (Poll::Ready(output), _) => Some(output),
        (Poll::Pending, Some(limit)) => timeout(limit, future).await.ok(),
        (Poll::Pending, None) => Some(future.await),
    }
}

impl<E: Clone> Receiver<E> {
    /// The next bytes, never empty; `None` at the end.
    pub(super) fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, E>> {
        let mut state = lock(&self.0.state);
        if let Some(chunk) = state.chunks.pop_front() {
            state.held = state.held.saturating_sub(chunk.len());
            let writer = if state.held <= self.0.capacity / 2 {
                state.writer.take()
            } else {
                None
            };
            drop(state);
            wake(writer);
            return Poll::Ready(Ok(Some(chunk.freeze())));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(Ok(None)),
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ready when the pipe is opened, has bytes, or has ended.
    pub(super) fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = lock(&self.0.state);
        if state.is_opened || state.held > 0 {
            return Poll::Ready(Ok(()));
        }
        match &state.end {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether the writing end has ended the pipe.
    pub(super) fn is_ended(&self) -> bool {
        lock(&self.0.state).end.is_some()
    }
}

impl<E> Drop for Receiver<E> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.is_abandoned = true;
        state.held = 0;
        let chunks = std::mem::take(&mut state.chunks);
        let writer = state.writer.take();
        drop(state);
        drop(chunks);
        wake(writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(receiver: &Receiver<u8>) -> Result<Option<Bytes>, u8> {
        poll_fn(|cx| receiver.poll_chunk(cx)).await
    }

    #[tokio::test]
    async fn bytes_come_in_order_through_a_small_pipe() {
        let (sender, receiver) = pipe::<u8>(7);
        let sent: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let expected = sent.clone();
        tokio::spawn(async move {
            for piece in sent.chunks(13) {
                assert_eq!(sender.push(&mut &*piece, None).await, Pushed::Taken);
            }
            sender.end(Ok(()));
        });
        let mut all = Vec::new();
        while let Some(bytes) = next(&receiver).await.unwrap() {
            assert!(bytes.len() <= 7);
            all.extend_from_slice(&bytes);
        }
        assert_eq!(all, expected);
    }

    #[tokio::test]
    async fn an_error_comes_after_the_bytes() {
        let (sender, receiver) = pipe(100);
        assert_eq!(sender.push(&mut &b"ab"[..], None).await, Pushed::Taken);
        sender.end(Err(7));
        sender.end(Ok(()));
        assert_eq!(next(&receiver).await, Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(next(&receiver).await, Err(7));
        assert_eq!(sender.push(&mut &b"c"[..], None).await, Pushed::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_has_limits() {
        let (sender, receiver) = pipe::<u8>(4);
        let stall = Some(Duration::from_secs(5));
        assert_eq!(sender.push(&mut &b"abcd"[..], stall).await, Pushed::Taken);
        let mut rest = &b"e"[..];
        assert_eq!(sender.push(&mut rest, stall).await, Pushed::Stalled);
        assert_eq!(rest, b"e");
        drop(receiver);
        assert_eq!(sender.push(&mut &b"e"[..], stall).await, Pushed::Closed);
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_reader_goes() {
        let (sender, receiver) = pipe::<u8>(100);
        let push = tokio::spawn(async move { sender.push(&mut &[0; 1000][..], None).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(push.await.unwrap(), Pushed::Closed);
    }
}
