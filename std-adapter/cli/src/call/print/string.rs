//! Strings that come in pieces and are too long to be gathered.

use std::fmt;
use std::io::{self, Write};

use base64ct::{Base64, Encoding};
use hgrpc_std::diagnostic::write_escaped;

use super::PrintError;

/// The longest string that is gathered, so that its best form can be chosen.
pub(super) const GATHERED: usize = 1024 * 1024;

/// Text with the escapes that it has in double quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, '"')
    }
}

/// Writes text as it is between double quotes.
pub(in crate::call) fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    write!(out, "{}", Quoted(text))
}

/// Writes bytes as hexadecimal digits.
pub(super) fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut digits = [0; 4096];
    for chunk in bytes.chunks(2048) {
        let digits = base16ct::lower::encode(chunk, &mut digits).map_err(io::Error::other)?;
        out.write_all(digits)?;
    }
    Ok(())
}

/// Text in pieces: a character may be cut by their ends.
#[derive(Default)]
pub(super) struct TextPieces(Vec<u8>);

impl TextPieces {
    pub(super) fn push(&mut self, out: &mut impl Write, piece: &[u8]) -> Result<(), PrintError> {
        self.0.extend_from_slice(piece);
        let (valid, is_broken) = match std::str::from_utf8(&self.0) {
            Ok(text) => (text.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        let text = self.0.get(..valid).unwrap_or_default();
        write_text(out, std::str::from_utf8(text).unwrap_or_default())?;
        if is_broken {
            return Err(not_utf8());
        }
        self.0.drain(..valid);
        Ok(())
    }

    /// The end of a string, or of a chunk: each is UTF-8 by itself.
    pub(super) fn finish(&self) -> Result<(), PrintError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(not_utf8())
        }
    }
}

/// A text string that cannot be shown as one.
pub(super) fn not_utf8() -> PrintError {
    PrintError::Response("a text string of the response is not UTF-8".to_owned())
}

/// Base64 of bytes in pieces: three bytes are four digits.
#[derive(Default)]
pub(super) struct Base64Pieces(Vec<u8>);

impl Base64Pieces {
    pub(super) fn push(&mut self, out: &mut impl Write, piece: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(piece);
        let whole = self.0.len() - self.0.len() % 3;
        write_base64(out, self.0.get(..whole).unwrap_or_default())?;
        self.0.drain(..whole);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        write_base64(out, &std::mem::take(&mut self.0))
    }
}

/// Writes bytes as base64; only the last piece may have a length that is no multiple of three.
pub(super) fn write_base64(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut digits = [0; 4096];
    for chunk in bytes.chunks(3072) {
        let digits = Base64::encode(chunk, &mut digits).map_err(io::Error::other)?;
        out.write_all(digits.as_bytes())?;
    }
    Ok(())
}
