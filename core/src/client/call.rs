//! A request as a source of frames (messages.md, "Command request" and "Command data";
//! client.md, "Calling a command" and "Ends before its time"; revision-0006.md, 6.6).

use super::{Announcement, Client};
use crate::cbor::{ContentEncoding, EncodedArgs, RequestPieces};
use crate::revision::number;
use crate::store::{Entry, Phase, Table};
use crate::wire::{
    CommandDataFlags, CommandRequestFlags, FrameHeader, MAX_SLICES, OutFrame, RequestId,
    SettingsFlags, StreamFlags, StreamId, TypeFlags, payload_len,
};
use crate::{ApiMisuse, Protocol, Revision};

/// A command to be called.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request<'a> {
    /// The command's name.
    pub name: &'a [u8],
    /// Its arguments.
    pub args: EncodedArgs<'a>,
    /// Its data.
    pub data: CallData<'a>,
    /// 0006: where the client would let itself be redirected to, an encoded map
    /// (revision-0006.md, 10). Nothing is sent for `None` and for an empty map.
    pub redirect: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A command without data.
    pub const fn new(name: &'a [u8], args: EncodedArgs<'a>) -> Self {
        Self {
            name,
            args,
            data: CallData::None,
            redirect: None,
        }
    }

    /// The same with data.
    #[must_use]
    pub const fn with_data(self, data: CallData<'a>) -> Self {
        Self { data, ..self }
    }
}

/// A request's data.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CallData<'a> {
    /// The command has none.
    None,
    /// All of it.
    Bytes(&'a [u8]),
    /// It is handed to [`Call::data_frame`] as it comes.
    Stream,
}

/// A call as a source of frames: take frames until there is none.
///
/// A call whose request ends before all were taken (an error response, an early end, a local
/// cancel) gives its remaining request frames and an end of its data, and none of the rest.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a call whose frames are not taken is never sent"]
pub struct Call<'a> {
    request_id: RequestId,
    order: u32,
    pieces: RequestPieces<'a>,
    data: CallData<'a>,
    /// Bytes of the request taken.
    taken: usize,
    /// Bytes of the data taken.
    data_taken: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Stage {
    Request,
    Data,
    Ended,
}

/// Where a client's frames are made; see [`Client::output`].
#[derive(Debug)]
pub struct ClientOutput<'o, T: Table + ?Sized, P: Protocol> {
    client: &'o mut Client<P>,
    table: &'o mut T,
}

#[cfg(feature = "defmt")]
impl<T: Table + ?Sized, P: Protocol> defmt::Format for ClientOutput<'_, T, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "ClientOutput {{ next_id: {} }}", self.client.next_id);
    }
}

impl<P: Protocol> Client<P> {
    /// Puts the client and its table together, for frames to be made.
    pub const fn output<'o, T: Table + ?Sized>(
        &'o mut self,
        table: &'o mut T,
    ) -> ClientOutput<'o, T, P> {
        ClientOutput {
            client: self,
            table,
        }
    }
}

/// The only stream that clients write on; never encoded (revision-0006.md, 3.9).
const STREAM: StreamId = StreamId::new(1);

impl<T: Table + ?Sized, P: Protocol> ClientOutput<'_, T, P> {
    fn frame_size(&self) -> usize {
        self.client.frame_size()
    }

    /// The header of a frame whose payload has `length` bytes; it counts as sent.
    ///
    /// The frame itself is made where it is returned: a copy of one is a call of `memcpy`.
    #[inline(never)]
    fn header(
        &mut self,
        id: RequestId,
        number: u8,
        flags: TypeFlags,
        length: usize,
    ) -> FrameHeader {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let stream_flags = StreamFlags::NONE.with(StreamFlags::BEGIN, !self.client.has_begun);
        self.client.has_begun = true;
        FrameHeader::new(length, id, STREAM, stream_flags, number, flags)
    }
}

impl<P: Protocol> Client<P> {
    /// Largest payload of a frame that is sent.
    pub(crate) fn frame_size(&self) -> usize {
        usize::try_from(self.config.send_frame_size).unwrap_or(usize::MAX)
    }

    /// What is to be announced and was not yet.
    fn announcement(&self) -> Option<&Announcement> {
        let is_sent = self.has_settings || !self.revision().has_settings();
        self.config.announcement.as_ref().filter(|_| !is_sent)
    }

    /// Whether the settings that are still to be sent fit a frame (deviations.md, D3).
    pub(super) fn settings_fit(&self) -> bool {
        self.announcement().is_none_or(|announcement| {
            payload_len(&settings_slices(announcement)) <= self.frame_size()
        })
    }
}

