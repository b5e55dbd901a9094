//! A blocking connection as an async one: a thread for each half.
//!
//! ```text
//!   file ─▶ thread ─▶ [chunk] ─▶ poll_read         poll_write ─▶ [chunk] ─▶ thread ─▶ file
//! ```
//! Each half holds at most three chunks: one in the thread, one on its way, one being used.

use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::PollSender;

use super::{Connection, Left};
use crate::tokio::Peer;
use crate::transport;

/// Largest chunk, in bytes.
const CHUNK: usize = 32 * 1024;

/// Starts the threads.
pub(super) fn connection(connection: transport::Connection) -> io::Result<Connection> {
    let name = connection.peer().to_owned();
    let address = connection.address;
    let (mut from, mut to, handle) = connection.into_parts();
    let close = Arc::new(Close(handle));
    let (read, chunks) = mpsc::channel(1);
    let (alive, left) = watch::channel(());
    let alive = Arc::new(alive);
    let reader_alive = Arc::clone(&alive);
    thread::Builder::new()
        .name("hgrpc-read".into())
        .spawn(move || {
            forward(&mut from, &read);
            drop(from);
            drop(reader_alive);
        })?;
    let (written, mut writes) = mpsc::channel::<Vec<u8>>(1);
    let (done, result) = oneshot::channel();
    let writer_close = Arc::clone(&close);
    thread::Builder::new()
        .name("hgrpc-write".into())
        .spawn(move || {
            let mut result = Ok(());
            while let Some(chunk) = writes.blocking_recv() {
                result = to.write_all(&chunk).and_then(|()| to.flush());
                if result.is_err() {
                    break;
                }
            }
            // The peer reads the end before anybody is told that all is done. What was written is
            // not to be cut by closing.
            drop(to);
            let _ = done.send(result);
            drop(writer_close);
            drop(alive);
        })?;
    let reader = ThreadReader {
        chunks,
        chunk: Vec::new(),
        start: 0,
        _close: close,
    };
    let writer = ThreadWriter {
        chunks: PollSender::new(written),
        result: Some(result),
    };
    let mut connection = Connection::new(reader, writer, name);
    connection.peer = address.map_or(Peer::UNKNOWN, Peer::tcp);
    connection.left = Left(Some(left));
    Ok(connection)
}

/// Hands over what is read, until its end or until nobody takes it.
fn forward(from: &mut dyn Read, to: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let result = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) => return,
            Ok(len) => Ok(buffer.get(..len).unwrap_or_default().to_vec()),
            Err(error) => Err(error),
        };
        if result.is_err() | to.blocking_send(result).is_err() {
            return;
        }
    }
}

/// Ends what blocks in the threads, when nobody is left.
struct Close(transport::Handle);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct ThreadReader {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were read.
    start: usize,
    _close: Arc<Close>,
}

impl AsyncRead for ThreadReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start == self.chunk.len() {
            match ready!(self.chunks.poll_recv(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(chunk)) => {
                    self.chunk = chunk;
                    self.start = 0;
                }
            }
        }
        let bytes = self.chunk.get(self.start..).unwrap_or_default();
        let bytes = bytes.get(..buffer.remaining()).unwrap_or(bytes);
        buffer.put_slice(bytes);
        let len = bytes.len();
        self.start += len;
        Poll::Ready(Ok(()))
    }
}

struct ThreadWriter {
    chunks: PollSender<Vec<u8>>,
    /// What became of the thread.
    result: Option<oneshot::Receiver<io::Result<()>>>,
}

impl ThreadWriter {
    /// Waits for the thread's end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(result) = &mut self.result else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(result).poll(context));
        self.result = None;
        Poll::Ready(result.unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into())))
    }
}

impl AsyncWrite for ThreadWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = match ready!(self.chunks.poll_reserve(context)) {
            Ok(()) => {
                let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
                self.chunks.send_item(chunk.to_vec()).map(|()| chunk.len())
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(len) => Poll::Ready(Ok(len)),
            Err(_) => {
                let result = ready!(self.poll_end(context));
                Poll::Ready(result.and(Err(ErrorKind::BrokenPipe.into())))
            }
        }
    }

    /// Waits until the thread has taken what was written, which is then only on its way.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.chunks.poll_reserve(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => self.poll_end(context),
        }
    }

    /// Waits until all was written.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A place that flushing has found would keep the thread waiting.
        self.chunks.abort_send();
        self.chunks.close();
        self.poll_end(context)
    }
}
