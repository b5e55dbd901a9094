//! The sending side: requests and their data become frames, in turns, and these the batch that is
//! written.

use std::io::IoSlice;

use bytes::Bytes;
use hgrpc::ApiMisuse;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::{Request, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::wire::{FrameHeader, HEADER_LEN};

use super::call::has;
use super::{Connection, Core, Data, Outgoing};
use crate::engine::Key;
use crate::engine::batch::{BATCH, Batch, Taken};
use crate::engine::turns::Waiting;
use crate::host::config::Meter;

/// Bytes that stand around a request's name and arguments, or of the settings before the first one.
const AROUND: usize = 128;

/// Where frames are made.
struct Line<'a> {
    core: &'a mut Core,
    batch: &'a mut Batch,
    stream: &'a mut Stream,
    meter: &'a Meter,
    frame_size: usize,
}

impl Line<'_> {
    /// Has the core make a frame of at most about `payload` bytes, if that is not over a frame's
    /// size.
    fn make(
        &mut self,
        payload: usize,
        make: impl FnOnce(&mut Core, &mut Output<'_>) -> Result<bool, ApiMisuse>,
    ) -> Result<bool, ApiMisuse> {
        let buffer = self.batch.room(HEADER_LEN + payload.min(self.frame_size));
        let mut out = Output::new(std::mem::replace(self.stream, Stream::CLIENT), buffer);
        let result = make(self.core, &mut out);
        let frame = out.frame();
        let len = frame.len();
        if let Some((header, _)) = FrameHeader::split_from(frame) {
            self.meter.frame_out(header);
        }
        *self.stream = out.into_stream();
        self.batch.filled(len);
        result
    }

    /// Makes the frames of a request apart from its data, and gives its token.
    fn request(&mut self, outgoing: &Outgoing) -> Result<Upload, (ApiMisuse, Option<Upload>)> {
        let args = EncodedArgs::from_cbor(&outgoing.args);
        let args = args.map_err(|_| (ApiMisuse::InvalidMessage, None))?;
        let mut request = Request::new(&outgoing.command, args);
        request.redirect = outgoing.redirect.as_deref();
        let has_data = !matches!(outgoing.data, Data::None);
        // Calls go out at once, so there is nothing to flush.
        let (token, _) = self
            .core
            .request(has_data)
            .map_err(|misuse| (misuse, None))?;
        let redirect = outgoing.redirect.as_ref().map_or(0, Vec::len);
        let len = outgoing.command.len() + outgoing.args.len() + redirect + AROUND;
        loop {
            match self.make(len, |core, out| core.send(&token, &request, out)) {
                Ok(true) => return Ok(token),
                Ok(false) => {}
                Err(misuse) => return Err((misuse, Some(token))),
            }
        }
    }

    /// Makes the next frame of some data, the last one if so. `false`: nobody wants it any more.
    fn data(&mut self, token: &Upload, bytes: &mut Bytes, is_rest: bool) -> bool {
        let piece = bytes.split_to(bytes.len().min(self.frame_size));
        // A chunk that fills a frame is never the last one (messages.md, "Command data").
        let is_last = is_rest && piece.len() < self.frame_size;
        let mut out = Output::new(std::mem::replace(self.stream, Stream::CLIENT), &mut []);
        let header = self.core.data_header(token, piece.len(), is_last, &mut out);
        *self.stream = out.into_stream();
        let Ok(Some(header)) = header else {
            return false;
        };
        self.meter.frame_out(&header);
        self.batch.copy(header.emit());
        self.batch.share(piece);
        true
    }

    /// Ends data that nobody wants any more, if its end was not sent.
    fn cut(&mut self, token: &Upload) {
        // Of a request that has ended the core makes nothing.
        let _ = self.make(0, |core, out| {
            core.send_data(token, &mut &[][..], true, out)
        });
    }
}

impl Connection {
    /// Makes frames of what waits, in turns, up to about 64 KiB that are not written.
    pub fn fill(&mut self) {
        while self.unwritten() < BATCH
            && let Some(waiting) = self.turns.pop()
        {
            if let Waiting::Reply(key) = waiting {
                if let Some(call) = self.calls.get_mut(key) {
                    call.has &= !has::QUEUED;
                }
                self.make_job(key);
                self.queue(key);
            }
        }
        self.wants_output = self.batch.is_empty();
    }