/// The settings map as slices, in canonical order.
fn settings_slices(announcement: &Announcement) -> [&'static [u8]; MAX_SLICES] {
    let [a, b, c] = announcement.encodings;
    let count = [a, b, c].iter().flatten().count();
    let (start, end): (&'static [u8], &'static [u8]) = if announcement.is_hgrpc {
        (b"\xa2Pcontentencodings", b"Ehgrpc\x01")
    } else {
        (b"\xa1Pcontentencodings", b"")
    };
    let counts = b"\x80\x81\x82\x83";
    [
        start,
        counts.get(count..=count).unwrap_or_default(),
        encoding_slice(a),
        encoding_slice(b),
        encoding_slice(c),
        end,
    ]
}

#[inline(never)]
fn encoding_slice(encoding: Option<ContentEncoding>) -> &'static [u8] {
    encoding.map_or(&[], ContentEncoding::stream_settings)
}

impl<'a> Call<'a> {
    pub(super) fn new(
        request_id: RequestId,
        order: u32,
        request: Request<'a>,
        revision: Revision,
    ) -> Result<Self, ApiMisuse> {
        let pieces = RequestPieces::new(request.name, request.args, request.redirect, revision)?;
        Ok(Self {
            request_id,
            order,
            pieces,
            data: request.data,
            taken: 0,
            data_taken: 0,
            stage: Stage::Request,
        })
    }

    /// The request's ID.
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    pub(super) const fn has_data(&self) -> bool {
        !matches!(self.data, CallData::None)
    }

    /// Whether all frames were taken.
    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Whether [`data_frame`](Self::data_frame) is what comes next.
    pub const fn wants_data(&self) -> bool {
        matches!((self.stage, self.data), (Stage::Data, CallData::Stream))
    }

