//! A response that is written as it comes (messages.md, "Responses"; revision-0006.md, 7.1 to 7.4).

use super::output::{Draft, Payload};
use super::{Failure, Output, Responder};
use crate::cbor::STATUS_OK;
use crate::revision::number;
use crate::store::Table;
use crate::wire::{OutFrame, RequestId, SettingsFlags};
use crate::{ApiMisuse, Protocol};

/// What became of a piece that was pushed.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a frame that is not written leaves the stream incomplete"]
pub enum Push<'b> {
    /// It was taken, all of it. Go on with the next piece.
    Taken,
    /// Send this frame, then push the same piece again: it was not taken yet, or not all of it.
    Frame(OutFrame<'b>),
}

/// Writes one response piece by piece, in all revisions.
///
/// The caller drives it: it pushes a piece until that is [`Push::Taken`], sending each frame that
/// comes out on the way, and stops whenever it likes; nothing is lost. At the end it calls
/// [`finish`](Self::finish), or one of the `fail` methods, until no frame comes out.
///
/// Pieces are joined in scratch memory that the caller lends, the same for one response
/// (revision-0006.md, 7.2), so that small pieces do not become small frames. With no scratch memory
/// every piece is a frame of its own. In 0003 and 0005 there is no joining.
///
/// On an encoded stream (0006) the pieces are already encoded: use
/// [`push_encoded`](Self::push_encoded) with the encoded status map first.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a response that is not finished keeps its request open"]
pub struct ResponseWriter {
    responder: Responder,
    pub(super) phase: Phase,
    /// Bytes joined in the scratch memory.
    joined: usize,
    /// Bytes of the current piece that were sent directly.
    pub(super) sent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Phase {
    /// Nothing was sent: a command error may still be a status map.
    Start,
    /// 0006: the stream's settings are out, or were already.
    Status,
    /// Status is out; pieces follow.
    Body,
    /// The status was a redirect; only the end follows.
    Redirected,
    /// The end has begun: what flushing the encoder gave goes out.
    Flushing,
    /// The last frame was taken.
    Ended,
}

/// What comes next of a piece; decided before anything is borrowed, so that it can be looped over.
pub(super) enum Next {
    /// Nothing: it was taken, or joined.
    Taken,
    /// The stream's settings, before the first piece.
    Settings,
    /// The status map, before the first piece.
    Status,
    /// What was joined goes out first.
    Joined,
    /// So many of its bytes go out as they are.
    Directly(usize),
}

impl ResponseWriter {
    pub(super) const fn new(responder: Responder) -> Self {
        Self {
            responder,
            phase: Phase::Start,
            joined: 0,
            sent: 0,
        }
    }

    /// The request that is answered.
    pub const fn request_id(&self) -> RequestId {
        self.responder.request_id()
    }

    /// The token of the answer, for text output and progress beside it.
    pub const fn responder(&self) -> &Responder {
        &self.responder
    }

