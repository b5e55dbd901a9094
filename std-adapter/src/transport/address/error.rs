//! What can be wrong with the text of an address.

use std::fmt;

/// The forms of an address, as messages list them.
const FORMS: &str =
    "tcp://HOST:PORT, unix:///PATH, serial:///DEVICE, pty:, stdio: and exec:PROGRAM ARGS";

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressError {
    /// The text.
    pub address: String,
    /// What is wrong with it.
    pub kind: AddressErrorKind,
    /// An address that may have been meant.
    pub suggestion: Option<String>,
}

/// What is wrong with the text of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// There is no colon, so no kind of address is named.
    NoScheme,
    /// What comes before the colon names no kind of address.
    UnknownScheme(String),
    /// A web address: the protocol's frames go over plain bytes here.
    Http,
    /// `tcp:`, `unix:` or `serial:` without `//`.
    NoSlashes,
    /// A TCP address without a host.
    NoHost,
    /// A host that no name or address can be.
    BadHost(String),
    /// Brackets that are not closed, or that hold no IPv6 address; an IPv6 address without them.
    BadIpv6(String),
    /// A TCP address without a port.
    NoPort,
    /// A port that is no number from 0 to 65535.
    BadPort(String),
    /// A Unix path that does not begin at the root.
    RelativePath,
    /// A serial port whose path does not begin at the root.
    RelativeDevice,
    /// Something after `stdio:`.
    AfterStdio(String),
    /// Something but parameters after `pty:`.
    AfterPty(String),
    /// No program after `exec:`.
    NoProgram,
    /// Two slashes after `exec:`.
    ExecSlashes,
    /// A quote that is not closed, or a backslash at the end.
    UnclosedQuote,
    /// A zero byte, which no path, host or argument holds.
    Nul,
    /// A parameter that this kind of address does not have.
    UnknownParameter {
        /// Its name.
        name: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// A parameter that is given twice.
    RepeatedParameter(&'static str),
    /// A value that a parameter cannot have.
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A parameter of the link where there is none.
    WithoutLink(&'static str),
}

impl fmt::Display for AddressErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => write!(f, "an address begins with its kind: {FORMS}"),
            Self::UnknownScheme(scheme) => write!(f, "no such kind of address {scheme:?}"),
            Self::Http => f.write_str("web addresses are not spoken here, only plain connections"),
            Self::NoSlashes => f.write_str("two slashes are missing"),
            Self::NoHost => {
                f.write_str("the host is missing; 0.0.0.0 and [::] are all of this machine's")
            }
            Self::BadHost(host) => write!(f, "{host:?} is not a host"),
            Self::BadIpv6(host) => write!(f, "{host:?} is not an IPv6 address in brackets"),
            Self::NoPort => f.write_str("the port is missing, as in tcp://HOST:7070"),
            Self::BadPort(port) => write!(f, "{port:?} is not a port, a number up to 65535"),
            Self::RelativePath => {
                f.write_str("the path has to begin at the root, as in unix:///run/name")
            }
            Self::RelativeDevice => f.write_str(
                "the device's path has to begin at the root, as in serial:///dev/ttyUSB0",
            ),
            Self::AfterStdio(rest) => write!(f, "{rest:?} after stdio:"),
            Self::AfterPty(rest) => write!(
                f,
                "{rest:?} after pty:, which makes a new one and says what its other end is called"
            ),
            Self::NoProgram => f.write_str("the program is missing, as in exec:PROGRAM ARGS"),
            Self::ExecSlashes => f.write_str("the program follows exec: without slashes"),
            Self::UnclosedQuote => f.write_str("a quote is not closed, or a backslash ends it"),
            Self::Nul => f.write_str("there is a zero byte in it"),
            Self::UnknownParameter { name, known } => {
                write!(
                    f,
                    "no such parameter {name:?}; there are {}",
                    known.join(", ")
                )
            }
            Self::RepeatedParameter(name) => write!(f, "the parameter {name} is given twice"),
            Self::BadParameter {
                name,
                value,
                expected,
            } => write!(f, "{name}={value:?} is not {expected}"),
            Self::WithoutLink(name) => {
                write!(f, "the parameter {name} is the link's, and there is none")
            }
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.address, self.kind)?;
        match (&self.suggestion, &self.kind) {
            (Some(suggestion), _) => write!(f, "; did you mean {suggestion:?}?"),
            (None, AddressErrorKind::UnknownScheme(_) | AddressErrorKind::Http) => {
                write!(f, "; there are {FORMS}")
            }
            (None, _) => Ok(()),
        }
    }
}

impl std::error::Error for AddressError {}
