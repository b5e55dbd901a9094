//! How a response's bytes and values become pieces, and these jobs for its turns.
//!
//! ```text
//!   write ─▶ content ─▶ 0006: chunk of a byte string ─▶ encoder ─▶ joined ─▶ jobs
//!   value ───────────────────────────────────────────▶ (0006)
//! ```
//! `content` and `joined` hold less than a frame each, and bytes are only added while at most one
//! job waits.

use std::collections::VecDeque;

use bytes::Bytes;
use hgrpc::cbor::{CborReader, Head, MAJOR_BYTES, Pieces, STATUS_OK};
use hgrpc::output::joins;

use super::Core;
use super::note::OwnedNote;
use super::streams::{Coded, Streams};
use crate::encoding::{EncodeError, Encoder};
use crate::host::refusal::Composed;
use crate::host::{Config, Failure};

/// Room before a chunk's bytes, for the string's start and the chunk's head.
pub(super) const AROUND: usize = 16;

/// Something to be sent, one frame a turn.
#[derive(Debug)]
pub(super) enum Job {
    /// A piece of a response; the first on a compressing stream is its status map.
    Piece(Bytes),
    /// All of a response, and whether it was written as values.
    Whole(Bytes, bool),
    /// A response's end: what flushing the encoder gave.
    Finish(Bytes),
    /// A response's end with a failure.
    Fail(Box<Composed>),
    /// A redirect's status map, encoded as its stream is; a finish follows.
    Redirect(Bytes),
    /// What goes beside it.
    Note(OwnedNote),
}

/// Where a reply gets its stream from.
pub(super) struct Context<'a> {
    pub(super) core: &'a mut Core,
    pub(super) streams: &'a mut Streams,
    pub(super) config: &'a Config,
}

impl Context<'_> {
    fn frame_size(&self) -> usize {
        usize::try_from(self.config.limits.send_frame_size).unwrap_or(usize::MAX)
    }

    fn has_settings(&self) -> bool {
        self.config.revision.has_settings()
    }
}

/// A response on its way.
#[derive(Default)]
pub(super) struct Composer {
    pub(super) jobs: VecDeque<Job>,
    /// Its own stream, where it is compressed (revision-0006.md, 3.5a).
    pub(super) coded: Option<Coded>,
    /// [`AROUND`] bytes of room, and what was written and is not yet a chunk (0006) or a piece.
    content: Vec<u8>,
    /// Pieces that wait for others (revision-0006.md, 7.2), from `start` on.
    joined: Vec<u8>,
    start: usize,
    /// 0006: the byte string's start is in a piece.
    is_in_string: bool,
    /// The encoder lost bytes.
    pub(super) is_broken: bool,
    /// Something went into the encoder that was not flushed.
    is_dirty: bool,
    has_chosen: bool,
    /// A piece was queued: the response has begun.
    has_begun: bool,
    /// All that was written are values.
    is_values: bool,
}

impl Composer {
    /// Whether nothing was written and nothing queued.
    pub(super) fn is_new(&self) -> bool {
        self.content.len() <= AROUND
            && self.joined.is_empty()
            && self.jobs.is_empty()
            && !self.has_chosen
    }

    fn content_len(&self) -> usize {
        self.content.len().saturating_sub(AROUND)
    }

    // --- bytes as a byte string of a CBOR sequence (0006) ---

