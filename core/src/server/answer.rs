//! Responses that are known as a whole, as sources of frames (messages.md, "Responses";
//! revision-0006.md, 7).

use super::output::{Draft, Payload};
use super::text::{self, FailureKind, compose_refusal};
use super::writer::{Next, Phase};
use super::{Output, Rejection, Responder, ResponseWriter, Server};
use crate::cbor::{Head, MessageArgs, Pieces, STATUS_OK, Value};
use crate::store::Table;
use crate::wire::{ErrorFlags, OutFrame, RequestId, ResponseFlags, payload_len};
use crate::{ApiMisuse, Protocol};

/// A value of a response (0006), as CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Object<'a> {
    /// One encoded value. It is sent in pieces, heads and contents apart (revision-0006.md, 7.1).
    Cbor(Value<'a>),
    /// Encoded values that are one piece.
    PreEncoded(&'a [u8]),
}

/// What a response consists of.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Body<'a> {
    /// The command's own bytes. In 0006 they are a CBOR sequence, sent as one piece.
    Bytes(&'a [u8]),
    /// As `Bytes`; in 0003 with the flag `cbor`.
    Cbor(&'a [u8]),
    /// Values, each sent as its pieces.
    Objects(&'a [Object<'a>]),
    /// 0006: the client should fetch the response elsewhere: the encoded status map, as
    /// [`Location::encode_status`](crate::cbor::Location::encode_status) makes it
    /// (revision-0006.md, 7.5).
    Redirect(&'a [u8]),
    /// The command failed.
    Failure(Failure<'a>),
}

/// Why a command failed.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Failure<'a> {
    pub(super) kind: FailureKind,
    pub(super) message: &'a [u8],
    pub(super) args: MessageArgs<'a>,
    pub(super) head: Head,
}

impl<'a> Failure<'a> {
    const fn new(kind: FailureKind, message: &'a [u8]) -> Self {
        Self {
            kind,
            message,
            args: MessageArgs::EMPTY,
            head: text::NO_HEAD,
        }
    }

    /// The command failed: a `status: error` map (0005 and 0006), or an error response where
    /// output has begun and in 0003. `message` is a format string, see [`with_args`](Self::with_args),
    /// and ASCII where it is not sent raw: put other text into an argument.
    pub const fn command(message: &'a [u8]) -> Self {
        Self::new(FailureKind::Command, message)
    }

    /// Something else failed: an error response, of type `server` in 0006, with the flag
    /// `application` and the message as it is before.
    pub const fn server(message: &'a [u8]) -> Self {
        Self::new(FailureKind::Server, message)
    }

    /// 0003 and 0005: an error response with these flags. In 0006 as [`server`](Self::server).
    pub const fn raw(message: &'a [u8], flags: ErrorFlags) -> Self {
        Self::new(FailureKind::Raw(flags), message)
    }

    /// Gives values to the `%s` of a command's message. Error responses of 0003 and 0005 are raw
    /// text and cannot carry them.
    #[must_use]
    pub const fn with_args(self, args: MessageArgs<'a>) -> Self {
        Self { args, ..self }
    }
}

/// A whole response as a source of frames: take frames until there is none.
///
/// The request stays active until the last one is taken. Work per frame is bounded by its bytes.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a response whose frames are not taken is never sent"]
pub struct Answer<'a> {
    writer: ResponseWriter,
    body: Body<'a>,
    /// Pieces that were not begun, and the one that is being sent.
    pieces: BodyPieces<'a>,
    piece: &'a [u8],
}

impl<P: Protocol> Server<P> {
    /// Answers a request with a body that is known as a whole.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: answered already, or the responder is of another reactor.
    /// [`ApiMisuse::NotInThisRevision`]: a redirect before 0006.
    /// [`ApiMisuse::TooLarge`]: the status map does not fit a frame (deviations.md, D3).
    pub fn respond<'a, T: Table + ?Sized>(
        &self,
        table: &T,
        responder: Responder,
        body: Body<'a>,
    ) -> Result<Answer<'a>, ApiMisuse> {
        if matches!(body, Body::Redirect(_)) && !self.revision().has_settings() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        let needs = match body {
            Body::Failure(_) => 0,
            Body::Redirect(status) => status.len(),
            _ => STATUS_OK.len(),
        };
        let writer = self.begin_with(table, responder, needs)?;
        Ok(Answer {
            writer,
            pieces: body.pieces(),
            body,
            piece: &[],
        })
    }

    /// Answers a request with a response that is written as it comes.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: answered already, or the responder is of another reactor.
    /// [`ApiMisuse::TooLarge`]: the status map does not fit a frame (deviations.md, D3).
    pub fn begin_response<T: Table + ?Sized>(
        &self,
        table: &T,
        responder: Responder,
    ) -> Result<ResponseWriter, ApiMisuse> {
        self.begin_with(table, responder, STATUS_OK.len())
    }

    /// `needs` is the length of the status map, which is never cut.
    fn begin_with<T: Table + ?Sized>(
        &self,
        table: &T,
        responder: Responder,
        needs: usize,
    ) -> Result<ResponseWriter, ApiMisuse> {
        if self.revision().has_status_map() && needs > self.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        match table.find(responder.request_id()) {
            Some(e) if e.phase.is_active() && e.order == responder.order() => {
                Ok(ResponseWriter::new(responder))
            }
            _ => Err(ApiMisuse::RequestNotActive),
        }
    }

    /// Answers a refused request: an error response that names the limit and its value
    /// (server.md, "Refusals").
    pub const fn reject(&self, rejection: Rejection) -> RejectionAnswer {
        RejectionAnswer {
            rejection,
            head: text::NO_HEAD,
            digits: [0; 10],
            is_ended: false,
        }
    }
}

