//! Errors that end a request: the payload of `error-response`, and the status map of a command
//! that failed.
//!
//! Specification: messages.md, "Error response"; revision-0006.md, 2.4, 6.5 and 7.4.

use core::fmt;

use super::cursor::Cursor;
use super::known::{ANY, Known, REQUIRED};
use super::utf8::write_lossy;
use super::{Atoms, ByteString, CborError, Escaped, Text, Value};
use crate::Revision;
use crate::wire::ErrorFlags;

/// What an `error-response` frame says. `Display` writes the message for people; it never fails
/// but where the writer does.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ErrorMessage<'a> {
    /// A message for people as raw bytes (0003 and 0005); the payload as it came where `type` is not
    /// a byte string (0005 and 0006).
    Raw {
        /// The connection is broken and should be closed.
        protocol: bool,
        /// The command failed.
        application: bool,
        /// The message.
        message: &'a [u8],
    },
    /// A structured message (0006, and 0005 from Mercurial 4.6).
    Structured {
        /// `protocol`, `server` or `command`; others are passed through.
        kind: ByteString<'a>,
        /// The message: an array of atoms is expected, anything is passed through.
        message: Value<'a>,
    },
}

/// The map that a structured message is.
const STRUCTURED: Known = Known {
    keys: b"\x44type\x47message",
    kinds: &[ANY | REQUIRED, ANY | REQUIRED],
};

