//! What the frames of an answer do to its responses.

use hgrpc::Revision;
use hgrpc::cbor::Status;
use hgrpc::client::Event as CoreEvent;
use hgrpc::wire::{FrameHeader, FrameKind, Part, RequestId, ResponseFlags, StreamFlags, StreamId};

use super::exchange::{Exchange, index_of};
use super::{Error, OnProgress, OnText, Redirect};
use crate::blocking::{ServerFailure, command_failure, error_response};
use crate::encoding::{ContentEncoding, StreamDecoders};

/// What a piece of a frame asks for, with nothing borrowed but the piece itself.
enum Event {
    Nothing,
    /// The last so many bytes of the piece are of this request's response.
    Data {
        request_id: RequestId,
        len: usize,
        is_opening: bool,
        is_end: bool,
    },
    Failed(RequestId, Error),
    Redirect(RequestId, Box<Redirect>, bool),
    SetDecoder(StreamId, ContentEncoding),
    DropDecoder(StreamId),
    /// The last so many bytes are to be decoded; the frame, and the stream, end with them.
    Encoded {
        stream_id: StreamId,
        len: usize,
        is_last: bool,
        ends_stream: bool,
    },
}

impl Exchange {
    /// Whether a frame may be how the reference reports a command's failure after output has begun:
    /// a last frame that is not encoded, on a stream that is (revision-0006.md, 7.4).
    pub(super) fn may_be_late_error(&self, header: &FrameHeader) -> bool {
        header.kind(Revision::R0006) == FrameKind::CommandResponse
            && ResponseFlags::from(header.flags()).contains(ResponseFlags::EOS)
            && !header.stream_flags().contains(StreamFlags::ENCODED)
            && header.length() > 0
            && self.decoders.has_decoder(header.stream_id())
            && self
                .slots
                .get(index_of(header.request_id()))
                .is_some_and(|slot| slot.is_open)
    }

    pub(super) fn part(&mut self, part: &Part<'_>, wanted: usize) -> Result<(), Error> {
        if part.is_first {
            if part.is_last
                && self.may_be_late_error(&part.header)
                && let Ok((Status::Error(error), len)) = Status::decode(part.bytes)
                && len == part.bytes.len()
            {
                let failure = Error::Command(command_failure(&error));
                self.end(index_of(part.header.request_id()), Err(failure));
            }
            self.is_encoded = self.decodes(&part.header);
            self.chunk(part.header.emit(), wanted)?;
        }
        self.chunk(part.bytes, wanted)?;
        if part.is_last {
            self.is_encoded = false;
        }
        Ok(())
    }

    /// Hands bytes of a frame to the core.
    fn chunk(&mut self, chunk: &[u8], wanted: usize) -> Result<(), Error> {
        let mut rest = chunk;
        loop {
            let event = match self.core.next(&mut rest, &mut self.memory) {
                None => return Ok(()),
                Some(event) => self.shows.event(&event)?,
            };
            let Event::Encoded {
                stream_id,
                len,
                is_last,
                ends_stream,
            } = event
            else {
                self.handle(event, chunk, wanted);
                continue;
            };
            let bytes = chunk.get(chunk.len() - len..).unwrap_or_default();
            // Taken out, since handling a piece may change them.
            let mut decoders = std::mem::take(&mut self.decoders);
            let result = self.decode(&mut decoders, stream_id, bytes, is_last, wanted);
            self.decoders = decoders;
            result?;
            if is_last {
                // The frame ends behind its last piece.
                if let Some(event) = self.core.decoded(&[], true, &mut self.memory) {
                    let event = self.shows.event(&event)?;
                    self.handle(event, &[], wanted);
                }
                if ends_stream {
                    self.decoders.end(stream_id);
                }
            }
        }
    }

