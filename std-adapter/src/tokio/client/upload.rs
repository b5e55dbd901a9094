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
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::exchange::{CallState, Shared};
use super::writer::Job;
use crate::tokio::CallError;
use crate::tokio::outgoing::Lane;

/// Most bytes that are read, and wait in a lane, at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Where a request's data comes from.
pub(super) enum Source {
    Bytes(Bytes),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Source {
    /// The next bytes; empty at the end.
    async fn next(&mut self, buffer: &mut BytesMut) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.split_to(bytes.len().min(CHUNK))),
            Self::Reader(reader) => {
                buffer.reserve(CHUNK);
                let len = loop {
                    match reader.read_buf(buffer).await {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => break result?,
                    }
                };
                Ok(buffer.split_to(len).freeze())
            }
            Self::Stream(stream) => loop {
                match poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    None => return Ok(Bytes::new()),
                    Some(Ok(bytes)) if bytes.is_empty() => {}
                    Some(result) => return result,
                }
            },
        }
    }
}

/// Has the driver send a call's data.
pub(super) fn start(shared: &Arc<Shared>, call: &Arc<CallState>, lane: Lane<Job>, source: Source) {
    let upload = run(Arc::clone(shared), Arc::clone(call), lane, source);
    // Without a driver the connection has ended, and the call with it.
    let _ = shared.uploads.send(Box::pin(upload));
}

/// Ends a call's data, wherever it is.
pub(super) fn finish(lane: &Lane<Job>, call: &Arc<CallState>) {
    // Without a connection there is nothing to end.
    let _ = lane.push(Job::Data {
        call: Arc::clone(call),
        bytes: Bytes::new(),
        is_last: true,
    });
}

async fn run(shared: Arc<Shared>, call: Arc<CallState>, lane: Lane<Job>, mut source: Source) {
    let mut buffer = BytesMut::new();
    loop {
        let next = async {
            lane.ready().await.ok()?;
            Some(source.next(&mut buffer).await)
        };
        let next = tokio::select! {
            biased;
            () = call.stop.notified() => Some(Ok(Bytes::new())),
            next = next => next,
        };
        match next {
            // The connection has ended, and the call will.
            None => return,
            Some(Ok(bytes)) if bytes.is_empty() => return finish(&lane, &call),
            Some(Ok(bytes)) => {
                let job = Job::Data {
                    call: Arc::clone(&call),
                    bytes,
                    is_last: false,
                };
                if lane.push(job).is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                call.end(Err(CallError::Source(Arc::new(error))));
                shared.give_up(&call);
                // The server must not wait for what never comes.
                return finish(&lane, &call);
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