impl<'a> Answer<'a> {
    /// The request that is answered.
    pub const fn request_id(&self) -> RequestId {
        self.writer.request_id()
    }

    /// Whether the last frame has been taken.
    pub fn is_ended(&self) -> bool {
        self.writer.is_ended()
    }

    /// The token of the answer, for text output and progress beside it.
    pub const fn responder(&self) -> &Responder {
        self.writer.responder()
    }

    /// Takes the next frame; `None` when all were taken.
    ///
    /// `scratch` is memory to join small pieces in (0006), the same at each call of one answer;
    /// it may be empty, then every piece of an object is a frame of its own.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    pub fn next_frame<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        if self.is_ended() {
            return Ok(None);
        }
        let id = self.request_id();
        let mut payload: Payload<'b> = [&[]; _];
        let draft = if out.server.revision().has_settings() {
            match self.draft(out, scratch, &mut payload)? {
                Some(draft) => draft,
                None => return Ok(None),
            }
        } else {
            self.plain_draft(out, &mut payload)?
        };
        Ok(Some(out.seal(id, draft, payload)))
    }

    /// The next frame of 0006, but for being made.
    fn draft<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
        payload: &mut Payload<'b>,
    ) -> Result<Option<Draft>, ApiMisuse> {
        match self.body {
            Body::Failure(ref mut failure) => {
                self.writer.fail_draft(out, scratch, &[], failure, payload)
            }
            Body::Redirect(status) => match self.writer.redirect_draft(out, status, payload)? {
                Some(draft) => Ok(Some(draft)),
                None => self.writer.finish_draft(out, false, scratch, &[], payload),
            },
            _ => self.joined_draft(out, scratch, payload),
        }
    }

    /// messages.md, "Responses", 0003 and 0005. Bytes: one frame if they fit, else chunks, in 0005
    /// with the status map in a frame of its own. Objects: a frame for each piece.
    #[inline(always)]
    fn plain_draft<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &Output<'_, T, P>,
        payload: &mut Payload<'b>,
    ) -> Result<Draft, ApiMisuse> {
        out.check(self.writer.responder())?;
        let revision = out.server.revision();
        let frame_size = out.frame_size();
        let phase = &mut self.writer.phase;
        let (is_bytes, is_cbor) = match self.body {
            Body::Failure(ref mut failure) => {
                let draft = failure.compose(revision, frame_size, false, payload)?;
                *phase = Phase::Ended;
                return Ok(draft);
            }
            Body::Bytes(_) => (true, false),
            Body::Cbor(_) => (true, !revision.has_status_map()),
            Body::Objects(_) | Body::Redirect(_) => (false, false),
        };
        if self.piece.is_empty() {
            self.piece = self.pieces.next().unwrap_or_default();
        }
        let has_status = revision.has_status_map() && *phase == Phase::Start;
        let status: &[u8] = if has_status { STATUS_OK } else { &[] };
        let is_end = if is_bytes {
            self.piece.len() <= frame_size.saturating_sub(status.len())
        } else {
            self.piece.is_empty() && !has_status
        };
        let [first, second, ..] = payload;
        *first = status;
        if is_end || !has_status {
            let split = self.piece.split_at_checked(frame_size);
            (*second, self.piece) = split.unwrap_or((self.piece, &[]));
        }
        *phase = if is_end { Phase::Ended } else { Phase::Body };
        let mut draft = Draft::data(revision, is_end, false);
        if is_cbor {
            draft.flags = draft.flags.union(ResponseFlags::CBOR.into());
        }
        Ok(draft)
    }

    /// 0006: small pieces are joined.
    fn joined_draft<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
        payload: &mut Payload<'b>,
    ) -> Result<Option<Draft>, ApiMisuse> {
        let next = loop {
            if self.piece.is_empty() {
                self.piece = match self.pieces.next() {
                    Some(piece) => piece,
                    None => return self.writer.finish_draft(out, true, scratch, &[], payload),
                };
            }
            match self.writer.advance(out, true, scratch, self.piece)? {
                Next::Taken => self.piece = &[],
                next => break next,
            }
        };
        Ok(self.writer.draft(out, next, scratch, self.piece, payload))
    }
}

