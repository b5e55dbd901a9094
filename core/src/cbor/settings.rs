//! Settings payloads of revision 0006: which content encodings a sender decodes, and which one a
//! stream uses.
//!
//! Specification: revision-0006.md, 4, 5.3, 6.3 and 9.2.

use super::strict::check_strict;
use super::{CborWriter, Value};
use crate::error::{ApiMisuse, ProtocolError};

/// A content encoding of a stream (revision-0006.md, 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ContentEncoding {
    /// Bytes unchanged; everyone must support it.
    #[default]
    Identity,
    /// One RFC 1950 stream.
    Zlib,
    /// One Zstandard frame with a window of at most 8 MiB.
    Zstd8Mb,
}

impl ContentEncoding {
    /// Every encoding, in the order in which the reference's server prefers them.
    pub const ALL: [Self; 3] = [Self::Zstd8Mb, Self::Zlib, Self::Identity];

    /// The encoding's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zlib => "zlib",
            Self::Zstd8Mb => "zstd-8mb",
        }
    }

    /// The encoding with this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.name().as_bytes() == name)
    }

    /// The payload of the `stream-settings` frame for a stream that uses this encoding.
    pub const fn stream_settings(self) -> &'static [u8] {
        match self {
            Self::Identity => b"\x48identity",
            Self::Zlib => b"\x44zlib",
            Self::Zstd8Mb => b"\x48zstd-8mb",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Identity => 1,
            Self::Zlib => 2,
            Self::Zstd8Mb => 4,
        }
    }
}

impl core::fmt::Display for ContentEncoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of content encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodingSet(u8);

impl EncodingSet {
    /// No encoding.
    pub const EMPTY: Self = Self(0);
    /// `identity` alone: what a peer decodes that sent no settings.
    pub const IDENTITY: Self = Self(ContentEncoding::Identity.bit());

    /// This set and one more encoding.
    #[must_use]
    pub const fn with(self, encoding: ContentEncoding) -> Self {
        Self(self.0 | encoding.bit())
    }

    /// Whether the encoding is in the set.
    pub const fn contains(self, encoding: ContentEncoding) -> bool {
        self.0 & encoding.bit() != 0
    }

    /// Whether no encoding is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first of `preferred` that is in the set; `identity` if none is.
    pub fn choose(self, preferred: &[ContentEncoding]) -> ContentEncoding {
        preferred
            .iter()
            .copied()
            .find(|encoding| self.contains(*encoding))
            .unwrap_or_default()
    }
}

/// What a sender told about itself: the payload of `sender-protocol-settings` (revision-0006.md,
/// 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SenderSettings {
    /// What the sender decodes. Never empty: a list without any encoding that is known here counts
    /// as `identity` (K-03).
    pub encodings: EncodingSet,
    /// Whether the sender is an hgrpc peer, and takes text output and progress (2.5).
    pub is_hgrpc: bool,
}

impl Default for SenderSettings {
    /// What holds for a sender that sent no settings.
    fn default() -> Self {
        Self {
            encodings: EncodingSet::IDENTITY,
            is_hgrpc: false,
        }
    }
}

impl SenderSettings {
    /// Checks what has come of the settings while more is to come (5.3 c).
    ///
    /// # Errors
    /// [`ProtocolError::MalformedSettings`] as soon as the bytes show it.
    pub fn continue_ok(bytes: &[u8]) -> Result<(), ProtocolError> {
        check_strict(bytes).map(drop).map_err(malformed)
    }

    /// Uses the settings when their last frame has come (5.3 c, e, f). Work is linear in the bytes.
    ///
    /// # Errors
    /// In this order: [`ProtocolError::MalformedSettings`] if the bytes are not well-formed,
    /// [`ProtocolError::SettingsEmpty`] if there is no complete value,
    /// [`ProtocolError::SettingsMultipleValues`] if there are several, and again
    /// [`ProtocolError::MalformedSettings`] for an incomplete value at the end or one of the wrong
    /// type.
    pub fn finish(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let values = check_strict(bytes).map_err(malformed)?;
        match values.complete {
            0 => return Err(ProtocolError::SettingsEmpty),
            1 if values.has_tail => return Err(ProtocolError::MalformedSettings),
            1 => {}
            _ => return Err(ProtocolError::SettingsMultipleValues),
        }
        Self::from_value(Value::new_unchecked(bytes)).ok_or(ProtocolError::MalformedSettings)
    }

