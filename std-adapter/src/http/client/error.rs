//! What can go wrong with a request over HTTP, every kind told apart.

use std::fmt;
use std::io;
use std::sync::Arc;

use hgrpc::cbor::Escaped;
use hgrpc::{ApiMisuse, ProtocolError};

use super::Redirect;
use crate::blocking::{CommandFailure, ServerFailure};
use crate::encoding::DecodeError;
use crate::http::CapabilitiesError;
use crate::value::DecodeErrorKind;

/// Why there is no answer, or no more of one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one of HTTP, and why.
    Url(String),
    /// The server could not be reached, or the connection failed: resolving, connecting, TLS,
    /// timeouts, reading and writing.
    Transport(Arc<io::Error>),
    /// A certificate or a key that was to be used is none, and why.
    Certificate(String),
    /// An HTTP status that says no.
    Status(HttpStatus),
    /// The answer's media type is none of this protocol: the address may be that of something
    /// else.
    MediaType {
        /// The media type; empty if the answer has none.
        media_type: String,
        /// The body's beginning, if it is text.
        text: String,
    },
    /// The server speaks only version 1 of Mercurial's protocol (http-v2.md, 1).
    OnlyVersion1 {
        /// The version 1 capabilities.
        capabilities: String,
    },
    /// The server has no `exp-http-v2-0003`; what it has.
    NoApi(Vec<String>),
    /// The handshake's answer is not what it should be.
    Handshake(DecodeErrorKind),
    /// The server's descriptor is not what it should be.
    Capabilities(CapabilitiesError),
    /// The descriptor lacks this command; nothing was sent.
    UnknownCommand(String),
    /// The descriptor lacks these arguments of a command; nothing was sent.
    UnknownArguments {
        /// The command.
        command: String,
        /// The arguments, in order.
        names: Vec<String>,
    },
    /// These arguments of a command must be given; nothing was sent.
    MissingArguments {
        /// The command.
        command: String,
        /// The arguments, in order.
        names: Vec<String>,
    },
    /// The request is not possible; nothing was sent.
    Misuse(ApiMisuse),
    /// The server refused the request as a whole, in a text: a `text/plain` body.
    Text(String),
    /// The command failed: an error status map, or an error response of type `command`.
    Command(CommandFailure),
    /// The server failed: an error response of another type.
    Server(ServerFailure),
    /// The answer is elsewhere.
    Redirected(Box<Redirect>),
    /// What a redirect leads to could not be used, and why.
    RedirectRefused(String),
    /// What a redirect leads to has another hash than announced.
    HashMismatch {
        /// The hash's name.
        name: String,
    },
    /// The frames break a rule of the protocol.
    Protocol(ProtocolError),
    /// The bytes of an encoded frame do not decode, or go over a limit.
    Decode(DecodeError),
    /// The body ends inside a frame. Where a server failed in the middle of its answer, what it
    /// said of that may follow the last frame (K-13).
    Truncated {
        /// Bytes of the frame that did not come; `None` if the end of the body is no frame.
        missing: Option<u32>,
        /// The beginning of what is no frame.
        tail: Vec<u8>,
    },
    /// The body ends before the response does.
    NoEnd,
    /// The response ends inside a value.
    TruncatedResponse,
    /// The response's bytes are no CBOR.
    Malformed {
        /// What is wrong.
        kind: DecodeErrorKind,
        /// Where the value begins, in bytes from the start of the response's values.
        offset: u64,
    },
    /// The answer is not what was asked for: what was expected.
    Unexpected(&'static str),
    /// A value is larger than [`Limits::value_size`](super::Limits::value_size).
    ValueTooLarge,
    /// More of this response came than [`Limits::buffered`](super::Limits::buffered) while another
    /// of the same request was read: read them in the order of the commands.
    NotReadInOrder,
}

/// An HTTP status that says no, with what the server says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStatus {
    /// The number: 401 (who are you), 403 (you may not), 404 (no such repository, API or command),
    /// 405, 406 and 415 (not this protocol), 411, 413, 5xx (the server failed), or any other.
    pub code: u16,
    /// The body's beginning, if it is text.
    pub text: String,
}

