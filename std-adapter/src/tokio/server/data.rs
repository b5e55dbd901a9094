//! A request's data, as it arrives.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::super::read::poll_read;
use super::conn::Conn;
use crate::engine::server::Locked as _;
use crate::engine::{Charge, Key};

/// A request's data, as it arrives while the handler runs: a reader
/// ([`AsyncRead`], [`AsyncBufRead`]) and a stream of [`Bytes`], as it suits.
///
/// Its end is the data's; if the connection ends first, reading fails with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). Dropped before its end, the rest is swallowed.
/// Dropping a read loses no bytes.
#[derive(Debug, Default)]
pub struct Data {
    /// Where it comes from; `None`: the request has none.
    source: Option<(Arc<Conn>, Key)>,
    chunk: Bytes,
}

impl Data {
    /// The data of a request; `None` of one that has none.
    pub(super) fn new(conn: &Arc<Conn>, key: Option<Key>) -> Self {
        Self {
            source: key.map(|key| (Arc::clone(conn), key)),
            chunk: Bytes::new(),
        }
    }

    /// Whether the request has data, be it empty.
    pub const fn is_announced(&self) -> bool {
        self.source.is_some()
    }

    /// The next bytes, never empty; `None` at the end.
    ///
    /// # Errors
    /// The data has no end, see [`Data`].
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_bytes(cx)).await
    }

    /// The same for who keeps them, which counts.
    pub(super) async fn next_held(&mut self) -> io::Result<Option<(Bytes, Charge)>> {
        match &self.source {
            Some((conn, key)) => Ok(poll_fn(|cx| conn.poll_data(*key, cx)).await?),
            None => Ok(None),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.chunk.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.chunk))));
        }
        let Some((conn, key)) = &self.source else {
            return Poll::Ready(Ok(None));
        };
        let read = ready!(conn.poll_data(*key, cx)).map_err(io::Error::from);
        Poll::Ready(read.map(|read| read.map(|(bytes, _)| bytes)))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some((conn, key)) = &self.source {
            conn.with(|connection| connection.data_dropped(*key));
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