    /// The call without what it borrowed, once its request's frames were taken: what is left is
    /// data that is [handed in](Self::data_frame) as it comes. So a driver need not keep the request
    /// for as long as its data flows.
    ///
    /// `None`: frames of the request, or data that was given whole, are still to be taken.
    pub fn into_data(self) -> Option<Call<'static>> {
        let data = match (self.stage, self.data) {
            (Stage::Request, _) | (Stage::Data, CallData::None | CallData::Bytes(_)) => {
                return None;
            }
            (Stage::Data, CallData::Stream) => CallData::Stream,
            (Stage::Ended, _) => CallData::None,
        };
        Some(Call {
            request_id: self.request_id,
            order: self.order,
            pieces: RequestPieces::EMPTY,
            data,
            taken: self.taken,
            data_taken: 0,
            stage: self.stage,
        })
    }

    /// The table's entry, as long as it is this call's.
    fn entry<'t, T: Table + ?Sized>(&self, table: &'t mut T) -> Option<&'t mut Entry> {
        table
            .find_mut(self.request_id)
            .filter(|e| e.order == self.order)
    }

    /// Whether the table still knows the call: it does until it has ended or was cancelled.
    pub(super) fn is_known<T: Table + ?Sized, P: Protocol>(
        &self,
        out: &ClientOutput<'_, T, P>,
    ) -> bool {
        out.table
            .find(self.request_id)
            .is_some_and(|e| e.order == self.order)
    }

    /// Takes the next frame; `None` when all were taken, or when data is to be handed in.
    ///
    /// Nothing is copied: the frame borrows the call's bytes. Work is bounded by a constant.
    pub fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut ClientOutput<'_, T, P>,
    ) -> Option<OutFrame<'_>> {
        if self.stage == Stage::Ended {
            return None;
        }
        let Some(entry) = self.entry(out.table) else {
            // Cancelled before its first frame.
            self.stage = Stage::Ended;
            return None;
        };
        let phase = entry.phase;
        if phase == Phase::Pending {
            entry.phase = Phase::Sending;
            if out.client.config.buffer_sends {
                out.client.pending = out.client.pending.saturating_sub(1);
            }
        }
        if self.stage == Stage::Request {
            // revision-0006.md, 4.1: once, before the first request's frames
            if let Some(announcement) = out.client.announcement() {
                let slices = settings_slices(announcement);
                out.client.has_settings = true;
                let (number, flags) = (number::SENDER_PROTOCOL_SETTINGS, SettingsFlags::EOS);
                let window = Window {
                    start: 0,
                    end: payload_len(&slices),
                };
                let header = out.header(self.request_id, number, flags.into(), window.len());
                return window.frame(header, &slices);
            }
            return self.request_frame(out);
        }
        let has_ended = matches!(phase, Phase::EndedSending | Phase::CancelledSending);
        match self.data {
            _ if has_ended => Some(self.end_frame(out, &[], true)),
            CallData::Bytes(data) => {
                let rest = data.get(self.data_taken..).unwrap_or(&[]);
                let frame_size = out.frame_size();
                let chunk = rest.get(..frame_size).unwrap_or(rest);
                self.data_taken = self.data_taken.saturating_add(chunk.len());
                // A chunk that fills the frame is never the last one (messages.md, "Command data").
                // Unlike the reference's, it keeps to the configured frame size (deviations.md, D6).
                Some(self.end_frame(out, chunk, chunk.len() < frame_size))
            }
            CallData::None | CallData::Stream => None,
        }
    }

    fn request_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut ClientOutput<'_, T, P>,
    ) -> Option<OutFrame<'_>> {
        let start = self.taken;
        let total = self.pieces.len();
        let end = start.saturating_add(out.frame_size()).min(total);
        self.taken = end;
        let is_last = end >= total;
        let flags = CommandRequestFlags::NONE
            .with(CommandRequestFlags::NEW, start == 0)
            .with(CommandRequestFlags::CONTINUATION, start > 0)
            .with(CommandRequestFlags::MORE, !is_last)
            .with(CommandRequestFlags::HAVE_DATA, self.has_data());
        if is_last {
            if self.has_data() {
                self.stage = Stage::Data;
            } else {
                self.finish(out.table);
            }
        }
        let window = Window { start, end };
        let header = out.header(
            self.request_id,
            number::COMMAND_REQUEST,
            flags.into(),
            window.len(),
        );
        window.frame(header, &self.pieces.slices())
    }

    /// Sends a piece of data that is streamed, at most a frame's size; `is_last` with the last one,
    /// which may be empty. A source that can be read to full frames marks the first shorter one.
    ///
    /// `None`: the request has ended, and so has its data; stop reading the source. If it ended
    /// just now the frame is an empty end instead of `bytes`.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`]: more than a frame holds. [`ApiMisuse::OutOfOrder`]: the call does
    /// not [want data](Self::wants_data).
    pub fn data_frame<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut ClientOutput<'_, T, P>,
        bytes: &'b [u8],
        is_last: bool,
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        if self.stage == Stage::Ended {
            return Ok(None);
        }
        if !self.wants_data() {
            return Err(ApiMisuse::OutOfOrder);
        }
        if bytes.len() > out.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        let has_ended = self
            .entry(out.table)
            .is_none_or(|e| matches!(e.phase, Phase::EndedSending | Phase::CancelledSending));
        Ok(Some(if has_ended {
            self.end_frame(out, &[], true)
        } else {
            self.end_frame(out, bytes, is_last)
        }))
    }

    /// A frame of data, the last one or not.
    #[inline(always)]
    fn end_frame<'b, T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut ClientOutput<'_, T, P>,
        bytes: &'b [u8],
        is_last: bool,
    ) -> OutFrame<'b> {
        if is_last {
            self.finish(out.table);
        }
        let flags = if is_last {
            CommandDataFlags::EOS
        } else {
            CommandDataFlags::CONTINUATION
        };
        let number = out.client.revision().data_number();
        let header = out.header(self.request_id, number, flags.into(), bytes.len());
        OutFrame::new(header, [bytes, &[], &[], &[], &[], &[]])
    }

    /// The last frame is being taken.
    fn finish<T: Table + ?Sized>(&mut self, table: &mut T) {
        self.stage = Stage::Ended;
        let Some(entry) = self.entry(table) else {
            return;
        };
        match entry.phase {
            Phase::SendingAndReceiving => entry.phase = Phase::ReceivingResponse,
            Phase::CancelledSending => entry.phase = Phase::Cancelled,
            Phase::EndedSending => table.remove(self.request_id),
            _ => entry.phase = Phase::Sent,
        }
    }
}

/// What a frame carries of slices that stand one behind another: from `start` to `end`, counted
/// from the front of the slice that comes next.
struct Window {
    start: usize,
    end: usize,
}

impl Window {
    const fn len(&self) -> usize {
        self.end.wrapping_sub(self.start)
    }

    /// The frame that carries it of these slices. Always one: like this, it is made where it is
    /// returned.
    #[inline(never)]
    fn frame<'s>(
        mut self,
        header: FrameHeader,
        slices: &[&'s [u8]; MAX_SLICES],
    ) -> Option<OutFrame<'s>> {
        let [a, b, c, d, e, f] = slices;
        let mut cut = |slice| self.cut(slice);
        Some(OutFrame::new(
            header,
            [cut(a), cut(b), cut(c), cut(d), cut(e), cut(f)],
        ))
    }

    /// What the frame carries of the next slice.
    #[inline(never)]
    fn cut<'s>(&mut self, slice: &'s [u8]) -> &'s [u8] {
        let until_end = slice.get(..self.end).unwrap_or(slice);
        let cut = until_end.get(self.start..).unwrap_or(&[]);
        self.start = self.start.saturating_sub(slice.len());
        self.end = self.end.saturating_sub(slice.len());
        cut
    }
}
