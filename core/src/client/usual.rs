//! What usually goes and comes, on a host: requests that fit a frame, frames of responses that lie
//! whole in the input. Each path does what `send.rs` or `receive.rs` would do, or nothing: then
//! those do it.

use super::receive::{BEGUN, ENDS_REQUEST, Task};
use super::{ANNOUNCED, Client, Event, Request, Upload, phase};
use crate::Protocol;
use crate::cbor::{STATUS_OK, Status, usual_pieces};
use crate::output::{Head, Output, put_bytes, put_chunk};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::wire::{CommandRequestFlags, FrameHeader, ResponseFlags};

impl<P: Protocol, T: Requests> Client<P, T> {
    /// Writes a request that fits one frame and was not begun. `false`: it is another, and nothing
    /// changed.
    #[inline]
    pub(super) fn send_usual(
        &mut self,
        upload: &Upload,
        request: &Request<'_>,
        out: &mut Output<'_>,
    ) -> bool {
        if request.redirect.is_some()
            || self.revision().has_settings() && self.state & ANNOUNCED == 0
            || self.choices.buffers_sends()
        {
            return false;
        }
        let id = upload.request_id();
        let Some(slot) = self.requests.find(Key::request(id)) else {
            return false;
        };
        if slot.bits & !bits::DATA != phase::PENDING || !upload.is_of(slot.order) {
            return false;
        }
        let Some((args, name_head)) = usual_pieces(request.name, &request.args) else {
            return false;
        };
        let has_data = slot.bits & bits::DATA != 0;
        let flags = CommandRequestFlags::NEW.with(CommandRequestFlags::HAVE_DATA, has_data);
        let head = Head::new(id, number::COMMAND_REQUEST, flags.into());
        let sent = out.fill_with(head, |payload| {
            let payload = match args {
                [] => put_chunk(payload, b"\xa1")?,
                args => put_bytes(put_chunk(payload, b"\xa2\x44args")?, args)?,
            };
            put_bytes(put_chunk(payload, &name_head)?, request.name)
        });
        let Some(sent) = sent else {
            return false;
        };
        slot.request_len = u32::try_from(sent).unwrap_or(u32::MAX);
        slot.bits = if has_data {
            bits::DATA | phase::SENDING | phase::AWAITING | phase::REQUESTED
        } else {
            phase::AWAITING
        };
        true
    }

    /// Takes a frame of a response that lies whole in the input. `None`: it is another, or something
    /// is wrong with it, and nothing changed.
    #[inline]
    pub(super) fn next_usual<'a>(
        &mut self,
        input: &mut &'a [u8],
        memory: &T::Memory,
    ) -> Option<Event<'a>> {
        let (header, behind) = FrameHeader::split_from(input)?;
        let number = self.revision().response_number();
        let is_last = header.is_of(number, ResponseFlags::EOS.into());
        if !is_last && !header.is_of(number, ResponseFlags::CONTINUATION.into()) {
            return None;
        }
        let (mut data, rest) = self.incoming.whole(header, behind, false)?;
        let request_id = header.request_id();
        let key = Key::request(request_id);
        let wants_status = self.choices.takes_status() && self.revision().has_status_map();
        let room = self.requests.room(memory);
        let slot = self.requests.find(key)?;
        let has = slot.bits;
        if has & (phase::AWAITING | phase::CANCELLED) != phase::AWAITING
            || is_last && has & phase::SENDING != 0
        {
            return None;
        }
        let mut status = None;
        if wants_status && has & phase::STATUS == 0 {
            let (front, behind) = data.split_first_chunk()?;
            if front != STATUS_OK
                || slot.is_held()
                || STATUS_OK.len() > room
                || self.status_size.get() < STATUS_LEN
            {
                return None;
            }
            (status, data) = (Some(Status::Ok), behind);
        }
        self.task = Task::Response;
        self.frame = BEGUN;
        if is_last {
            self.frame |= ENDS_REQUEST;
            self.requests.remove(key);
        } else {
            slot.bits |= phase::ANSWERED;
            if status.is_some() {
                slot.bits |= phase::STATUS;
            }
        }
        self.incoming.take_whole(header);
        *input = rest;
        Some(Event::Response {
            request_id,
            status,
            data,
            expects_more: !is_last,
            is_last,
        })
    }
}

/// Bytes of the usual status map.
const STATUS_LEN: u32 = 11;
const _: () = assert!(STATUS_OK.len() == 11);
