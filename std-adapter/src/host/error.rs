//! What can go wrong, by who must act: the command or the server said no ([`CallError`]), the
//! connection is gone ([`ConnectionError`], [`Lost`]).

use std::fmt;
use std::io;
use std::sync::Arc;

use hgrpc::cbor::{ByteString, Escaped};
use hgrpc::link::LinkError;
use hgrpc::{ApiMisuse, ProtocolError};

use super::text::shown;
use crate::encoding::DecodeError;

/// What a handler is told, and may tell the client, which is the one to know better.
pub(crate) const DATA_CUT: &str = "the connection ended before the request's data did";

/// Why a connection has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// It could not be made.
    Connect(Arc<io::Error>),
    /// The peer closed it, between two frames.
    Closed,
    /// The peer closed it without having said anything.
    ClosedAtOnce,
    /// It ended in the middle of a frame, which lacks so many bytes.
    Cut {
        /// Bytes of the header or the payload that did not come.
        missing: u32,
    },
    /// Reading failed.
    Read(Arc<io::Error>),
    /// Writing failed.
    Write(Arc<io::Error>),
    /// The link over the line has lost something, or its other end has started anew.
    Link(LinkError),
    /// The peer broke the protocol. It may speak another revision.
    Protocol(ProtocolError),
    /// A compressed response is malformed, or over a limit.
    Decode(DecodeError),
    /// The peer speaks another protocol, which this is.
    NotHgrpc(&'static str),
    /// It went over a limit of this end.
    Limit(ConnectionLimit),
    /// This end closed it.
    Shutdown,
}

/// A limit whose end is the connection's, since no single request is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionLimit {
    /// No frame came in time after the connection was opened.
    FirstFrame,
    /// Nothing came for too long, while nothing ran.
    Idle,
    /// A frame came too slowly.
    SlowFrame,
    /// A request was begun and not completed in time.
    Unfinished,
    /// Too many frames that bring no request nearer to its end.
    NoProgress,
    /// The peer did not read what it was sent.
    NotReading,
    /// Too many refusals that the peer did not read.
    Refusals,
    /// The server holds as many bytes as it may, and none became free in time for the peer's
    /// settings.
    ServerBytes,
    /// The deadline of a graceful shutdown has passed.
    Deadline,
    /// It was one more than the server takes; it was closed at once.
    ServerFull,
    /// It was one more than the server takes of its peer; it was closed at once.
    PeerFull,
    /// Its peer connects too often; it was closed at once.
    PeerRate,
    /// Data of a request came too slowly.
    SlowData,
}

impl ConnectionLimit {
    /// All of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 13] = [
        Self::FirstFrame,
        Self::Idle,
        Self::SlowFrame,
        Self::Unfinished,
        Self::NoProgress,
        Self::NotReading,
        Self::Refusals,
        Self::ServerBytes,
        Self::Deadline,
        Self::ServerFull,
        Self::PeerFull,
        Self::PeerRate,
        Self::SlowData,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        match self {
            Self::FirstFrame => 0,
            Self::Idle => 1,
            Self::SlowFrame => 2,
            Self::Unfinished => 3,
            Self::NoProgress => 4,
            Self::NotReading => 5,
            Self::Refusals => 6,
            Self::ServerBytes => 7,
            Self::Deadline => 8,
            Self::ServerFull => 9,
            Self::PeerFull => 10,
            Self::PeerRate => 11,
            Self::SlowData => 12,
        }
    }

    /// Its name in logs and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstFrame => "first-frame",
            Self::Idle => "idle",
            Self::SlowFrame => "slow-frame",
            Self::Unfinished => "unfinished-request",
            Self::NoProgress => "no-progress",
            Self::NotReading => "not-reading",
            Self::Refusals => "refusals",
            Self::ServerBytes => "server-bytes",
            Self::Deadline => "deadline",
            Self::ServerFull => "server-full",
            Self::PeerFull => "peer-full",
            Self::PeerRate => "peer-rate",
            Self::SlowData => "slow-data",
        }
    }
}

