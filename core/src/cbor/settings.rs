//! Settings payloads of revision 0006: which content encodings a sender decodes, and which one a
//! stream uses.
//!
//! Specification: revision-0006.md, 2.6, 4, 5.3, 6.3 and 9.2.

use super::known::index_of;
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

    /// The encoding that a byte string names.
    fn named_by(value: Value<'_>) -> Option<Self> {
        match index_of(value, b"\x48identity\x44zlib\x48zstd-8mb") {
            0 => Some(Self::Identity),
            1 => Some(Self::Zlib),
            2 => Some(Self::Zstd8Mb),
            _ => None,
        }
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
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
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

    /// The set as bits.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
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

impl core::fmt::Debug for EncodingSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = ContentEncoding::ALL.iter().rev();
        f.debug_set()
            .entries(names.filter(|encoding| self.contains(**encoding)))
            .finish()
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
            match index_of(key, b"\x50contentencodings\x45hgrpc") {
                0 => listed = Some(value),
                1 => settings.is_hgrpc = value.as_u64().is_some_and(|n| n > 0),
                _ => {}
            }
        }
        if let Some(list) = listed {
            let mut encodings = EncodingSet::EMPTY;
            for item in list.elements()? {
                if !item.is_byte_string() {
                    return None;
                }
                if let Some(known) = ContentEncoding::named_by(item) {
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
        ContentEncoding::named_by(Value::new_unchecked(bytes))
            .ok_or(ProtocolError::EncodingUnusable)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::testing::hex;
    use super::*;
    use ContentEncoding::{Identity, Zlib, Zstd8Mb};

    const KEY: &str = "50636f6e74656e74656e636f64696e6773";

    fn finish(text: &str) -> Result<SenderSettings, ProtocolError> {
        SenderSettings::finish(&hex(text))
    }

    fn with(list: &str) -> Result<SenderSettings, ProtocolError> {
        let mut bytes = hex(&["a1", KEY].concat());
        bytes.extend(hex(list));
        SenderSettings::finish(&bytes)
    }

    #[test]
    fn sender_settings_in_the_order_of_5_3() {
        use ProtocolError::{MalformedSettings, SettingsEmpty, SettingsMultipleValues};
        for (bytes, error) in [
            ("62616476616c7565", MalformedSettings),
            ("a0 60", MalformedSettings),
            ("", SettingsEmpty),
            ("a1", SettingsEmpty),
            ("5f", SettingsEmpty),
            ("46666f6f6261 7243666f6f", SettingsMultipleValues),
            ("a0a0", SettingsMultipleValues),
            ("a0a0a1", SettingsMultipleValues),
            ("5f4161ff", SettingsMultipleValues),
            // K-05, K-04.
            ("a0a1", MalformedSettings),
            ("05", MalformedSettings),
            ("f5", MalformedSettings),
            ("80", MalformedSettings),
            ("4161", MalformedSettings),
            ("5fff", MalformedSettings),
        ] {
            assert_eq!(finish(bytes), Err(error), "{bytes}");
        }
        assert_eq!(finish("a0"), Ok(SenderSettings::default()));
        assert_eq!(finish("a2 01 80 80 01"), Err(MalformedSettings));
        assert_eq!(SenderSettings::continue_ok(&hex("a1 50")), Ok(()));
        assert_eq!(SenderSettings::continue_ok(&hex("a1 50 41")), Ok(()));
        assert_eq!(
            SenderSettings::continue_ok(&hex("a1 60")),
            Err(MalformedSettings)
        );
        assert_eq!(
            SenderSettings::continue_ok(&[0x81; 17]),
            Err(MalformedSettings)
        );
    }

    #[test]
    fn content_encodings() {
        let set =
            |list: &[ContentEncoding]| list.iter().fold(EncodingSet::EMPTY, |set, e| set.with(*e));
        let encodings = |list| with(list).map(|s| s.encodings);
        assert_eq!(encodings("82 447a6c6962 4161"), Ok(set(&[Zlib])));
        assert_eq!(
            encodings("83 487a7374642d386d62 486964656e74697479 447a6c6962"),
            Ok(set(&[Zlib, Identity, Zstd8Mb]))
        );
        // K-03: nothing known, or nothing at all, counts as identity.
        assert_eq!(encodings("82 4161 4162"), Ok(EncodingSet::IDENTITY));
        assert_eq!(encodings("80"), Ok(EncodingSet::IDENTITY));
        for wrong in [
            "f6",
            "00",
            "a0",
            "447a6c6962",
            "81 00",
            "82 4161 f6",
            "d90102 81 4161",
            "81 81 4161",
        ] {
            assert_eq!(
                encodings(wrong),
                Err(ProtocolError::MalformedSettings),
                "{wrong}"
            );
        }
        // The last of a repeated key counts.
        let mut twice = hex(&["a2", KEY, "00"].concat());
        twice.extend(hex(&[KEY, "81 447a6c6962"].concat()));
        assert_eq!(
            SenderSettings::finish(&twice).unwrap().encodings,
            set(&[Zlib])
        );

        assert_eq!(set(&[Zlib]).choose(&ContentEncoding::ALL), Zlib);
        assert_eq!(set(&[Zlib]).choose(&[Zstd8Mb]), Identity);
        assert_eq!(
            EncodingSet::IDENTITY.choose(&ContentEncoding::ALL),
            Identity
        );
    }

    #[test]
    fn hgrpc_peers_say_so() {
        for (value, is_hgrpc) in [
            ("01", true),
            ("1802", true),
            ("00", false),
            ("20", false),
            ("4101", false),
            ("f5", false),
        ] {
            let settings = finish(&["a1 456867727063", value].concat()).unwrap();
            assert_eq!(settings.is_hgrpc, is_hgrpc, "{value}");
        }
    }

    #[test]
    fn what_is_sent_is_canonical_and_understood() {
        let mut buffer = [0; 59];
        let len = SenderSettings::encode(&ContentEncoding::ALL, true, &mut buffer).unwrap();
        assert_eq!(
            buffer[..len],
            hex(&[
                "a2",
                KEY,
                "83 487a7374642d386d62 447a6c6962 486964656e74697479 456867727063 01"
            ]
            .concat())
        );
        let settings = SenderSettings::finish(&buffer[..len]).unwrap();
        assert!(
            settings.is_hgrpc
                && ContentEncoding::ALL
                    .iter()
                    .all(|e| settings.encodings.contains(*e))
        );
        let len = SenderSettings::encode(&[Identity], false, &mut buffer).unwrap();
        assert_eq!(
            buffer[..len],
            hex(&["a1", KEY, "81 486964656e74697479"].concat())
        );
        assert_eq!(
            SenderSettings::encode(&[Identity], false, &mut buffer[..20]),
            Err(ApiMisuse::TooLarge)
        );
    }

    #[test]
    fn stream_settings_in_the_order_of_6_3() {
        use ProtocolError::{EncodingUnusable, MalformedSettings, SettingsEmpty};
        for encoding in ContentEncoding::ALL {
            assert_eq!(
                StreamSettings::finish(encoding.stream_settings(), false),
                Ok(encoding)
            );
            assert_eq!(
                StreamSettings::finish(encoding.stream_settings(), true),
                Err(EncodingUnusable)
            );
        }
        for (bytes, error) in [
            ("62616476616c7565", MalformedSettings),
            ("486964656e74697479 ff", MalformedSettings),
            ("", SettingsEmpty),
            ("447a6c69", SettingsEmpty),
            ("4862616476616c7565", EncodingUnusable),
            (
                "486964656e74697479 d90102824362617243666f6f",
                EncodingUnusable,
            ),
            ("486964656e74697479 40", EncodingUnusable),
            ("5f447a6c6962ff", EncodingUnusable),
            ("5fff", EncodingUnusable),
            ("81447a6c6962", EncodingUnusable),
            ("f6", EncodingUnusable),
            ("486964656e74697479 41", MalformedSettings),
        ] {
            assert_eq!(
                StreamSettings::finish(&hex(bytes), false),
                Err(error),
                "{bytes}"
            );
        }
        assert_eq!(StreamSettings::finish(b"\x58\x04zlib", false), Ok(Zlib));
    }
}
