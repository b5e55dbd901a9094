//! What usually comes and goes, on a host: frames that lie whole in the input, answers that fit a
//! frame. Each path does what `receive.rs` or `respond.rs` would do, or nothing: then those do it.

use super::{Command, Event, Reply, Server, Stage};
use crate::Protocol;
use crate::cbor::{ContentEncoding, STATUS_OK, usual_request};
use crate::output::{Head, Output, SETTINGS, put_bytes, put_chunk};
use crate::revision::number;
use crate::store::{Key, Requests, bits};
use crate::wire::{CommandDataFlags, CommandRequestFlags, FrameHeader, ResponseFlags};

/// A streamed request that takes data has one of these, and none of the others.
const TAKES_DATA: u16 = bits::STREAMING | bits::DATA;
const OTHERS: u16 = bits::RECEIVING | bits::COLLECTING | bits::DRAINING | bits::ASIDE;
/// Of these, a request whose answer is nothing unusual has the first alone.
const NO_OTHERS: u16 = bits::ACTIVE | bits::STREAMING | bits::DIRECT | bits::REDIRECTED;

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Takes a frame of data of a streamed request that lies whole in the input. `None`: it is another,
    /// or something is wrong with it, and nothing changed.
    #[inline(always)]
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
    #[inline(never)]
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
        self.requests.open_new(key, order, has)?.frames = 1;
        if data_follows {
            self.receiving = self.receiving.wrapping_add(1);
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

    /// Writes the next frame of a response whose `body` fits one and ends it, on a stream without an
    /// encoding: all of it before 0006; then the status map, the body, or the end. Returns `true` if the
    /// response has ended; `None`: the response is another, and nothing changed.
    #[inline]
    pub(super) fn respond_usual(
        &mut self,
        reply: &Reply,
        body: &mut &[u8],
        out: &mut Output<'_>,
    ) -> Option<bool> {
        if !out.begin(self.frame_size()) {
            return None;
        }
        let revision = self.revision();
        let id = reply.request_id();
        let key = Key::request(id);
        let slot = self.requests.find(key)?;
        if slot.bits & NO_OTHERS != bits::ACTIVE || !reply.is_of(slot.order) {
            return None;
        }
        let is_begun = slot.bits & bits::BEGUN != 0;
        let number = revision.response_number();
        let head = Head::new(id, number, ResponseFlags::CONTINUATION.into()).encoded(true);
        let end = Head::new(id, number, ResponseFlags::EOS.into());
        if revision.has_settings() {
            if out.is_joining()
                || out.stream.state & SETTINGS == 0
                || out.stream.encoding() != ContentEncoding::Identity
            {
                return None;
            }
            if !is_begun {
                out.fill_with(head, |payload| put_chunk(payload, STATUS_OK))?;
                slot.bits |= bits::BEGUN;
                return Some(false);
            }
            if !body.is_empty() {
                out.fill_with(head, |payload| put_bytes(payload, body))?;
                *body = &[];
                return Some(false);
            }
            out.fill_with(end, |payload| put_chunk(payload, b""))?;
        } else if is_begun {
            return None;
        } else if revision.has_status_map() {
            out.fill_with(end, |payload| {
                put_bytes(put_chunk(payload, STATUS_OK)?, body)
            })?;
        } else {
            out.fill_with(end, |payload| put_bytes(payload, body))?;
        }
        *body = &[];
        self.requests.remove(key);
        Some(true)
    }
}
