//! How a client is made, and the states that its requests can be in.

use crate::Limits;
use crate::cbor::{ContentEncoding, EncodingSet};

/// What the client says of itself before its first request (revision-0006.md, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Announcement {
    /// The encodings that the client can decode, best first; list `identity` too.
    pub encodings: [Option<ContentEncoding>; 3],
    /// Whether to say that this is an hgrpc client, which takes text output and progress.
    /// Mercurial's servers ignore it.
    pub is_hgrpc: bool,
}

/// How a client is made (client.md, "Making one"); see [`Client::new`](super::Client::new).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ClientConfig {
    /// The transport can be sent to more than once. Default: no.
    pub multiple_sends: bool,
    /// Calls wait until they are flushed together. Default: yes.
    pub buffer_sends: bool,
    /// Largest payload of a frame that is sent, in bytes. Default 32,768; at most 65,535 unless
    /// the peers agreed on more by other means. 0 counts as 1, and what is over
    /// [`MAX_LENGTH`](crate::wire::MAX_LENGTH) as that.
    pub send_frame_size: u32,
    /// 0005 and 0006: take the status map off responses and report it. Default: no.
    pub takes_status: bool,
    /// 0006: sent before the first request; `None`: nothing is sent. Default: an hgrpc client that
    /// decodes `identity`.
    pub announcement: Option<Announcement>,
    /// 0006: the encodings that the owner has decoders for; others are `encoding-unusable`.
    /// Default: `identity`.
    pub decoders: EncodingSet,
    /// Largest payload of a frame that is received, for the reader. Default: as in [`Limits`].
    pub max_frame_size: u32,
    /// Most bytes of a status map, or of a stream's settings. Both are read again at every piece
    /// of them, so this bounds the work. Default 4,096.
    pub status_size: u32,
}

impl ClientConfig {
    /// The default configuration, for a transport with a single send.
    pub const DEFAULT: Self = Self {
        multiple_sends: false,
        buffer_sends: true,
        send_frame_size: 0x8000,
        takes_status: false,
        announcement: Some(Announcement {
            encodings: [Some(ContentEncoding::Identity), None, None],
            is_hgrpc: true,
        }),
        decoders: EncodingSet::IDENTITY,
        max_frame_size: Limits::DEFAULT.max_frame_size,
        status_size: 4_096,
    };

    /// The configuration for a full-duplex transport: calls go out at once, any number of them,
    /// and responses come without their status maps.
    pub const FULL_DUPLEX: Self = Self {
        multiple_sends: true,
        buffer_sends: false,
        takes_status: true,
        ..Self::DEFAULT
    };

    /// The same, with this [size of frames](Self::send_frame_size).
    #[must_use]
    pub const fn with_send_frame_size(self, send_frame_size: u32) -> Self {
        Self {
            send_frame_size,
            ..self
        }
    }

    /// The same, with this [largest frame](Self::max_frame_size) that is received.
    #[must_use]
    pub const fn with_max_frame_size(self, max_frame_size: u32) -> Self {
        Self {
            max_frame_size,
            ..self
        }
    }

    /// The same, with this [largest status map](Self::status_size).
    #[must_use]
    pub const fn with_status_size(self, status_size: u32) -> Self {
        Self {
            status_size,
            ..self
        }
    }

    /// The same, with these [decoders](Self::decoders).
    #[must_use]
    pub const fn with_decoders(self, decoders: EncodingSet) -> Self {
        Self { decoders, ..self }
    }

    /// The same, with this [announcement](Self::announcement).
    #[must_use]
    pub const fn with_announcement(self, announcement: Option<Announcement>) -> Self {
        Self {
            announcement,
            ..self
        }
    }

    /// The same, with status maps [taken off](Self::takes_status), or not.
    #[must_use]
    pub const fn with_takes_status(self, takes_status: bool) -> Self {
        Self {
            takes_status,
            ..self
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The state of a request (client.md, "A frame arrives"; revision-0006.md, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestState {
    /// Called; no frame was taken.
    Pending,
    /// Some frames were taken.
    Sending,
    /// All frames were taken.
    Sent,
    /// The answer arrives.
    Receiving,
    /// Cancelled; what arrives is swallowed until the response ends.
    Cancelled,
}

impl RequestState {
    /// The state's name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Receiving => "receiving",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What to do after a call or a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum SendAction {
    /// Nothing now: the call is queued, or there is nothing to flush.
    Noop,
    /// Take the frames and put them on the wire.
    SendFrames,
}
