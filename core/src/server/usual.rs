//! What usually comes and goes, on a host: frames that lie whole in the input, answers that fit a
//! frame. Each path does what `receive.rs` or `respond.rs` would do, or nothing: then those do it.

use super::{Command, Event, Reply, Server, Stage};
use crate::Protocol;
use crate::cbor::{STATUS_OK, usual_request};
use crate::output::Output;
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::wire::{CommandDataFlags, CommandRequestFlags, FrameHeader};

/// A streamed request that takes data has one of these, and none of the others.
const TAKES_DATA: u16 = bits::STREAMING | bits::DATA;
const OTHERS: u16 = bits::RECEIVING | bits::COLLECTING | bits::DRAINING | bits::ASIDE;

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Takes a frame of data of a streamed request that lies whole in the input. `None`: it is another,
    /// or something is wrong with it, and nothing changed.
    #[inline]
    pub(super) fn next_data<'a>(
        &mut self,
        input: &mut &'a [u8],
        memory: &mut T::Memory,
    ) -> Option<Event<'a>> {
        let (header, behind) = FrameHeader::split_from(input)?;
        let number = self.revision().data_number();
        let is_last = if header.is_of(number, CommandDataFlags::CONTINUATION.into()) {
            false
        } else if header.is_of(number, CommandDataFlags::EOS.into()) {
            true
        } else {
            return None;
        };
        let (payload, rest) = self.incoming.whole(header, behind, true)?;
        // Where a request is streamed, settings of 0006 have come.
        if self.stage == Stage::Errored {
            return None;
        }
        let request_id = header.request_id();
        let slot = self.requests.find(Key::request(request_id))?;
        if slot.bits & (TAKES_DATA | OTHERS) != TAKES_DATA {
            return None;
        }
        if is_last {
            slot.bits &= !bits::STREAMING;
            self.receiving = self.receiving.wrapping_sub(1);
        }
        self.requests.release(memory);
        self.incoming.take_whole(header);
        *input = rest;
        Some(Event::Data {
            request_id,
            bytes: payload,
            is_last,
        })
    }

    /// Takes a request that lies whole in one frame in the input. `None`: it is another, or something
    /// is wrong with it, and nothing changed.
    #[inline]
    pub(super) fn next_request<'a>(
        &mut self,
        input: &mut &'a [u8],
        memory: &mut T::Memory,
    ) -> Option<Event<'a>> {
        let (header, behind) = FrameHeader::split_from(input)?;
        let new = CommandRequestFlags::NEW;
        let data_follows = if header.is_of(number::COMMAND_REQUEST, new.into()) {
            false
        } else if header.is_of(
            number::COMMAND_REQUEST,
            new.union(CommandRequestFlags::HAVE_DATA).into(),
        ) && !self.collects()
        {
            true
        } else {
            return None;
        };
        let has_settings = self.revision().has_settings();
        let is_open = self.stage == Stage::Open || self.stage == Stage::Initial && !has_settings;
        let (payload, rest) = self.incoming.whole(header, behind, true)?;
        if !is_open || header.length() > self.request_size.get() || self.request_frames.get() == 0 {
            return None;
        }
        // What was taken is given back before its room is asked for.
        self.requests.release(memory);
        if payload.len() > self.requests.room(memory) {
            return None;
        }
        let (name, args) = usual_request(payload)?;
        let request_id = header.request_id();
        let key = Key::request(request_id);
        let order = self.next_order;
        let mut has = bits::ACTIVE;
        if data_follows {
            has |= TAKES_DATA;
        }
        if self.requests.find(key).is_some() || !self.requests.open(key, order, has) {
            return None;
        }
        if data_follows {
            self.receiving = self.receiving.wrapping_add(1);
            if let Some(slot) = self.requests.find(key) {
                slot.frames = 1;
            }
        }
        self.next_order = order.wrapping_add(1);
        self.incoming.take_whole(header);
        *input = rest;
        Some(Event::Command(Command {
            name,
            args,
            redirect: None,
            data: None,
            data_follows,
            reply: Reply::new(request_id, order),
        }))
    }

    /// Writes a whole response that fits a frame and whose body is the last of it, before 0006.
    /// `false`: it is another, and nothing changed.
    #[inline]
    pub(super) fn respond_usual(
        &mut self,
        reply: &Reply,
        body: &[u8],
        out: &mut Output<'_>,
    ) -> bool {
        if self.revision().has_settings() || !out.begin(self.frame_size()) {
            return false;
        }
        let id = reply.request_id();
        let key = Key::request(id);
        let Some(slot) = self.requests.find(key) else {
            return false;
        };
        let has = slot.bits & (bits::ACTIVE | bits::BEGUN | bits::STREAMING);
        if has != bits::ACTIVE || !reply.is_of(slot.order) {
            return false;
        }
        let head = self.data_head(id, true, false);
        let is_filled = if self.revision().has_status_map() {
            out.fill_two(head, STATUS_OK, body)
        } else {
            out.fill_two(head, b"", body)
        };
        if is_filled {
            self.requests.remove(key);
        }
        is_filled
    }
}
