//! Responses, a frame a call (messages.md, "Responses"; revision-0006.md, 7.1 to 7.3 and 7.5).

use super::{Reply, Server};
use crate::cbor::{ContentEncoding, STATUS_OK};
use crate::output::{Head, Output, SETTINGS, joins};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::tuned::IS_SMALL;
use crate::wire::{FrameHeader, RequestId, ResponseFlags, SettingsFlags};
use crate::{ApiMisuse, Protocol};

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Writes the next frame of a response into `out`: of `body`, which is advanced past what was
    /// taken, and which ends the response if `is_last`. The same call for a body that is known as a
    /// whole and for a piece of one.
    ///
    /// Write [`out.frame()`](Output::frame), which may be empty, after each call, and call again
    /// while the answer is `false`; `true`: all of `body` was taken, and with `is_last` the response
    /// has ended. An empty body that is not the last sends what opens a response. In 0006 a body is a
    /// CBOR sequence; small pieces are joined in `out` (revision-0006.md, 7.2), and what is joined
    /// goes out before anything else there. On a stream with an encoding the pieces are encoded: the
    /// first is the encoded status map, be it nothing, and the last is what flushing the encoder gave.
    ///
    /// Work is linear in the frame's bytes.
    ///
    /// # Errors
    /// [`ApiMisuse`], and nothing changed. [`ApiMisuse::RequestNotActive`]: answered already, or the
    /// token is of another server. [`ApiMisuse::TooLarge`]: the status map does not fit a frame
    /// (deviations.md, D3). [`ApiMisuse::StreamOccupied`]: another response has the encoded stream
    /// for itself. [`ApiMisuse::OutOfOrder`]: the stream has ended, or the response was a redirect.
    pub fn respond(
        &mut self,
        reply: &Reply,
        body: &mut &[u8],
        is_last: bool,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        if !IS_SMALL
            && is_last
            && let Some(is_done) = self.respond_usual(reply, body, out)
        {
            return Ok(is_done);
        }
        let has = self.claim(reply, out)?;
        let id = reply.request_id();
        let room = out.room();
        let is_first = self.revision().has_status_map() && has & bits::BEGUN == 0;
        let status: &[u8] = if is_first { STATUS_OK } else { &[] };
        let Some(rest) = room.checked_sub(status.len()) else {
            return Err(ApiMisuse::TooLarge);
        };
        if self.revision().has_settings() {
            return self.respond_joining(id, has, body, is_last, room, out);
        }
        // messages.md, "Responses", 0003 and 0005
        let is_open = !is_first;
        let mut count = body.len().min(rest);
        let is_end = is_last && count == body.len();
        if !is_open && !is_end {
            // Of what does not fit one frame, the status map has a frame of its own.
            count = 0;
        }
        let (chunk, behind) = body.split_at_checked(count).unwrap_or_default();
        if is_open && count == 0 && !is_end {
            return Ok(body.is_empty());
        }
        let head = self.data_head(id, is_end, false);
        if !out.fill(head, &[status, chunk]) {
            return Err(ApiMisuse::TooLarge);
        }
        *body = behind;
        self.advance(id, bits::BEGUN, is_end, out);
        Ok(if is_last { is_end } else { body.is_empty() })
    }

    /// revision-0006.md, 7.1 to 7.3.
    fn respond_joining(
        &mut self,
        id: RequestId,
        has: u16,
        body: &mut &[u8],
        is_last: bool,
        room: usize,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        if has & bits::REDIRECTED != 0 && !(is_last && self.may_follow_redirect(body, out)) {
            return Err(ApiMisuse::OutOfOrder);
        }
        if out.is_joining() && (out.owner != id || has & bits::BEGUN == 0) {
            self.send_joined(out);
            return Ok(false);
        }
        if out.stream.state & SETTINGS == 0 {
            self.send_settings(id, out)?;
            return Ok(false);
        }
        let is_identity = out.stream.encoding() == ContentEncoding::Identity;
        let is_done = body.is_empty() && !is_last;
        if has & bits::BEGUN == 0 && is_identity {
            self.fill_data(id, false, STATUS_OK, out);
            self.advance(id, bits::BEGUN, false, out);
            return Ok(is_done);
        }
        // The first piece on an encoded stream is the status map, in a frame of its own; the last is
        // what was flushed.
        let is_opening = has & bits::BEGUN == 0;
        if is_done {
            if is_opening {
                self.advance(id, bits::BEGUN, false, out);
            }
            return Ok(true);
        }
        let is_alone =
            is_opening || has & bits::DIRECT != 0 || body.len() > room || (is_last && !is_identity);
        if !body.is_empty() && !is_alone && joins(out.joined, body.len(), room) {
            // The coalescer takes the piece.
            let joined = out.joined;
            let place = out.payload().get_mut(joined..).unwrap_or_default();
            crate::bytes::copy(place, body);
            out.joined = joined.wrapping_add(body.len());
            out.owner = id;
            *body = &[];
            if !is_last {
                return Ok(true);
            }
        }
        if out.is_joining() {
            self.send_joined(out);
            return Ok(false);
        }
        let count = body.len().min(room);
        let is_end = is_last && count == body.len() && (!is_identity || count == 0);
        let (chunk, behind) = body.split_at_checked(count).unwrap_or_default();
        if !self.fill_data(id, is_end, chunk, out) {
            return Err(ApiMisuse::TooLarge);
        }
        *body = behind;
        let is_taken = behind.is_empty();
        let begun = if is_opening && !is_taken {
            0
        } else {
            bits::BEGUN
        };
        let direct = if is_taken { 0 } else { bits::DIRECT };
        if let Some(slot) = self.requests.find(Key::request(id)) {
            slot.bits &= !bits::DIRECT;
        }
        self.advance(id, begun | direct, is_end, out);
        Ok(if is_last { is_end } else { is_taken })
    }

    /// The end of a redirect: nothing, or what flushing the encoder gave.
    fn may_follow_redirect(&self, body: &[u8], out: &Output<'_>) -> bool {
        body.is_empty() || out.stream.encoding() != ContentEncoding::Identity
    }

    /// Writes the next frame of a redirect (0006): the client should fetch the response elsewhere.
    /// `status` is the encoded status map, as
    /// [`Location::encode_status`](crate::cbor::Location::encode_status) makes it, on a stream with an
    /// encoding what its encoder made of that (revision-0006.md, 7.5). Call while the answer is
    /// `false`, as for [`respond`](Self::respond), which then ends the response.
    ///
    /// # Errors
    /// As for [`respond`](Self::respond). [`ApiMisuse::NotInThisRevision`]: before 0006.
    /// [`ApiMisuse::OutOfOrder`]: the response has begun.
    pub fn redirect(
        &mut self,
        reply: &Reply,
        status: &[u8],
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        let has = self.claim(reply, out)?;
        if !self.revision().has_settings() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        if status.len() > out.room() {
            return Err(ApiMisuse::TooLarge);
        }
        if has & bits::BEGUN != 0 {
            return Err(ApiMisuse::OutOfOrder);
        }
        let id = reply.request_id();
        if out.is_joining() {
            self.send_joined(out);
            return Ok(false);
        }
        if out.stream.state & SETTINGS == 0 {
            self.send_settings(id, out)?;
            return Ok(false);
        }
        self.fill_data(id, false, status, out);
        self.advance(id, bits::BEGUN | bits::REDIRECTED, false, out);
        Ok(true)
    }

    /// The header of a response's next frame, for owners that write a payload of `count` bytes from
    /// where it lies. The response must have been opened, nothing may be joined in `out`, and a frame
    /// holds at most [`send_frame_size`](super::ServerConfig::send_frame_size) bytes. In 0006
    /// an `identity` response ends with an empty frame: `count` 0 and `is_last`.
    ///
    /// # Errors
    /// As for [`respond`](Self::respond). [`ApiMisuse::OutOfOrder`]: not opened, something is
    /// joined, or an end that is not empty where it must be. [`ApiMisuse::TooLarge`]: over a frame.
    pub fn respond_header(
        &mut self,
        reply: &Reply,
        count: usize,
        is_last: bool,
        out: &mut Output<'_>,
    ) -> Result<FrameHeader, ApiMisuse> {
        let has = self.claim(reply, out)?;
        let joins = self.revision().has_settings();
        let is_bare_end = joins && is_last && out.stream.encoding() == ContentEncoding::Identity;
        let is_open = has & bits::BEGUN != 0 || !self.revision().has_status_map();
        if !is_open || has & bits::REDIRECTED != 0 || out.is_joining() || is_bare_end && count > 0 {
            return Err(ApiMisuse::OutOfOrder);
        }
        if count > self.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        let id = reply.request_id();
        let is_empty = count == 0 && is_last;
        let head = self.data_head(id, is_last, joins && !is_empty);
        let header = out.header(head, count);
        self.advance(id, bits::BEGUN, is_last, out);
        Ok(header)
    }

    /// Begins a frame for the request of this token. Returns what is known of the request; 0: it is
    /// not active, or the stream has ended, as [`Output::misuse`] tells.
    #[inline(never)]
    pub(super) fn begin(&mut self, reply: &Reply, out: &mut Output<'_>) -> u16 {
        if !out.begin(self.frame_size()) {
            return 0;
        }
        match self.requests.find(Key::request(reply.request_id())) {
            Some(slot) if slot.bits & bits::ACTIVE != 0 && reply.is_of(slot.order) => slot.bits,
            _ => 0,
        }
    }

    /// The same, and on an encoded stream (0006) the response has that for itself until it ends
    /// (revision-0006.md, 3.5a).
    #[inline(always)]
    pub(super) fn claim(&mut self, reply: &Reply, out: &mut Output<'_>) -> Result<u16, ApiMisuse> {
        let has = self.begin(reply, out);
        if has == 0 {
            return Err(out.misuse());
        }
        if self.revision().has_settings() && out.stream.encoding() != ContentEncoding::Identity {
            let id = reply.request_id();
            match out.stream.occupied_by {
                Some(other) if other != id => return Err(ApiMisuse::StreamOccupied),
                _ => out.stream.occupied_by = Some(id),
            }
        }
        Ok(has)
    }

    /// Largest payload of a frame that is sent.
    pub(super) fn frame_size(&self) -> usize {
        usize::try_from(self.send_frame_size.get()).unwrap_or(usize::MAX)
    }

    /// What a frame of a response says.
    #[inline]
    pub(super) fn data_head(&self, id: RequestId, is_end: bool, is_encoded: bool) -> Head {
        let flags = if is_end {
            ResponseFlags::EOS
        } else {
            ResponseFlags::CONTINUATION
        };
        Head::new(id, self.revision().response_number(), flags.into()).encoded(is_encoded)
    }

    /// 0006: fills a frame of a response; all but an empty end are `encoded`, since settings were
    /// sent. `false`: it does not fit.
    fn fill_data(
        &mut self,
        id: RequestId,
        is_end: bool,
        bytes: &[u8],
        out: &mut Output<'_>,
    ) -> bool {
        let head = self.data_head(id, is_end, !(is_end && bytes.is_empty()));
        out.fill(head, &[bytes])
    }

    /// 0006: what is joined becomes a frame, or nothing if its response came to nothing meanwhile:
    /// its request was refused while it ran.
    #[inline(never)]
    pub(super) fn send_joined(&mut self, out: &mut Output<'_>) {
        let count = core::mem::take(&mut out.joined);
        let running = bits::ACTIVE | bits::BEGUN;
        match self.requests.find(Key::request(out.owner)) {
            Some(slot) if slot.bits & running == running => {}
            _ => return,
        }
        let head = self.data_head(out.owner, false, true);
        out.seal(head, count);
    }

    /// Makes a frame of what is joined (0006); none if nothing is.
    pub fn flush(&mut self, out: &mut Output<'_>) {
        out.len = 0;
        if self.revision().has_settings() && out.is_joining() {
            self.send_joined(out);
        }
    }

    /// revision-0006.md, 4.2 and 7.1, step 1.
    fn send_settings(&mut self, id: RequestId, out: &mut Output<'_>) -> Result<(), ApiMisuse> {
        let head = Head::new(id, number::STREAM_SETTINGS, SettingsFlags::EOS.into());
        let settings = out.stream.encoding().stream_settings();
        // Not cut by the frame size, which may be smaller.
        out.begin(MOST_PAYLOAD);
        if !out.fill(head, &[settings]) {
            return Err(ApiMisuse::TooLarge);
        }
        out.stream.state |= SETTINGS;
        self.advance(id, bits::OPENED, false, out);
        Ok(())
    }

    /// A frame of a response was made, the last one if `is_end` (server.md, "A response is ready"
    /// and "Streaming": what of its data has not come yet is swallowed).
    #[inline(never)]
    pub(super) fn advance(
        &mut self,
        id: RequestId,
        begun: u16,
        is_end: bool,
        out: &mut Output<'_>,
    ) {
        let key = Key::request(id);
        let Some(slot) = self.requests.find(key) else {
            return;
        };
        slot.bits |= begun;
        if !is_end {
            return;
        }
        if self.protocol.revision().has_settings() && out.stream.occupied_by == Some(id) {
            out.stream.occupied_by = None;
        }
        if slot.bits & bits::STREAMING != 0 {
            slot.bits = bits::DRAINING | bits::DATA;
            self.receiving = self.receiving.wrapping_sub(1);
        } else {
            self.requests.remove(key);
        }
    }
}

/// Most payload of any frame.
const MOST_PAYLOAD: usize = 0x00ff_ffff;
