//! A response that is being written.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use hgrpc::cbor::{CborReader, Head, Location, MAJOR_BYTES, Pieces, STATUS_OK, Value};
use hgrpc::server::{Body, Push};
use hgrpc::{ApiMisuse, Revision};

use super::conn::{Coded, Conn};
use super::outgoing::BATCH;
use super::{ByteStringWriter, ConnectionError, Failure, Side};
use crate::host::refusal::Composed;
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

    fn send_redirect(&mut self, location: &Location<'_>) -> io::Result<()> {
        if self.has_begun || !self.joined.is_empty() || !self.content.is_empty() {
            return Err(invalid(ApiMisuse::OutOfOrder));
        }
        let mut status = vec![0; self.frame_size()];
        let len = location.encode_status(&mut status).map_err(invalid)?;
        status.truncate(len);
        let number = self.side.number;
        let coded = {
            let conn = &self.side.conn;
            conn.reactor().take_coded(&conn.config)
        };
        self.coded = coded;
        self.has_begun = true;
        if self.coded.is_some() {
            let mut encoded = Vec::new();
            self.encode(|encoder, out| encoder.encode(&status, out), &mut encoded)?;
            status = encoded;
        }
        let Self { side, coded, .. } = self;
        let conn = &*side.conn;
        let mut turn = conn.out.turn();
        loop {
            let stream = coded.as_mut().and_then(|coded| coded.stream.as_mut());
            let frame = conn
                .reactor()
                .write(number, stream, |writer, out| writer.redirect(out, &status))
                .map_err(invalid)?;
            let Some(frame) = frame else {
                return Ok(());
            };
            turn.write(&[frame]).inspect_err(|error| conn.fail(error))?;
        }
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

    // --- layer 1: bytes as a byte string of a CBOR sequence (0006) ---

    fn add_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check_complete()?;
        self.is_cbor = false;
        if !self.revision().has_settings() {
            return self.piece(bytes);
        }
        if self.content.len() + bytes.len() < self.frame_size() {
            self.content.extend_from_slice(bytes);
            return Ok(());
        }
        self.begin_string()?;
        self.chunk(bytes)
    }

    fn begin_string(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_in_string, true) {
            self.piece(b"\x5f")?;
        }
        Ok(())
    }

    /// Sends what was gathered, and these bytes, as one chunk.
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = std::mem::take(&mut self.content);
        let len = u64::try_from(content.len() + bytes.len()).unwrap_or(u64::MAX);
        let result = match len {
            0 => Ok(()),
            len => self
                .piece(Head::new(MAJOR_BYTES, len).as_slice())
                .and_then(|()| self.piece(&content))
                .and_then(|()| self.piece(bytes)),
        };
        content.clear();
        self.content = content;
        result
    }

    /// The bytes written so far are one value; one that was never flushed is sent in one.
    fn end_string(&mut self) -> io::Result<()> {
        self.chunk(&[])?;
        if std::mem::take(&mut self.is_in_string) {
            self.piece(b"\xff")?;
        }
        Ok(())
    }

    // --- layer 2: pieces, encoded and joined (revision-0006.md, 7.1 and 7.2) ---

    fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.has_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.choose_stream()?;
        if self.coded.is_none() {
            return self.join(piece);
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        let result = self
            .encode(|encoder, out| encoder.encode(piece, out), &mut encoded)
            .and_then(|()| self.join(&encoded));
        self.encoded = encoded;
        result
    }

    fn encode(
        &mut self,
        step: impl FnOnce(
            &mut dyn crate::encoding::Encoder,
            &mut Vec<u8>,
        ) -> Result<(), crate::encoding::EncodeError>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let Some(coded) = &mut self.coded else {
            return Ok(());
        };
        step(&mut *coded.encoder, out).map_err(|error| {
            self.is_encoder_broken = true;
            io::Error::other(error)
        })
    }

    /// Before the first piece: a compressing stream begins with the status map.
    fn choose_stream(&mut self) -> io::Result<()> {
        if self.has_begun || !self.joined.is_empty() {
            return Ok(());
        }
        let conn = &self.side.conn;
        self.coded = conn.reactor().take_coded(&conn.config);
        if self.coded.is_some() {
            let mut status = Vec::new();
            self.encode(|encoder, out| encoder.encode(STATUS_OK, out), &mut status)?;
            self.send(&status)?;
        }
        Ok(())
    }

    fn join(&mut self, piece: &[u8]) -> io::Result<()> {
        let frame_size = self.frame_size();
        if piece.is_empty() {
            return Ok(());
        }
        if piece.len() + self.joined.len() >= frame_size {
            self.send_joined()?;
            if piece.len() >= frame_size {
                return self.send(piece);
            }
        }
        self.joined.extend_from_slice(piece);
        Ok(())
    }

    fn send_joined(&mut self) -> io::Result<()> {
        if self.joined.is_empty() {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.joined);
        let result = self.send(&joined);
        joined.clear();
        self.joined = joined;
        result
    }

    // --- layer 3: frames ---

    /// Sends one piece, in turns with others.
    fn send(&mut self, piece: &[u8]) -> io::Result<()> {
        self.has_begun = true;
        let number = self.side.number;
        let Self { side, coded, .. } = self;
        let conn = &*side.conn;
        let is_coded = coded.is_some();
        let mut is_taken = false;
        while !is_taken {
            let mut turn = conn.out.turn();
            loop {
                let most = if turn.is_wanted() { 1 } else { BATCH };
                let mut frames = Vec::with_capacity(most);
                let mut reactor = conn.reactor();
                while frames.len() < most {
                    let stream = coded.as_mut().and_then(|coded| coded.stream.as_mut());
                    let push = reactor.write(number, stream, |writer, out| {
                        if is_coded {
                            writer.push_encoded(out, &mut [], piece)
                        } else {
                            writer.push(out, &mut [], piece)
                        }
                    });
                    match push.map_err(invalid)? {
                        Push::Frame(frame) => frames.push(frame),
                        Push::Taken => {
                            is_taken = true;
                            break;
                        }
                    }
                }
                drop(reactor);
                turn.write(&frames).inspect_err(|error| conn.fail(error))?;
                if is_taken || turn.is_wanted() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn finish_all(&mut self) -> io::Result<()> {
        self.end_string()?;
        let has_settings = self.revision().has_settings();
        if !self.has_begun && !has_settings {
            return self.send_whole();
        }
        self.choose_stream()?;
        self.send_joined()?;
        let mut flushed = Vec::new();
        self.encode(|encoder, out| encoder.flush(out), &mut flushed)?;
        let number = self.side.number;
        let Self { side, coded, .. } = self;
        let conn = &*side.conn;
        let is_coded = coded.is_some();
        let mut turn = conn.out.turn();
        loop {
            let stream = coded.as_mut().and_then(|coded| coded.stream.as_mut());
            let frame = conn
                .reactor()
                .write(number, stream, |writer, out| {
                    if is_coded {
                        writer.finish_encoded(out, &[], &flushed)
                    } else {
                        writer.finish(out, &[])
                    }
                })
                .map_err(invalid)?;
            let Some(frame) = frame else {
                return Ok(());
            };
            turn.write(&[frame]).inspect_err(|error| conn.fail(error))?;
        }
    }

    /// 0003 and 0005: a response that fits one frame is one (messages.md, "Responses").
    fn send_whole(&mut self) -> io::Result<()> {
        self.has_begun = true;
        let conn = &*self.side.conn;
        let body = if self.is_cbor {
            Body::Cbor(&self.joined)
        } else {
            Body::Bytes(&self.joined)
        };
        let mut turn = conn.out.turn();
        let mut reactor = conn.reactor();
        let responder = reactor
            .take_fresh(self.side.number)
            .ok_or_else(|| invalid(ApiMisuse::RequestNotActive))?;
        let mut answer = reactor
            .server
            .respond(&reactor.table, responder, body)
            .map_err(invalid)?;
        drop(reactor);
        loop {
            let frame = answer
                .next_frame(&mut conn.reactor().frames(), &mut [])
                .map_err(invalid)?;
            let Some(frame) = frame else {
                return Ok(());
            };
            turn.write(&[frame]).inspect_err(|error| conn.fail(error))?;
        }
    }

    fn send_failure(&mut self, failure: &Failure) -> io::Result<()> {
        let mut flushed = Vec::new();
        if self.has_begun && !self.is_encoder_broken {
            self.chunk(&[])?;
            self.send_joined()?;
            self.encode(|encoder, out| encoder.flush(out), &mut flushed)?;
        }
        let composed = Composed::new(failure, self.revision(), self.frame_size(), self.has_begun);
        let mut core = composed.as_core();
        let number = self.side.number;
        let is_broken = self.is_encoder_broken;
        let Self { side, coded, .. } = self;
        let conn = &*side.conn;
        if let (true, Some(coded)) = (is_broken, &mut *coded) {
            // What the peer's decoder has is of no more use either.
            conn.reactor().end_stream(coded);
        }
        let mut turn = conn.out.turn();
        loop {
            let stream = coded.as_mut().and_then(|coded| coded.stream.as_mut());
            let frame = conn
                .reactor()
                .write(number, stream, |writer, out| {
                    writer.fail(out, &[], &flushed, &mut core)
                })
                .map_err(invalid)?;
            let Some(frame) = frame else {
                return Ok(());
            };
            turn.write(&[frame]).inspect_err(|error| conn.fail(error))?;
        }
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
