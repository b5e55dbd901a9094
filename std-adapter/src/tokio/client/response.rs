//! The answer to a call, as it arrives.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use hgrpc::cbor::{FromValue, Location};
use hgrpc::wire::RequestId;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Handle;
use crate::engine::Key;
use crate::engine::client::{Content, More, location};
use crate::host::reads::reads;
use crate::host::values;
use crate::tokio::read::poll_read;
use crate::tokio::{AnswerError, CallError};

/// The answer to a call, as it arrives.
///
/// It gives what the command wrote, in all revisions alike, bytes or values as they are encoded: read
/// it ([`AsyncRead`], [`AsyncBufRead`]) or take pieces of it ([`Stream`]). (In 0006 a value that is a
/// byte string, if it is the first, reads as its content: bytes come as such.)
/// [`next_value`](Self::next_value) gives CBOR values instead. Use one or the other.
///
/// What arrives before it is read waits in a bounded buffer; when that is full, the connection
/// stops: read all responses at once. Dropped before its end, the call is given up: what still comes
/// of it is swallowed, and its neighbours go on.
///
/// Dropping the future of any method that borrows the response loses nothing.
#[must_use = "a response that is dropped gives its call up"]
pub struct Response {
    handle: Arc<Handle>,
    key: Key,
    id: RequestId,
    deadline: Option<Pin<Box<Sleep>>>,
    content: Content,
    /// An encoded status map that names another place.
    redirect: Option<Vec<u8>>,
}

impl Response {
    /// The answer to a call that was sent.
    pub(super) fn new(
        handle: Arc<Handle>,
        key: Key,
        id: RequestId,
        deadline: Option<Instant>,
    ) -> Self {
        let content = Content::new(handle.conn.revision);
        Self {
            handle,
            key,
            id,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            content,
            redirect: None,
        }
    }

    /// Waits until the command has begun to answer, or has failed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn wait(&mut self) -> Result<(), CallError> {
        poll_fn(|cx| self.poll_opened(cx)).await
    }

    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if !self.content.bytes().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let opened = self.handle.conn.with(|engine| {
            let opened = engine.poll_opened(self.key, cx.waker());
            opened.map_ok(|redirect| redirect.map(<[u8]>::to_vec))
        });
        match opened {
            Poll::Pending => poll_deadline(&mut self.deadline, cx).map(Err),
            Poll::Ready(opened) => {
                self.redirect = opened?;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Where the server wants the answer to be fetched from (0006); waits as [`wait`](Self::wait).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn redirect(&mut self) -> Result<Option<Location<'_>>, CallError> {
        self.wait().await?;
        location(self.redirect.as_deref())
    }

    reads!(async [.await]);

    /// The next bytes that the command wrote, never empty; `None` at the end.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, CallError> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The next CBOR value, encoded, as soon as it is complete; `None` at the end.
    ///
    /// # Errors
    /// See [`CallError`]. A value may have at most
    /// [`Limits::value_size`](super::super::Limits::value_size) bytes.
    pub async fn next_value(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        poll_fn(|cx| self.poll_value(cx)).await
    }

    pub(super) fn poll_value(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Vec<u8>>, CallError>> {
        let most = self.handle.conn.limits.value_size;
        self.poll_with(cx, |content, more| content.value(most, more))
    }

    /// Reads of the response, waiting for more of it.
    fn poll_with<R>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Content, &mut dyn FnMut() -> More) -> Option<R>,
    ) -> Poll<R> {
        let (conn, key, deadline) = (&self.handle.conn, self.key, &mut self.deadline);
        let mut more = || match conn.with(|engine| engine.poll_read(key, cx.waker())) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => match poll_deadline(deadline, cx) {
                Poll::Ready(error) => Some(Err(error)),
                Poll::Pending => None,
            },
        };
        read(&mut self.content, &mut more).map_or(Poll::Pending, Poll::Ready)
    }

    /// Has bytes of the body in `content`; none at the end.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.poll_with(cx, |content, more| content.raw(more))
    }

    /// How many of the bytes in `content` are the command's own; none at the end.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CallError>> {
        self.poll_with(cx, |content, more| content.content(more))
    }

    async fn fill(&mut self) -> Result<usize, CallError> {
        poll_fn(|cx| self.poll_content(cx)).await
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        let len = ready!(self.poll_content(cx))?;
        Poll::Ready(Ok((len > 0).then(|| self.content.take(len))))
    }
}

fn poll_deadline(deadline: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<CallError> {
    match deadline {
        None => Poll::Pending,
        Some(deadline) => deadline.as_mut().poll(cx).map(|()| CallError::TimedOut),
    }
}

/// The pieces that [`Response::next_piece`] gives.
impl Stream for Response {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_piece(cx).map(Result::transpose)
    }
}

impl AsyncBufRead for Response {
    /// Errors hold a [`CallError`]; [`CallError::from_io`] takes it out.
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        let len = ready!(this.poll_content(cx))?;
        Poll::Ready(Ok(this.content.bytes().get(..len).unwrap_or_default()))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.content.consume_content(len);
    }
}

impl AsyncRead for Response {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read(self, cx, buffer)
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        let key = self.key;
        self.handle.conn.with(|engine| engine.call_dropped(key));
    }
}

/// A response's bytes as they are; see [`Response::raw_body`].
#[derive(Debug)]
pub struct RawBody<'a>(&'a mut Response);

impl AsyncBufRead for RawBody<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let response = &mut *self.get_mut().0;
        ready!(response.poll_raw(cx))?;
        Poll::Ready(Ok(response.content.bytes()))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.0.content.consume(len);
    }
}

impl AsyncRead for RawBody<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read(self, cx, buffer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
