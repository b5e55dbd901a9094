//! Responses that are not CBOR.

use std::io::{self, Write};

use hgrpc::cbor::Escaped;

use super::PrintError;
use super::json::JsonString;
use super::string::write_hex;

/// Prints bytes that come in pieces.
pub(super) enum Plain {
    /// As text, of which what is unsafe on a terminal is escaped, and what is not UTF-8.
    Text {
        /// The beginning of a character.
        cut: Vec<u8>,
        ends_line: bool,
    },
    /// As one byte string in diagnostic notation.
    Bytes { is_empty: bool },
    /// As one byte string in JSON.
    Json(JsonString),
}

impl Plain {
    pub(super) fn text() -> Self {
        Self::Text {
            cut: Vec::new(),
            ends_line: true,
        }
    }

    pub(super) fn bytes() -> Self {
        Self::Bytes { is_empty: true }
    }

    pub(super) fn json() -> Self {
        Self::Json(JsonString::new(false))
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> Result<(), PrintError> {
        match self {
            Self::Text { cut, ends_line } => {
                cut.extend_from_slice(bytes);
                let pending = write_lossy(out, cut)?;
                let len = cut.len() - pending;
                *ends_line = cut.get(..len).is_some_and(|shown| match shown.last() {
                    Some(&last) => last == b'\n',
                    None => *ends_line,
                });
                cut.drain(..len);
            }
            Self::Bytes { is_empty } => {
                if std::mem::take(is_empty) {
                    out.write_all(b"h'")?;
                }
                write_hex(out, bytes)?;
            }
            Self::Json(string) => string.push(out, bytes)?,
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> Result<(), PrintError> {
        match self {
            Self::Text { cut, ends_line } => {
                for byte in &*cut {
                    write!(out, "\\x{byte:02x}")?;
                }
                if !*ends_line || !cut.is_empty() {
                    out.write_all(b"\n")?;
                }
            }
            Self::Bytes { .. } => out.write_all(b"'\n")?,
            Self::Json(string) => {
                string.finish(out, false)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }
}

/// Writes bytes as text; how many at the end may become a character yet.
fn write_lossy(out: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut left = bytes.len();
    for chunk in bytes.utf8_chunks() {
        write!(out, "{}", Escaped(chunk.valid()))?;
        left -= chunk.valid().len() + chunk.invalid().len();
        let is_cut = std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        if left == 0 && is_cut {
            return Ok(chunk.invalid().len());
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(0)
}
