//! Values in diagnostic notation, a line each: as `hgrpc_std::diagnostic` prints them, but for
//! strings over 1 MiB. Of those, byte strings are hexadecimal whatever is in them.

use std::io::Write;

use hgrpc::cbor::{Head, MAJOR_BYTES, MAJOR_TEXT};
use hgrpc_std::diagnostic::Diagnostic;

use super::PrintError;
use super::events::{Container, Place, Sink, Str};
use super::string::{GATHERED, TextPieces, write_hex};

/// What is kept between pieces.
pub(super) struct Notation {
    string: Option<Str>,
    /// Chunks of the string so far.
    chunks: u64,
    chunk: Chunk,
}

enum Chunk {
    /// Gathered, with its head.
    Gathered(Vec<u8>),
    Hex,
    Text(TextPieces),
}

impl Notation {
    pub(super) fn new() -> Self {
        Self {
            string: None,
            chunks: 0,
            chunk: Chunk::Gathered(Vec::new()),
        }
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn gathered(&self) -> usize {
        match &self.chunk {
            Chunk::Gathered(bytes) => bytes.capacity(),
            Chunk::Hex | Chunk::Text(_) => 0,
        }
    }

    pub(super) fn to<'a, W: Write>(&'a mut self, out: &'a mut W) -> NotationSink<'a, W> {
        NotationSink { state: self, out }
    }
}

pub(super) struct NotationSink<'a, W> {
    state: &'a mut Notation,
    out: &'a mut W,
}

impl<W: Write> NotationSink<'_, W> {
    fn write(&mut self, text: &str) -> Result<(), PrintError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    fn is_text(&self) -> bool {
        self.state.string.is_some_and(|string| string.is_text)
    }

    fn is_indefinite(&self) -> bool {
        self.state.string.is_some_and(|string| string.is_indefinite)
    }
}

impl<W: Write> Sink for NotationSink<'_, W> {
    fn place(&mut self, place: Place) -> Result<(), PrintError> {
        match place {
            Place::Top | Place::Element(true) | Place::Key(true) => Ok(()),
            Place::Element(false) | Place::Key(false) => self.write(", "),
            Place::Value => self.write(": "),
        }
    }

    fn leaf(&mut self, encoded: &[u8]) -> Result<(), PrintError> {
        Ok(write!(self.out, "{}", Diagnostic::new(encoded))?)
    }

    fn open(&mut self, container: Container, is_indefinite: bool) -> Result<(), PrintError> {
        match container {
            Container::Array => self.write("[")?,
            Container::Map => self.write("{")?,
            Container::Tag(tag) => write!(self.out, "{tag}(")?,
        }
        if is_indefinite {
            self.write("_ ")
        } else {
            Ok(())
        }
    }

    fn close(&mut self, container: Container) -> Result<(), PrintError> {
        self.write(match container {
            Container::Array => "]",
            Container::Map => "}",
            Container::Tag(_) => ")",
        })
    }

    fn string(&mut self, string: Str) -> Result<(), PrintError> {
        self.state.string = Some(string);
        self.state.chunks = 0;
        Ok(())
    }

    fn chunk(&mut self, len: u64) -> Result<(), PrintError> {
        if self.is_indefinite() {
            self.write(if self.state.chunks == 0 { "(_ " } else { ", " })?;
        }
        self.state.chunks += 1;
        let is_gathered = usize::try_from(len).is_ok_and(|len| len <= GATHERED);
        self.state.chunk = match (is_gathered, self.is_text()) {
            (true, is_text) => {
                let major = if is_text { MAJOR_TEXT } else { MAJOR_BYTES };
                Chunk::Gathered(Head::new(major, len).as_slice().to_vec())
            }
            (false, false) => {
                self.write("h'")?;
                Chunk::Hex
            }
            (false, true) => {
                self.write("\"")?;
                Chunk::Text(TextPieces::default())
            }
        };
        Ok(())
    }

    fn bytes(&mut self, piece: &[u8]) -> Result<(), PrintError> {
        match &mut self.state.chunk {
            Chunk::Gathered(bytes) => bytes.extend_from_slice(piece),
            Chunk::Hex => write_hex(self.out, piece)?,
            Chunk::Text(text) => text.push(self.out, piece)?,
        }
        Ok(())
    }

    fn chunk_end(&mut self) -> Result<(), PrintError> {
        // What was gathered is given back.
        match std::mem::replace(&mut self.state.chunk, Chunk::Gathered(Vec::new())) {
            Chunk::Gathered(bytes) => Ok(write!(self.out, "{}", Diagnostic::new(&bytes))?),
            Chunk::Hex => self.write("'"),
            Chunk::Text(text) => {
                text.finish()?;
                self.write("\"")
            }
        }
    }

    fn string_end(&mut self) -> Result<(), PrintError> {
        match (self.is_indefinite(), self.state.chunks, self.is_text()) {
            (false, ..) => Ok(()),
            (true, 0, false) => self.write("b''_"),
            (true, 0, true) => self.write("\"\"_"),
            (true, ..) => self.write(")"),
        }
    }

    fn value_end(&mut self) -> Result<(), PrintError> {
        self.write("\n")
    }
}