    fn from_value(map: Value<'_>) -> Option<Self> {
        let mut listed = None;
        let mut settings = Self::default();
        // A repeated key is no error here, the last one counts (9.2).
        for (key, value) in map.entries()? {
            match key.as_bytes().and_then(|key| key.as_slice()) {
                Some(b"contentencodings") => listed = Some(value),
                Some(b"hgrpc") => settings.is_hgrpc = value.as_u64().is_some_and(|n| n > 0),
                _ => {}
            }
        }
        if let Some(list) = listed {
            let mut encodings = EncodingSet::EMPTY;
            for item in list.elements()? {
                if let Some(known) = ContentEncoding::from_name(item.as_bytes()?.as_slice()?) {
                    encodings = encodings.with(known);
                }
            }
            if !encodings.is_empty() {
                settings.encodings = encodings;
            }
        }
        Some(settings)
    }

    /// Writes the payload of a `sender-protocol-settings` frame to the front of `buffer` and
    /// returns its length, at most 59 bytes. `encodings` are best first and should end in
    /// `identity`; `is_hgrpc` tells the server that text output and progress are welcome.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if the buffer is too small.
    pub fn encode(
        encodings: &[ContentEncoding],
        is_hgrpc: bool,
        buffer: &mut [u8],
    ) -> Result<usize, ApiMisuse> {
        let mut writer = CborWriter::new(buffer);
        writer.map(if is_hgrpc { 2 } else { 1 })?;
        writer.bytes(b"contentencodings")?;
        writer.array(encodings.len())?;
        for encoding in encodings {
            writer.bytes(encoding.name().as_bytes())?;
        }
        if is_hgrpc {
            writer.bytes(b"hgrpc")?;
            writer.u64(1)?;
        }
        Ok(writer.position())
    }
}

fn malformed<E>(_: E) -> ProtocolError {
    ProtocolError::MalformedSettings
}

/// The payload of `stream-settings`: how the frames of one stream are encoded (revision-0006.md,
/// 4.2).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StreamSettings;

impl StreamSettings {
    /// Checks what has come of the settings while more is to come (6.3 c).
    ///
    /// # Errors
    /// [`ProtocolError::MalformedSettings`] as soon as the bytes show it.
    pub fn continue_ok(bytes: &[u8]) -> Result<(), ProtocolError> {
        SenderSettings::continue_ok(bytes)
    }

    /// Uses the settings when their last frame has come (6.3 c, e, f); `stream_closed` says that
    /// this very frame ends the stream. Work is linear in the bytes.
    ///
    /// # Errors
    /// In this order: [`ProtocolError::MalformedSettings`] if the bytes are not well-formed,
    /// [`ProtocolError::SettingsEmpty`] if there is no complete value,
    /// [`ProtocolError::MalformedSettings`] for one value and an incomplete one, and
    /// [`ProtocolError::EncodingUnusable`] for surplus values, for a name that is not known, and if
    /// the stream is closed.
    pub fn finish(bytes: &[u8], stream_closed: bool) -> Result<ContentEncoding, ProtocolError> {
        let values = check_strict(bytes).map_err(malformed)?;
        match values.complete {
            0 => return Err(ProtocolError::SettingsEmpty),
            1 if values.has_tail => return Err(ProtocolError::MalformedSettings),
            1 if !stream_closed => {}
            _ => return Err(ProtocolError::EncodingUnusable),
        }
        Value::new_unchecked(bytes)
            .as_bytes()
            .and_then(|name| name.as_slice())
            .and_then(ContentEncoding::from_name)
            .ok_or(ProtocolError::EncodingUnusable)
    }
}