    /// Takes bytes, as many as a frame has room for; how many.
    pub(super) fn add_some(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, EncodeError> {
        self.is_values = false;
        let around = if context.has_settings() { AROUND } else { 0 };
        let most = context.frame_size().saturating_sub(around);
        let room = most.saturating_sub(self.content_len());
        let (now, _) = bytes.split_at(bytes.len().min(room));
        if self.content.is_empty() {
            self.content.reserve_exact(AROUND + bytes.len().min(most));
            self.content.resize(AROUND, 0);
        }
        self.content.extend_from_slice(now);
        if now.len() == room {
            self.end_chunk(context)?;
        }
        Ok(now.len())
    }

    /// What was written becomes a piece.
    fn end_chunk(&mut self, context: &mut Context<'_>) -> Result<(), EncodeError> {
        let len = self.content_len();
        if len == 0 {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.content);
        let mut start = AROUND;
        if context.has_settings() {
            start = put_before(&mut chunk, start, head(len).as_slice());
            if !std::mem::replace(&mut self.is_in_string, true) {
                start = put_before(&mut chunk, start, b"\x5f");
            }
        }
        self.piece(chunk, start, context)
    }

    /// The bytes written so far are one value; one that was never sent in part is a definite
    /// string.
    fn end_string(&mut self, context: &mut Context<'_>) -> Result<(), EncodeError> {
        if self.is_in_string || !context.has_settings() {
            self.end_chunk(context)?;
            if std::mem::take(&mut self.is_in_string) {
                self.piece(b"\xff".to_vec(), 0, context)?;
            }
        } else if self.content_len() > 0 {
            let head = head(self.content_len());
            self.choose_stream(context)?;
            let mut content = std::mem::take(&mut self.content);
            if self.coded.is_none() && self.joined.is_empty() {
                // Head and content always fit one frame together.
                let start = put_before(&mut content, AROUND, head.as_slice());
                return self.piece(content, start, context);
            }
            self.piece(head.as_slice().to_vec(), 0, context)?;
            self.piece(content, AROUND, context)?;
        }
        Ok(())
    }

    /// Adds values, which are known to be some.
    pub(super) fn add_values(
        &mut self,
        values: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        self.is_values |= self.is_new();
        self.end_string(context)?;
        let mut reader = CborReader::new(values);
        while let Ok(value) = reader.next_value() {
            if context.has_settings() {
                // As the reference sends them, so that captures can be compared.
                for piece in Pieces::new(value) {
                    self.piece(piece.to_vec(), 0, context)?;
                }
            } else {
                self.piece(value.as_cbor().to_vec(), 0, context)?;
            }
        }
        Ok(())
    }

    /// Begins a byte string of so many bytes, which are [content](Self::add_content).
    pub(super) fn begin_bytes(
        &mut self,
        len: u64,
        context: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        self.is_values |= self.is_new();
        self.end_string(context)?;
        let head = Head::new(MAJOR_BYTES, len);
        self.piece(head.as_slice().to_vec(), 0, context)
    }

    /// Takes content of a byte string that was begun, as many bytes as fit a frame; how many.
    pub(super) fn add_content(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, EncodeError> {
        let (now, _) = bytes.split_at(bytes.len().min(context.frame_size()));
        self.piece(now.to_vec(), 0, context)?;
        Ok(now.len())
    }

    // --- pieces, encoded and joined (revision-0006.md, 7.1 and 7.2) ---

    /// Adds a piece, which begins at `start`.
    fn piece(
        &mut self,
        piece: Vec<u8>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        self.choose_stream(context)?;
        if self.coded.is_none() {
            self.join(piece, start, context.frame_size());
            return Ok(());
        }
        let mut encoded = Vec::new();
        let piece = piece.get(start..).unwrap_or_default();
        self.encode(|encoder, out| encoder.encode(piece, out), &mut encoded)?;
        self.is_dirty = true;
        self.join(encoded, 0, context.frame_size());
        Ok(())
    }

    fn encode(
        &mut self,
        step: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>) -> Result<(), EncodeError>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(coded) = &mut self.coded else {
            return Ok(());
        };
        step(&mut *coded.encoder, out).inspect_err(|_| self.is_broken = true)
    }

    /// Before the first piece: a compressing stream begins with the status map.
    fn choose_stream(&mut self, context: &mut Context<'_>) -> Result<(), EncodeError> {
        if std::mem::replace(&mut self.has_chosen, true) {
            return Ok(());
        }
        self.coded = context.streams.take(context.core, context.config);
        if self.coded.is_some() {
            let mut status = Vec::new();
            self.encode(|encoder, out| encoder.encode(STATUS_OK, out), &mut status)?;
            self.is_dirty = true;
            self.enqueue(status.into());
        }
        Ok(())
    }

    fn join(&mut self, piece: Vec<u8>, start: usize, frame_size: usize) {
        let len = piece.len() - start;
        if len == 0 {
            return;
        }
        if !joins(self.joined.len() - self.start, len, frame_size) {
            self.send_joined();
        }
        if len >= frame_size {
            return self.enqueue(Bytes::from(piece).slice(start..));
        }
        if self.joined.is_empty() {
            (self.joined, self.start) = (piece, start);
        } else {
            let piece = piece.get(start..).unwrap_or_default();
            self.joined.extend_from_slice(piece);
        }
    }

    fn take_joined(&mut self) -> Bytes {
        let start = std::mem::take(&mut self.start);
        Bytes::from(std::mem::take(&mut self.joined)).slice(start..)
    }

    fn send_joined(&mut self) {
        if !self.joined.is_empty() {
            let joined = self.take_joined();
            self.enqueue(joined);
        }
    }

    fn enqueue(&mut self, piece: Bytes) {
        self.has_begun = true;
        self.jobs.push_back(Job::Piece(piece));
    }

    /// Queues what was written so far; nothing, if that was done.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) -> Result<(), EncodeError> {
        self.end_chunk(context)?;
        if std::mem::take(&mut self.is_dirty) {
            let flushed = self.flushed()?;
            self.join(flushed, 0, context.frame_size());
        }
        self.send_joined();
        Ok(())
    }

