//! Responses on streams with a content encoding, as sources of frames (revision-0006.md, 7).
//!
//! The core knows `identity` and takes encoded pieces from its owner; this is the owner's part:
//!
//! ```text
//!   body ──pieces──▶ Encoder ──▶ ResponseWriter ──▶ frames
//!                    flush at the response's end
//! ```

use hgrpc::cbor::STATUS_OK;
use hgrpc::server::{Body, BodyPieces, Failure, Output, Push, ResponseWriter};
use hgrpc::store::Table;
use hgrpc::wire::{OutFrame, RequestId};
use hgrpc::{ApiMisuse, Protocol};

use crate::encoding::{EncodeError, Encoder};

/// Bytes of memory in which small encoded pieces are joined: the reference's frame size.
const SCRATCH: usize = 0x8000;

/// A response whose frames go through a stream's encoder, whatever that is.
///
/// Take frames with [`step`](Self::step), always with the same encoder: the one of the stream.
/// Until the response has ended it has the stream for itself (revision-0006.md, 3.5a).
#[derive(Debug)]
#[must_use = "a response whose frames are not taken is never sent"]
pub struct EncodedAnswer<'a> {
    writer: ResponseWriter,
    status: &'a [u8],
    is_redirect: bool,
    pieces: BodyPieces<'a>,
    failure: Option<Failure<'a>>,
    stage: Stage,
    /// What the encoder made of the current piece, or of the flush.
    encoded: Vec<u8>,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing went through the encoder.
    Start,
    /// The status map of a redirect is in `encoded`.
    Redirect,
    /// A piece is in `encoded`.
    Piece,
    /// The next piece is to be encoded.
    Next,
    /// What was flushed is in `encoded`.
    Finish,
    /// The same, and the failure follows.
    Fail,
    Ended,
}

/// What one step of a response gave.
#[derive(Debug)]
#[must_use = "a frame that is not written leaves the stream incomplete"]
pub enum Step<'b> {
    /// Send this frame, then go on.
    Frame(OutFrame<'b>),
    /// Go on: the encoder keeps what it was given, or small pieces are being joined.
    Again,
    /// The response's last frame was taken before.
    Ended,
}

/// Why no frame was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespondError {
    /// The caller's mistake; nothing changed.
    Misuse(ApiMisuse),
    /// The encoder failed: its stream cannot be written on any more.
    Encode(EncodeError),
}

impl core::fmt::Display for RespondError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Misuse(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RespondError {}

impl From<ApiMisuse> for RespondError {
    fn from(error: ApiMisuse) -> Self {
        Self::Misuse(error)
    }
}

impl From<EncodeError> for RespondError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl<'a> EncodedAnswer<'a> {
    /// The response with this body to the request of `writer`
    /// ([`Server::begin_response`](hgrpc::server::Server::begin_response)).
    pub fn new(writer: ResponseWriter, body: Body<'a>) -> Self {
        let pieces = body.pieces();
        let (status, failure): (&[u8], _) = match body {
            Body::Redirect(status) => (status, None),
            Body::Failure(ref failure) => (STATUS_OK, Some(failure.clone())),
            _ => (STATUS_OK, None),
        };
        Self {
            writer,
            status,
            is_redirect: matches!(body, Body::Redirect(_)),
            pieces,
            failure,
            stage: Stage::Start,
            encoded: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The request that is answered.
    pub const fn request_id(&self) -> RequestId {
        self.writer.request_id()
    }

    /// Whether the last frame was taken.
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Breaks the response off: what went into the encoder is flushed, so that the next response
    /// on the stream is not spoilt, then the failure is sent (7.4; K-11). Before anything was
    /// encoded the failure is the response. Nothing happens after the response's end.
    pub fn fail(&mut self, failure: Failure<'a>) {
        if !matches!(self.stage, Stage::Finish | Stage::Fail | Stage::Ended) {
            self.failure = Some(failure);
        }
    }

    /// Makes the next frame, or does some of the work for it: at most one piece of the body.
    ///
    /// # Errors
    /// See [`RespondError`].
    pub fn step<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        encoder: &mut dyn Encoder,
    ) -> Result<Step<'b>, RespondError> {
        match self.stage {
            Stage::Start if self.failure.is_some() => self.stage = Stage::Fail,
            Stage::Start => {
                // Not before it is known that the stream may be written on.
                self.writer.claim(out)?;
                self.scratch.resize(SCRATCH, 0);
                encoder.encode(self.status, &mut self.encoded)?;
                self.stage = if self.is_redirect {
                    Stage::Redirect
                } else {
                    Stage::Piece
                };
            }
            Stage::Redirect => match self.writer.redirect(out, &self.encoded)? {
                Some(frame) => return Ok(Step::Frame(frame)),
                None => self.stage = Stage::Next,
            },
            Stage::Piece => {
                let push = self
                    .writer
                    .push_encoded(out, &mut self.scratch, &self.encoded)?;
                match push {
                    Push::Frame(frame) => return Ok(Step::Frame(frame)),
                    Push::Taken => self.stage = Stage::Next,
                }
            }
            Stage::Next => {
                self.encoded.clear();
                self.stage = match self.pieces.next() {
                    Some(piece) if self.failure.is_none() => {
                        encoder.encode(piece, &mut self.encoded)?;
                        Stage::Piece
                    }
                    _ => {
                        encoder.flush(&mut self.encoded)?;
                        if self.failure.is_some() {
                            Stage::Fail
                        } else {
                            Stage::Finish
                        }
                    }
                };
            }
            Stage::Finish => {
                match self
                    .writer
                    .finish_encoded(out, &self.scratch, &self.encoded)?
                {
                    Some(frame) => return Ok(Step::Frame(frame)),
                    None => self.stage = Stage::Ended,
                }
            }
            Stage::Fail => {
                let Some(failure) = self.failure.as_mut() else {
                    self.stage = Stage::Ended;
                    return Ok(Step::Ended);
                };
                match self
                    .writer
                    .fail(out, &self.scratch, &self.encoded, failure)?
                {
                    Some(frame) => return Ok(Step::Frame(frame)),
                    None => self.stage = Stage::Ended,
                }
            }
            Stage::Ended => return Ok(Step::Ended),
        }
        Ok(Step::Again)
    }
}