impl fmt::Display for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstFrame => "no frame came in time",
            Self::Idle => "nothing was asked for too long",
            Self::SlowFrame => "a frame came too slowly",
            Self::Unfinished => "a request was not completed in time",
            Self::NoProgress => "too many frames brought no request nearer to its end",
            Self::NotReading => "the peer did not read what it was sent",
            Self::Refusals => "the peer did not read that its requests were refused",
            Self::ServerBytes => "the server holds as many bytes as it may",
            Self::Deadline => "the deadline of the shutdown has passed",
            Self::ServerFull => "the server has as many connections as it takes",
            Self::PeerFull => "the peer has as many connections as it may",
            Self::PeerRate => "the peer connects too often",
            Self::SlowData => "data of a request came too slowly",
        })
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connecting failed: {error}"),
            Self::Closed => f.write_str("the peer closed the connection"),
            Self::ClosedAtOnce => f.write_str(
                "the peer closed the connection without a word; does it speak the same revision?",
            ),
            Self::Cut { missing } => write!(
                f,
                "the connection was cut in the middle of a frame, {missing} bytes before its end"
            ),
            Self::Read(error) | Self::Write(error) if is_path_lost(error) => {
                write!(f, "the path to the peer is dead: {error}")
            }
            Self::Read(error) => write!(f, "reading from the connection failed: {error}"),
            Self::Write(error) => write!(f, "writing to the connection failed: {error}"),
            Self::Link(error) => f.write_str(match error {
                LinkError::PeerRestarted => "peer-restarted: the peer has started anew",
                _ => "link-lost: bytes were lost on the line, or the peer went silent",
            }),
            Self::Protocol(error) => write!(
                f,
                "the peer broke the protocol ({error}); does it speak the same revision?"
            ),
            Self::Decode(error) => write!(f, "a compressed response does not decode: {error}"),
            Self::NotHgrpc(protocol) => write!(f, "the peer speaks {protocol}, not hgrpc"),
            Self::Limit(limit) => write!(f, "this end closed the connection: {limit}"),
            Self::Shutdown => f.write_str("this end closed the connection"),
        }
    }
}

impl ConnectionError {
    /// Whether the path to the peer has died: nothing comes back from its machine. It may have come
    /// to all that was sent, or to nothing of it.
    pub fn is_path_lost(&self) -> bool {
        matches!(self, Self::Read(error) | Self::Write(error) if is_path_lost(error))
    }

    /// What a read error means: the link's, if that is what it holds.
    pub(crate) fn reading(error: io::Error) -> Self {
        link_error(&error).map_or_else(|| Self::Read(Arc::new(error)), Self::Link)
    }

    /// What a write error means: the link's, if that is what it holds.
    pub(crate) fn writing(error: io::Error) -> Self {
        link_error(&error).map_or_else(|| Self::Write(Arc::new(error)), Self::Link)
    }
}

/// Whether this is how a system says that nothing comes back from a machine.
fn is_path_lost(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown
    )
}

fn link_error(error: &io::Error) -> Option<LinkError> {
    error.get_ref()?.downcast_ref().copied()
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Read(error) | Self::Write(error) => Some(&**error),
            Self::Link(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Decode(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match &error {
            ConnectionError::Closed | ConnectionError::ClosedAtOnce | ConnectionError::Link(_) => {
                io::ErrorKind::ConnectionReset
            }
            ConnectionError::Cut { .. } => io::ErrorKind::UnexpectedEof,
            ConnectionError::Connect(error)
            | ConnectionError::Read(error)
            | ConnectionError::Write(error) => error.kind(),
            ConnectionError::Shutdown | ConnectionError::Limit(_) => {
                io::ErrorKind::ConnectionAborted
            }
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// A command's own failure: what its `Err` was.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandFailure {
    /// The message for people, its arguments filled in. It is the peer's: `Display` escapes it.
    pub message: String,
    /// The message as it was sent, with `%s` for each argument; empty if it came as atoms.
    pub format: Vec<u8>,
    /// The arguments.
    pub args: Vec<Vec<u8>>,
}

impl fmt::Debug for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandFailure")
            .field("message", &self.message)
            .field("format", &ByteString::from_slice(&self.format))
            .field("args", &shown(&self.args))
            .finish()
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

/// What the server said instead of an answer: a refusal, a panic, a failure of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFailure {
    /// `server`, `protocol` or what else the peer named; empty in 0003 and 0005.
    pub kind: String,
    /// The message for people. It is the peer's: `Display` escapes it.
    pub message: String,
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.message))
    }
}

