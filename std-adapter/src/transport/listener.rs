//! Listening.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Attempt, message, named};
use super::unix::SocketFile;
use super::wake::Wake;
use super::{Address, Connection, connect, socket, stdio, unix};

/// Where connections come in.
///
/// Dropping it stops listening; the file of a Unix socket is removed. Connections go on.
#[derive(Debug)]
pub struct Listener {
    pub(crate) source: Source,
    pub(crate) address: Address,
    pub(crate) wake: Arc<Wake>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code)] SocketFile), // removed with it
    Stdio { is_given: AtomicBool },
}

impl Address {
    /// Listens for connections.
    ///
    /// A name is resolved, and the first of its addresses that can be listened on is. The socket
    /// file of a server that is gone is replaced; one that is listened on, and a file of another
    /// kind, is an error. Only this user can connect to it: its mode is 0600.
    ///
    /// # Errors
    /// The address, what failed and a likely reason, in one line. A program cannot be listened on.
    pub fn listen(&self) -> io::Result<Listener> {
        self.try_listen()
            .map_err(|error| named(self, Attempt::Listen, &error))
    }

    fn try_listen(&self) -> io::Result<Listener> {
        let wake = Arc::new(Wake::new()?);
        let mut address = self.clone();
        let source = match self {
            Self::Tcp { host, port } => {
                let addresses = connect::resolve(host, *port, None)?;
                let listener = TcpListener::bind(addresses.as_slice())?;
                let local = listener.local_addr()?;
                address = Self::Tcp {
                    host: if *port == 0 {
                        local.ip().to_string()
                    } else {
                        host.clone()
                    },
                    port: local.port(),
                };
                listener.set_nonblocking(true)?;
                Source::Tcp(listener)
            }
            Self::Unix(path) => {
                let (listener, file) = unix::bind_path(path)?;
                listener.set_nonblocking(true)?;
                Source::Unix(listener, file)
            }
            Self::Stdio => Source::Stdio {
                is_given: AtomicBool::new(false),
            },
            Self::Exec { .. } => {
                return Err(io::Error::new(
                    ErrorKind::Unsupported,
                    "a program cannot be listened on, only connected to",
                ));
            }
        };
        Ok(Listener {
            source,
            address,
            wake,
        })
    }
}

impl Listener {
    /// Where it listens; for TCP port 0, the address and port that were given.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What stops it from anywhere.
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle {
            wake: Arc::clone(&self.wake),
        }
    }

    /// Waits for the next connection. `None`: no more will come, since it was closed, or since
    /// standard input and output were given out.
    ///
    /// # Errors
    /// Those of the operating system, such as too many open files: it may be called again, after a
    /// pause. A connection that is gone before it was accepted is not one.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        match &self.source {
            Source::Tcp(listener) => self.next(
                listener,
                |listener| listener.accept(),
                |(stream, peer): (TcpStream, _)| {
                    stream.set_nonblocking(false)?;
                    socket::tcp_connection(stream, format!("tcp://{peer}"))
                },
            ),
            Source::Unix(listener, _) => self.next(
                listener,
                |listener| listener.accept(),
                |(stream, _): (UnixStream, _)| {
                    stream.set_nonblocking(false)?;
                    Ok(socket::connection(stream, self.address.to_string()))
                },
            ),
            Source::Stdio { is_given } => {
                if self.wake.is_woken() || is_given.swap(true, Ordering::SeqCst) {
                    return Ok(None);
                }
                stdio::take()
                    .map(Some)
                    .map_err(|error| named(&self.address, Attempt::Listen, &error))
            }
        }
    }

    fn next<L: AsFd, T>(
        &self,
        listener: &L,
        accept: impl Fn(&L) -> io::Result<T>,
        connection: impl Fn(T) -> io::Result<Connection>,
    ) -> io::Result<Option<Connection>> {
        loop {
            if !self.wake.wait_readable(listener)? {
                return Ok(None);
            }
            match accept(listener) {
                Ok(accepted) => match connection(accepted) {
                    Ok(connection) => return Ok(Some(connection)),
                    // Its options cannot be set any more: the client is gone.
                    Err(_) => continue,
                },
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock
                    | ErrorKind::Interrupted
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionReset => {}
                    kind => return Err(message(&self.address, kind, format_args!("{error}"))),
                },
            }
        }
    }
}

/// Stops a [`Listener`] from any thread.
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    wake: Arc<Wake>,
}

impl ListenerHandle {
    /// Ends an [`accept`](Listener::accept) that waits, and every later one, with `None`.
    pub fn close(&self) {
        self.wake.wake();
    }
}
