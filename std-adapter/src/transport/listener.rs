//! Listening.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::failure::{Attempt, message, named};
use super::linked::Linked;
#[cfg(feature = "serial")]
use super::port::Port;
use super::unix::SocketFile;
use super::wake::Wake;
use super::{Address, Connection, Options, connect, socket, stdio, unix};

/// Where connections come in.
///
/// Dropping it stops listening; the file of a Unix socket is removed. Connections go on.
#[derive(Debug)]
pub struct Listener {
    pub(super) source: Source,
    pub(super) address: Address,
    pub(super) wake: Arc<Wake>,
    /// What is put over each line that comes in.
    linked: Option<Linked>,
    /// How long the path to a TCP peer may be dead.
    keepalive: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Source {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code)] SocketFile), // removed with it
    Stdio {
        is_given: AtomicBool,
    },
    #[cfg(feature = "serial")]
    Port(Port),
}

impl Address {
    /// Listens for connections.
    ///
    /// A name is resolved, and the first of its addresses that can be listened on is. The socket
    /// file of a server that is gone is replaced; one that is listened on, and a file of another
    /// kind, is an error. Only this user can connect to it: its mode is 0600.
    ///
    /// A serial port is opened for this process alone. Its connections come one after the other: a
    /// new one as soon as the link is up again, or without a link when the last one is dropped and
    /// something comes. Over sockets with a link each line has its connections so.
    ///
    /// # Errors
    /// The address, what failed and a likely reason, in one line. A program cannot be listened on.
    pub fn listen(&self) -> io::Result<Listener> {
        self.listen_with(&Options::default())
    }

    /// As [`listen`](Self::listen), with more options; of them, the timeout is not used.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_with(&self, options: &Options) -> io::Result<Listener> {
        let result = match self {
            Self::Linked { line, settings } => Linked::new(*settings, options).and_then(|linked| {
                let mut listener = line.try_listen()?;
                listener.address = listener.address.with_link(*settings);
                listener.start_link(linked)
            }),
            line => line.try_listen(),
        };
        let mut listener = result.map_err(|error| named(self, Attempt::Listen, &error))?;
        listener.keepalive = options.keepalive;
        Ok(listener)
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
            #[cfg(feature = "serial")]
            Self::Serial { path, settings } => Source::Port(Port::serial(path, *settings)?),
            #[cfg(feature = "serial")]
            Self::Pty => {
                let (port, serial) = Port::pty()?;
                address = serial;
                Source::Port(port)
            }
            #[cfg(not(feature = "serial"))]
            Self::Serial { .. } | Self::Pty => {
                return Err(io::Error::new(ErrorKind::Unsupported, super::NO_SERIAL));
            }
            Self::Linked { .. } => return Err(super::no_link()),
        };
        Ok(Listener {
            source,
            address,
            wake,
            linked: None,
            keepalive: None,
        })
    }
}

/// A listening socket whose connections are those of the listener.
#[cfg(feature = "tokio")]
pub(crate) enum Plain {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// The socket, if that is all there is to it.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_plain(self) -> Result<Plain, Box<Self>> {
        match (self.source, self.linked) {
            (Source::Tcp(listener), None) => Ok(Plain::Tcp(listener)),
            (Source::Unix(listener, file), None) => Ok(Plain::Unix(listener, file)),
            (source, linked) => Err(Box::new(Self {
                source,
                linked,
                address: self.address,
                wake: self.wake,
                keepalive: self.keepalive,
            })),
        }
    }

    fn start_link(mut self, linked: Linked) -> io::Result<Self> {
        match &self.source {
            Source::Stdio { .. } => return Err(super::no_link()),
            #[cfg(feature = "serial")]
            Source::Port(port) => {
                linked.start(port.take(&self.address.to_string())?, None)?;
            }
            Source::Tcp(_) | Source::Unix(..) => {}
        }
        self.linked = Some(linked);
        Ok(self)
    }

    /// Where it listens: for TCP port 0, the address and port that were given; for a
    /// pseudo-terminal, the serial port that is its other end.
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
    /// Those of the operating system, such as too many open files, and of a serial port that is
    /// gone: it may be called again, after a pause. (Then it waits for the port to come back.) A
    /// connection that is gone before it was accepted is not one.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        match (&self.linked, &self.source) {
            (Some(linked), _) => linked
                .accept(self)
                .map_err(|error| named(&self.address, Attempt::Listen, &error)),
            (None, Source::Tcp(listener)) => self.next(
                listener,
                |listener| listener.accept(),
                |(stream, peer): (TcpStream, _)| {
                    stream.set_nonblocking(false)?;
                    socket::tcp_connection(stream, format!("tcp://{peer}"), self.keepalive)
                },
            ),
            (None, Source::Unix(listener, _)) => self.next(
                listener,
                |listener| listener.accept(),
                |(stream, _): (UnixStream, _)| {
                    stream.set_nonblocking(false)?;
                    Ok(socket::connection(stream, self.address.to_string()))
                },
            ),
            (None, Source::Stdio { is_given }) => {
                if self.wake.is_woken() || is_given.swap(true, Ordering::SeqCst) {
                    return Ok(None);
                }
                stdio::take()
                    .map(Some)
                    .map_err(|error| named(&self.address, Attempt::Listen, &error))
            }
            #[cfg(feature = "serial")]
            (None, Source::Port(port)) => port
                .accept(&self.wake, &self.address)
                .map_err(|error| named(&self.address, Attempt::Listen, &error)),
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
            match there(accept(listener)) {
                Ok(Some(accepted)) => match connection(accepted) {
                    Ok(connection) => return Ok(Some(connection)),
                    // Its options cannot be set any more: the client is gone.
                    Err(_) => continue,
                },
                Ok(None) => {}
                Err(error) => {
                    return Err(message(
                        &self.address,
                        error.kind(),
                        format_args!("{error}"),
                    ));
                }
            }
        }
    }
}

/// What was accepted, unless it is gone already.
pub(crate) fn there<T>(accepted: io::Result<T>) -> io::Result<Option<T>> {
    match accepted {
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset => Ok(None),
            _ => Err(error),
        },
        Ok(accepted) => Ok(Some(accepted)),
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
