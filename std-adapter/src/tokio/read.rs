//! Reading, for what has buffered reading.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, ReadBuf};

/// Reading as buffered reading gives it.
pub(super) fn poll_read(
    mut source: Pin<&mut (impl AsyncBufRead + ?Sized)>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let bytes = ready!(source.as_mut().poll_fill_buf(cx))?;
    let bytes = bytes.get(..buffer.remaining()).unwrap_or(bytes);
    buffer.put_slice(bytes);
    let len = bytes.len();
    source.consume(len);
    Poll::Ready(Ok(()))
}
