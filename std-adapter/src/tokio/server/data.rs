//! A request's data, as it arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::super::pipe::Receiver;
use super::super::read::poll_read;
use crate::host::DATA_CUT;

/// A request's data, as it arrives while the handler runs: a reader
/// ([`AsyncRead`], [`AsyncBufRead`]) and a stream of [`Bytes`], as it suits.
///
/// Its end is the data's; if the connection ends first, reading fails with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). Dropped before its end, the rest is swallowed.
/// Dropping a read loses no bytes.
#[derive(Debug)]
pub struct Data {
    pub(super) pipe: Option<Receiver<DataError>>,
    pub(super) chunk: Bytes,
}

/// Why data has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataError {
    /// The connection ended first.
    Cut,
    /// The request was refused meanwhile.
    Refused,
}

impl From<DataError> for io::Error {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Cut => Self::new(io::ErrorKind::UnexpectedEof, DATA_CUT),
            DataError::Refused => Self::new(io::ErrorKind::TimedOut, "the request was refused"),
        }
    }
}

impl Data {
    /// Data of a request that has none.
    pub(super) const EMPTY: Self = Self {
        pipe: None,
        chunk: Bytes::new(),
    };

    /// Whether the request has data, be it empty.
    pub const fn is_announced(&self) -> bool {
        self.pipe.is_some()
    }

    /// The next bytes, never empty; `None` at the end.
    ///
    /// # Errors
    /// The data has no end, see [`Data`].
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_bytes(cx)).await
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.chunk.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.chunk))));
        }
        match &self.pipe {
            Some(pipe) => pipe.poll_chunk(cx).map_err(io::Error::from),
            None => Poll::Ready(Ok(None)),
        }
    }
}

impl Stream for Data {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_bytes(cx).map(Result::transpose)
    }
}

impl AsyncBufRead for Data {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let data = self.get_mut();
        if data.chunk.is_empty()
            && let Some(chunk) = ready!(data.poll_bytes(cx))?
        {
            data.chunk = chunk;
        }
        Poll::Ready(Ok(&data.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        let len = len.min(self.chunk.len());
        self.chunk.advance(len);
    }
}

impl AsyncRead for Data {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read(self, cx, buffer)
    }
}