    fn decode(
        &mut self,
        decoders: &mut StreamDecoders,
        stream: StreamId,
        bytes: &[u8],
        is_last: bool,
        wanted: usize,
    ) -> Result<(), Error> {
        let mut decoded = decoders.decode(stream, bytes, is_last);
        while let Some(piece) = decoded.next_piece().map_err(Error::Decode)? {
            if let Some(event) = self.core.decoded(piece, false, &mut self.memory) {
                let event = self.shows.event(&event)?;
                self.handle(event, piece, wanted);
            }
        }
        Ok(())
    }

    /// Does what an event of these bytes, decoded, says.
    fn handle(&mut self, event: Event, bytes: &[u8], wanted: usize) {
        match event {
            Event::Nothing | Event::Encoded { .. } => {}
            Event::Data {
                request_id,
                len,
                is_opening,
                is_end,
            } => {
                let index = index_of(request_id);
                if is_opening && let Some(slot) = self.slots.get_mut(index) {
                    slot.is_open = true;
                }
                let start = bytes.len().saturating_sub(len);
                self.add(index, wanted, bytes.get(start..).unwrap_or_default());
                if is_end {
                    self.end(index, Ok(()));
                }
            }
            Event::Failed(id, error) => self.end(index_of(id), Err(error)),
            Event::Redirect(id, redirect, is_end) => {
                if let Some(slot) = self.slots.get_mut(index_of(id)) {
                    slot.is_open = true;
                    slot.redirect = Some(*redirect);
                }
                if is_end {
                    self.end(index_of(id), Ok(()));
                }
            }
            Event::SetDecoder(stream, encoding) => {
                // The core lets those pass that were offered.
                self.decoders.install(stream, encoding);
            }
            Event::DropDecoder(stream) => self.decoders.end(stream),
        }
    }
}

/// Who is shown what comes beside responses.
pub(super) struct Shows {
    pub(super) on_text: Option<OnText>,
    pub(super) on_progress: Option<OnProgress>,
}

impl Shows {
    /// What an event asks for.
    ///
    /// # Errors
    /// The server broke the protocol.
    fn event(&self, event: &CoreEvent<'_>) -> Result<Event, Error> {
        Ok(match event {
            CoreEvent::Response {
                request_id,
                status,
                data,
                is_last,
                ..
            } => match status {
                Some(Status::Error(error)) => {
                    Event::Failed(*request_id, Error::Command(command_failure(error)))
                }
                Some(Status::Redirect(redirect)) => {
                    let redirect = Redirect::new(&redirect.location());
                    Event::Redirect(*request_id, Box::new(redirect), *is_last)
                }
                status => Event::Data {
                    request_id: *request_id,
                    len: data.len(),
                    is_opening: status.is_some(),
                    is_end: *is_last,
                },
            },
            CoreEvent::Failed {
                request_id,
                message,
            } => Event::Failed(*request_id, error_response(message).into()),
            CoreEvent::Text { atoms, .. } => {
                if let Some(show) = &self.on_text {
                    show(atoms);
                }
                Event::Nothing
            }
            CoreEvent::Progress { progress, .. } => {
                if let Some(show) = &self.on_progress {
                    show(&progress.progress());
                }
                Event::Nothing
            }
            CoreEvent::MessageTooLarge {
                request_id,
                kind: FrameKind::ErrorResponse,
            } => Event::Failed(
                *request_id,
                Error::Server(ServerFailure {
                    kind: String::new(),
                    message: "an error whose message is too large".into(),
                }),
            ),
            CoreEvent::SetDecoder {
                stream_id,
                encoding,
            } => Event::SetDecoder(*stream_id, *encoding),
            CoreEvent::DropDecoder { stream_id } => Event::DropDecoder(*stream_id),
            CoreEvent::Encoded {
                stream_id,
                bytes,
                is_last,
                ends_stream,
            } => Event::Encoded {
                stream_id: *stream_id,
                len: bytes.len(),
                is_last: *is_last,
                ends_stream: *ends_stream,
            },
            CoreEvent::Error {
                error,
                request_id: Some(id),
            } => Event::Failed(*id, Error::Protocol(*error)),
            CoreEvent::Error { error, .. } => return Err(Error::Protocol(*error)),
            _ => Event::Nothing,
        })
    }
}
