//! Where connections come from.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::Peer;

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// What carries a connection's bytes.
    type Io: AsyncRead + AsyncWrite + Send + 'static;

    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// Those of the operating system, such as too many open files: it is called again, after a
    /// pause.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Io, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        // Frames are joined here already. Not worth an error: it is slower without.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::tcp(address)))
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<(Self::Io, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let peer = Peer::unix(&stream);
        Ok((stream, peer))
    }
}
