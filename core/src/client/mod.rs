//! The client's end of a connection. Read [`Client`] first.
//!
//! Specification: client.md; revision-0006.md, sections 4, 6 and 8.
//!
//! - `config.rs`: how a client is made; `choices.rs`: the same in one word.
//! - `send.rs`: requests and their data; `receive.rs`: what a frame does; `event.rs`: what it may
//!   lead to.
//! - `usual.rs`: what usually goes and comes, on a host.

mod choices;
mod config;
mod event;
mod receive;
mod send;
mod usual;

pub use config::{Announcement, ClientConfig, RequestState, SendAction};
pub use event::{Event, Upload};
pub use send::Request;

use super::incoming::Incoming;
use super::store::{Key, Requests, bits};
use super::tuned::{IS_SMALL, Tuned};
use crate::cbor::EncodingSet;
use crate::wire::{RequestId, StreamId, payload_limit};
use crate::{ApiMisuse, Protocol, ProtocolError, Revision};
use choices::Choices;

/// A client: makes the frames of requests, reads frames, and says what they bring. It does no I/O
/// and knows no time.
///
/// Methods are of three kinds. [`request`](Self::request), [`send`](Self::send),
/// [`send_data`](Self::send_data) and [`cancel`](Self::cancel) say what the owner wants, and fill
/// one frame a call into an [`Output`](super::output::Output); [`next`](Self::next) takes bytes and
/// gives events; the rest are getters. A request that has ended is forgotten.
///
/// `P` is how the revision is chosen, as for a [`Server`](super::server::Server). With the
/// configuration for full duplex and a revision by type, or 0003 by value, a new client is zeros.
///
/// Errors do not latch: the owner gives up on the connection (client.md).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
// In this order: what is near the front takes less code.
#[repr(C)]
pub struct Client<P: Protocol, T: Requests> {
    incoming: Incoming,
    protocol: P,
    task: receive::Task,
    /// What is wrong with the current frame, if it is refused.
    error: ProtocolError,
    /// The current frame has had bytes; its stream ends with it; its request does.
    frame: u8,
    state: u8,
    /// Requests that wait to be flushed.
    pending: u16,
    /// IDs are odd and go up; this many were given.
    issued: u16,
    choices: Choices,
    next_order: u32,
    send_frame_size: Tuned<{ ClientConfig::DEFAULT.send_frame_size }>,
    status_size: Tuned<{ ClientConfig::DEFAULT.status_size }>,
    requests: T,
}

/// The ID of the request that is called after so many others.
const fn nth_id(issued: u16) -> RequestId {
    RequestId::new(issued.wrapping_mul(2).wrapping_add(1))
}

/// The one send is spent.
const SPENT: u8 = 0x01;
/// The settings were sent (0006).
const ANNOUNCED: u8 = 0x02;

/// What is known of a request, in bits of its [`Slot`](super::store::Slot).
pub(super) mod phase {
    /// Called; no frame was made.
    pub(crate) const PENDING: u16 = 0x01;
    /// Frames of it are still to be made.
    pub(crate) const SENDING: u16 = 0x02;
    /// Some frames were made, and its response has not ended.
    pub(crate) const AWAITING: u16 = 0x04;
    /// Frames of its answer have come.
    pub(crate) const ANSWERED: u16 = 0x08;
    /// Cancelled; what arrives is swallowed.
    pub(crate) const CANCELLED: u16 = 0x10;
    /// The status map has come and was taken off.
    pub(crate) const STATUS: u16 = 0x100;
    /// All frames of the request proper were made; data follows.
    pub(crate) const REQUESTED: u16 = 0x200;
}

impl<P: Protocol, T: Requests> Client<P, T> {
    /// A client at the start of a connection. `requests` is empty.
    pub const fn new(protocol: P, config: ClientConfig, requests: T) -> Self {
        Self {
            incoming: Incoming::new(config.max_frame_size),
            protocol,
            task: receive::Task::Skip,
            error: ProtocolError::StreamParity,
            frame: 0,
            state: 0,
            pending: 0,
            issued: 0,
            choices: Choices::of(&config),
            next_order: 0,
            send_frame_size: Tuned::new(payload_limit(config.send_frame_size)),
            status_size: Tuned::new(config.status_size),
            requests,
        }
    }

    /// Begins anew, for the next connection; outputs and tokens of before are to be dropped.
    pub fn restart(&mut self, protocol: P, memory: &mut T::Memory) {
        self.protocol = protocol;
        self.state = 0;
        self.pending = 0;
        self.issued = 0;
        self.task = receive::Task::Skip;
        self.incoming.restart();
        self.requests.clear(memory);
    }

    /// Bytes of memory that the client takes, its requests included.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// How the revision is chosen.
    pub(super) const fn protocol(&self) -> P {
        self.protocol
    }

    /// Frames that have come on this connection, the one that is coming with them; from 2³² on it
    /// begins anew.
    pub const fn frames(&self) -> u32 {
        self.incoming.frames
    }

    /// The requests, for what a store knows besides.
    pub const fn requests(&self) -> &T {
        &self.requests
    }

    /// The same, to be changed: what the [laws](super::store) are about is not.
    pub const fn requests_mut(&mut self) -> &mut T {
        &mut self.requests
    }

    /// The revision that the client speaks.
    #[inline]
    pub fn revision(&self) -> Revision {
        self.protocol.revision()
    }

    /// The encodings that the owner has decoders for (0006).
    pub fn decoders(&self) -> EncodingSet {
        self.choices.decoders()
    }

