//! Progress of an operation, beside a response.
//!
//! Specification: messages.md, "Progress"; revision-0006.md, 2.5.

use super::cursor::Cursor;
use super::item::{CborError, MAJOR_BYTES, MAJOR_TEXT};
use super::known::{INTEGER, Known, REQUIRED, TEXT, UNSIGNED};
use super::{CborWriter, Text};
use crate::error::ApiMisuse;
use crate::{KeyOrder, Revision};

/// One update of one operation: received, or to be sent.
///
/// The first update that names a topic starts it; a position of −1 ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress<'a> {
    /// Which operation.
    pub topic: Text<'a>,
    /// How far it is, in units; −1: finished. A received number outside of this type's range
    /// becomes its nearest.
    pub pos: i64,
    /// How many units there are.
    pub total: u64,
    /// The unit.
    pub label: Option<Text<'a>>,
    /// What is being worked on.
    pub item: Option<Text<'a>>,
}

/// The map that an update is.
const PROGRESS: Known = Known {
    keys: b"\x45topic\x43pos\x45total\x45label\x44item",
    kinds: &[
        TEXT | REQUIRED,
        INTEGER | REQUIRED,
        UNSIGNED | REQUIRED,
        TEXT,
        TEXT,
    ],
};

impl<'a> Progress<'a> {
    /// An update without unit and item.
    pub const fn new(topic: &'a str, pos: i64, total: u64) -> Self {
        Self {
            topic: Text::new(topic),
            pos,
            total,
            label: None,
            item: None,
        }
    }

    /// Whether this update ends its topic.
    pub const fn is_finished(&self) -> bool {
        self.pos == -1
    }

    /// Decodes the payload of a `progress` frame. Texts may be text strings, or byte strings that
    /// hold UTF-8, in every revision. Work is linear in the bytes.
    ///
    /// # Errors
    /// If the bytes are not exactly one such map (`malformed-progress`).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        ProgressView::decode(bytes).map(|view| view.progress())
    }

    /// Writes the payload of a `progress` frame to the front of `buffer` and returns its length.
    /// Texts are text strings in 0003 and 0005, byte strings in 0006.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if the buffer is too small.
    pub fn encode(&self, revision: Revision, buffer: &mut [u8]) -> Result<usize, ApiMisuse> {
        let major = match revision {
            Revision::R0003 | Revision::R0005 => MAJOR_TEXT,
            Revision::R0006 => MAJOR_BYTES,
        };
        let shorter_first = revision.key_order() == KeyOrder::ShorterFirst;
        let mut writer = CborWriter::new(buffer);
        writer.map(
            3usize
                .saturating_add(usize::from(self.label.is_some()))
                .saturating_add(usize::from(self.item.is_some())),
        )?;
        if shorter_first {
            self.encode_pos(&mut writer)?;
        }
        for (key, text) in [(&b"item"[..], self.item), (b"label", self.label)] {
            if let Some(text) = text {
                writer.bytes(key)?;
                writer.string(major, &text.as_bytes())?;
            }
        }
        if !shorter_first {
            self.encode_pos(&mut writer)?;
        }
        writer.bytes(b"topic")?;
        writer.string(major, &self.topic.as_bytes())?;
        writer.bytes(b"total")?;
        writer.u64(self.total)?;
        Ok(writer.position())
    }

    fn encode_pos(&self, writer: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        writer.bytes(b"pos")?;
        writer.i64(self.pos)
    }
}

/// One update that was received. The whole was checked when it was decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProgressView<'a>(&'a [u8]);

impl<'a> ProgressView<'a> {
    /// [`Progress::decode`], but only what is asked for later is taken apart.
    ///
    /// # Errors
    /// If the bytes are not exactly one map of an update (`malformed-progress`).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut cursor = Cursor::new(bytes);
        PROGRESS.read(&mut cursor, &mut [None; 5])?;
        if cursor.rest().is_empty() {
            Ok(Self(bytes))
        } else {
            Err(CborError::Malformed)
        }
    }

    /// The update. Work is linear in the bytes.
    pub fn progress(&self) -> Progress<'a> {
        let mut found = [None; 5];
        // The map was read before.
        let _ = PROGRESS.read(&mut Cursor::new(self.0), &mut found);
        let [topic, pos, total, label, item] = found;
        Progress {
            topic: topic.map_or(Text::new(""), Text::of),
            pos: pos.map_or(0, |pos| pos.saturating_i64()),
            total: total.and_then(|total| total.as_u64()).unwrap_or(0),
            label: label.map(Text::of),
            item: item.map(Text::of),
        }
    }

    /// The update's encoding, as it was received.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0
    }
}

