//! What the frames of an answer do to its responses.

use hgrpc::Revision;
use hgrpc::cbor::Status;
use hgrpc::client::{ClientAction, ClientError};
use hgrpc::wire::{FrameHeader, FrameKind, Part, RequestId, ResponseFlags, StreamFlags, StreamId};

use super::exchange::{Exchange, index_of};
use super::{Error, Redirect};
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
}

impl Exchange {
    /// Whether a frame may be how the reference reports a command's failure after output has begun:
    /// a last frame that is not encoded, on a stream that is (revision-0006.md, 7.4).
    pub(super) fn may_be_late_error(&self, header: &FrameHeader) -> bool {
        header.kind(Revision::R0006) == FrameKind::CommandResponse
            && ResponseFlags::from(header.flags()).contains(ResponseFlags::EOS)
            && !header.stream_flags().contains(StreamFlags::ENCODED)
            && header.length() > 0
            && self.streams.is_compressed(header.stream_id())
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
            let verdict = self
                .client
                .begin_frame(&part.header, &mut self.table)
                .map_err(|error| Error::Protocol(error.error))?;
            self.streams.begin(&part.header, &verdict);
        }
        match self.streams.decoder() {
            None => self.piece(part.bytes, part.is_last, wanted)?,
            Some(stream) => {
                // Taken out, since handling a piece may change them.
                let mut decoders = self.streams.take();
                let result = self.decode(&mut decoders, stream, part, wanted);
                self.streams.put_back(decoders);
                result?;
            }
        }
        if part.is_last {
            self.streams.end();
        }
        Ok(())
    }

    fn decode(
        &mut self,
        decoders: &mut StreamDecoders,
        stream: StreamId,
        part: &Part<'_>,
        wanted: usize,
    ) -> Result<(), Error> {
        let mut decoded = decoders.decode(stream, part.bytes, part.is_last);
        while let Some(piece) = decoded.next_piece().map_err(Error::Decode)? {
            self.piece(piece, false, wanted)?;
        }
        drop(decoded);
        if part.is_last {
            self.piece(&[], true, wanted)?;
        }
        Ok(())
    }

    /// Handles decoded bytes.
    fn piece(&mut self, bytes: &[u8], is_last: bool, wanted: usize) -> Result<(), Error> {
        match self.event(bytes, is_last)? {
            Event::Nothing => {}
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
            Event::SetDecoder(stream, encoding) => self.streams.set_decoder(stream, encoding),
        }
        Ok(())
    }

    /// Tells the reactor.
    fn event(&mut self, bytes: &[u8], is_last: bool) -> Result<Event, Error> {
        let action = self
            .client
            .handle_part(bytes, is_last, &mut self.table, &mut self.arena);
        let action = match action {
            Ok(action) => action,
            Err(ClientError {
                error,
                request_id: Some(id),
            }) => return Ok(Event::Failed(id, Error::Protocol(error))),
            Err(error) => return Err(Error::Protocol(error.error)),
        };
        Ok(match action {
            ClientAction::ResponseData {
                request_id,
                status,
                data,
                eos,
                ..
            } => match status {
                Some(Status::Error(error)) => {
                    Event::Failed(request_id, Error::Command(command_failure(&error)))
                }
                Some(Status::Redirect(redirect)) => {
                    let redirect = Redirect::new(&redirect.location());
                    Event::Redirect(request_id, Box::new(redirect), eos)
                }
                status => Event::Data {
                    request_id,
                    len: data.len(),
                    is_opening: status.is_some(),
                    is_end: eos,
                },
            },
            ClientAction::ErrorResponse {
                request_id,
                message,
            } => Event::Failed(request_id, error_response(&message).into()),
            ClientAction::TextOutput { atoms, .. } => {
                if let Some(show) = &self.on_text {
                    show(&atoms);
                }
                Event::Nothing
            }
            ClientAction::Progress { progress, .. } => {
                if let Some(show) = &self.on_progress {
                    show(&progress.progress());
                }
                Event::Nothing
            }
            ClientAction::MessageTooLarge {
                request_id,
                kind: FrameKind::ErrorResponse,
            } => Event::Failed(
                request_id,
                Error::Server(ServerFailure {
                    kind: String::new(),
                    message: "an error whose message is too large".into(),
                }),
            ),
            ClientAction::SetDecoder {
                stream_id,
                encoding,
            } => Event::SetDecoder(stream_id, encoding),
            _ => Event::Nothing,
        })
    }
}
