//! The answer to a call, as it arrives.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use hgrpc::cbor::{Location, ValueScanner};
use hgrpc::wire::RequestId;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Handle;
use super::exchange::CallState;
use crate::host::calls::TRUNCATED;
use crate::host::strings::{Step, Strings};
use crate::tokio::pipe::Receiver;
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
    call: Arc<CallState>,
    body: Option<Receiver<CallError>>,
    /// What came and is not used up.
    chunk: Bytes,
    deadline: Option<Pin<Box<Sleep>>>,
    strings: Strings,
    /// The error or the end that reading came to.
    end: Option<Result<(), CallError>>,
    /// A value that is not complete.
    value: Vec<u8>,
    scanner: ValueScanner,
}

impl Response {
    pub(super) fn new(
        handle: Arc<Handle>,
        call: Arc<CallState>,
        body: Option<Receiver<CallError>>,
        deadline: Option<Instant>,
    ) -> Self {
        let strings = Strings::of_response(handle.shared.revision);
        Self {
            handle,
            call,
            body,
            chunk: Bytes::new(),
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            strings,
            end: None,
            value: Vec::new(),
            scanner: ValueScanner::new(),
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
        let Some(body) = self.body.as_ref().filter(|_| self.chunk.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        match body.poll_opened(cx) {
            Poll::Pending => self.poll_deadline(cx).map(Err),
            ready => ready,
        }
    }

    /// Where the server wants the answer to be fetched from (0006); waits as [`wait`](Self::wait).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn redirect(&mut self) -> Result<Option<Location<'_>>, CallError> {
        self.wait().await?;
        self.call.head.location()
    }

    /// Reads all that the command wrote, if it is at most `limit` bytes. Dropping the future gives
    /// the call up.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read_bytes(mut self, limit: usize) -> Result<Vec<u8>, CallError> {
        let mut all = Vec::new();
        while let Some(piece) = self.next_piece().await? {
            if piece.len() > limit - all.len() {
                return Err(CallError::Answer(AnswerError::TooLarge));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Reads all that the command wrote as text, if it is at most `limit` bytes. Escape it before it
    /// goes to a terminal. Dropping the future gives the call up.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read_text(self, limit: usize) -> Result<String, CallError> {
        String::from_utf8(self.read_bytes(limit).await?)
            .map_err(|_| CallError::Answer(AnswerError::NotText))
    }

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

    fn poll_value(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>, CallError>> {
        let most = self.handle.shared.limits.value_size;
        loop {
            ready!(self.poll_raw(cx))?;
            if self.chunk.is_empty() {
                return Poll::Ready(if self.value.is_empty() {
                    Ok(None)
                } else {
                    Err(TRUNCATED)
                });
            }
            let end = self
                .scanner
                .scan(&self.chunk)
                .map_err(|_| CallError::Answer(AnswerError::NotValues))?;
            let len = end.unwrap_or(self.chunk.len());
            if len > most - self.value.len() {
                return Poll::Ready(Err(CallError::Answer(AnswerError::TooLarge)));
            }
            self.value.extend_from_slice(&self.chunk.split_to(len));
            if end.is_some() {
                self.scanner = ValueScanner::new();
                return Poll::Ready(Ok(Some(std::mem::take(&mut self.value))));
            }
        }
    }

    /// The response's bytes as they are, which in 0006 are a sequence of CBOR values.
    pub const fn raw_body(&mut self) -> RawBody<'_> {
        RawBody(self)
    }

    /// The request's ID on its connection.
    pub fn request_id(&self) -> RequestId {
        // A response exists only once its request was sent.
        self.call.head.id().unwrap_or_default()
    }

    /// Gives the call up: what still comes of it is swallowed. The same as dropping it. The server
    /// is not told; the protocol has no way to.
    pub fn cancel(self) {}

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        match &mut self.deadline {
            None => Poll::Pending,
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| CallError::TimedOut),
        }
    }

    /// Has bytes of the body in `chunk`; none at the end.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if self.call.head.is_redirected() {
            return Poll::Ready(Err(CallError::Answer(AnswerError::Redirected)));
        }
        let Some(body) = self.body.as_ref().filter(|_| self.chunk.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        match body.poll_chunk(cx) {
            Poll::Ready(Ok(chunk)) => {
                self.chunk = chunk.unwrap_or_default();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }

    /// How many of the bytes in `chunk` are the command's own; none at the end.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CallError>> {
        match &self.end {
            Some(Ok(())) => return Poll::Ready(Ok(0)),
            Some(Err(error)) => return Poll::Ready(Err(error.clone())),
            None => {}
        }
        let result = ready!(self.poll_advance(cx));
        match &result {
            Ok(0) => self.end = Some(Ok(())),
            // Its end may come yet.
            Ok(_) | Err(CallError::TimedOut) => {}
            Err(error) => self.end = Some(Err(error.clone())),
        }
        Poll::Ready(result)
    }

    /// Passes over heads until content is at the front.
    fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CallError>> {
        loop {
            ready!(self.poll_raw(cx))?;
            if self.chunk.is_empty() {
                return Poll::Ready(if self.strings.is_between() {
                    Ok(0)
                } else {
                    Err(TRUNCATED)
                });
            }
            match self.strings.step(&self.chunk)? {
                Step::Content(len) => return Poll::Ready(Ok(len)),
                Step::Head => self.chunk.advance(1),
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        let len = ready!(self.poll_content(cx))?;
        self.strings.passed(len);
        Poll::Ready(Ok((len > 0).then(|| self.chunk.split_to(len))))
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
        Poll::Ready(Ok(this.chunk.get(..len).unwrap_or_default()))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        let len = len.min(self.chunk.len());
        self.strings.passed(len);
        self.chunk.advance(len);
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
        if self.body.as_ref().is_some_and(|body| !body.is_ended()) {
            self.handle.shared.give_up(&self.call);
        }
    }
}

/// A response's bytes as they are; see [`Response::raw_body`].
#[derive(Debug)]
pub struct RawBody<'a>(&'a mut Response);

impl AsyncBufRead for RawBody<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let response = &mut *self.get_mut().0;
        ready!(response.poll_raw(cx))?;
        Poll::Ready(Ok(&response.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        let len = len.min(self.0.chunk.len());
        self.0.chunk.advance(len);
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
            .field("call", &self.call)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
