//! How what is written to a reply becomes frames, in three layers: a byte string of a CBOR sequence
//! (0006), pieces that are encoded and joined, frames.

use std::io;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Head, Location, MAJOR_BYTES, STATUS_OK};
use hgrpc::server::{Body, Push};

use super::super::Failure;
use super::super::outgoing::BATCH;
use super::Reply;
use crate::host::refusal::Composed;
use crate::host::values::invalid;

impl Reply {
    // --- layer 1: bytes as a byte string of a CBOR sequence (0006) ---

    pub(super) fn add_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
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

    pub(super) fn begin_string(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_in_string, true) {
            self.piece(b"\x5f")?;
        }
        Ok(())
    }

    /// Sends what was gathered, and these bytes, as one chunk.
    pub(super) fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
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
    pub(super) fn end_string(&mut self) -> io::Result<()> {
        self.chunk(&[])?;
        if std::mem::take(&mut self.is_in_string) {
            self.piece(b"\xff")?;
        }
        Ok(())
    }

    // --- layer 2: pieces, encoded and joined (revision-0006.md, 7.1 and 7.2) ---

    pub(super) fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
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

    pub(super) fn encode(
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

    pub(super) fn join(&mut self, piece: &[u8]) -> io::Result<()> {
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

    pub(super) fn send_joined(&mut self) -> io::Result<()> {
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

    pub(super) fn finish_all(&mut self) -> io::Result<()> {
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

    pub(super) fn send_failure(&mut self, failure: &Failure) -> io::Result<()> {
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

    pub(super) fn send_redirect(&mut self, location: &Location<'_>) -> io::Result<()> {
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
}
