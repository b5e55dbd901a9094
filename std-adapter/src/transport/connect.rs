//! Connecting.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::arrivals::{Arrival, Arrivals};
use super::failure::{Attempt, message, named};
use super::line::Raw;
use super::{Address, Connection, LinkSettings, Options, exec, line, raw, socket, stdio};

/// How long a link is waited for where nothing is said.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

impl Address {
    /// Connects to the peer. The timeout is for all of it, resolving a name included; none waits as
    /// long as the operating system does. Standard input and output and programs do not wait.
    ///
    /// A host's addresses are tried one after the other. TCP goes out without delay
    /// (`TCP_NODELAY`), and a dead path is noticed ([`Options::keepalive`]). Standard input and output can be connected once in a process: in their
    /// places come `/dev/null` and the error output, so that nothing else gets between the frames.
    /// A program's error output is this process's.
    ///
    /// # Errors
    /// The address, what failed and a likely reason, in one line; the kind is the original's.
    pub fn connect(&self, timeout: Option<Duration>) -> io::Result<Connection> {
        self.connect_with(&Options {
            timeout,
            ..Options::default()
        })
    }

    /// As [`connect`](Self::connect), with more options. A [link](Self::Linked) is waited for: at
    /// its other end somebody has to speak it.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn connect_with(&self, options: &Options) -> io::Result<Connection> {
        let timeout = options.timeout;
        let result = match self {
            Self::Tcp { host, port } => tcp(host, *port, timeout).and_then(|stream| {
                socket::tcp_connection(stream, self.to_string(), options.keepalive)
            }),
            Self::Unix(path) => {
                let path = path.clone();
                // It waits where the server accepts nothing.
                within(timeout, move || UnixStream::connect(path))
                    .map(|stream| socket::connection(stream, self.to_string()))
            }
            Self::Stdio => stdio::take(),
            Self::Exec { program, args } => exec::connect(program, args, self.to_string()),
            Self::Serial { .. } | Self::Pty => {
                port(self).and_then(|raw| Ok(raw::connection(Arc::new(raw.file), raw.peer)?.0))
            }
            Self::Linked { line, settings } => linked(self, line, *settings, options),
        };
        result.map_err(|error| failed(self, timeout, &error))
    }
}

/// What became of connecting, with its address.
pub(crate) fn failed(address: &Address, timeout: Option<Duration>, error: &io::Error) -> io::Error {
    match (error.kind(), timeout) {
        (ErrorKind::TimedOut, Some(timeout)) => message(
            address,
            error.kind(),
            format_args!("no answer within {timeout:?}"),
        ),
        _ => named(address, Attempt::Connect, error),
    }
}

/// There is no such host.
pub(crate) fn not_found(host: &str, error: &io::Error) -> io::Error {
    let message = format!("the host {host:?} is not found: {error}");
    io::Error::new(error.kind(), message)
}

/// What one of several addresses gets of the time that is left: one that does not answer leaves a
/// share to the others.
pub(crate) fn share(left: Duration, addresses: usize) -> Duration {
    let share = left / u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    share.max(Duration::from_millis(1))
}

/// Opens a serial port.
fn port(address: &Address) -> io::Result<Raw> {
    let message = match address {
        #[cfg(feature = "serial")]
        Address::Serial { path, settings } => {
            return Ok(Raw {
                file: super::serial::open_port(path, *settings)?,
                baud: Some(settings.baud),
                peer: address.to_string(),
                address: None,
            });
        }
        #[cfg(not(feature = "serial"))]
        Address::Serial { .. } => super::NO_SERIAL,
        _ => "it is made by listening; connect to the serial port that this shows",
    };
    Err(io::Error::new(ErrorKind::Unsupported, message))
}

/// Connects the line, and then the link.
fn linked(
    address: &Address,
    line: &Address,
    settings: LinkSettings,
    options: &Options,
) -> io::Result<Connection> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let mut raw = match line {
        Address::Tcp { host, port } => Raw::socket(tcp(host, *port, options.timeout)?)?,
        Address::Unix(path) => {
            let path = path.clone();
            Raw::socket(within(options.timeout, move || UnixStream::connect(path))?)?
        }
        Address::Serial { .. } | Address::Pty => port(line)?,
        _ => return Err(super::no_link()),
    };
    raw.peer = address.to_string();
    let arrivals = Arc::new(Arrivals::new()?);
    let is_busy = Arc::new(AtomicBool::new(false));
    let plan = line::Plan {
        settings,
        console: options.console.clone(),
        silence: None,
        is_single: true,
        is_busy: Arc::clone(&is_busy),
    };
    line::start(raw, plan, &arrivals)?;
    let deadline = deadline.unwrap_or_else(|| Instant::now() + LINK_TIMEOUT);
    loop {
        match arrivals.pop() {
            Some(Arrival::Up(connection)) => return Ok(connection),
            Some(Arrival::Gone(error)) => return Err(gone(line, error)),
            None if Instant::now() < deadline => arrivals.wait_until(deadline)?,
            None if is_busy.load(Ordering::SeqCst) => {
                return Err(io::Error::new(
                    ErrorKind::ResourceBusy,
                    "still busy with a call of an earlier connection",
                ));
            }
            None if options.timeout.is_some() => return Err(ErrorKind::TimedOut.into()),
            None => {
                return Err(io::Error::new(
                    ErrorKind::NotConnected,
                    format!("nobody speaks the link there, for {LINK_TIMEOUT:?}"),
                ));
            }
        }
    }
}

/// The line has ended before the link was up.
fn gone(line: &Address, error: io::Error) -> io::Error {
    let is_closed = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    match line {
        Address::Tcp { .. } | Address::Unix(_) if is_closed => io::Error::new(
            error.kind(),
            "the peer does not speak the link, and has closed the line: try it without link=cobs",
        ),
        _ => error,
    }
}

fn tcp(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut addresses = resolve(host, port, timeout)?.into_iter();
    let mut last = io::Error::other("the host has no address");
    while let Some(address) = addresses.next() {
        let result = match deadline {
            None => TcpStream::connect(address),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                TcpStream::connect_timeout(&address, share(left, addresses.len() + 1))
            }
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of a host.
pub(super) fn resolve(
    host: &str,
    port: u16,
    timeout: Option<Duration>,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let name = host.to_owned();
    within(timeout, move || (name, port).to_socket_addrs())
        .map(Iterator::collect)
        .map_err(|error| match error.kind() {
            ErrorKind::TimedOut => error,
            _ => not_found(host, &error),
        })
}

/// Does what cannot be called off on a thread of its own, which is left behind when time is up.
fn within<T: Send + 'static>(
    timeout: Option<Duration>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let Some(timeout) = timeout else {
        return work();
    };
    let (done, result) = mpsc::sync_channel(1);
    thread::Builder::new().spawn(move || drop(done.send(work())))?;
    result.recv_timeout(timeout).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => ErrorKind::TimedOut.into(),
            RecvTimeoutError::Disconnected => io::Error::other("connecting ended early"),
        })
    })
}