    /// Sets slices to the bytes that are to be written next; how many were set.
    pub fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.batch.slices(slices)
    }

    /// Whether bytes wait to be written.
    pub const fn has_output(&self) -> bool {
        !self.batch.is_empty()
    }

    /// So many bytes of [`output`](Self::output), or of what was [taken](Self::take_output), were
    /// written.
    pub fn sent(&mut self, bytes: usize) {
        self.batch.sent(bytes);
    }

    /// Takes all bytes that are to be written next out of the connection, for a driver that writes
    /// without its lock; `false` if there are none. All that was taken before was
    /// [sent](Self::sent).
    pub fn take_output(&mut self, taken: &mut Taken) -> bool {
        self.batch.take(taken)
    }

    /// Bytes of frames that are not written.
    const fn unwritten(&self) -> usize {
        self.batch.unwritten()
    }

    /// Has a call wait for its turn if it has something to send. If nobody else waits, it has it now.
    pub(super) fn queue(&mut self, key: Key) {
        while let Some(call) = self.calls.get_mut(key)
            && call.has & has::QUEUED == 0
            && call.has_job()
            && self.output_ended.is_none()
        {
            if !self.turns.is_empty() || self.batch.unwritten() >= BATCH {
                call.has |= has::QUEUED;
                call.sent = self.turns.push(call.sent, Waiting::Reply(key));
                break;
            }
            call.sent = self.turns.go(call.sent);
            self.make_job(key);
        }
        let has_some = !self.batch.is_empty() || !self.turns.is_empty();
        if has_some && std::mem::take(&mut self.wants_output) {
            self.calls.wakes.output = true;
        }
    }

    fn line(&mut self) -> Line<'_> {
        let frame_size = self.frame_size();
        Line {
            core: &mut self.core,
            batch: &mut self.batch,
            stream: &mut self.stream,
            meter: &self.meter,
            frame_size,
        }
    }

    /// Makes the frames of a request, or the next frame of its data.
    fn make_job(&mut self, key: Key) {
        let before = self.batch.len();
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if call.unsent.is_some() {
            return;
        }
        match call.start.take() {
            Some(start) => self.start(key, start),
            None => self.make_data(key),
        }
        let sent = u64::try_from(self.batch.len() - before).unwrap_or(u64::MAX);
        if let Some(call) = self.calls.get_mut(key) {
            call.sent += sent;
        }
        self.settle(key);
    }

    fn start(&mut self, key: Key, start: Outgoing) {
        self.starts -= 1;
        let result = self.line().request(&start);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        match result {
            Ok(token) => {
                call.has |= has::SENT;
                call.id = token.request_id();
                call.command = start.command;
                self.core.requests_mut().set_tag(call.id, key.tag());
                match start.data {
                    Data::None => {}
                    Data::Streamed => call.has |= has::STREAMING,
                    Data::Whole(bytes) => {
                        call.has |= has::STREAMING | has::FINISHING | has::WHOLE;
                        call.data = bytes;
                    }
                }
                if call.has & has::STREAMING != 0 {
                    call.token = Some(token);
                }
                // It is one thing with its request.
                while self
                    .calls
                    .get_mut(key)
                    .is_some_and(|call| call.has & has::WHOLE != 0)
                {
                    self.make_data(key);
                }
            }
            Err((misuse, token)) => {
                call.unsent = Some(misuse.into());
                if let Some(token) = token {
                    // Nothing was made of it, so it is forgotten.
                    let _ = self.core.cancel(token.request_id(), &mut self.memory);
                }
            }
        }
        self.calls.wake_caller(key);
        self.calls.wake_upload(key);
    }

    fn make_data(&mut self, key: Key) {
        let frame_size = self.frame_size();
        let Some(call) = self.calls.slab.get_mut(key) else {
            return;
        };
        let Some(token) = &call.token else {
            return;
        };
        let mut line = Line {
            core: &mut self.core,
            batch: &mut self.batch,
            stream: &mut self.stream,
            meter: &self.meter,
            frame_size,
        };
        // What is known as a whole ends with its last piece; what streams, with a frame of its own.
        let is_rest = call.has & has::WHOLE != 0 && call.data.len() < frame_size
            || call.has & has::FINISHING != 0 && call.data.is_empty();
        let is_wanted = line.data(token, &mut call.data, is_rest);
        if !is_wanted {
            line.cut(token);
        }
        if is_rest || !is_wanted {
            call.has &= !has::WHOLE;
            call.drop_data();
        }
        if call.data.is_empty() {
            self.calls.wake_upload(key);
        }
    }
}
