//! Connections over sockets, of either kind.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;

use super::Connection;
use super::connection::Link;

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
    let link = Arc::new(SocketLink(socket));
    let (reader, writer) = (
        SocketReader(Arc::clone(&link)),
        SocketWriter(Arc::clone(&link)),
    );
    Connection::new(reader, writer, &link, peer)
}

/// How long a TCP peer may be silent before it is asked whether it is still there, and again.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// As [`connection`], for a TCP stream: small frames go out at once, and a peer whose machine or
/// network is gone is noticed after some minutes.
pub(super) fn tcp_connection(stream: TcpStream, peer: String) -> io::Result<Connection> {
    prepare_tcp(&stream)?;
    Ok(connection(stream, peer))
}

/// Sets a TCP stream's options.
pub(crate) fn prepare_tcp(stream: &impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(stream, true)?;
    // Not worth an error.
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE);
    let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE / 4);
    Ok(())
}

#[derive(Debug)]
struct SocketLink<S>(S);

impl<S: Socket> Link for SocketLink<S> {
    fn close(&self) {
        // It fails only where the peer has ended the connection.
        let _ = self.0.end(Shutdown::Both);
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
