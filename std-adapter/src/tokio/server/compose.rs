//! How a response's bytes and values become the pieces that its lane takes.
//!
//! ```text
//!   write ─▶ content ─▶ 0006: chunk of a byte string ─▶ encoder ─▶ joined ─▶ queue ─▶ lane
//!   value ───────────────────────────────────────────▶ (0006)
//! ```
//! Everything here only moves memory; [`Composer::poll_sent`] alone waits. `content` and `joined`
//! hold less than a frame each, and nothing is added while the queue holds anything.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hgrpc::Revision;
use hgrpc::cbor::{CborReader, Head, MAJOR_BYTES, Pieces, STATUS_OK};
use hgrpc::wire::RequestId;

use super::super::outgoing::Lane;
use super::conn::Conn;
use super::jobs::Job;
use crate::encoding::{EncodeError, Encoder};
use crate::host::refusal::Composed;
use crate::host::{ConnectionError, Failure};

/// Bytes that stand around a chunk: the string's start, the chunk's head.
const AROUND: usize = 16;

pub(super) struct Composer {
    conn: Arc<Conn>,
    lane: Arc<Lane<Job>>,
    number: u64,
    /// What was written, not yet a chunk (0006) or a piece.
    content: Vec<u8>,
    /// 0006: the byte string's start is in a piece.
    is_in_string: bool,
    /// Pieces that wait for others (revision-0006.md, 7.2).
    joined: Vec<u8>,
    /// Pieces that wait for the lane.
    queue: VecDeque<Vec<u8>>,
    encoder: Option<Box<dyn Encoder>>,
    /// The encoder lost bytes.
    is_broken: bool,
    /// Something went into the encoder that was not flushed.
    is_dirty: bool,
    has_chosen: bool,
    /// A piece was queued: the response has begun.
    has_begun: bool,
    /// All that was added are CBOR values.
    is_cbor: bool,
}

impl Composer {
    pub(super) fn new(conn: Arc<Conn>, number: u64) -> Self {
        Self {
            lane: Arc::new(conn.out.lane()),
            conn,
            number,
            content: Vec::new(),
            is_in_string: false,
            joined: Vec::new(),
            queue: VecDeque::new(),
            encoder: None,
            is_broken: false,
            is_dirty: false,
            has_chosen: false,
            has_begun: false,
            is_cbor: false,
        }
    }

    pub(super) fn conn(&self) -> &Conn {
        &self.conn
    }

    /// The request that it answers, and its command's name.
    pub(super) fn asked(&self) -> Option<(RequestId, Vec<u8>)> {
        self.conn.asked(self.number)
    }

    /// Whether somebody else has said how it ends.
    pub(super) fn is_refused(&self) -> bool {
        self.conn.reactor().is_refused(self.number)
    }

    pub(super) fn lane(&self) -> Arc<Lane<Job>> {
        Arc::clone(&self.lane)
    }

    fn revision(&self) -> Revision {
        self.conn.shared.config.revision
    }

    fn frame_size(&self) -> usize {
        let size = self.conn.shared.config.limits.send_frame_size;
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// Ready when the queue is empty.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            ready!(self.lane.poll_ready(cx)).map_err(io::Error::from)?;
            self.push_piece()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when all that was queued has been made into frames.
    pub(super) fn poll_made(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        self.lane.poll_ready(cx).map_err(io::Error::from)
    }

    /// Gives the lane what it takes without waiting.
    pub(super) fn send_now(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() && self.lane.len() == 0 {
            self.push_piece()?;
        }
        Ok(())
    }

    fn push_piece(&mut self) -> io::Result<()> {
        let Some(bytes) = self.queue.pop_front() else {
            return Ok(());
        };
        let number = self.number;
        self.lane
            .push(Job::Piece { number, bytes })
            .map_err(io::Error::from)
    }

    // --- bytes as a byte string of a CBOR sequence (0006) ---

    /// Takes bytes, as many as a frame has room for; how many.
    pub(super) fn add_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.conn.out.ended() {
            return Err(error.into());
        }
        self.is_cbor = false;
        let room = match self.revision().has_settings() {
            true => self.frame_size().saturating_sub(AROUND),
            false => self.frame_size(),
        };
        let room = room.saturating_sub(self.content.len());
        let (now, _) = bytes.split_at(bytes.len().min(room));
        self.content.extend_from_slice(now);
        if now.len() == room {
            self.end_chunk()?;
        }
        Ok(now.len())
    }

    /// What was written becomes a piece.
    fn end_chunk(&mut self) -> io::Result<()> {
        if self.content.is_empty() {
            return Ok(());
        }
        let content = std::mem::take(&mut self.content);
        if !self.revision().has_settings() {
            return self.piece(&content);
        }
        let len = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let mut chunk = Vec::with_capacity(content.len() + AROUND);
        if !std::mem::replace(&mut self.is_in_string, true) {
            chunk.push(0x5f);
        }
        chunk.extend_from_slice(Head::new(MAJOR_BYTES, len).as_slice());
        chunk.extend_from_slice(&content);
        self.piece(&chunk)
    }

    /// The bytes written so far are one value; one that was never sent in part is a definite
    /// string.
    fn end_string(&mut self) -> io::Result<()> {
        if self.is_in_string || !self.revision().has_settings() {
            self.end_chunk()?;
            if std::mem::take(&mut self.is_in_string) {
                self.piece(b"\xff")?;
            }
        } else if !self.content.is_empty() {
            let content = std::mem::take(&mut self.content);
            let len = u64::try_from(content.len()).unwrap_or(u64::MAX);
            self.piece(Head::new(MAJOR_BYTES, len).as_slice())?;
            self.piece(&content)?;
        }
        Ok(())
    }

