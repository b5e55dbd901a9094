//! Listening.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_blocking;

use super::connect::{tcp_connection, unix_connection};
use super::{Connection, threads};
use crate::tokio::Peer;
use crate::transport::failure::message;
use crate::transport::listener::{Plain, there};
use crate::transport::unix::SocketFile;
use crate::transport::{self, Address, ListenerHandle, Options};

/// Where connections come in, on tokio.
///
/// Dropping it stops listening; the file of a Unix socket is removed. Connections go on.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    address: Address,
    keepalive: Option<Duration>,
}

#[derive(Debug)]
enum Source {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code)] SocketFile), // removed with it
    Other(Arc<transport::Listener>, #[allow(dead_code)] Close), // closed with it
}

/// Ends an `accept` that waits on a thread.
#[derive(Debug)]
struct Close(ListenerHandle);

impl Drop for Close {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Address {
    /// As [`listen`](Self::listen), on tokio.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver.
    pub async fn listen_async(&self) -> io::Result<Listener> {
        self.listen_async_with(&Options::default()).await
    }

    /// As [`listen_with`](Self::listen_with), on tokio.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver.
    pub async fn listen_async_with(&self, options: &Options) -> io::Result<Listener> {
        let (address, options) = (self.clone(), options.clone());
        let keepalive = options.keepalive;
        // It may resolve a name.
        let listener = spawn_blocking(move || address.listen_with(&options)).await??;
        let address = listener.address().clone();
        let source = match listener.into_plain() {
            Ok(Plain::Tcp(listener)) => TcpListener::from_std(listener).map(Source::Tcp),
            Ok(Plain::Unix(listener, file)) => {
                UnixListener::from_std(listener).map(|listener| Source::Unix(listener, file))
            }
            Err(listener) => {
                let close = Close(listener.handle());
                Ok(Source::Other(Arc::from(listener), close))
            }
        };
        Ok(Listener {
            source: source.map_err(|error| message(self, error.kind(), format_args!("{error}")))?,
            address,
            keepalive,
        })
    }
}

impl Listener {
    /// Where it listens; for TCP port 0, the address and port that were given.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next connection. `None`: no more will come, since standard input and output
    /// were given out. Dropping the future loses no connection, except one over files that comes
    /// meanwhile.
    ///
    /// # Errors
    /// Those of the operating system, such as too many open files: it may be called again, after a
    /// pause. A connection that is gone before it was accepted is not one.
    pub async fn accept(&self) -> io::Result<Option<Connection>> {
        loop {
            let connection = match &self.source {
                Source::Tcp(listener) => there(listener.accept().await).map(|accepted| {
                    let (stream, peer) = accepted?;
                    // Its options cannot be set any more if the client is gone.
                    tcp_connection(stream, format!("tcp://{peer}"), self.keepalive).ok()
                }),
                Source::Unix(listener, _) => there(listener.accept().await).map(|accepted| {
                    let (stream, _) = accepted?;
                    Some(unix_connection(stream, self.address.to_string()))
                }),
                Source::Other(listener, _) => {
                    let listener = Arc::clone(listener);
                    let connection = spawn_blocking(move || listener.accept()).await??;
                    return connection.map(threads::connection).transpose();
                }
            };
            let cannot =
                |error: io::Error| message(&self.address, error.kind(), format_args!("{error}"));
            if let Some(connection) = connection.map_err(cannot)? {
                return Ok(Some(connection));
            }
        }
    }
}

/// For [`Server::serve`](crate::tokio::Server::serve). Where no more connections will come, it waits
/// for ever.
impl crate::tokio::Listener for Listener {
    type Io = Connection;

    async fn accept(&mut self) -> io::Result<(Connection, Peer)> {
        match Self::accept(self).await? {
            Some(connection) => {
                let peer = connection.peer();
                Ok((connection, peer))
            }
            None => std::future::pending().await,
        }
    }
}
