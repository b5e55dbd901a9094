//! The one error of a loop over a connection.

use core::convert::Infallible;
use core::fmt;

use crate::{ApiMisuse, ProtocolError};

/// Why a connection, or a call of its methods, cannot go on. `?` makes it of its parts.
///
/// `R` and `W` are the errors of the read half and of the write half, where there is a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<R = Infallible, W = Infallible> {
    /// The peer broke the protocol. Commands that were handed out may still be answered.
    Protocol(ProtocolError),
    /// The caller made a mistake; nothing changed.
    Misuse(ApiMisuse),
    /// The read half failed. Nothing is lost: the next step goes on.
    Read(R),
    /// The write half failed. Nothing is lost: the next step goes on where it stopped.
    Write(W),
    /// The write half took no byte, which it must not do: it can take no more.
    WroteNothing,
}

impl Error {
    /// The same, where there are halves.
    #[cfg(feature = "embedded-io-v0_7")]
    #[inline]
    pub(super) fn widen<R, W>(self) -> Error<R, W> {
        match self {
            Self::Protocol(error) => Error::Protocol(error),
            Self::Misuse(error) => Error::Misuse(error),
            Self::Read(never) | Self::Write(never) => match never {},
            Self::WroteNothing => Error::WroteNothing,
        }
    }
}

impl<R, W> From<ProtocolError> for Error<R, W> {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl<R, W> From<ApiMisuse> for Error<R, W> {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for Error<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::WroteNothing => f.write_str("the writer takes no more bytes"),
        }
    }
}

impl<R: core::error::Error, W: core::error::Error> core::error::Error for Error<R, W> {}

#[cfg(feature = "embedded-io-v0_7")]
impl<R: embedded_io::Error, W: embedded_io::Error> embedded_io::Error for Error<R, W> {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind;
        match self {
            // embedded-io has no kind for an unexpected end.
            Self::Protocol(ProtocolError::ShortHeader | ProtocolError::ShortPayload) => {
                ErrorKind::ConnectionAborted
            }
            Self::Protocol(_) => ErrorKind::InvalidData,
            Self::Misuse(_) => ErrorKind::InvalidInput,
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::WroteNothing => ErrorKind::WriteZero,
        }
    }
}
