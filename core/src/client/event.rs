//! What comes to a client's owner (client.md, "A frame arrives"; revision-0006.md, 6.2).

use crate::ProtocolError;
use crate::cbor::{Atoms, ContentEncoding, ErrorMessage, ProgressView, Status};
use crate::server::generation;
use crate::wire::{FrameKind, RequestId, StreamId};

/// What has come. Borrows from the input and from what was gathered, never from the client.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[must_use = "an event may be the end of a request"]
pub enum Event<'a> {
    /// A piece of a response.
    Response {
        /// The request that is answered.
        request_id: RequestId,
        /// The status map, where it was asked for and this piece completes it.
        status: Option<Status<'a>>,
        /// The command's bytes; may be empty.
        data: &'a [u8],
        /// The `continuation` bit of the frame, or more of the frame is to come.
        expects_more: bool,
        /// The response ends here.
        is_last: bool,
    },
    /// A request failed and has ended.
    Failed {
        /// The request.
        request_id: RequestId,
        /// What is said of it.
        message: ErrorMessage<'a>,
    },
    /// Text for people, beside a response.
    Text {
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
    /// A message did not fit the memory and was dropped. If it was an error response, its request
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
    /// 0006, where the owner has decoders: the stream ends with a frame that is not encoded. Drop its
    /// decoder, if it has one. The frame's own event follows.
    DropDecoder {
        /// The stream.
        stream_id: StreamId,
    },
    /// 0006, where the owner has decoders: bytes of an encoded frame. Put them through the stream's
    /// decoder and hand in what comes out, be it nothing, with
    /// [`Client::decoded`](super::Client::decoded): a decoder must see every encoded byte of its
    /// stream, wanted or not (revision-0006.md, 3.5).
    Encoded {
        /// The stream.
        stream_id: StreamId,
        /// The bytes as they came.
        bytes: &'a [u8],
        /// Whether the frame ends with them.
        is_last: bool,
        /// The stream ends with the frame: drop its decoder afterwards.
        ends_stream: bool,
    },
    /// The server broke the protocol.
    Error {
        /// The rule that was broken.
        error: ProtocolError,
        /// The request that it concerns, which has failed; `None`: it concerns the connection.
        request_id: Option<RequestId>,
    },
    /// Nothing: more is to come. Of [connections](crate::connection) alone.
    Idle,
    /// Something of the line's. Of connections over a link alone.
    #[cfg(feature = "link")]
    Line(crate::connection::LineEvent<'a>),
}

/// The token of a request whose frames are made: four bytes, not copied, checked. It may be dropped
/// once all of them were made; a request that is given up before is to be
/// [cancelled](super::Client::cancel).
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a request whose frames are not made is never sent"]
pub struct Upload {
    request_id: RequestId,
    generation: u16,
}

impl Upload {
    pub(super) const fn new(request_id: RequestId, order: u32) -> Self {
        Self {
            request_id,
            generation: generation(order),
        }
    }

    /// The request.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// Whether it is of the request that was opened as this one.
    pub(super) const fn is_of(&self, order: u32) -> bool {
        self.generation == generation(order)
    }
}
