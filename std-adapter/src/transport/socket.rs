//! Connections over sockets, of either kind.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::Connection;
use super::connection::Link;
use super::keepalive;

/// A stream socket.
pub(super) trait Socket: fmt::Debug + Send + Sync + Sized + 'static {
    fn end(&self, how: Shutdown) -> io::Result<()>;
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    fn send_vectored(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize>;
}

macro_rules! socket {
    ($($stream:ty),*) => {$(
        impl Socket for $stream {
            fn end(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }

            fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                (&*self).write(bytes)
            }

            fn send_vectored(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bytes)
            }
        }
    )*};
}
socket!(TcpStream, UnixStream);

/// The connection over a socket.
pub(super) fn connection<S: Socket>(socket: S, peer: String) -> Connection {
    over(Arc::new(SocketLink(socket)), peer)
}

fn over<S: Socket>(link: Arc<SocketLink<S>>, peer: String) -> Connection {
    let (reader, writer) = (
        SocketReader(Arc::clone(&link)),
        SocketWriter(Arc::clone(&link)),
    );
    Connection::new(reader, writer, &link, peer)
}

/// As [`connection`], for a TCP stream: small frames go out at once, and a path that is dead is
/// noticed.
pub(super) fn tcp_connection(
    stream: TcpStream,
    peer: String,
    keepalive: Option<Duration>,
) -> io::Result<Connection> {
    let link = Arc::new(SocketLink(stream));
    keepalive::prepare(&link, keepalive)?;
    Ok(over(link, peer))
}

#[derive(Debug)]
struct SocketLink<S>(S);

impl<S: Socket> Link for SocketLink<S> {
    fn close(&self) {
        // It fails only where the peer has ended the connection.
        let _ = self.0.end(Shutdown::Both);
    }
}

impl<S: AsFd> AsFd for SocketLink<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct SocketReader<S>(Arc<SocketLink<S>>);

impl<S: Socket> Read for SocketReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.0.receive(buffer)
    }
}

struct SocketWriter<S: Socket>(Arc<SocketLink<S>>);

impl<S: Socket> Write for SocketWriter<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.send(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.0.send_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Socket> Drop for SocketWriter<S> {
    fn drop(&mut self) {
        let _ = self.0.0.end(Shutdown::Write);
    }
}
