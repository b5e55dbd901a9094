//! Output streams, and where frames are made (framing.md, "Streams"; revision-0006.md, 3.2 and 5.8).

use super::{Responder, Server};
use crate::cbor::ContentEncoding;
use crate::store::{Phase, Table};
use crate::wire::{
    FrameHeader, MAX_SLICES, OutFrame, RequestId, ResponseFlags, StreamFlags, StreamId, TypeFlags,
    payload_len,
};
use crate::{ApiMisuse, Protocol, Revision};

/// The payload of a frame that is being made.
pub(super) type Payload<'b> = [&'b [u8]; MAX_SLICES];

/// A frame that is being made, but for its payload. Few bytes, where a whole frame is many: frames
/// are made in one place, [`Output::seal`].
#[derive(Clone, Copy)]
pub(super) struct Draft {
    /// The type's number.
    pub(super) number: u8,
    pub(super) flags: TypeFlags,
    pub(super) is_encoded: bool,
    /// Whether the response ends with it.
    pub(super) is_end: bool,
}

impl Draft {
    /// A frame beside responses: never encoded, and no end.
    pub(super) const fn aside(number: u8, flags: TypeFlags) -> Self {
        Self {
            number,
            flags,
            is_encoded: false,
            is_end: false,
        }
    }

    /// The same frame as the end of its response.
    pub(super) const fn ending(self) -> Self {
        Self {
            is_end: true,
            ..self
        }
    }

    /// A frame of a response. In 0006 all but an empty one at the end are `encoded`, since settings
    /// were sent.
    #[inline]
    pub(super) fn data(revision: Revision, is_end: bool, is_empty: bool) -> Self {
        let flags = if is_end {
            ResponseFlags::EOS
        } else {
            ResponseFlags::CONTINUATION
        };
        Self {
            number: revision.response_number(),
            flags: flags.into(),
            is_encoded: revision.has_settings() && !(is_end && is_empty),
            is_end,
        }
    }
}

/// A stream that the server writes on. Made by [`Server::open_stream`].
///
/// Any number of responses may share one, one after another or (with `identity`) interleaved.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a stream's ID is in use until it is closed with `Server::close_stream`"]
pub struct OutputStream {
    id: StreamId,
    encoding: ContentEncoding,
    is_begun: bool,
    ends_next: bool,
    is_ended: bool,
    pub(super) has_settings: bool,
    /// The response that has the stream for itself (revision-0006.md, 3.5a).
    pub(super) occupied_by: Option<RequestId>,
}

impl OutputStream {
    /// Bytes of memory that the stream takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The stream's ID.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// The content encoding of the stream's responses (0006); the owner applies it.
    pub const fn encoding(&self) -> ContentEncoding {
        self.encoding
    }

    /// Has the next frame on the stream carry `stream-end`. The stream takes no frame after it.
    pub const fn end_with_next(&mut self) {
        self.ends_next = true;
    }

    /// Whether the stream's last frame was taken.
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The flags of the next frame; it is taken.
    fn take_flags(&mut self, is_encoded: bool) -> StreamFlags {
        let flags = StreamFlags::NONE
            .with(StreamFlags::BEGIN, !self.is_begun)
            .with(StreamFlags::END, self.ends_next)
            .with(StreamFlags::ENCODED, is_encoded);
        self.is_begun = true;
        self.is_ended |= self.ends_next;
        flags
    }
}

impl<P: Protocol> Server<P> {
    /// Opens an output stream: 2, 4, 6, … and, after 254, those that have ended.
    ///
    /// In 0006 the stream's encoding is the first of `preference` that the peer can decode, or
    /// `identity`; open streams only when the first command runs, when the peer's settings have
    /// been seen. [`ContentEncoding::ALL`] is the reference's order.
    ///
    /// # Errors
    /// [`ApiMisuse::StreamsExhausted`]: all are in use (deviations.md, D9).
    pub fn open_stream(
        &mut self,
        preference: &[ContentEncoding],
    ) -> Result<OutputStream, ApiMisuse> {
        let mut id = self.last_output;
        for _ in 0..127u8 {
            id = StreamId::new(match id.value().wrapping_add(2) {
                0 => 2,
                next => next,
            });
            if let Some((taken, bit)) = self.outgoing.place(id)
                && *taken & bit == 0
            {
                *taken |= bit;
                self.last_output = id;
                let encoding = self.peer_encodings.choose(preference);
                return Ok(OutputStream {
                    id,
                    encoding,
                    is_begun: false,
                    ends_next: false,
                    is_ended: false,
                    has_settings: false,
                    occupied_by: None,
                });
            }
        }
        Err(ApiMisuse::StreamsExhausted)
    }

