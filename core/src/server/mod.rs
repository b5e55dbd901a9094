//! The server's end of a connection. Read [`Server`] first.
//!
//! Specification: server.md; revision-0006.md, sections 4, 5 and 7.
//!
//! - `config.rs`: how a server is made.
//! - `receive.rs`: what a frame does; `event.rs`: what it may lead to.
//! - `respond.rs`: responses; `value.rs`: those of one value; `failure.rs`: failures and refusals; `note.rs`: text and progress.
//! - `usual.rs`: what usually comes and goes, on a host.

mod config;
mod event;
mod failure;
mod note;
mod receive;
mod respond;
mod usual;
mod value;

pub use config::{DataMode, ServerConfig, ServerState};
pub(super) use event::generation;
pub use event::{Command, Event, Refusal, Reply};
pub use failure::Failure;

use super::incoming::Incoming;
use super::output::Stream;
use super::store::{Key, Requests, bits, listed};
use super::tuned::Tuned;
use crate::cbor::{ContentEncoding, EncodingSet};
use crate::streams::StreamSet;
use crate::wire::{RequestId, StreamId, payload_limit};
use crate::{ApiMisuse, Limits, Protocol, ProtocolError, RefusalReason, Revision};

/// A server: reads frames, says what they ask for, and makes the frames of answers. It does no I/O,
/// runs no command and knows no time.
///
/// Methods are of three kinds. [`next`](Self::next) takes bytes and gives events; `respond`, `fail`
/// and their like say what the owner wants and fill one frame a call into an [`Output`]; the rest
/// are getters. The requests are a part of the server; the memory in which it gathers what comes
/// in several parts is lent to each step.
///
/// `P` is how the revision is chosen: [`Revision`] by value, or a marker such as
/// [`R0005`](crate::R0005) by type, which drops the code of the others. With streamed data,
/// the usual limits, and a revision by type, or 0003 by value, a new server is zeros: in a `static`
/// it takes no flash.
///
/// [`Output`]: super::output::Output
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
// In this order: what is near the front takes less code.
#[repr(C)]
pub struct Server<P: Protocol, T: Requests> {
    task: receive::Task,
    stage: Stage,
    /// Why the current frame's request is refused, if it is; the limit's value beside it.
    reason: RefusalReason,
    protocol: P,
    /// Data is collected.
    collects: bool,
    notes: Notes,
    peer_encodings: EncodingSet,
    last_output: StreamId,
    incoming: Incoming,
    /// What was known of the current frame's request, as it was let in.
    has: u16,
    /// Requests that are partly received; the state follows from it.
    receiving: u16,
    settings_frames: u16,
    next_order: u32,
    refusal_limit: u32,
    outgoing: StreamSet,
    request_size: Tuned<{ Limits::DEFAULT.request_size }>,
    data_size: Tuned<{ Limits::DEFAULT.data_size }>,
    settings_size: Tuned<{ Limits::DEFAULT.settings_size }>,
    send_frame_size: Tuned<{ ServerConfig::DEFAULT.send_frame_size }>,
    request_frames: Tuned<{ REQUEST_FRAMES }>,
    most_settings_frames: Tuned<{ SETTINGS_FRAMES }>,
    requests: T,
}

/// The usual limits of 16 bits.
const REQUEST_FRAMES: u32 = 16_384;
const SETTINGS_FRAMES: u32 = 256;
const _: () = assert!(
    Limits::DEFAULT.request_frames == 16_384 && Limits::DEFAULT.settings_frames == 256,
    "the usual limits"
);

/// `u32::from` for constants.
const fn wide(value: u16) -> u32 {
    let [low, high] = value.to_le_bytes();
    u32::from_le_bytes([low, high, 0, 0])
}

/// Whether a peer of 0006 gets text output and progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Notes {
    /// Only if the peer announced hgrpc.
    IfHgrpc,
    /// It did.
    IsHgrpc,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Stage {
    /// 0006: settings may come. Before, this is as good as `Open`.
    Initial,
    /// 0006: settings have begun.
    Settings,
    /// Requests may come.
    Open,
    /// The peer broke the protocol.
    Errored,
}

impl<P: Protocol, T: Requests> Server<P, T> {
    /// A server at the start of a connection. `requests` is empty.
    pub const fn new(protocol: P, config: ServerConfig, requests: T) -> Self {
        let limits = config.limits;
        Self {
            incoming: Incoming::new(limits.max_frame_size),
            protocol,
            stage: Stage::Initial,
            task: receive::Task::Skip,
            reason: RefusalReason::TooManyRequests,
            collects: matches!(config.data_mode, DataMode::Collect) && !P::STREAMS,
            notes: if config.always_side_frames {
                Notes::Always
            } else {
                Notes::IfHgrpc
            },
            peer_encodings: EncodingSet::EMPTY,
            last_output: StreamId::new(0),
            has: 0,
            receiving: 0,
            settings_frames: 0,
            next_order: config.first_order,
            refusal_limit: 0,
            outgoing: StreamSet::EMPTY,
            request_size: Tuned::new(limits.request_size),
            data_size: Tuned::new(limits.data_size),
            settings_size: Tuned::new(limits.settings_size),
            send_frame_size: Tuned::new(payload_limit(config.send_frame_size)),
            request_frames: Tuned::new(wide(limits.request_frames)),
            most_settings_frames: Tuned::new(wide(limits.settings_frames)),
            requests,
        }
    }

