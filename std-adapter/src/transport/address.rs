//! Addresses: text to values and back.

mod error;
mod parse;
mod query;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::hint;

pub use error::{AddressError, AddressErrorKind};
pub(super) use parse::parse;

/// Where a peer is, or is to be waited for.
///
/// `Display` writes what [`FromStr`] reads, except that the bytes of a path that are not UTF-8
/// become U+FFFD. More kinds of addresses will come.
///
/// ```
/// use hgrpc_std::transport::Address;
///
/// let address: Address = "exec:ssh host hgrpc serve stdio:".parse()?;
/// assert_eq!(address.to_string(), "exec:ssh host hgrpc serve stdio:");
/// let error = "localhost:7070".parse::<Address>().unwrap_err();
/// assert_eq!(error.to_string(), r#""localhost:7070": no such kind of address "localhost:"; did you mean "tcp://localhost:7070"?"#);
/// # Ok::<(), hgrpc_std::transport::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// `tcp://host:port`.
    Tcp {
        /// A name or an IP address, an IPv6 address without its brackets.
        host: String,
        /// The port; 0 listens on any that is free.
        port: u16,
    },
    /// `unix:///path`: all after `unix://` is an absolute path, as it is, without escapes. (One that
    /// ends like parameters, in `?link=…` or `?packet=…`, is written with `?link=none` after it.)
    Unix(PathBuf),
    /// `stdio:`, this process's standard input and output.
    Stdio,
    /// `exec:PROGRAM ARGS`, a child's standard input and output. The words are separated and quoted
    /// as for a POSIX shell, but no shell sees them: nothing is expanded.
    Exec {
        /// The program, looked up in `PATH` if it has no slash.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// A serial port, its bytes as they are: `serial:///dev/ttyUSB0?link=none`. Without
    /// `link=none` it is [`Linked`](Self::Linked).
    Serial {
        /// The device.
        path: PathBuf,
        /// How it is set.
        settings: SerialSettings,
    },
    /// `pty:`, a pseudo-terminal that is made to be listened on, for tests: its other end has the
    /// address of a serial port. Without `link=none` it is [`Linked`](Self::Linked).
    Pty,
    /// A link over a raw line, which may lose bytes, and whose ends restart ([`hgrpc::link`]):
    /// `serial:///dev/ttyUSB0`, `pty:`, and for emulators and serial servers
    /// `tcp://host:port?link=cobs` and `unix:///path?link=cobs`.
    Linked {
        /// The line: [`Tcp`](Self::Tcp), [`Unix`](Self::Unix), [`Serial`](Self::Serial) or
        /// [`Pty`](Self::Pty); over any other there is no link.
        line: Box<Address>,
        /// How the link is.
        settings: LinkSettings,
    },
}

/// How a serial port is set: 8 data bits, no parity, 1 stop bit, and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SerialSettings {
    /// `baud`: bits a second. 115200 by default.
    pub baud: u32,
    /// `flow`: how the receiver stops the sender.
    pub flow: Flow,
}

impl Default for SerialSettings {
    fn default() -> Self {
        Self {
            baud: 115_200,
            flow: Flow::None,
        }
    }
}

/// How the receiver on a serial port stops the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flow {
    /// Not at all.
    #[default]
    None,
    /// `hardware`: by the lines RTS and CTS. (By XON and XOFF it cannot: both are bytes like any
    /// other in frames.)
    Hardware,
}

/// How the link over a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LinkSettings {
    /// `packet`: bytes of the largest packet in both directions: 32, 64, 128 or 256, the default.
    /// The peer may take less.
    pub packet: u16,
    /// `patience`: seconds of silence after which the connection counts as lost. 10 by default; 0:
    /// for ever.
    pub patience: u16,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            packet: 256,
            patience: 10,
        }
    }
}

impl Address {
    /// This address with a link over it.
    pub(super) fn with_link(self, settings: LinkSettings) -> Self {
        Self::Linked {
            line: Box::new(self),
            settings,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked { line, settings } => write(f, line, Some(settings)),
            other => write(f, other, None),
        }
    }
}

/// Writes an address that has a link over it, or none.
fn write(f: &mut fmt::Formatter<'_>, line: &Address, link: Option<&LinkSettings>) -> fmt::Result {
    match line {
        Address::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}")?,
        Address::Tcp { host, port } => write!(f, "tcp://{host}:{port}")?,
        Address::Unix(path) => write!(f, "unix://{}", path.display())?,
        Address::Stdio => f.write_str("stdio:")?,
        Address::Exec { program, args } => {
            let words = std::iter::once(program).chain(args).map(String::as_str);
            // It refuses zero bytes only, which no word that was parsed has.
            let joined = shlex::try_join(words).map_err(|_| fmt::Error)?;
            // Two slashes right behind the colon would be those of another kind of address.
            let blank = if joined.starts_with("//") { " " } else { "" };
            write!(f, "exec:{blank}{joined}")?;
        }
        Address::Serial { path, .. } => write!(f, "serial://{}", path.display())?,
        Address::Pty => f.write_str("pty:")?,
        Address::Linked { line, .. } => write!(f, "{line}")?,
    }
    query::write(f, line, link)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|kind| AddressError {
            address: text.to_owned(),
            suggestion: hint::suggestion(text, &kind),
            kind,
        })
    }
}
