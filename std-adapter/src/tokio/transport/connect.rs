//! Connecting.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Connection, halves, program, threads};
use crate::tokio::Peer;
use crate::transport::connect::{failed, not_found, share};
use crate::transport::{Address, Options, keepalive};

impl Address {
    /// As [`connect`](Self::connect), on tokio. Dropping the future calls it off.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn connect_async(&self, timeout: Option<Duration>) -> io::Result<Connection> {
        let options = Options {
            timeout,
            ..Options::default()
        };
        self.connect_async_with(&options).await
    }

    /// As [`connect_with`](Self::connect_with), on tokio. Dropping the future calls it off; a serial
    /// port, or a link, that is being waited for is let go when its time is up.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn connect_async_with(&self, options: &Options) -> io::Result<Connection> {
        let (timeout, name) = (options.timeout, self.to_string());
        let result = match self {
            Self::Tcp { host, port } => tcp(host, *port, timeout)
                .await
                .and_then(|stream| tcp_connection(stream, name, options.keepalive)),
            Self::Unix(path) => within(timeout, unix(path))
                .await
                .map(|stream| unix_connection(stream, name)),
            Self::Exec { program, args } => program::connect(program, args, name),
            Self::Stdio | Self::Serial { .. } | Self::Pty | Self::Linked { .. } => {
                let (address, options) = (self.clone(), options.clone());
                let connecting = spawn_blocking(move || address.connect_with(&options));
                return threads::connection(connecting.await??);
            }
        };
        result.map_err(|error| failed(self, timeout, &error))
    }
}

pub(super) fn tcp_connection(
    stream: TcpStream,
    name: String,
    keepalive: Option<Duration>,
) -> io::Result<Connection> {
    let peer = Peer::tcp(stream.peer_addr()?);
    let stream = Arc::new(stream);
    keepalive::prepare(&stream, keepalive)?;
    let (reader, writer) = halves::of(stream);
    let mut connection = Connection::new(reader, writer, name);
    connection.peer = peer;
    Ok(connection)
}

pub(super) fn unix_connection(stream: UnixStream, name: String) -> Connection {
    let peer = Peer::unix(&stream);
    let (reader, writer) = stream.into_split();
    let mut connection = Connection::new(reader, writer, name);
    connection.peer = peer;
    connection
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())),
    }
}

/// Connects to a Unix socket. Where a blocking connection waits, since too many others wait to be
/// accepted, this one asks again: the system does not tell when there is room.
async fn unix(path: &Path) -> io::Result<UnixStream> {
    const LONGEST: Duration = Duration::from_millis(100);
    let mut pause = Duration::from_millis(1);
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
            result => return result,
        }
    }
}

async fn tcp(host: &str, port: u16, limit: Option<Duration>) -> io::Result<TcpStream> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut addresses = within(limit, resolve(host, port)).await?.into_iter();
    let mut last = io::Error::other("the host has no address");
    while let Some(address) = addresses.next() {
        let connecting = TcpStream::connect(address);
        let result = match deadline {
            None => connecting.await,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let end = Instant::now() + share(left, addresses.len() + 1);
                timeout_at(end, connecting)
                    .await
                    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            }
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(not_found(host, &error)),
    }
}
