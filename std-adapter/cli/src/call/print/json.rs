//! Values in JSON, a line each. What JSON has no form for is told in `HELP` of this module's parent.

use std::io::Write;

use hgrpc_std::diagnostic::{ByteString, Diagnostic};
use hgrpc_std::value::Value;

use super::PrintError;
use super::events::{Container, Place, Sink, Str};
use super::string::{Base64Pieces, GATHERED, TextPieces, not_utf8, write_base64, write_text};

/// The tag of sets, which become lists.
const SET_TAG: u64 = 258;

/// What is kept between pieces.
pub(super) struct Json {
    /// Whether the current item is a map's key.
    is_key: bool,
    string: JsonString,
}

impl Json {
    pub(super) fn new() -> Self {
        Self {
            is_key: false,
            string: JsonString::new(false),
        }
    }

    pub(super) fn to<'a, W: Write>(&'a mut self, out: &'a mut W) -> JsonSink<'a, W> {
        JsonSink { state: self, out }
    }
}

pub(super) struct JsonSink<'a, W> {
    state: &'a mut Json,
    out: &'a mut W,
}

impl<W: Write> JsonSink<'_, W> {
    fn write(&mut self, text: &str) -> Result<(), PrintError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }
}

impl<W: Write> Sink for JsonSink<'_, W> {
    fn place(&mut self, place: Place) -> Result<(), PrintError> {
        self.state.is_key = matches!(place, Place::Key(_));
        match place {
            Place::Top | Place::Element(true) | Place::Key(true) => Ok(()),
            Place::Element(false) | Place::Key(false) => self.write(","),
            Place::Value => self.write(":"),
        }
    }

    fn leaf(&mut self, encoded: &[u8]) -> Result<(), PrintError> {
        let shown = Diagnostic::new(encoded);
        if self.state.is_key {
            return Ok(write!(self.out, "\"{shown}\"")?);
        }
        match Value::decode(encoded) {
            Ok(Value::Undefined) => self.out.write_all(b"null")?,
            Ok(Value::Simple(n)) => write!(self.out, "{{\"$simple\":{n}}}")?,
            Ok(Value::Float(f)) if !f.is_finite() => {
                write!(self.out, "{{\"$float\":\"{shown}\"}}")?;
            }
            _ => write!(self.out, "{shown}")?,
        }
        Ok(())
    }

    fn open(&mut self, container: Container, _: bool) -> Result<(), PrintError> {
        if self.state.is_key {
            return Err(PrintError::Response(
                "a map's key that is a list, a map or tagged has no form in JSON".to_owned(),
            ));
        }
        match container {
            Container::Array => self.write("["),
            Container::Map => self.write("{"),
            Container::Tag(SET_TAG) => Ok(()),
            Container::Tag(tag) => Ok(write!(self.out, "{{\"$tag\":{tag},\"value\":")?),
        }
    }

    fn close(&mut self, container: Container) -> Result<(), PrintError> {
        match container {
            Container::Array => self.write("]"),
            Container::Tag(SET_TAG) => Ok(()),
            Container::Map | Container::Tag(_) => self.write("}"),
        }
    }

    fn string(&mut self, string: Str) -> Result<(), PrintError> {
        self.state.string = JsonString::new(string.is_text);
        Ok(())
    }

    fn chunk(&mut self, _: u64) -> Result<(), PrintError> {
        Ok(())
    }

    fn bytes(&mut self, piece: &[u8]) -> Result<(), PrintError> {
        self.state.string.push(self.out, piece)?;
        if self.state.is_key && !self.state.string.is_gathered() {
            return Err(PrintError::Response(
                "a map's key over 1 MiB has no form in JSON".to_owned(),
            ));
        }
        Ok(())
    }

    fn chunk_end(&mut self) -> Result<(), PrintError> {
        Ok(())
    }

    fn string_end(&mut self) -> Result<(), PrintError> {
        let is_key = self.state.is_key;
        self.state.string.finish(self.out, is_key)
    }

    fn value_end(&mut self) -> Result<(), PrintError> {
        self.write("\n")
    }
}

/// A string of unknown length.
pub(super) struct JsonString {
    is_text: bool,
    content: Content,
}

enum Content {
    Gathered(Vec<u8>),
    Text(TextPieces),
    Base64(Base64Pieces),
}

impl JsonString {
    pub(super) fn new(is_text: bool) -> Self {
        Self {
            is_text,
            content: Content::Gathered(Vec::new()),
        }
    }

    fn is_gathered(&self) -> bool {
        matches!(self.content, Content::Gathered(_))
    }

    pub(super) fn push(&mut self, out: &mut impl Write, piece: &[u8]) -> Result<(), PrintError> {
        if let Content::Gathered(bytes) = &mut self.content {
            if bytes.len() + piece.len() <= GATHERED {
                bytes.extend_from_slice(piece);
                return Ok(());
            }
            let bytes = std::mem::take(bytes);
            self.content = if self.is_text {
                out.write_all(b"\"")?;
                Content::Text(TextPieces::default())
            } else {
                out.write_all(b"{\"$bytes\":\"")?;
                Content::Base64(Base64Pieces::default())
            };
            self.push(out, &bytes)?;
        }
        match &mut self.content {
            Content::Gathered(_) => Ok(()),
            Content::Text(text) => text.push(out, piece),
            Content::Base64(digits) => Ok(digits.push(out, piece)?),
        }
    }

    pub(super) fn finish(&mut self, out: &mut impl Write, is_key: bool) -> Result<(), PrintError> {
        match std::mem::replace(&mut self.content, Content::Gathered(Vec::new())) {
            Content::Gathered(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => {
                    out.write_all(b"\"")?;
                    write_text(out, text)?;
                    out.write_all(b"\"")?;
                }
                Err(_) if self.is_text => return Err(not_utf8()),
                // It has no quotes and backslashes in it.
                Err(_) if is_key => write!(out, "\"{}\"", ByteString(&bytes))?,
                Err(_) => {
                    out.write_all(b"{\"$bytes\":\"")?;
                    write_base64(out, &bytes)?;
                    out.write_all(b"\"}")?;
                }
            },
            Content::Text(text) => {
                text.finish()?;
                out.write_all(b"\"")?;
            }
            Content::Base64(mut digits) => {
                digits.finish(out)?;
                out.write_all(b"\"}")?;
            }
        }
        Ok(())
    }
}
