//! Errors that end a request: the payload of `error-response`, and the status map of a command
//! that failed.
//!
//! Specification: messages.md, "Error response"; revision-0006.md, 2.4, 6.5 and 7.4.

use core::fmt;

use super::utf8::write_lossy;
use super::{Atoms, ByteString, CborError, CborReader, Escaped, Text, Value};
use crate::Revision;
use crate::wire::ErrorFlags;

/// What an `error-response` frame says. `Display` writes the message for people; it never fails
/// but where the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ErrorMessage<'a> {
    /// A message for people as raw bytes (0003 and 0005).
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

impl<'a> ErrorMessage<'a> {
    /// Decodes the payload of an `error-response` frame. Work is linear in the bytes.
    ///
    /// 0003: always raw. 0005: structured if no flag is set and the payload is exactly one map with
    /// `type` and `message`, else raw. 0006: structured; flags are ignored.
    ///
    /// # Errors
    /// 0006 only: [`CborError`] if the payload is not exactly one map with `type`, a byte string,
    /// and `message` (`malformed-error-response`).
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
                Ok(message) => return Ok(message),
                Err(_) => {}
            }
        }
        Ok(Self::Raw {
            protocol: flags.contains(ErrorFlags::PROTOCOL),
            application: flags.contains(ErrorFlags::APPLICATION),
            message: bytes,
        })
    }

    fn structured(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = CborReader::new(bytes);
        let mut found = [None; 2];
        reader.fields(&[b"type", b"message"], &mut found)?;
        match found {
            [Some(kind), Some(message)] if reader.is_empty() => Ok(Self::Structured {
                kind: kind.as_bytes().ok_or(CborError::Malformed)?,
                message,
            }),
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
                    fmt::Debug::fmt(message, f)
                }
            }
        }
    }
}
