//! A response that is being written; how it becomes frames is in `compose.rs`.

mod compose;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use hgrpc::cbor::{CborReader, Head, Location, MAJOR_BYTES, Pieces, Value};
use hgrpc::{ApiMisuse, Revision};

use super::conn::{Coded, Conn};
use super::{ByteStringWriter, ConnectionError, Failure, Side};
use crate::host::values::{self, invalid};

/// The response to one call.
///
/// - Bytes that are [written](Write) are the command's output: as they are in 0003 and 0005, as a
///   streamed byte string in 0006, where a response is a sequence of CBOR values. The other end
///   reads them by reading its [`Response`](super::Response), in all revisions alike.
/// - [`value`](Self::value) and [`cbor`](Self::cbor) add CBOR values.
/// - [`side`](Self::side) sends text output and progress, also from other threads.
///
/// Small writes are gathered to frames; [`flush`](Write::flush) sends what there is. Large ones are
/// sent from the caller's memory. Writing waits for a slow peer. It takes turns, frame by frame,
/// with the connection's other responses.
///
/// A reply that is dropped without [`finish`](Self::finish) or [`fail`](Self::fail) is answered
/// with a server's error.
#[must_use = "a reply that is dropped is an error to the client"]
pub struct Reply {
    side: Side,
    /// 0006: content of the byte string that is being written, not yet sent.
    content: Vec<u8>,
    /// 0006: the byte string's start has been sent.
    is_in_string: bool,
    /// Pieces that wait for others (revision-0006.md, 7.2).
    joined: Vec<u8>,
    /// What the encoder made of the last piece.
    encoded: Vec<u8>,
    coded: Option<Coded>,
    /// The encoder lost bytes.
    is_encoder_broken: bool,
    has_begun: bool,
    has_ended: bool,
    /// 0003: all that was written are CBOR values.
    is_cbor: bool,
    /// Bytes of a byte string of known length that are still to be written.
    missing: u64,
}

impl Reply {
    pub(super) fn new(conn: Arc<Conn>, number: u64) -> Self {
        Self {
            side: Side { conn, number },
            content: Vec::new(),
            is_in_string: false,
            joined: Vec::new(),
            encoded: Vec::new(),
            coded: None,
            is_encoder_broken: false,
            has_begun: false,
            has_ended: false,
            is_cbor: false,
            missing: 0,
        }
    }

    fn conn(&self) -> &Conn {
        &self.side.conn
    }

    fn revision(&self) -> Revision {
        self.conn().config.revision
    }

    fn frame_size(&self) -> usize {
        usize::try_from(self.conn().config.limits.send_frame_size.max(1)).unwrap_or(usize::MAX)
    }

    /// Sends text output and progress beside the response; can be cloned and given to other
    /// threads.
    pub fn side(&self) -> Side {
        self.side.clone()
    }

    /// Text for people, beside the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn text(&self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.side.text(text)
    }

    /// Adds one CBOR value to the response.
    ///
    /// # Errors
    /// Something that minicbor does not encode as one value; the connection has ended.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        self.cbor(&values::encode(value).map_err(invalid)?)
    }

    /// Adds CBOR values that are encoded already, one behind another.
    ///
    /// # Errors
    /// The bytes are something else; the connection has ended.
    pub fn cbor(&mut self, values: &[u8]) -> io::Result<()> {
        values::check(values)?;
        self.check_complete()?;
        self.is_cbor |= !self.has_begun && self.joined.is_empty();
        self.end_string()?;
        let mut reader = CborReader::new(values);
        while let Ok(value) = reader.next_value() {
            self.add_value(value)?;
        }
        Ok(())
    }

    /// Adds a byte string of `len` bytes, which are then written to what is returned: for content
    /// that is large and whose receiver does not take it in chunks. (What is
    /// [written](Write) to the reply itself is, in 0006, a byte string in chunks.)
    ///
    /// # Errors
    /// The connection has ended.
    pub fn byte_string(&mut self, len: u64) -> io::Result<ByteStringWriter<'_>> {
        self.check_complete()?;
        self.is_cbor |= !self.has_begun && self.joined.is_empty();
        self.end_string()?;
        self.piece(Head::new(MAJOR_BYTES, len).as_slice())?;
        self.missing = len;
        Ok(ByteStringWriter::new(self))
    }

    pub(super) const fn missing(&self) -> u64 {
        self.missing
    }

    /// Content of the byte string that was begun.
    pub(super) fn add_content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(missing) = self.missing.checked_sub(len) else {
            return Err(invalid(ApiMisuse::TooLarge));
        };
        self.piece(bytes)?;
        self.missing = missing;
        Ok(())
    }

    /// Whether something else may come: not inside of a byte string.
    fn check_complete(&self) -> io::Result<()> {
        match self.missing {
            0 => Ok(()),
            missing => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a byte string of the response lacks {missing} bytes"),
            )),
        }
    }

    fn add_value(&mut self, value: Value<'_>) -> io::Result<()> {
        if !self.revision().has_settings() {
            return self.piece(value.as_cbor());
        }
        // As the reference sends them, so that captures can be compared.
        Pieces::new(value).try_for_each(|piece| self.piece(piece))
    }

    /// Ends the response.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn finish(mut self) -> io::Result<()> {
        let result = self.check_complete().and_then(|()| self.finish_all());
        let is_incomplete = self.is_encoder_broken || self.missing > 0;
        if let (Err(error), true) = (&result, is_incomplete) {
            self.fail_with(&Failure::server(error))?;
        } else {
            self.end(result.is_ok());
        }
        result
    }

    /// Ends the response by saying where it is instead (0006; revision-0006.md, 7.5). Only clients
    /// that say where they would go ([`Call::redirect_targets`](super::Call::redirect_targets))
    /// know what to do with it.
    ///
    /// # Errors
    /// Something was written before, or the location is not well-formed; the connection has ended.
    pub fn redirect(mut self, location: &Location<'_>) -> io::Result<()> {
        let result = self
            .send_redirect(location)
            .and_then(|()| self.finish_all());
        self.end(result.is_ok());
        result
    }

    /// Ends the response because the command failed. What was written but not yet sent is left
    /// out if nothing was sent at all: then the failure is the whole answer.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn fail(mut self, failure: impl Into<Failure>) -> io::Result<()> {
        self.fail_with(&failure.into())
    }

    fn fail_with(&mut self, failure: &Failure) -> io::Result<()> {
        let result = self.send_failure(failure);
        self.end(result.is_ok());
        result
    }

    fn end(&mut self, is_ok: bool) {
        self.has_ended = true;
        let coded = self
            .coded
            .take()
            .map(|coded| (coded, is_ok && !self.is_encoder_broken));
        let conn = &self.side.conn;
        conn.reactor().end_reply(self.side.number, coded);
        conn.notify();
    }
}

impl Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add_bytes(bytes)?;
        Ok(bytes.len())
    }

    /// Sends what was written so far, so that the peer can read it.
    fn flush(&mut self) -> io::Result<()> {
        if !self.content.is_empty() {
            self.begin_string()?;
            self.chunk(&[])?;
        }
        if self.coded.is_some() {
            let mut flushed = Vec::new();
            self.encode(|encoder, out| encoder.flush(out), &mut flushed)?;
            self.join(&flushed)?;
        }
        self.send_joined()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let failure = Failure::server(if thread::panicking() {
            "the command panicked"
        } else {
            "the command gave no answer"
        });
        // Nobody is left to be told if that fails.
        let _ = self.fail_with(&failure);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("number", &self.side.number)
            .field("has_begun", &self.has_begun)
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}