impl fmt::Display for HttpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.code {
            401 => "authorization failed",
            403 => "permission denied",
            404 => "no such repository, API or command",
            405 => "method not allowed",
            406 => "the framing media type is not accepted",
            411 => "a length is required",
            413 => "the request is too large",
            415 => "the framing media type is not supported",
            500..=599 => "the server failed",
            _ => "unexpected status",
        };
        write!(f, "HTTP status {}: {meaning}", self.code)?;
        match self.text.trim() {
            "" => Ok(()),
            text => write!(f, " ({})", Escaped(&text)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "not an address of HTTP: {}", Escaped(why)),
            Self::Transport(error) => write!(f, "{error}"),
            Self::Certificate(why) => f.write_str(why),
            Self::Status(status) => status.fmt(f),
            Self::MediaType { media_type, .. } if media_type.is_empty() => {
                f.write_str("the answer has no media type; is this a Mercurial server?")
            }
            Self::MediaType { media_type, .. } => write!(
                f,
                "the answer is {}, not of this protocol; is this a Mercurial server?",
                Escaped(media_type)
            ),
            Self::OnlyVersion1 { .. } => f.write_str(
                "the server speaks version 1 of the protocol only (Mercurial's need \
                 experimental.web.apiserver and experimental.web.api.http-v2)",
            ),
            Self::NoApi(found) => {
                write!(f, "the server has no API {}", crate::http::API_NAME)?;
                match found.join(", ") {
                    found if found.is_empty() => Ok(()),
                    found => write!(f, ", only {}", Escaped(&found)),
                }
            }
            Self::Handshake(kind) => write!(f, "the handshake's answer does not decode: {kind}"),
            Self::Capabilities(error) => error.fmt(f),
            Self::UnknownCommand(name) => write!(f, "the server has no command {}", Escaped(name)),
            Self::UnknownArguments { command, names } => write!(
                f,
                "the command {} has no argument {}",
                Escaped(command),
                Escaped(&names.join(", "))
            ),
            Self::MissingArguments { command, names } => write!(
                f,
                "the command {} needs the argument {}",
                Escaped(command),
                Escaped(&names.join(", "))
            ),
            Self::Misuse(error) => write!(f, "the request is not possible: {error}"),
            Self::Text(text) => write!(f, "the server refused: {}", Escaped(&text.trim())),
            Self::Command(failure) => failure.fmt(f),
            Self::Server(failure) => write!(f, "server error: {failure}"),
            Self::Redirected(redirect) => {
                write!(f, "the answer is at {}", Escaped(&redirect.url))
            }
            Self::RedirectRefused(why) => write!(f, "redirected, but {}", Escaped(why)),
            Self::HashMismatch { name } => {
                write!(f, "the redirected answer has another {}", Escaped(name))
            }
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Decode(error) => write!(f, "a compressed response does not decode: {error}"),
            Self::Truncated {
                missing: Some(missing),
                ..
            } => write!(
                f,
                "the body was cut in the middle of a frame, {missing} bytes before its end"
            ),
            Self::Truncated { tail, .. } => write!(
                f,
                "the body ends with what is no frame: {}",
                Escaped(&String::from_utf8_lossy(tail))
            ),
            Self::NoEnd => f.write_str("the body ends before the response does"),
            Self::TruncatedResponse => f.write_str("the response ends inside a value"),
            Self::Malformed { kind, offset } => {
                write!(
                    f,
                    "the response does not decode: {kind}, after {offset} bytes"
                )
            }
            Self::Unexpected(expected) => write!(f, "the answer is not {expected}"),
            Self::ValueTooLarge => f.write_str("a value of the response is larger than allowed"),
            Self::NotReadInOrder => f.write_str(
                "the response was given up: it waited while another of the same request was read",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(&**error),
            Self::Capabilities(error) => Some(error),
            Self::Misuse(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Decode(error) => Some(error),
            _ => None,
        }
    }
}

impl Error {
    /// What reading or writing gave, in words that say what happened.
    pub(super) fn transport(error: io::Error) -> Self {
        match error.downcast::<ureq::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Transport(Arc::new(error)),
        }
    }

    /// The error inside of one that reading [`Bytes`](super::Bytes) gave.
    ///
    /// # Errors
    /// Another error is given back.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Transport(error) => error.kind(),
            Error::Truncated { .. } | Error::NoEnd | Error::TruncatedResponse => {
                io::ErrorKind::UnexpectedEof
            }
            Error::Protocol(_) | Error::Decode(_) | Error::Malformed { .. } => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<ureq::Error> for Error {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::BadUri(why) => Self::Url(why),
            ureq::Error::Io(error) => match error.downcast::<ureq::Error>() {
                Ok(error) => error.into(),
                Err(error) if error.to_string().contains("InvalidContentType") => {
                    let what = "what answers there does not speak TLS: is it http:// instead of \
                                https://?";
                    Self::Transport(Arc::new(io::Error::new(error.kind(), what)))
                }
                Err(error) => Self::Transport(Arc::new(error)),
            },
            ureq::Error::Timeout(which) => {
                use ureq::Timeout;
                let what = match which {
                    Timeout::Resolve => "the server's name could not be looked up in time",
                    Timeout::Connect => "the server did not accept a connection in time",
                    Timeout::PerWrite | Timeout::SendRequest | Timeout::SendBody => {
                        "the server did not take the request in time"
                    }
                    _ => "the server sent nothing in time",
                };
                Self::Transport(Arc::new(io::Error::new(io::ErrorKind::TimedOut, what)))
            }
            ureq::Error::HostNotFound => {
                let what = "the server's name is not known";
                Self::Transport(Arc::new(io::Error::new(io::ErrorKind::NotFound, what)))
            }
            error => Self::Transport(Arc::new(io::Error::other(error))),
        }
    }
}

impl From<ApiMisuse> for Error {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}

impl From<crate::blocking::CallError> for Error {
    fn from(error: crate::blocking::CallError) -> Self {
        use crate::blocking::{AnswerError, CallError};
        match error {
            CallError::Command(failure) => Self::Command(failure),
            CallError::Server(failure) => Self::Server(failure),
            CallError::Misuse(misuse) => Self::Misuse(misuse),
            CallError::Answer(AnswerError::Protocol(error)) => Self::Protocol(error),
            other => Self::Transport(Arc::new(other.into())),
        }
    }
}
