//! What a client's owner should do (client.md, "A frame arrives"; revision-0006.md, 6.2).

use crate::ProtocolError;
use crate::cbor::{Atoms, ContentEncoding, ErrorMessage, ProgressView, Status};
use crate::server::Verdict;
use crate::wire::{FrameKind, RequestId, StreamId};

/// What to do with the payload of a frame that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ClientVerdict {
    /// Whether the payload is wanted.
    pub verdict: Verdict,
    /// The stream through whose decoder the payload goes first, wanted or not: a decoder must see
    /// every encoded byte of its stream (revision-0006.md, 3.5). `None`: it is not encoded.
    pub decoder: Option<StreamId>,
    /// The stream ends with this frame: drop its decoder afterwards.
    pub ends_stream: bool,
}

/// What the owner of a client should do. One call gives one action.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[must_use = "an action asks for something to be done"]
pub enum ClientAction<'a> {
    /// Nothing.
    Noop,
    /// A piece of a response.
    ResponseData {
        /// The request that is answered.
        request_id: RequestId,
        /// The status map, where it was asked for and this piece completes it.
        status: Option<Status<'a>>,
        /// The command's bytes, borrowed; may be empty.
        data: &'a [u8],
        /// The `continuation` bit of the frame, or more of the frame is to come.
        expect_more: bool,
        /// The response ends here. 0006: the reactor does not follow the values behind the status
        /// map. An owner that does not read each of them follows them with a
        /// [`ValueScanner`](crate::cbor::ValueScanner): a response that ends inside a value is
        /// [`ProtocolError::TruncatedResponse`] (revision-0006.md, 8).
        eos: bool,
    },
    /// A request failed and has ended.
    ErrorResponse {
        /// The request.
        request_id: RequestId,
        /// What is said of it.
        message: ErrorMessage<'a>,
    },
    /// Text for people, beside a response.
    TextOutput {
        /// The request.
        request_id: RequestId,
        /// The text. It is untrusted: escape it before it reaches a terminal.
        atoms: Atoms<'a>,
    },
    /// Progress of an operation, beside a response.
    Progress {
        /// The request.
        request_id: RequestId,
        /// The update.
        progress: ProgressView<'a>,
    },
    /// A message did not fit the arena and was dropped. If it was an error response, its request
    /// has ended all the same.
    MessageTooLarge {
        /// The request.
        request_id: RequestId,
        /// What the message was.
        kind: FrameKind,
    },
    /// 0006: put a fresh decoder of this encoding in the stream's place.
    SetDecoder {
        /// The stream.
        stream_id: StreamId,
        /// The encoding of its frames that are `encoded`.
        encoding: ContentEncoding,
    },
}

/// The server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientError {
    /// The rule that was broken.
    pub error: ProtocolError,
    /// The request that it concerns, which has failed; `None`: it concerns the connection.
    pub request_id: Option<RequestId>,
}

impl core::fmt::Display for ClientError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.request_id {
            Some(id) => write!(f, "request {id}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl core::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