    /// Frees the ID of a stream that has ended, or on which nothing was written.
    ///
    /// # Errors
    /// The stream is given back if the peer holds it to be open.
    pub fn close_stream(&mut self, stream: OutputStream) -> Result<(), OutputStream> {
        if stream.is_begun && !stream.is_ended {
            return Err(stream);
        }
        self.outgoing.remove(stream.id);
        Ok(())
    }

    /// Largest payload of a frame that is sent.
    pub(super) fn frame_size(&self) -> usize {
        usize::try_from(self.send_frame_size).unwrap_or(usize::MAX)
    }

    /// Puts the server, its table and one of its streams together, for frames to be made.
    pub const fn output<'o, T: Table + ?Sized>(
        &'o mut self,
        table: &'o mut T,
        stream: &'o mut OutputStream,
    ) -> Output<'o, T, P> {
        Output {
            server: self,
            table,
            stream,
        }
    }
}

/// Where frames are made: a server, its table, and the stream that they go on.
#[derive(Debug)]
pub struct Output<'o, T: Table + ?Sized, P: Protocol> {
    pub(super) server: &'o mut Server<P>,
    pub(super) table: &'o mut T,
    pub(super) stream: &'o mut OutputStream,
}

#[cfg(feature = "defmt")]
impl<T: Table + ?Sized, P: Protocol> defmt::Format for Output<'_, T, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Output {{ stream: {} }}", self.stream);
    }
}

impl<T: Table + ?Sized, P: Protocol> Output<'_, T, P> {
    /// Largest payload of a frame.
    pub(super) fn frame_size(&self) -> usize {
        self.server.frame_size()
    }

    /// Whether a responder's request may still be answered, and the stream may be written on.
    pub(super) fn check(&self, responder: &Responder) -> Result<(), ApiMisuse> {
        let id = responder.request_id();
        if self.stream.is_ended {
            return Err(ApiMisuse::OutOfOrder);
        }
        match self.table.find(id) {
            Some(entry) if entry.phase.is_active() && entry.order == responder.order() => Ok(()),
            _ => Err(ApiMisuse::RequestNotActive),
        }
    }

    /// Has an encoded stream for `id` alone until its response ends (revision-0006.md, 3.5a).
    pub(super) fn occupy(&mut self, id: RequestId) -> Result<(), ApiMisuse> {
        if self.stream.encoding == ContentEncoding::Identity {
            return Ok(());
        }
        match self.stream.occupied_by {
            Some(other) if other != id => Err(ApiMisuse::StreamOccupied),
            _ => {
                self.stream.occupied_by = Some(id);
                Ok(())
            }
        }
    }

    /// The request's last response frame is being taken (server.md, "A response is ready" and
    /// "Streaming": what of its data has not come yet is swallowed).
    fn complete(&mut self, id: RequestId) {
        if self.stream.occupied_by == Some(id) {
            self.stream.occupied_by = None;
        }
        match self.table.find_mut(id) {
            Some(entry) if entry.phase == Phase::Streaming => {
                entry.phase = Phase::Draining;
                self.server.receiving = self.server.receiving.wrapping_sub(1);
            }
            _ => self.table.remove(id),
        }
    }

    /// Makes a frame of this payload; it counts as sent.
    ///
    /// Inlined, so that the frame is made where it is returned: a copy of one is a call of `memcpy`.
    #[inline(always)]
    pub(super) fn seal<'b>(
        &mut self,
        id: RequestId,
        draft: Draft,
        payload: Payload<'b>,
    ) -> OutFrame<'b> {
        let header = self.header(id, draft, payload_len(&payload));
        OutFrame::new(header, payload)
    }

    #[inline(never)]
    fn header(&mut self, id: RequestId, draft: Draft, length: usize) -> FrameHeader {
        if draft.is_end {
            self.complete(id);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let stream_flags = self.stream.take_flags(draft.is_encoded);
        FrameHeader::new(
            length,
            id,
            self.stream.id,
            stream_flags,
            draft.number,
            draft.flags,
        )
    }
}