    fn flushed(&mut self) -> Result<Vec<u8>, EncodeError> {
        let mut flushed = Vec::new();
        self.encode(|encoder, out| encoder.flush(out), &mut flushed)?;
        Ok(flushed)
    }

    // --- ends ---

    /// Ends the response.
    pub(super) fn finish(&mut self, context: &mut Context<'_>) -> Result<(), EncodeError> {
        self.end_string(context)?;
        self.choose_stream(context)?;
        if !self.has_begun {
            // It fits one frame (messages.md, "Responses").
            let whole = self.take_joined();
            self.jobs.push_back(Job::Whole(whole, self.is_values));
            return Ok(());
        }
        self.send_joined();
        let flushed = self.flushed()?;
        self.jobs.push_back(Job::Finish(flushed.into()));
        Ok(())
    }

    /// Ends the response by saying where it is instead; nothing was written before.
    pub(super) fn redirect(
        &mut self,
        status: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        self.has_chosen = true;
        self.coded = context.streams.take(context.core, context.config);
        let mut encoded = status.to_vec();
        if self.coded.is_some() {
            encoded.clear();
            self.encode(|encoder, out| encoder.encode(status, out), &mut encoded)?;
        }
        self.has_begun = true;
        let flushed = self.flushed()?;
        self.jobs.push_back(Job::Redirect(encoded.into()));
        self.jobs.push_back(Job::Finish(flushed.into()));
        Ok(())
    }

    /// Ends the response with a failure.
    pub(super) fn fail(&mut self, failure: &Failure, context: &mut Context<'_>) {
        if self.has_begun && !self.is_broken {
            // An encoder that fails here breaks the stream off below.
            let _ = self.end_chunk(context);
            self.send_joined();
            let flushed = self.flushed().unwrap_or_default();
            if !flushed.is_empty() {
                self.enqueue(flushed.into());
            }
        }
        let composed = Composed::new(
            failure,
            context.config.revision,
            context.frame_size(),
            self.has_begun,
        );
        // What was not queued is left out.
        (self.content, self.joined, self.start) = (Vec::new(), Vec::new(), 0);
        self.jobs.push_back(Job::Fail(Box::new(composed)));
    }

    /// Queues what goes beside the response.
    pub(super) fn note(&mut self, note: OwnedNote) {
        self.jobs.push_back(Job::Note(note));
    }
}

/// The head of a byte string of so many bytes.
pub(super) fn head(len: usize) -> Head {
    Head::new(MAJOR_BYTES, u64::try_from(len).unwrap_or(u64::MAX))
}

/// Puts bytes before those that begin at `start`; where they begin then.
fn put_before(bytes: &mut [u8], start: usize, before: &[u8]) -> usize {
    let from = start - before.len();
    if let Some(room) = bytes.get_mut(from..start) {
        room.copy_from_slice(before);
    }
    from
}
