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

    fn frame<'b>(
        &mut self,
        id: RequestId,
        number: u8,
        flags: TypeFlags,
        slices: [&'b [u8]; MAX_SLICES],
    ) -> OutFrame<'b> {
        let length = u32::try_from(payload_len(&slices)).unwrap_or(u32::MAX);
        let stream_flags = StreamFlags::NONE.with(StreamFlags::BEGIN, !self.client.has_begun);
        self.client.has_begun = true;
        OutFrame::new(
            FrameHeader::new(length, id, STREAM, stream_flags, number, flags),
            slices,
        )
    }

    /// revision-0006.md, 4.1: once, before the first request's frames.
    fn settings_frame(&mut self, id: RequestId) -> Option<OutFrame<'static>> {
        if self.client.has_settings || !self.client.revision().has_settings() {
            return None;
        }
        self.client.has_settings = true;
        let slices = settings_slices(self.client.config.announcement?);
        Some(self.frame(
            id,
            number::SENDER_PROTOCOL_SETTINGS,
            SettingsFlags::EOS.into(),
            slices,
        ))
    }
}

impl<P: Protocol> Client<P> {
    /// Largest payload of a frame that is sent.
    pub(crate) fn frame_size(&self) -> usize {
        usize::try_from(self.config.send_frame_size).unwrap_or(usize::MAX)
    }

    /// Whether the settings that are still to be sent fit a frame (deviations.md, D3).
    pub(super) fn settings_fit(&self) -> bool {
        let is_sent = self.has_settings || !self.revision().has_settings();
        let announcement = self.config.announcement.filter(|_| !is_sent);
        announcement.is_none_or(|announcement| {
            let slices = settings_slices(announcement);
            // A loop: here nothing is known, and `payload_len` would be larger.
            let length = slices.iter().fold(0usize, |n, s| n.saturating_add(s.len()));
            length <= self.frame_size()
        })
    }
}

/// The settings map as slices, in canonical order.
fn settings_slices(announcement: Announcement) -> [&'static [u8]; MAX_SLICES] {
    let Announcement {
        encodings,
        is_hgrpc,
    } = announcement;
    let count = encodings.iter().flatten().count();
    let map: &'static [u8] = if is_hgrpc { b"\xa2" } else { b"\xa1" };
    let list: &'static [u8] = match count {
        0 => b"Pcontentencodings\x80",
        1 => b"Pcontentencodings\x81",
        2 => b"Pcontentencodings\x82",
        _ => b"Pcontentencodings\x83",
    };
    let [a, b, c] = encodings.map(|e| e.map_or(&[][..], ContentEncoding::stream_settings));
    [
        map,
        list,
        a,
        b,
        c,
        if is_hgrpc { b"Ehgrpc\x01" } else { &[] },
    ]
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
        if self.taken == 0
            && self.stage == Stage::Request
            && let Some(frame) = out.settings_frame(self.request_id)
        {
            return Some(frame);
        }
        if self.stage == Stage::Request {
            return Some(self.request_frame(out));
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
    ) -> OutFrame<'_> {
        let start = self.taken;
        let end = start
            .saturating_add(out.frame_size())
            .min(self.pieces.len());
        self.taken = end;
        let is_last = end >= self.pieces.len();
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
        let slices = cut(self.pieces.slices(), start, end);
        out.frame(
            self.request_id,
            number::COMMAND_REQUEST,
            flags.into(),
            slices,
        )
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
        let slices = [bytes, &[], &[], &[], &[], &[]];
        out.frame(
            self.request_id,
            out.client.revision().data_number(),
            flags.into(),
            slices,
        )
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

/// What lies between `start` and `end` of slices that stand one behind another.
fn cut(slices: [&[u8]; MAX_SLICES], start: usize, end: usize) -> [&[u8]; MAX_SLICES] {
    let mut offset = 0usize;
    slices.map(|slice| {
        let from = start.saturating_sub(offset).min(slice.len());
        let to = end.saturating_sub(offset).min(slice.len());
        offset = offset.saturating_add(slice.len());
        slice.get(from..to).unwrap_or(&[])
    })
}
