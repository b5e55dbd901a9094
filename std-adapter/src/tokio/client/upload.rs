//! A request's data on its way: read by the driver, piece by piece, as its lane has room.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::conn::Conn;
use crate::engine::Key;
use crate::tokio::CallError;

/// Most bytes that are read, and wait to be sent, at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Where a request's data comes from.
pub(super) enum Source {
    Bytes(Bytes),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Source {
    /// The next bytes; empty at the end.
    fn poll_next(
        &mut self,
        buffer: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        match self {
            Self::Bytes(bytes) => Poll::Ready(Ok(bytes.split_to(bytes.len().min(CHUNK)))),
            Self::Reader(reader) => {
                buffer.resize(CHUNK, 0);
                let mut room = ReadBuf::new(buffer);
                loop {
                    match ready!(reader.as_mut().poll_read(cx, &mut room)) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => break result?,
                    }
                }
                let len = room.filled().len();
                Poll::Ready(Ok(buffer.split_to(len).freeze()))
            }
            Self::Stream(stream) => loop {
                match ready!(stream.as_mut().poll_next(cx)) {
                    None => return Poll::Ready(Ok(Bytes::new())),
                    Some(Ok(bytes)) if bytes.is_empty() => {}
                    Some(result) => return Poll::Ready(result),
                }
            },
        }
    }
}

/// A call's data on its way; complete, or of no use any more, when this is dropped.
struct Sending {
    conn: Arc<Conn>,
    key: Key,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.conn.with(|engine| engine.upload_ended(self.key));
    }
}

/// Has the driver send a call's data.
pub(super) fn start(conn: &Arc<Conn>, key: Key, source: Source) {
    let sending = Sending {
        conn: Arc::clone(conn),
        key,
    };
    conn.start_upload(Box::pin(run(sending, source)));
}

async fn run(sending: Sending, mut source: Source) {
    let Sending { conn, key } = &sending;
    let mut buffer = BytesMut::new();
    let mut next = |cx: &mut Context<'_>| {
        if !ready!(conn.with(|engine| engine.poll_wants_data(*key, cx.waker()))) {
            return Poll::Ready(Ok(Bytes::new()));
        }
        source.poll_next(&mut buffer, cx)
    };
    loop {
        match poll_fn(&mut next).await {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(bytes) => conn.with(|engine| engine.upload(*key, bytes)),
            Err(error) => {
                let error = CallError::Source(Arc::new(error));
                return conn.with(|engine| engine.upload_failed(*key, error));
            }
        }
    }
}

/// A request's data, written by hand. It is complete with [`finish`](Self::finish), or when it was
/// shut down; dropped before that, the call fails.
#[must_use = "data that is not finished makes the call fail"]
pub struct Upload {
    pieces: PollSender<Bytes>,
    /// Most bytes of a piece.
    most: usize,
    is_finished: Arc<AtomicBool>,
}

/// Pieces that wait between a hand and its upload.
const PIECES: usize = 4;

/// What is written by hand, with about so many bytes on their way.
pub(super) fn by_hand(buffer: usize) -> (Upload, Source) {
    let (sender, mut receiver) = mpsc::channel(PIECES);
    let is_finished = Arc::new(AtomicBool::new(false));
    let upload = Upload {
        pieces: PollSender::new(sender),
        most: (buffer / PIECES).clamp(1, CHUNK),
        is_finished: Arc::clone(&is_finished),
    };
    let pieces = futures_util::stream::poll_fn(move |cx| {
        let piece = ready!(receiver.poll_recv(cx));
        Poll::Ready(match piece {
            None if !is_finished.load(Ordering::Acquire) => Some(Err(dropped())),
            piece => piece.map(Ok),
        })
    });
    (upload, Source::Stream(Box::pin(pieces)))
}

fn dropped() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the upload was dropped before it was finished",
    )
}

impl Upload {
    /// The data is complete.
    pub fn finish(self) {
        self.is_finished.store(true, Ordering::Release);
    }
}

impl AsyncWrite for Upload {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..self.most).unwrap_or(bytes);
        let result = ready!(self.pieces.poll_reserve(cx))
            .and_then(|()| self.pieces.send_item(Bytes::copy_from_slice(piece)));
        Poll::Ready(match result {
            Ok(()) => Ok(piece.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_finished.store(true, Ordering::Release);
        self.pieces.close();
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}
