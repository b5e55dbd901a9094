//! How jobs become frames, in turns, and these the batch that is written.

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hgrpc::output::{Output, Stream};
use hgrpc::wire::{FrameHeader, HEADER_LEN, ResponseFlags};
use hgrpc::{ApiMisuse, Revision};

use super::compose::Job;
use super::handle::{Running, has};
use super::{Connection, Core, Shared, Taken, Wake};
use crate::engine::Key;
use crate::engine::batch::{BATCH, Batch};
use crate::engine::faults::{Fault, is_planted};
use crate::engine::turns::Waiting;
use crate::host::Direction;
use crate::host::counting::{add, count};
use crate::host::peer::Peer;

/// Bytes that stand around a small body: its status map, and what is to spare.
const AROUND: usize = 64;

/// Most bytes of a failure's or a refusal's frame: messages are cut to 3 KiB.
const FAILURE: usize = 4 * 1024;

/// What came of making a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// The job has more.
    More,
    /// The job is done; a frame was made, or there was none.
    Done,
}

impl Made {
    const fn done_if(is_done: bool) -> Self {
        if is_done { Self::Done } else { Self::More }
    }
}

/// Where frames are made.
struct Line<'a> {
    core: &'a mut Core,
    batch: &'a mut Batch,
    shared: &'a Shared,
    peer: &'a Peer,
    frame_size: usize,
}

impl Line<'_> {
    /// Has the core make a frame of at most about `payload` bytes, if that is not over a frame's
    /// size.
    fn make(
        &mut self,
        stream: &mut Stream,
        payload: usize,
        make: impl FnOnce(&mut Core, &mut Output<'_>) -> Result<bool, ApiMisuse>,
    ) -> Result<bool, ApiMisuse> {
        let room = payload.saturating_add(AROUND).min(self.frame_size);
        let buffer = self.batch.room(HEADER_LEN + room);
        let mut out = Output::new(std::mem::replace(stream, Stream::ONLY), buffer);
        let result = make(self.core, &mut out);
        let frame = out.frame();
        let len = frame.len();
        if len > 0 {
            count(&self.shared.counters.frames_out);
            if let Some((header, _)) = FrameHeader::split_from(frame)
                && self.shared.is_watched()
            {
                self.shared.saw(self.peer, Direction::Out, header);
            }
        }
        *stream = out.into_stream();
        self.batch.filled(len);
        result
    }

    /// Makes the next frame of these bytes, the last one of the response if so; whether they are
    /// done.
    fn respond(
        &mut self,
        stream: &mut Stream,
        running: &Running,
        bytes: &mut Bytes,
        is_last: bool,
    ) -> Result<bool, ApiMisuse> {
        let mut body: &[u8] = bytes;
        let before = body.len();
        let is_done = self.make(stream, before, |core, out| {
            core.respond(&running.token, &mut body, is_last, out)
        })?;
        let taken = before - body.len();
        drop(bytes.split_to(taken));
        Ok(is_done)
    }

    /// Makes the frame of the next bytes of a piece, which are not copied if they are many.
    fn piece(
        &mut self,
        stream: &mut Stream,
        running: &Running,
        piece: &mut Bytes,
    ) -> Result<(), ApiMisuse> {
        let payload = piece.split_to(piece.len().min(self.frame_size));
        let mut out = Output::new(std::mem::replace(stream, Stream::ONLY), &mut []);
        let header = self
            .core
            .respond_header(&running.token, payload.len(), false, &mut out);
        *stream = out.into_stream();
        let header = header?;
        count(&self.shared.counters.frames_out);
        self.shared.saw(self.peer, Direction::Out, &header);
        self.batch.copy(header.emit());
        self.batch.share(payload);
        Ok(())
    }

    /// Makes the next frame of a job.
    fn job(
        &mut self,
        stream: &mut Stream,
        running: &mut Running,
        job: &mut Job,
        is_coded: bool,
    ) -> Result<Made, ApiMisuse> {
        match job {
            Job::Piece(piece) if running.has & has::OPENED != 0 => {
                if !piece.is_empty() {
                    self.piece(stream, running, piece)?;
                }
                return Ok(Made::done_if(piece.is_empty()));
            }
            Job::Piece(piece) => {
                // A compressing stream is opened with the first piece, any other with the core's.
                let mut nothing = Bytes::new();
                let body = if is_coded { &mut *piece } else { &mut nothing };
                let is_open = self.respond(stream, running, body, false)?;
                if is_open {
                    running.has |= has::OPENED;
                }
                return Ok(Made::done_if(is_open && piece.is_empty()));
            }
            Job::Whole(body, is_values) => self.whole(stream, running, body, *is_values)?,
            Job::Finish(flushed) => {
                let is_done = self.respond(stream, running, flushed, true)?;
                return Ok(Made::done_if(is_done));
            }
            Job::Fail(failure) => {
                let failure = failure.as_next();
                while !self.make(stream, FAILURE, |core, out| {
                    core.fail(&running.token, &failure, out)
                })? {}
            }
            Job::Redirect(status) => {
                let room = status.len();
                while !self.make(stream, room, |core, out| {
                    core.redirect(&running.token, status, out)
                })? {}
            }
            Job::Note(note) => {
                let token = &running.token;
                self.make(stream, self.frame_size, |core, out| {
                    note.make(core, token, out)
                })?;
            }
        }
        Ok(Made::Done)
    }

    /// Makes all frames of a response that is not begun and fits one.
    fn whole(
        &mut self,
        stream: &mut Stream,
        running: &Running,
        mut body: &[u8],
        is_values: bool,
    ) -> Result<(), ApiMisuse> {
        let before = self.batch.len();
        loop {
            let len = body.len();
            if self.make(stream, len, |core, out| {
                core.respond(&running.token, &mut body, true, out)
            })? {
                break;
            }
        }
        if is_values && self.core.revision() == Revision::R0003 {
            // messages.md, "Responses": "The flag `cbor` says that the bytes are CBOR".
            let made = self.batch.len() - before;
            if let Some((header, _)) = self.batch.last_mut(made).split_first_chunk_mut() {
                *header = with_cbor(header);
            }
        }
        Ok(())
    }
}