impl<'a> ErrorMessage<'a> {
    /// Decodes the payload of an `error-response` frame. Work is linear in the bytes.
    ///
    /// 0003: always raw. 0005: structured if no flag is set and the payload is exactly one map with
    /// `type`, a byte string, and `message`, else raw. 0006: structured, or raw if `type` is not a
    /// byte string; flags do not decide.
    ///
    /// # Errors
    /// 0006 only: [`CborError`] if the payload is not exactly one map with `type` and `message`
    /// (`malformed-error-response`).
    pub fn decode(
        bytes: &'a [u8],
        flags: ErrorFlags,
        revision: Revision,
    ) -> Result<Self, CborError> {
        let may_be_structured = match revision {
            Revision::R0003 => false,
            Revision::R0005 => {
                !flags.contains(ErrorFlags::PROTOCOL) && !flags.contains(ErrorFlags::APPLICATION)
            }
            Revision::R0006 => true,
        };
        if may_be_structured {
            match Self::structured(bytes) {
                Err(error) if revision.has_settings() => return Err(error),
                Ok(Some(message)) => return Ok(message),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(Self::Raw {
            protocol: flags.contains(ErrorFlags::PROTOCOL),
            application: flags.contains(ErrorFlags::APPLICATION),
            message: bytes,
        })
    }

    /// Reads a structured message; `None` if its `type` is not a byte string.
    fn structured(bytes: &'a [u8]) -> Result<Option<Self>, CborError> {
        let mut cursor = Cursor::new(bytes);
        let mut found = [None; 2];
        STRUCTURED.read(&mut cursor, &mut found)?;
        match found {
            [Some(kind), Some(message)] if cursor.rest().is_empty() => Ok(kind
                .as_bytes()
                .map(|kind| Self::Structured { kind, message })),
            _ => Err(CborError::Malformed),
        }
    }

    /// Shows the message so that it is safe on a terminal.
    pub const fn escaped(&self) -> Escaped<Self> {
        Escaped(*self)
    }
}

impl fmt::Display for ErrorMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw { message, .. } => write_lossy(&ByteString::from_slice(message), f),
            Self::Structured { message, .. } => {
                if let Some(atoms) = Atoms::from_value(*message) {
                    fmt::Display::fmt(&atoms, f)
                } else if let Some(text) = message.as_bytes() {
                    fmt::Display::fmt(&text, f)
                } else if let Some(text) = Text::from_value(*message) {
                    fmt::Display::fmt(&text, f)
                } else {
                    message.write_encoding(f)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::super::testing::hex;
    use super::*;
    use Revision::{R0003, R0005, R0006};

    const GOOD: &str =
        "a2 476d657373616765 81a1436d73674c736f6d65206d657373616765 4474797065 46736572766572";

    #[test]
    fn april_revisions_take_raw_messages() {
        for revision in [R0003, R0005] {
            for bits in 0..16 {
                let flags = ErrorFlags::from_bits(bits);
                let message = ErrorMessage::decode(b"no\x1b \xff", flags, revision).unwrap();
                let expected = ErrorMessage::Raw {
                    protocol: bits & 1 != 0,
                    application: bits & 2 != 0,
                    message: b"no\x1b \xff",
                };
                assert_eq!(message, expected);
                assert_eq!(message.to_string(), "no\x1b \u{fffd}");
                assert_eq!(message.escaped().to_string(), "no\\x1b \u{fffd}");
            }
        }
    }

    #[test]
    fn structured_messages_where_the_revision_has_them() {
        let good = hex(GOOD);
        for (bits, revision, is_structured) in [
            (0, R0003, false),
            (0, R0005, true),
            (4, R0005, true),
            (1, R0005, false),
            (2, R0005, false),
            (0, R0006, true),
            (3, R0006, true),
        ] {
            let message =
                ErrorMessage::decode(&good, ErrorFlags::from_bits(bits), revision).unwrap();
            match message {
                ErrorMessage::Structured { kind, .. } => {
                    assert!(is_structured);
                    assert_eq!(kind, "server");
                    assert_eq!(message.to_string(), "some message");
                }
                ErrorMessage::Raw { message, .. } => {
                    assert!(!is_structured);
                    assert_eq!(message, good);
                }
            }
        }
    }

    #[test]
    fn malformed_in_0006_is_raw_in_0005() {
        for bytes in [
            "",
            "05",
            "80",
            "a0",
            "a1447479706546736572766572",
            "a1476d65737361676580",
            "a0a0",
            &[GOOD, "00"].concat(),
            "a3 476d657373616765 80 4474797065 4161 4474797065 4161",
            "2e000001000200",
            "a2476d65737361676581a24461726773814577726f6e67436d73674777656e742025734474797065467365727665",
        ] {
            let bytes = hex(bytes);
            assert!(
                ErrorMessage::decode(&bytes, ErrorFlags::NONE, R0006).is_err(),
                "{bytes:x?}"
            );
            let raw = ErrorMessage::decode(&bytes, ErrorFlags::NONE, R0005).unwrap();
            assert!(matches!(raw, ErrorMessage::Raw { message, .. } if message == bytes));
        }
    }

    #[test]
    fn a_type_that_is_no_byte_string_is_passed_through() {
        for kind in ["66736572766572", "f6", "05", "80", "a0"] {
            let bytes = hex(&["a2 476d657373616765 80 4474797065", kind].concat());
            for revision in [R0005, R0006] {
                let message = ErrorMessage::decode(&bytes, ErrorFlags::NONE, revision);
                assert_eq!(
                    message,
                    Ok(ErrorMessage::Raw {
                        protocol: false,
                        application: false,
                        message: &bytes
                    }),
                    "{kind} in {revision}"
                );
            }
        }
    }

    #[test]
    fn any_value_is_a_message() {
        for (value, shown) in [
            ("81a2436d73674225734461726773814178", "x"),
            ("426869", "hi"),
            ("626869", "hi"),
            ("01", "Value(01)"),
            ("8101", "Value(8101)"),
            ("f6", "Value(f6)"),
        ] {
            let bytes = hex(&["bf 4474797065 416b 0102 476d657373616765", value, "ff"].concat());
            let message = ErrorMessage::decode(&bytes, ErrorFlags::NONE, R0006).unwrap();
            assert_eq!(message.to_string(), shown);
        }
    }
}