/// What a connection's end cost a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lost {
    /// The command that was called.
    pub command: String,
    /// Bytes of its response that had come.
    pub received: u64,
    /// How the connection ended.
    pub error: ConnectionError,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = Escaped(&self.command);
        match self.received {
            0 => write!(f, "no answer to {command}: {}", self.error),
            received => write!(
                f,
                "the response to {command} was lost after {received} bytes: {}",
                self.error
            ),
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The command ran and failed.
    Command(CommandFailure),
    /// The server refused the request, or could not run it.
    Server(ServerFailure),
    /// The call is wrong; nothing was sent.
    Misuse(ApiMisuse),
    /// Its data could not be read. The server has got less than all of it, and was not told so:
    /// the protocol cannot break data off.
    Source(Arc<io::Error>),
    /// The answer is not what was asked for, or breaks the protocol for this call alone.
    Answer(AnswerError),
    /// It did not come in time.
    TimedOut,
    /// The connection ended first.
    Connection(Lost),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// It breaks this rule.
    Protocol(ProtocolError),
    /// Behind byte strings it holds other CBOR values, but was read as bytes (0006).
    NotBytes,
    /// It holds bytes that are not CBOR, but was read as values, or has to be some (0006).
    NotValues,
    /// A value, or all of it, is larger than was allowed.
    TooLarge,
    /// It is not UTF-8, but was read as text.
    NotText,
    /// It is not one value of the type that it was read as.
    NotThisValue,
    /// The server names another place to fetch it from; see
    /// [`Response::redirect`](crate::blocking::Response::redirect).
    Redirected,
    /// Its reader was too slow; see [`Limits::stall`](super::Limits::stall).
    Stalled,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(
                f,
                "the answer breaks the protocol ({error}); does the peer speak the same revision?"
            ),
            Self::NotBytes => f.write_str("the answer holds values after its bytes"),
            Self::NotValues => f.write_str("the answer holds bytes that are no CBOR values"),
            Self::TooLarge => f.write_str("the answer is larger than allowed"),
            Self::NotText => f.write_str("the answer is not UTF-8 text"),
            Self::NotThisValue => {
                f.write_str("the answer is not one value of the type that was asked for")
            }
            Self::Redirected => f.write_str("the answer is to be fetched elsewhere"),
            Self::Stalled => f.write_str("the answer was not read in time and was given up"),
        }
    }
}

impl std::error::Error for AnswerError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(failure) => fmt::Display::fmt(failure, f),
            Self::Server(failure) => write!(f, "server error: {failure}"),
            Self::Misuse(error) => write!(f, "the call is not possible: {error}"),
            Self::Source(error) => write!(f, "the data to send could not be read: {error}"),
            Self::Answer(error) => fmt::Display::fmt(error, f),
            Self::TimedOut => f.write_str("the answer did not come in time"),
            Self::Connection(lost) => fmt::Display::fmt(lost, f),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Misuse(error) => Some(error),
            Self::Source(error) => Some(&**error),
            Self::Answer(error) => Some(error),
            Self::Connection(lost) => Some(&lost.error),
            _ => None,
        }
    }
}

impl CallError {
    /// Whether the server has said that it has no such command, in the words that hgrpc's servers and
    /// devices use. The protocol has no code for it; other servers have other words.
    pub fn is_unknown_command(&self, command: impl AsRef<[u8]>) -> bool {
        let expected = super::Failure::unknown_command(command.as_ref()).message();
        let message = match self {
            Self::Command(failure) => &failure.message,
            // 0003 has one kind of error only.
            Self::Server(failure) => &failure.message,
            _ => return false,
        };
        // A device tells as much of the name as it has room for.
        let is_cut = expected.starts_with(message.as_str());
        *message == expected || is_cut && message.starts_with(super::failure::UNKNOWN_COMMAND)
    }

    /// Whether the server has said, in this crate's words, that the connection ended before the
    /// request's data did. For a client that has not ended it, this says that the server could not
    /// make sense of what it got: it may speak another revision.
    pub fn is_data_cut(&self) -> bool {
        // Around it may be the structure of another revision.
        matches!(self, Self::Server(failure) if failure.message.contains(DATA_CUT))
    }

    /// The call's error inside of one that reading a [`Response`](crate::blocking::Response) gave.
    ///
    /// # Errors
    /// Another error is given back.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::TimedOut => io::ErrorKind::TimedOut,
            CallError::Connection(lost) => io::Error::from(lost.error.clone()).kind(),
            CallError::Answer(_) => io::ErrorKind::InvalidData,
            CallError::Source(error) => error.kind(),
            CallError::Misuse(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<ApiMisuse> for CallError {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}
