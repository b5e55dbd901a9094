//! Why encoded bytes were refused, or could not be made.

use hgrpc::ProtocolError;

/// Why a decoder gave up (revision-0006.md, 3.4 to 3.7 and 6.1 step 3).
///
/// All but [`Ended`](Self::Ended) are final: the stream's state is gone, and every later payload
/// of the stream gives the same error until settings install a new decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not of the encoding's format, or a checksum in them is wrong.
    Malformed,
    /// They need a window of more than 8 MiB (3.4).
    WindowTooLarge,
    /// They need a dictionary; the profiles have none.
    DictionaryNeeded,
    /// Non-empty input after the end of the compressed stream (3.7).
    Ended,
    /// One frame decodes to more than [`DecodeLimits::frame_output`](super::DecodeLimits).
    FrameOutputTooLarge,
    /// One stream decodes to more than [`DecodeLimits::stream_output`](super::DecodeLimits).
    StreamOutputTooLarge,
    /// Encoded bytes decode to more times their size than
    /// [`DecodeLimits::ratio`](super::DecodeLimits) allows.
    RatioTooLarge,
    /// All decoders together hold more than [`DecodeLimits::memory`](super::DecodeLimits), or the
    /// allocator has nothing left.
    MemoryExceeded,
    /// The owner dropped an earlier [`Decoded`](super::Decoded) before its end, so bytes that the
    /// decoder must have seen are lost.
    Abandoned,
}

impl DecodeError {
    /// The specification's kind for it: `decode-failed`, `encoding-ended`; for the local limits
    /// `output-too-large` and `memory-exceeded`, for the owner's mistake `abandoned`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed | Self::WindowTooLarge | Self::DictionaryNeeded => "decode-failed",
            Self::Ended => "encoding-ended",
            Self::FrameOutputTooLarge | Self::StreamOutputTooLarge | Self::RatioTooLarge => {
                "output-too-large"
            }
            Self::MemoryExceeded => "memory-exceeded",
            Self::Abandoned => "abandoned",
        }
    }

    /// The rule that the peer broke; `None` for a local limit or the owner's mistake.
    pub const fn protocol_error(self) -> Option<ProtocolError> {
        match self {
            Self::Malformed | Self::WindowTooLarge | Self::DictionaryNeeded => {
                Some(ProtocolError::DecodeFailed)
            }
            Self::Ended => Some(ProtocolError::EncodingEnded),
            _ => None,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "the bytes are not of the stream's encoding",
            Self::WindowTooLarge => "the window is larger than 8 MiB",
            Self::DictionaryNeeded => "a dictionary is needed",
            Self::Ended => "bytes after the end of the compressed stream",
            Self::FrameOutputTooLarge => "one frame decodes to more than the limit",
            Self::StreamOutputTooLarge => "the stream decodes to more than the limit",
            Self::RatioTooLarge => "the bytes decode to more times their size than the limit",
            Self::MemoryExceeded => "the decoders need more memory than the limit",
            Self::Abandoned => "an earlier payload was not decoded to its end",
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.name(), self.reason())
    }
}

impl core::error::Error for DecodeError {}

/// The encoder's library failed. Only a lack of memory is known to do that; what it had taken is
/// lost, so the stream cannot be written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeError;

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the encoder failed")
    }
}

impl core::error::Error for EncodeError {}