    /// The streams that the server has open, ascending.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.incoming.streams.iter(false)
    }

    /// The requests whose first frame was made and whose response has not ended, in the order of
    /// the calls. (Cancelled ones are not among them.)
    pub fn active(&self) -> impl Iterator<Item = RequestId> {
        super::store::listed(&self.requests, phase::AWAITING)
    }

    /// The state of a request; `None` once it has ended.
    pub fn request_state(&mut self, id: RequestId) -> Option<RequestState> {
        let has = self.requests.find(Key::request(id))?.bits;
        Some(if has & phase::PENDING != 0 {
            RequestState::Pending
        } else if has & phase::CANCELLED != 0 {
            RequestState::Cancelled
        } else if has & phase::AWAITING == 0 {
            return None;
        } else if has & phase::ANSWERED != 0 {
            RequestState::Receiving
        } else if has & phase::SENDING != 0 {
            RequestState::Sending
        } else {
            RequestState::Sent
        })
    }

    /// Gives a request its ID, and says whether to make its frames now. `has_data`: its data follows
    /// its frames.
    ///
    /// Where sends are buffered the request waits for [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`ApiMisuse::CannotIssueCommands`]: the one send is spent.
    /// [`ApiMisuse::RequestIdsExhausted`]: no ID, or no room in the store. Nothing changed.
    pub fn request(&mut self, has_data: bool) -> Result<(Upload, SendAction), ApiMisuse> {
        if self.state & SPENT != 0 {
            return Err(ApiMisuse::CannotIssueCommands);
        }
        let order = self.next_order;
        let data = if has_data { bits::DATA } else { 0 };
        let has = phase::PENDING | data;
        let mut id = nth_id(self.issued);
        let key = Key::request(id);
        if IS_SMALL || self.requests.open_new(key, order, has).is_none() {
            id = self.free_id().ok_or(ApiMisuse::RequestIdsExhausted)?;
            if !self.requests.open(Key::request(id), order, has) {
                return Err(ApiMisuse::RequestIdsExhausted);
            }
        }
        self.issued = id.value().wrapping_add(1) >> 1;
        self.next_order = order.wrapping_add(1);
        let upload = Upload::new(id, order);
        if self.choices.buffers_sends() {
            self.pending = self.pending.saturating_add(1);
            return Ok((upload, SendAction::Noop));
        }
        self.spend();
        Ok((upload, SendAction::SendFrames))
    }

    fn spend(&mut self) {
        if !self.choices.has_multiple_sends() {
            self.state |= SPENT;
        }
    }

    /// The next request ID that is not in use (deviations.md, D8; revision-0006.md, 6.8). Work: a
    /// look-up for each ID in use that is skipped.
    fn free_id(&mut self) -> Option<RequestId> {
        let mut issued = self.issued;
        for _ in 0..0x8000u32 {
            let id = nth_id(issued);
            if self.requests.find(Key::request(id)).is_none() {
                return Some(id);
            }
            issued = issued.wrapping_add(1);
        }
        None
    }

    /// Flushes the requests that wait (client.md, "Flushing"). On [`SendAction::SendFrames`] make the
    /// frames of all of them, in the order of the calls; requests made before the last frame is made
    /// are included.
    ///
    /// # Errors
    /// [`ApiMisuse::CannotSend`]: requests wait, but the one send is spent.
    pub fn flush(&mut self) -> Result<SendAction, ApiMisuse> {
        if self.pending == 0 {
            return Ok(SendAction::Noop);
        }
        if self.state & SPENT != 0 {
            return Err(ApiMisuse::CannotSend);
        }
        self.spend();
        Ok(SendAction::SendFrames)
    }

    /// Gives up on a request. What still arrives for it is swallowed and its ID stays out of use
    /// until its response has ended; what was not sent of it is cut short (client.md, "Ends before
    /// its time"): go on making its frames.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: it has ended, or never was.
    pub fn cancel(&mut self, id: RequestId, memory: &mut T::Memory) -> Result<(), ApiMisuse> {
        let key = Key::request(id);
        let has = self.requests.find(key).map_or(0, |slot| slot.bits);
        if has & (phase::PENDING | phase::AWAITING) == 0 {
            return Err(ApiMisuse::RequestNotActive);
        }
        self.requests.free(key, memory);
        if has & phase::PENDING != 0 {
            self.requests.remove(key);
            self.pending = self.pending.saturating_sub(1);
        } else if let Some(slot) = self.requests.find(key) {
            slot.bits = slot.bits & !phase::AWAITING | phase::CANCELLED;
        }
        if self.incoming.header().request_id() == id {
            self.swallow_frame();
        }
        Ok(())
    }

    /// The input has ended: takes the requests that will never be answered, one a call, in the
    /// order of the calls (revision-0006.md, 11); `None` when there is none left. Each has failed
    /// with [`ProtocolError::UnexpectedEndOfInput`].
    pub fn handle_eof(&mut self, memory: &mut T::Memory) -> Option<RequestId> {
        loop {
            let (id, slot) = self.requests.next_after(None)?;
            self.requests.free(Key::request(id), memory);
            self.requests.remove(Key::request(id));
            if slot.bits & (phase::PENDING | phase::AWAITING) != 0 {
                return Some(id);
            }
        }
    }

    /// What the end of input means now: `Ok` between two frames (revision-0006.md, 1.4 and 11).
    ///
    /// # Errors
    /// [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`] inside a frame.
    pub const fn finish(&self) -> Result<(), ProtocolError> {
        self.incoming.finish()
    }
}