    /// Whether a frame of the response has been taken. A command's error before that is its
    /// status; after it, the response breaks off (revision-0006.md, 7.4).
    pub const fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Start)
    }

    /// Has the stream for this response, which on an encoded one (0006) no other may then write on
    /// before it has ended (revision-0006.md, 3.5a). Every push does so; whoever encodes pieces
    /// does so before the first one goes into the encoder.
    ///
    /// # Errors
    /// [`ApiMisuse::StreamOccupied`], [`ApiMisuse::RequestNotActive`], [`ApiMisuse::OutOfOrder`];
    /// nothing changed.
    pub fn claim<T: Table + ?Sized, P: Protocol>(
        &self,
        out: &mut Output<'_, T, P>,
    ) -> Result<(), ApiMisuse> {
        if self.phase == Phase::Ended {
            return Err(ApiMisuse::OutOfOrder);
        }
        out.check(&self.responder)?;
        out.occupy(self.request_id())
    }

    /// The frames before the first piece, one by one: settings (0006, once a stream) and status.
    /// Not needed before `push`; useful to send the status while the first piece is being made.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    pub fn open<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'static>>, ApiMisuse> {
        self.claim(out)?;
        let next = self.opening(out, true);
        Ok(self.frame(out, next, &[], &[]))
    }

    /// revision-0006.md, 7.1, steps 1 and 2. Without `with_status` the owner pushes the status map.
    fn opening<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        with_status: bool,
    ) -> Next {
        let revision = out.server.revision();
        if self.phase == Phase::Start {
            self.phase = Phase::Status;
            if revision.has_settings() && !out.stream.has_settings {
                out.stream.has_settings = true;
                return Next::Settings;
            }
        }
        if self.phase == Phase::Status {
            self.phase = Phase::Body;
            if with_status && revision.has_status_map() {
                return Next::Status;
            }
        }
        Next::Taken
    }

    /// Makes the frame that comes next, if one does.
    fn frame<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        next: Next,
        scratch: &'b [u8],
        piece: &'b [u8],
    ) -> Option<OutFrame<'b>> {
        let mut payload: Payload<'b> = [&[]; _];
        let draft = self.draft(out, next, scratch, piece, &mut payload)?;
        Some(out.seal(self.request_id(), draft, payload))
    }

    /// The frame that comes next, if one does, but for being made.
    pub(super) fn draft<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &Output<'_, T, P>,
        next: Next,
        scratch: &'b [u8],
        piece: &'b [u8],
        payload: &mut Payload<'b>,
    ) -> Option<Draft> {
        let [first, ..] = payload;
        let mut draft = Draft::data(out.server.revision(), false, false);
        *first = match next {
            Next::Taken => return None,
            Next::Settings => {
                draft = Draft::aside(number::STREAM_SETTINGS, SettingsFlags::EOS.into());
                out.stream.encoding().stream_settings()
            }
            Next::Status => STATUS_OK,
            Next::Joined => {
                let len = core::mem::take(&mut self.joined);
                scratch.get(..len).unwrap_or(scratch)
            }
            Next::Directly(len) => {
                let rest = piece.get(self.sent..).unwrap_or_default();
                self.sent = self.sent.saturating_add(len);
                rest.get(..len).unwrap_or(rest)
            }
        };
        Some(draft)
    }

    /// Writes a piece of the response. See [`Push`].
    ///
    /// In 0006 a response is a CBOR sequence; pieces may be cut anywhere.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    pub fn push<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
        piece: &'b [u8],
    ) -> Result<Push<'b>, ApiMisuse> {
        self.push_with(out, true, scratch, piece)
    }

    /// Writes a piece that the owner has encoded, on a stream with an encoding. The first one is
    /// the encoded status map, even if its encoder returned nothing.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    pub fn push_encoded<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
        piece: &'b [u8],
    ) -> Result<Push<'b>, ApiMisuse> {
        if self.phase == Phase::Status || (self.phase == Phase::Start && out.stream.has_settings) {
            // The first piece is the status map: a frame of its own, left out if empty.
            self.claim(out)?;
            self.phase = Phase::Status;
            let rest = piece.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                self.sent = 0;
                self.phase = Phase::Body;
                return Ok(Push::Taken);
            }
            let next = Next::Directly(rest.len().min(out.frame_size()));
            return Ok(self.pushed(out, next, scratch, piece));
        }
        self.push_with(out, false, scratch, piece)
    }

    fn push_with<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        with_status: bool,
        scratch: &'b mut [u8],
        piece: &'b [u8],
    ) -> Result<Push<'b>, ApiMisuse> {
        let next = self.advance(out, with_status, scratch, piece)?;
        Ok(self.pushed(out, next, scratch, piece))
    }

    fn pushed<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        next: Next,
        scratch: &'b [u8],
        piece: &'b [u8],
    ) -> Push<'b> {
        self.frame(out, next, scratch, piece)
            .map_or(Push::Taken, Push::Frame)
    }

    /// The first half of a push: takes the piece, or says what must go out first.
    pub(super) fn advance<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        with_status: bool,
        scratch: &mut [u8],
        piece: &[u8],
    ) -> Result<Next, ApiMisuse> {
        self.claim(out)?;
        if matches!(self.phase, Phase::Redirected | Phase::Flushing) {
            return Err(ApiMisuse::OutOfOrder);
        }
        let opening = self.opening(out, with_status);
        if !matches!(opening, Next::Taken) {
            return Ok(opening);
        }
        let rest = piece.get(self.sent..).unwrap_or_default();
        if rest.is_empty() {
            self.sent = 0;
            return Ok(Next::Taken);
        }
        let joins = out.server.revision().has_settings();
        let room = if joins { scratch.len() } else { 0 };
        let next = self.fate(rest.len(), out.frame_size(), room);
        if let Next::Taken = next {
            crate::bytes::copy(scratch.get_mut(self.joined..).unwrap_or_default(), rest);
            self.joined = self.joined.saturating_add(rest.len());
        }
        Ok(next)
    }

    /// The coalescer, revision-0006.md, 7.2; `scratch` is the length of its memory.
    fn fate(&self, len: usize, frame_size: usize, scratch: usize) -> Next {
        let room = scratch.min(frame_size);
        let is_direct = self.sent > 0 || len > room;
        if self.joined > 0 && (is_direct || len.saturating_add(self.joined) >= room) {
            Next::Joined
        } else if is_direct {
            Next::Directly(len.min(frame_size))
        } else {
            Next::Taken
        }
    }

    /// Ends the response: call until `None`. What was joined goes out, then the end, which in all
    /// revisions is an empty frame with `eos`.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed. [`ApiMisuse::OutOfOrder`]: a piece was not taken to its end.
    pub fn finish<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        self.finish_with(out, true, scratch, &[])
    }

    /// Ends a response on an encoded stream: `flushed` is what flushing the encoder gave, the same
    /// at each call (revision-0006.md, 7.3).
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub fn finish_encoded<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b [u8],
        flushed: &'b [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        self.finish_with(out, false, scratch, flushed)
    }

    fn finish_with<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        with_status: bool,
        scratch: &'b [u8],
        flushed: &'b [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        let mut payload: Payload<'b> = [&[]; _];
        let draft = self.finish_draft(out, with_status, scratch, flushed, &mut payload)?;
        Ok(draft.map(|draft| out.seal(self.request_id(), draft, payload)))
    }

    pub(super) fn finish_draft<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        with_status: bool,
        scratch: &'b [u8],
        flushed: &'b [u8],
        payload: &mut Payload<'b>,
    ) -> Result<Option<Draft>, ApiMisuse> {
        if self.phase == Phase::Ended {
            return Ok(None);
        }
        self.claim(out)?;
        let mut next = self.opening(out, with_status);
        if let Next::Taken = next {
            if self.phase != Phase::Flushing && self.sent > 0 {
                return Err(ApiMisuse::OutOfOrder);
            }
            next = self.flush(out, flushed);
        }
        if let Next::Taken = next {
            self.phase = Phase::Ended;
            let rest = flushed.get(self.sent..).unwrap_or_default();
            let [first, ..] = payload;
            *first = rest;
            return Ok(Some(Draft::data(
                out.server.revision(),
                true,
                rest.is_empty(),
            )));
        }
        Ok(self.draft(out, next, scratch, flushed, payload))
    }

    /// What goes out before the last frame: what was joined, then what of `flushed` does not fit it.
    fn flush<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &Output<'_, T, P>,
        flushed: &[u8],
    ) -> Next {
        if self.joined > 0 {
            return Next::Joined;
        }
        self.phase = Phase::Flushing;
        let frame_size = out.frame_size();
        if flushed.len().saturating_sub(self.sent) > frame_size {
            Next::Directly(frame_size)
        } else {
            Next::Taken
        }
    }

    /// Ends the response because the command failed: call until `None`.
    ///
    /// Before anything was sent, this is the command's answer: a status map (0005 and 0006) or an
    /// error response. Afterwards what was joined and `flushed` go out, and an error response of
    /// type `command` breaks the response off (revision-0006.md, 7.4). What does not fit one frame
    /// is cut from the message's end in 0006.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed. [`ApiMisuse::TooLarge`]: the message does not fit a frame.
    /// [`ApiMisuse::OutOfOrder`]: an encoded piece was not taken to its end.
    pub fn fail<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b [u8],
        flushed: &'b [u8],
        failure: &'b mut Failure<'_>,
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        let mut payload: Payload<'b> = [&[]; _];
        let draft = self.fail_draft(out, scratch, flushed, failure, &mut payload)?;
        Ok(draft.map(|draft| out.seal(self.request_id(), draft, payload)))
    }

    pub(super) fn fail_draft<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b [u8],
        flushed: &'b [u8],
        failure: &'b mut Failure<'_>,
        payload: &mut Payload<'b>,
    ) -> Result<Option<Draft>, ApiMisuse> {
        if self.phase == Phase::Ended {
            return Ok(None);
        }
        out.check(&self.responder)?;
        let has_begun = self.has_begun();
        if has_begun {
            if self.phase != Phase::Flushing && self.sent > 0 {
                // The rest of a piece may be left out, unless a decoder needs it.
                if !flushed.is_empty() {
                    return Err(ApiMisuse::OutOfOrder);
                }
                self.sent = 0;
            }
            let mut next = self.flush(out, flushed);
            let left = flushed.len().saturating_sub(self.sent);
            if left > 0 && matches!(next, Next::Taken) {
                next = Next::Directly(left);
            }
            if let Some(draft) = self.draft(out, next, scratch, flushed, payload) {
                return Ok(Some(draft));
            }
        }
        let revision = out.server.revision();
        let draft = failure.compose(revision, out.frame_size(), has_begun, payload)?;
        self.phase = Phase::Ended;
        Ok(Some(draft))
    }

    /// Writes a redirect (0006; revision-0006.md, 7.5): settings, then the status map in a frame of
    /// its own; `status` is the map as it goes on the wire, encoded where the stream is. Call until
    /// `None`, then [`finish`](Self::finish) or [`finish_encoded`](Self::finish_encoded).
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed. [`ApiMisuse::OutOfOrder`]: output has begun.
    /// [`ApiMisuse::NotInThisRevision`]: a redirect before 0006.
    /// [`ApiMisuse::TooLarge`]: the map does not fit a frame.
    pub fn redirect<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        status: &'b [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        let mut payload: Payload<'b> = [&[]; _];
        let draft = self.redirect_draft(out, status, &mut payload)?;
        Ok(draft.map(|draft| out.seal(self.request_id(), draft, payload)))
    }

    pub(super) fn redirect_draft<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
        status: &'b [u8],
        payload: &mut Payload<'b>,
    ) -> Result<Option<Draft>, ApiMisuse> {
        self.claim(out)?;
        if !out.server.revision().has_settings() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        if status.len() > out.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        match self.phase {
            Phase::Redirected => return Ok(None),
            Phase::Body | Phase::Flushing | Phase::Ended => return Err(ApiMisuse::OutOfOrder),
            Phase::Start if !out.stream.has_settings => {
                // It is for `opening` to leave the status to come.
                let next = self.opening(out, false);
                return Ok(self.draft(out, next, &[], &[], payload));
            }
            Phase::Start | Phase::Status => {}
        }
        self.phase = Phase::Redirected;
        let [first, ..] = payload;
        *first = status;
        Ok(Some(Draft::data(out.server.revision(), false, false)))
    }

    pub(super) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }
}