    /// Begins anew, for the next connection; outputs of before are to be dropped. Requests are
    /// numbered on, so that tokens of before are stale.
    pub fn restart(&mut self, protocol: P, memory: &mut T::Memory) {
        self.protocol = protocol;
        self.stage = Stage::Initial;
        self.task = receive::Task::Skip;
        self.receiving = 0;
        self.incoming.restart();
        self.outgoing.clear();
        self.last_output = StreamId::new(0);
        self.peer_encodings = EncodingSet::EMPTY;
        if self.notes == Notes::IsHgrpc {
            self.notes = Notes::IfHgrpc;
        }
        self.settings_frames = 0;
        self.requests.clear(memory);
    }

    /// Bytes of memory that the server takes, its requests included.
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

    /// The revision that the server speaks.
    #[inline]
    pub fn revision(&self) -> Revision {
        self.protocol.revision()
    }

    /// Whether data may ever be collected: not if the protocol is a type that streams it.
    fn may_collect(&self) -> bool {
        !P::STREAMS
    }

    /// Whether data is collected.
    fn collects(&self) -> bool {
        self.may_collect() && self.collects
    }

    /// The state (server.md, "State"; revision-0006.md, section 5).
    pub fn state(&self) -> ServerState {
        match self.stage {
            Stage::Errored => return ServerState::Errored,
            Stage::Initial if self.revision().has_settings() => return ServerState::Initial,
            Stage::Settings if self.revision().has_settings() => {
                return ServerState::ProtocolSettingsReceiving;
            }
            _ => {}
        }
        if self.receiving == 0 {
            ServerState::Idle
        } else {
            ServerState::CommandReceiving
        }
    }

    /// The content encodings that the peer can decode (0006); identity if it did not say.
    pub fn peer_encodings(&self) -> EncodingSet {
        if self.peer_encodings.is_empty() {
            EncodingSet::IDENTITY
        } else {
            self.peer_encodings
        }
    }

    /// Whether text output and progress may be sent: always in 0003 and 0005; in 0006 if the peer
    /// said that it is an hgrpc client, since Mercurial's fails on both (revision-0006.md, 2.5).
    pub fn peer_takes_notes(&self) -> bool {
        !self.revision().has_settings() || self.notes != Notes::IfHgrpc
    }

    /// The streams that the peer has open, ascending.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.incoming.streams.iter(true)
    }

    /// The requests that are partly received, in opening order. At the end of input these are the
    /// ones that are never run (server.md, "Input ends"; deviations.md, D11).
    pub fn receiving(&self) -> impl Iterator<Item = RequestId> {
        listed(
            &self.requests,
            bits::RECEIVING | bits::COLLECTING | bits::STREAMING,
        )
    }

    /// The requests that were handed out and whose last response frame was not made yet, in opening
    /// order.
    pub fn active(&self) -> impl Iterator<Item = RequestId> {
        listed(&self.requests, bits::ACTIVE)
    }

    /// What the end of input means now: `Ok` between two frames (revision-0006.md, 1.4 and 11).
    ///
    /// # Errors
    /// [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`] inside a frame, of which
    /// [`received`](Self::received) bytes came and [`missing`](Self::missing) did not.
    pub const fn finish(&self) -> Result<(), ProtocolError> {
        self.incoming.finish()
    }

    /// Bytes of the current header, or of the current payload, that have come.
    pub fn received(&self) -> u32 {
        self.incoming.received()
    }

    /// Bytes that are missing until the current header, or payload, is complete.
    pub fn missing(&self) -> u32 {
        self.incoming.missing()
    }

    /// The requests, for what a store knows besides.
    pub const fn requests(&self) -> &T {
        &self.requests
    }

    /// The same, to be changed: what the [laws](super::store) are about is not.
    pub const fn requests_mut(&mut self) -> &mut T {
        &mut self.requests
    }

    /// Takes an active request away from whoever holds its token, which becomes stale, and gives a
    /// new one. `None` if the request is not active.
    ///
    /// For owners that lost a token; [`active`](Self::active) lists what is unanswered.
    pub fn take_over(&mut self, id: RequestId) -> Option<Reply> {
        let key = Key::request(id);
        let order = self.next_order;
        let slot = self.requests.find(key)?;
        if slot.bits & bits::ACTIVE == 0 {
            return None;
        }
        // In place: its bytes may still be lent.
        slot.order = order;
        self.next_order = order.wrapping_add(1);
        Some(Reply::new(id, order))
    }

    /// Opens an output stream: 2, 4, 6, … and, after 254, those that have ended.
    ///
    /// In 0006 the stream's encoding is the first of `preference` that the peer can decode, or
    /// `identity`; open streams only when the first command runs, when the peer's settings have
    /// been seen. [`ContentEncoding::ALL`] is the reference's order.
    ///
    /// # Errors
    /// [`ApiMisuse::StreamsExhausted`]: all are in use (deviations.md, D9).
    pub fn open_stream(&mut self, preference: &[ContentEncoding]) -> Result<Stream, ApiMisuse> {
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
                return Ok(Stream::new(id, self.peer_encodings().choose(preference)));
            }
        }
        Err(ApiMisuse::StreamsExhausted)
    }

    /// Frees the ID of a stream that has ended, or on which nothing was written.
    ///
    /// # Errors
    /// The stream is given back if the peer holds it to be open.
    pub fn close_stream(&mut self, stream: Stream) -> Result<(), Stream> {
        if stream.is_begun() && !stream.is_ended() {
            return Err(stream);
        }
        self.outgoing.remove(stream.id);
        Ok(())
    }
}