/// The pieces of a body in which it goes to a stream's encoder; made by [`Body::pieces`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BodyPieces<'a> {
    /// The rest of the bytes, or of the current object.
    current: Pieces<'a>,
    objects: &'a [Object<'a>],
}

impl<'a> Body<'a> {
    /// The body's pieces (0006; revision-0006.md, 7.1, step 3): for owners that encode them, see
    /// [`ResponseWriter::push_encoded`]. None for redirects and failures.
    pub const fn pieces(&self) -> BodyPieces<'a> {
        let (bytes, objects): (&[u8], &[Object<'a>]) = match *self {
            Self::Bytes(bytes) | Self::Cbor(bytes) => (bytes, &[]),
            Self::Objects(objects) => (&[], objects),
            Self::Redirect(_) | Self::Failure(_) => (&[], &[]),
        };
        BodyPieces {
            current: Pieces::whole(bytes),
            objects,
        }
    }
}

impl<'a> Iterator for BodyPieces<'a> {
    type Item = &'a [u8];

    /// The next piece, never empty. Work is constant.
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(piece) = self.current.next() {
                return Some(piece);
            }
            let (object, rest) = self.objects.split_first()?;
            self.objects = rest;
            self.current = match *object {
                Object::Cbor(value) => Pieces::new(value),
                Object::PreEncoded(bytes) => Pieces::whole(bytes),
            };
        }
    }
}

/// The answer to a refused request: one frame. See [`Server::reject`].
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a refused request must be answered, or its caller waits for ever"]
pub struct RejectionAnswer {
    rejection: Rejection,
    head: Head,
    digits: [u8; 10],
    is_ended: bool,
}

impl RejectionAnswer {
    /// The refused request.
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// Whether the frame has been taken.
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes the frame; `None` if it was taken.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfOrder`]: the stream has ended. [`ApiMisuse::TooLarge`]: it does not fit a
    /// frame, which must then be very small. Nothing changed.
    pub fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'_>>, ApiMisuse> {
        if self.is_ended {
            return Ok(None);
        }
        if out.stream.is_ended() {
            return Err(ApiMisuse::OutOfOrder);
        }
        let digits = decimal(self.rejection.limit, &mut self.digits);
        let parts = [self.rejection.reason.name().as_bytes(), b", limit ", digits];
        let revision = out.server.revision();
        let (draft, payload) = compose_refusal(revision, parts, &mut self.head);
        if payload_len(&payload) > out.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        self.is_ended = true;
        Ok(Some(out.seal(self.rejection.request_id, draft, payload)))
    }
}

/// Writes a number in decimal.
fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut used = 0usize;
    for digit in buffer.iter_mut().rev() {
        let [low, ..] = number.wrapping_rem(10).to_le_bytes();
        *digit = b'0'.wrapping_add(low);
        number = number.wrapping_div(10);
        used = used.wrapping_add(1);
        if number == 0 {
            break;
        }
    }
    buffer.get(10usize.wrapping_sub(used)..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers() {
        for (number, text) in [(0, "0"), (7, "7"), (10, "10"), (u32::MAX, "4294967295")] {
            assert_eq!(decimal(number, &mut [0; 10]), text.as_bytes());
        }
    }
}
