//! The halves of a TCP stream that others look at, too: those of tokio show it to nobody.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// As many as any system takes at once (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The half that is read.
pub(super) struct Reader(Arc<TcpStream>);

/// The half that is written. Dropping it tells the peer that no more comes.
pub(super) struct Writer(Arc<TcpStream>);

pub(super) fn of(stream: Arc<TcpStream>) -> (Reader, Writer) {
    (Reader(Arc::clone(&stream)), Writer(stream))
}

/// Reads or writes, with room for so many bytes. Fewer say that there was no more to read, or to
/// write into, so that nothing has to be tried in vain to know it.
fn transfer(
    stream: &TcpStream,
    interest: Interest,
    room: usize,
    transfer: impl FnOnce() -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    let mut done = None;
    let result = stream.try_io(interest, || {
        let len = transfer()?;
        done = Some(len);
        if 0 < len && len < room {
            // The stream is marked as one that has to be waited for.
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(len)
    });
    done.map_or(result, Ok)
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &*self.0;
        loop {
            ready!(stream.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            let len = room.len();
            let read = || rustix::io::read(stream, room);
            match transfer(stream, Interest::READABLE, len, read) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(len) => {
                    buffer.advance(len);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &*self.0;
        let slices = slices.get(..MOST_SLICES).unwrap_or(slices);
        let len = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(stream.poll_write_ready(context))?;
            let write = || rustix::io::writev(stream, slices);
            match transfer(stream, Interest::WRITABLE, len, write) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&self.0, Shutdown::Write).map_err(Into::into))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It fails only where the peer has ended the connection.
        let _ = shutdown(&self.0, Shutdown::Write);
    }
}
