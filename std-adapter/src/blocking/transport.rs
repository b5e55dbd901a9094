//! The two halves of whatever carries the bytes.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

/// Something to read from and something to write to.
///
/// They are two because a connection reads while it writes: with one after the other, two peers
/// that both write a lot would wait for each other for ever.
pub struct Transport {
    pub(super) read: Box<dyn Read + Send>,
    pub(super) write: Box<dyn Write + Send>,
    pub(super) close: Option<Closer>,
}

pub(super) type Closer = Box<dyn Fn() + Send + Sync>;

impl Transport {
    /// Any two halves: pipes, a child's `stdout` and `stdin`, a serial port.
    ///
    /// This end's closing drops the write half. If that alone does not make a blocked read
    /// return, as with two handles of one socket, say with [`on_close`](Self::on_close) what does.
    pub fn new(read: impl Read + Send + 'static, write: impl Write + Send + 'static) -> Self {
        Self {
            read: Box::new(read),
            write: Box::new(write),
            close: None,
        }
    }

    /// A TCP connection. Sets `TCP_NODELAY`: frames are joined here already.
    ///
    /// # Errors
    /// The socket's handle cannot be copied.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        // Not worth an error: it is slower without.
        let _ = stream.set_nodelay(true);
        let (write, close) = (stream.try_clone()?, stream.try_clone()?);
        let write = Half {
            write,
            end: |stream| stream.shutdown(Shutdown::Write),
        };
        Ok(Self::new(stream, write).on_close(move || drop(close.shutdown(Shutdown::Both))))
    }

    /// A Unix socket.
    ///
    /// # Errors
    /// The socket's handle cannot be copied.
    #[cfg(unix)]
    pub fn unix(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let (write, close) = (stream.try_clone()?, stream.try_clone()?);
        let write = Half {
            write,
            end: |stream| stream.shutdown(Shutdown::Write),
        };
        Ok(Self::new(stream, write).on_close(move || drop(close.shutdown(Shutdown::Both))))
    }

    /// What closes the connection so that a read of it returns. Called at least once, from any
    /// thread; it must not block.
    #[must_use]
    pub fn on_close(mut self, close: impl Fn() + Send + Sync + 'static) -> Self {
        self.close = Some(Box::new(close));
        self
    }
}

/// The half of a socket that is written to. Dropped, it tells the peer that no more comes, though
/// the socket has other handles.
struct Half<W> {
    write: W,
    end: fn(&W) -> io::Result<()>,
}

impl<W: Write> Write for Half<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write.flush()
    }
}

impl<W> Drop for Half<W> {
    fn drop(&mut self) {
        // It fails only where the peer has ended the connection.
        let _ = (self.end)(&self.write);
    }
}

/// A connection made from an [`Address`](crate::transport::Address).
#[cfg(all(unix, feature = "transport"))]
impl From<crate::transport::Connection> for Transport {
    fn from(connection: crate::transport::Connection) -> Self {
        let (read, write, handle) = connection.into_parts();
        Self {
            read,
            write,
            close: Some(Box::new(move || handle.close())),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}