/// The same header with the flag `cbor`.
fn with_cbor(header: &[u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
    let Some((header, _)) = FrameHeader::split_from(header) else {
        return *header;
    };
    let flags = header.flags().union(ResponseFlags::CBOR.into());
    *FrameHeader::new(
        header.length(),
        header.request_id(),
        header.stream_id(),
        header.stream_flags(),
        header.kind_number(),
        flags,
    )
    .emit()
}

impl Connection {
    /// The parts that make frames, and those that they are made of.
    fn line(&mut self, key: Key) -> Option<(Line<'_>, &mut Stream, &mut Running)> {
        let frame_size = self.frame_size();
        let line = Line {
            core: &mut self.core,
            batch: &mut self.batch,
            shared: &self.shared,
            peer: &self.peer,
            frame_size,
        };
        Some((line, &mut self.stream, self.commands.get_mut(key)?))
    }

    /// Makes frames of what waits, in turns, up to about 64 KiB that are not written.
    pub fn fill(&mut self, now: u64) {
        self.take_turns();
        self.wants_output = self.batch.is_empty();
        if self.unwritten() > 0 && !self.clock.is_writing() {
            self.clock.written(now, self.unwritten());
        }
    }

    /// Sets slices to the bytes that are to be written next; how many were set.
    pub fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.batch.slices(slices)
    }

    /// Whether bytes wait to be written.
    pub const fn has_output(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Whether [`fill`](Self::fill) would make frames.
    pub fn can_fill(&self) -> bool {
        !self.turns.is_empty() && self.has_room()
    }

    /// So many bytes of [`output`](Self::output) were written.
    pub fn sent(&mut self, bytes: usize, now: u64) {
        self.batch.sent(bytes);
        add(&self.shared.counters.bytes_out, bytes);
        self.clock.written(now, self.unwritten());
    }

    /// Takes all bytes that are to be written next out of the connection, for a driver that writes
    /// without its lock; `false` if there are none. All that was taken before was
    /// [sent](Self::sent).
    pub fn take_output(&mut self, taken: &mut Taken) -> bool {
        self.batch.take(taken)
    }

    /// Bytes of frames that are not written.
    pub const fn unwritten(&self) -> usize {
        self.batch.unwritten()
    }

    /// Has a reply wait for its turn if it has something to send. If nobody else waits, it has it
    /// now.
    pub(super) fn queue(&mut self, key: Key) {
        loop {
            let is_free = self.is_line_free();
            let Some(running) = self.commands.get_mut(key) else {
                break;
            };
            if running.has & has::QUEUED != 0 || running.composer.jobs.is_empty() {
                break;
            }
            if !is_free {
                running.has |= has::QUEUED;
                running.sent = self.turns.push(running.sent, Waiting::Reply(key));
                let most = &self.shared.counters.most_waiting;
                most.fetch_max(self.turns.len(), Ordering::Relaxed);
                break;
            }
            running.sent = self.turns.go(running.sent);
            self.make_job(key);
        }
        self.has_filled();
    }

    /// The batch may have bytes that the driver does not know of.
    fn has_filled(&mut self) {
        let has_some = !self.batch.is_empty() || !self.turns.is_empty();
        if has_some && std::mem::take(&mut self.wants_output) {
            self.wake(Wake::Output);
        }
    }

    /// Whether a response that is ready can go at once.
    pub(super) fn is_line_free(&self) -> bool {
        self.turns.is_empty() && self.has_room()
    }

    /// Whether frames may be made.
    fn has_room(&self) -> bool {
        self.unwritten() < BATCH && !self.holds_answers
    }

    /// Makes the frames of a response that is all there, at once.
    pub(super) fn make_whole(&mut self, key: Key, body: &[u8]) {
        if let Some((mut line, stream, running)) = self.line(key) {
            // A request that is not active any more gets nothing, and that is all.
            let _ = line.whole(stream, running, body, false);
            self.replied(key);
            self.has_filled();
        }
    }

    /// Makes the next frame of a reply.
    fn make_job(&mut self, key: Key) {
        let before = self.batch.len();
        let Some((mut line, stream, running)) = self.line(key) else {
            return;
        };
        let Some(mut job) = running.composer.jobs.pop_front() else {
            return;
        };
        let is_broken = running.composer.is_broken;
        // Notes are never encoded.
        let is_note = matches!(job, Job::Note(_));
        let coded = match is_note {
            true => None,
            false => running.composer.coded.take(),
        };
        let made = match coded {
            Some(mut coded) => {
                let stream = coded.stream.as_mut().unwrap_or(stream);
                if is_broken && matches!(job, Job::Fail(_)) {
                    // What the peer's decoder has is of no more use.
                    stream.end_with_next();
                }
                let made = line.job(stream, running, &mut job, true);
                running.composer.coded = Some(coded);
                made
            }
            None => line.job(stream, running, &mut job, false),
        };
        let sent = u64::try_from(self.batch.len() - before).unwrap_or(u64::MAX);
        let Some(running) = self.commands.get_mut(key) else {
            return;
        };
        running.sent += sent;
        // A request that is not active any more gets nothing, and that is all.
        if made == Ok(Made::More) {
            running.composer.jobs.push_front(job);
            return;
        }
        let is_end = matches!(job, Job::Whole(..) | Job::Finish(_) | Job::Fail(_));
        let has_room = running.composer.jobs.len() <= 1;
        if has_room && std::mem::take(&mut running.is_awaited) && !is_planted(Fault::ReplyNotWoken)
        {
            self.wake(Wake::Reply(key));
        }
        if is_end {
            if is_planted(Fault::EndTwice) {
                let made = self.batch.len() - before;
                let last = self.batch.last_mut(made).to_vec();
                self.batch.copy(&last);
            }
            self.replied(key);
        }
    }

    /// Queues the answer to a refused request.
    pub(super) fn push_refusal(&mut self, refusal: hgrpc::server::Refusal) {
        self.refusals.push_back(refusal);
        if self.refusals.len() == 1 {
            self.refusals_sent = self.turns.push(self.refusals_sent, Waiting::Refusals);
        }
        self.has_filled();
    }

    /// Makes frames, in turns, as long as there is room.
    pub(super) fn take_turns(&mut self) {
        while self.has_room()
            && let Some(waiting) = self.turns.pop()
        {
            match waiting {
                Waiting::Refusals => self.make_refusal(),
                Waiting::Reply(key) => {
                    if let Some(running) = self.commands.get_mut(key) {
                        running.has &= !has::QUEUED;
                    }
                    self.make_job(key);
                    self.queue(key);
                }
            }
        }
    }

    fn make_refusal(&mut self) {
        let Some(refusal) = self.refusals.pop_front() else {
            return;
        };
        let before = self.batch.len();
        let frame_size = self.frame_size();
        let mut line = Line {
            core: &mut self.core,
            batch: &mut self.batch,
            shared: &self.shared,
            peer: &self.peer,
            frame_size,
        };
        // Frames of at least 256 bytes have room for it.
        while line.make(&mut self.stream, FAILURE, |core, out| {
            core.refuse(&refusal, out)
        }) == Ok(false)
        {}
        let sent = u64::try_from(self.batch.len() - before).unwrap_or(u64::MAX);
        self.refusals_sent += sent;
        if !self.refusals.is_empty() {
            self.refusals_sent = self.turns.push(self.refusals_sent, Waiting::Refusals);
        }
    }
}
