//! Errors of the drivers: the reactors' own, and the transport's.

use core::fmt;

use embedded_io::ErrorKind;

use crate::{ApiMisuse, ProtocolError};

/// Why no part of a frame could be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReceiveError<E> {
    /// The read half failed. Nothing is lost: the next call goes on.
    Io(E),
    /// The frame that comes is larger than the maximum ([`ProtocolError::FrameTooLarge`]). The
    /// connection cannot go on; every further call says the same.
    Protocol(ProtocolError),
    /// The input ended inside a frame.
    Truncated {
        /// [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`].
        error: ProtocolError,
        /// Bytes of the header, or of the payload, that came.
        received: u32,
        /// Bytes of it that were still expected.
        missing: u32,
    },
}

/// Why something could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError<E> {
    /// The write half failed. See the method for whether it can be called again.
    Io(E),
    /// The write half took no byte, which it must not do: it can take no more.
    WroteNothing,
    /// The caller's mistake; nothing was sent.
    Misuse(ApiMisuse),
}

impl<E> From<ApiMisuse> for SendError<E> {
    fn from(misuse: ApiMisuse) -> Self {
        Self::Misuse(misuse)
    }
}

/// Why there is no next action: `R` and `W` are the halves' errors, `P` what the peer can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NextError<R, W, P = ProtocolError> {
    /// No part of a frame could be received.
    Receive(ReceiveError<R>),
    /// What was still to be sent could not be; it goes out before anything is read.
    Send(SendError<W>),
    /// The peer broke the protocol.
    Peer(P),
}

impl<E: fmt::Display> fmt::Display for ReceiveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
            Self::Truncated {
                error,
                received,
                missing,
            } => write!(f, "{error}: {received} bytes came, {missing} are missing"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::WroteNothing => f.write_str("the writer takes no more bytes"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl<R: fmt::Display, W: fmt::Display, P: fmt::Display> fmt::Display for NextError<R, W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receive(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for ReceiveError<E> {}
impl<E: core::error::Error> core::error::Error for SendError<E> {}
impl<R, W, P> core::error::Error for NextError<R, W, P>
where
    R: core::error::Error,
    W: core::error::Error,
    P: core::error::Error,
{
}

impl<E: embedded_io::Error> embedded_io::Error for ReceiveError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Protocol(_) => ErrorKind::InvalidData,
            // embedded-io has no kind for an unexpected end.
            Self::Truncated { .. } => ErrorKind::ConnectionAborted,
        }
    }
}

impl<E: embedded_io::Error> embedded_io::Error for SendError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::WroteNothing => ErrorKind::WriteZero,
            Self::Misuse(_) => ErrorKind::InvalidInput,
        }
    }
}

impl<R, W, P> embedded_io::Error for NextError<R, W, P>
where
    R: embedded_io::Error,
    W: embedded_io::Error,
    P: core::error::Error,
{
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Receive(error) => error.kind(),
            Self::Send(error) => error.kind(),
            Self::Peer(_) => ErrorKind::InvalidData,
        }
    }
}