    /// Adds values, which are known to be some.
    pub(super) fn add_values(&mut self, values: &[u8]) -> io::Result<()> {
        self.is_cbor |= !self.has_begun && self.joined.is_empty() && self.content.is_empty();
        self.end_string()?;
        let mut reader = CborReader::new(values);
        while let Ok(value) = reader.next_value() {
            if self.revision().has_settings() {
                // As the reference sends them, so that captures can be compared.
                Pieces::new(value).try_for_each(|piece| self.piece(piece))?;
            } else {
                self.piece(value.as_cbor())?;
            }
        }
        Ok(())
    }

    // --- pieces, encoded and joined (revision-0006.md, 7.1 and 7.2) ---

    fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.choose_stream()?;
        if self.encoder.is_none() {
            self.join(piece);
            return Ok(());
        }
        let mut encoded = Vec::new();
        self.encode(|encoder, out| encoder.encode(piece, out), &mut encoded)?;
        self.is_dirty = true;
        self.join(&encoded);
        Ok(())
    }

    fn encode(
        &mut self,
        step: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>) -> Result<(), EncodeError>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        step(&mut **encoder, out).map_err(|error| {
            self.is_broken = true;
            io::Error::other(error)
        })
    }

    /// Before the first piece: a compressing stream begins with the status map.
    fn choose_stream(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_chosen, true) {
            return Ok(());
        }
        let conn = &self.conn;
        self.encoder = conn.reactor().take_coded(self.number, &conn.shared.config);
        if self.encoder.is_some() {
            let mut status = Vec::new();
            self.encode(|encoder, out| encoder.encode(STATUS_OK, out), &mut status)?;
            self.is_dirty = true;
            self.enqueue(status);
        }
        Ok(())
    }

    fn join(&mut self, piece: &[u8]) {
        let frame_size = self.frame_size();
        if piece.is_empty() {
            return;
        }
        if piece.len() + self.joined.len() >= frame_size {
            self.send_joined();
            if piece.len() >= frame_size {
                return self.enqueue(piece.to_vec());
            }
        }
        self.joined.extend_from_slice(piece);
    }

    fn send_joined(&mut self) {
        if !self.joined.is_empty() {
            let joined = std::mem::take(&mut self.joined);
            self.enqueue(joined);
        }
    }

    fn enqueue(&mut self, piece: Vec<u8>) {
        self.has_begun = true;
        self.queue.push_back(piece);
    }

    /// Queues what was written so far; nothing, if that was done.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.end_chunk()?;
        if std::mem::take(&mut self.is_dirty) {
            let flushed = self.flushed()?;
            self.join(&flushed);
        }
        self.send_joined();
        Ok(())
    }

    fn flushed(&mut self) -> io::Result<Vec<u8>> {
        let mut flushed = Vec::new();
        self.encode(|encoder, out| encoder.flush(out), &mut flushed)?;
        Ok(flushed)
    }

    // --- ends ---

    /// Ends the response. What is left is a few frames at most, and so is put into the lane
    /// without waiting.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.finish_all() {
            Err(error) if self.is_broken => {
                self.fail(&Failure::server(&error));
                Err(error)
            }
            result => result,
        }
    }

    fn finish_all(&mut self) -> io::Result<()> {
        let number = self.number;
        let has_settings = self.revision().has_settings();
        self.end_string()?;
        if !self.has_begun && !has_settings {
            // A response that fits one frame is one (messages.md, "Responses").
            let bytes = std::mem::take(&mut self.joined);
            let is_cbor = self.is_cbor;
            return self.push(Job::Whole {
                number,
                bytes,
                is_cbor,
            });
        }
        self.choose_stream()?;
        self.send_joined();
        let flushed = self.flushed()?;
        self.push_queue();
        let encoder = self.encoder.take();
        self.push(Job::Finish {
            number,
            flushed,
            encoder,
        })
    }

    /// Ends the response with a failure.
    pub(super) fn fail(mut self, failure: &Failure) {
        let refusal = self.conn.reactor().take_refusal(self.number);
        let failure = refusal.as_ref().unwrap_or(failure);
        let mut flushed = Vec::new();
        if self.has_begun && !self.is_broken {
            // What fails here has its effect below.
            let _ = self.end_chunk();
            self.send_joined();
            flushed = self.flushed().unwrap_or_default();
        }
        // What went into an encoder must reach its decoder.
        if self.has_begun {
            self.push_queue();
        }
        if self.is_broken {
            // What the peer's decoder has is of no more use either.
            self.conn.reactor().end_stream(self.number);
            self.encoder = None;
        }
        let (revision, frame_size) = (self.revision(), self.frame_size());
        let number = self.number;
        let encoder = self.encoder.take();
        let failure = Box::new(Composed::new(failure, revision, frame_size, self.has_begun));
        // That the connection has ended is nobody's error here.
        let _ = self.push(Job::Fail {
            number,
            flushed,
            failure,
            encoder,
        });
    }

    fn push_queue(&mut self) {
        while !self.queue.is_empty() {
            let _ = self.push_piece();
        }
    }

    /// A last job. If the connection has ended, so has the reply.
    fn push(&self, job: Job) -> io::Result<()> {
        self.lane.push(job).map_err(|error: ConnectionError| {
            self.conn.reactor().end_reply(self.number, None);
            self.conn.notify();
            error.into()
        })
    }
}
