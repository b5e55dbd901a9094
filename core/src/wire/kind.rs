//! Frame types (framing.md, "Frame types"). Their numbers: [`Revision::kind`](crate::Revision::kind).

/// What a frame is. The number on the wire depends on the [`Revision`](crate::Revision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameKind {
    /// A command's name and arguments, or a piece of them.
    CommandRequest,
    /// A piece of a request's data.
    CommandData,
    /// A piece of a response, revision 0003.
    BytesResponse,
    /// A piece of a response, revisions 0005 and 0006.
    CommandResponse,
    /// An error that ends a request.
    ErrorResponse,
    /// Text for people, beside a response.
    TextOutput,
    /// Progress of an operation, beside a response.
    Progress,
    /// What the sender can decode, revision 0006.
    SenderProtocolSettings,
    /// How a stream is encoded.
    StreamSettings,
    /// A type number that the revision does not know.
    Unknown(u8),
}

impl FrameKind {
    /// The type's name in the specification; `None` if unknown.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CommandRequest => "command-request",
            Self::CommandData => "command-data",
            Self::BytesResponse => "bytes-response",
            Self::CommandResponse => "command-response",
            Self::ErrorResponse => "error-response",
            Self::TextOutput => "text-output",
            Self::Progress => "progress",
            Self::SenderProtocolSettings => "sender-protocol-settings",
            Self::StreamSettings => "stream-settings",
            Self::Unknown(_) => return None,
        })
    }
}

impl core::fmt::Display for FrameKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown(n) => write!(f, "<unknown {n:#04x}>"),
            known => f.write_str(known.name().unwrap_or("")),
        }
    }
}