impl core::fmt::Debug for ProgressView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.progress().fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for ProgressView<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.progress());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use proptest::prelude::*;

    use super::super::testing::hex;
    use super::*;
    use crate::REVISIONS;

    const TOPIC: &str = "45746f706963";
    const POS: &str = "43706f73";
    const TOTAL: &str = "45746f74616c";

    proptest! {
        #[test]
        fn what_is_sent_comes_back(topic: String, pos: i64, total: u64, label: Option<String>, item: Option<String>) {
            let sent = Progress {
                topic: Text::new(&topic), pos, total,
                label: label.as_deref().map(Text::new), item: item.as_deref().map(Text::new),
            };
            for revision in REVISIONS {
                let mut buffer = std::vec![0; 2048];
                let len = sent.encode(revision, &mut buffer).unwrap();
                prop_assert_eq!(Progress::decode(&buffer[..len]), Ok(sent));
                prop_assert_eq!(sent.encode(revision, &mut buffer[..len - 1]), Err(ApiMisuse::TooLarge));
            }
        }
    }

    #[test]
    fn each_revision_has_its_order_and_type() {
        let progress = Progress {
            label: Some(Text::new("l")),
            item: Some(Text::new("i")),
            ..Progress::new("t", -1, 3)
        };
        assert!(progress.is_finished());
        let mut buffer = [0; 64];
        for (revision, expected) in [
            (
                Revision::R0003,
                "a5 43706f7320 446974656d6169 456c6162656c616c 45746f7069636174 45746f74616c03",
            ),
            (
                Revision::R0005,
                "a5 43706f7320 446974656d6169 456c6162656c616c 45746f7069636174 45746f74616c03",
            ),
            (
                Revision::R0006,
                "a5 446974656d4169 456c6162656c416c 43706f7320 45746f7069634174 45746f74616c03",
            ),
        ] {
            let len = progress.encode(revision, &mut buffer).unwrap();
            assert_eq!(buffer[..len], hex(expected));
        }
    }

    #[test]
    fn what_is_accepted() {
        let decode = |parts: &[&str]| {
            let bytes = hex(&parts.concat());
            Progress::decode(&bytes).map(|p| (p.topic.as_str() == Some("t"), p.pos, p.total))
        };
        for (topic, pos, total, expected) in [
            ("6174", "00", "00", (true, 0, 0)),
            ("4174", "20", "1bffffffffffffffff", (true, -1, u64::MAX)),
            (
                "7f6174ff",
                "1bffffffffffffffff",
                "1801",
                (true, i64::MAX, 1),
            ),
            ("5f4174ff", "3bffffffffffffffff", "00", (true, i64::MIN, 0)),
            (
                "7f61616174ff",
                "3b7fffffffffffffff",
                "00",
                (false, i64::MIN, 0),
            ),
        ] {
            assert_eq!(
                decode(&["a3", TOPIC, topic, POS, pos, TOTAL, total]),
                Ok(expected)
            );
        }
        assert!(decode(&["bf", TOTAL, "01", "f6f6", POS, "01", TOPIC, "60", "ff"]).is_ok());
        for parts in [
            &["a3", TOPIC, "6174", POS, "00", TOTAL, "20"][..],
            &["a3", TOPIC, "6174", POS, "f6", TOTAL, "00"],
            &["a3", TOPIC, "6174", POS, "f90000", TOTAL, "00"],
            &["a3", TOPIC, "00", POS, "00", TOTAL, "00"],
            &["a3", TOPIC, "61ff", POS, "00", TOTAL, "00"],
            &["a3", TOPIC, "41ff", POS, "00", TOTAL, "00"],
            &["a2", POS, "00", TOTAL, "00"],
            &["a2", TOPIC, "6174", TOTAL, "00"],
            &["a2", TOPIC, "6174", POS, "00"],
            &["a3", TOPIC, "6174", POS, "00", TOTAL, "00", "00"],
            &["a4", TOPIC, "6174", POS, "00", TOTAL, "00", TOTAL, "00"],
            &["a4", TOPIC, "6174", POS, "00", TOTAL, "00", "446974656d f6"],
            &[
                "a4",
                TOPIC,
                "6174",
                POS,
                "00",
                TOTAL,
                "00",
                "456c6162656c 01",
            ],
            &["80"],
            &[""],
        ] {
            assert!(decode(parts).is_err(), "{parts:?}");
        }
    }
}
