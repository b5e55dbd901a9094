//! The server's end of a connection. Read [`Server`] first.
//!
//! Specification: server.md; revision-0006.md, sections 4, 5 and 7.
//!
//! ```text
//!   bytes ─▶ FrameReader ─▶ Server::handle ─▶ ServerAction ─▶ your code
//!                                                               │ Responder
//!   bytes ◀─ OutFrame ◀─ Answer / ResponseWriter ◀──────────────┘
//! ```
//!
//! - [`receive`](self): what a frame does (`receive.rs`).
//! - [`Responder`], [`Rejection`]: tokens for answers (`responder.rs`).
//! - [`Answer`]: a response that is known as a whole (`answer.rs`).
//! - [`ResponseWriter`]: a response that is written as it comes (`writer.rs`).
//! - [`OutputStream`], [`Output`]: where frames go (`output.rs`).
//! - [`DeferredQueue`]: output held back for half-duplex transports (`deferred.rs`).

mod action;
mod answer;
mod deferred;
mod output;
mod receive;
mod responder;
mod side;
mod text;
mod writer;

pub use crate::next::server::{DataMode, ServerConfig, ServerState};
pub use action::{Command, ServerAction, Verdict};
pub use answer::{Answer, Body, BodyPieces, Failure, Object, RejectionAnswer};
pub use deferred::{Deferred, DeferredQueue};
pub use output::{Output, OutputStream};
pub use responder::{Rejection, Responder};
pub use side::SideFrame;
pub use writer::{Push, ResponseWriter};

use crate::cbor::EncodingSet;
use crate::store::{Entry, Phase, Table};
use crate::streams::StreamSet;
use crate::wire::{RequestId, StreamId, TypeFlags, payload_limit};
use crate::{Protocol, RefusalReason, Revision};

/// The frame that is being handled, as far as later parts need it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct CurrentFrame {
    request_id: RequestId,
    flags: TypeFlags,
    task: receive::Task,
    /// Bytes of it were handled already.
    is_begun: bool,
    /// Why its request is refused, if it is; the limit's value is the server's `refusal_limit`.
    reason: RefusalReason,
}

/// The server reactor: it is told of frames and answers each with one action. It does no I/O,
/// runs no command and knows no time.
///
/// Methods are of three kinds. `handle*` and `begin_frame` say what happened; `respond`, `reject`
/// and their like say what the application wants and give a source of frames; the rest are getters.
/// What must be remembered of requests is kept in a [`Table`] and an [`Arena`](crate::store::Arena)
/// beside the reactor, always the same ones.
///
/// `P` is how the revision is chosen: [`Revision`] by value, or a marker such as
/// [`R0005`](crate::R0005) by type, which drops the code of the others.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Server<P: Protocol = Revision> {
    protocol: P,
    // Of the configuration only what is needed again.
    request_size: u32,
    data_size: u32,
    settings_size: u32,
    request_frames: u16,
    most_settings_frames: u16,
    send_frame_size: u32,
    data_mode: DataMode,
    side_frames: SideFrames,
    stage: Stage,
    last_output: StreamId,
    next_order: u32,
    refusal_limit: u32,
    incoming: StreamSet,
    outgoing: StreamSet,
    /// Requests that are partly received; the state follows from it.
    receiving: u16,
    settings_frames: u16,
    frame: CurrentFrame,
    peer_encodings: EncodingSet,
}

/// Whether a peer of 0006 gets text output and progress. One byte, as the reactor has few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum SideFrames {
    /// If its settings say that it is hgrpc.
    IfHgrpc,
    /// They said so.
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

impl<P: Protocol> Server<P> {
    /// A server at the start of a connection.
    pub const fn new(protocol: P, config: ServerConfig) -> Self {
        Self {
            protocol,
            request_size: config.limits.request_size,
            data_size: config.limits.data_size,
            settings_size: config.limits.settings_size,
            request_frames: config.limits.request_frames,
            most_settings_frames: config.limits.settings_frames,
            send_frame_size: payload_limit(config.send_frame_size),
            data_mode: config.data_mode,
            side_frames: if config.always_side_frames {
                SideFrames::Always
            } else {
                SideFrames::IfHgrpc
            },
            stage: Stage::Initial,
            last_output: StreamId::new(0),
            next_order: config.first_order,
            refusal_limit: 0,
            incoming: StreamSet::EMPTY,
            outgoing: StreamSet::EMPTY,
            receiving: 0,
            settings_frames: 0,
            frame: CurrentFrame {
                request_id: RequestId::new(0),
                flags: TypeFlags::NONE,
                task: receive::Task::Skip,
                is_begun: false,
                reason: RefusalReason::TooManyRequests,
            },
            peer_encodings: EncodingSet::IDENTITY,
        }
    }

    /// Begins anew, for the next connection; the store beside it is to be
    /// [cleared](crate::store::FixedStore::clear), and output streams are to be dropped.
    ///
    /// Less code than making another server. Requests are numbered on, so that responders of
    /// before are stale.
    pub fn restart(&mut self, protocol: P) {
        self.protocol = protocol;
        self.stage = Stage::Initial;
        self.receiving = 0;
        self.incoming.clear();
        self.outgoing.clear();
        self.last_output = StreamId::new(0);
        self.frame.task = receive::Task::Skip;
        self.peer_encodings = EncodingSet::IDENTITY;
        if self.side_frames == SideFrames::IsHgrpc {
            self.side_frames = SideFrames::IfHgrpc;
        }
        self.settings_frames = 0;
    }

    /// Bytes of memory that the reactor takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

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
        self.may_collect() && self.data_mode == DataMode::Collect
    }

    /// The state.
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
    pub const fn peer_encodings(&self) -> EncodingSet {
        self.peer_encodings
    }

    /// Whether text output and progress may be sent: always in 0003 and 0005; in 0006 if the peer
    /// said that it is an hgrpc client, since Mercurial's fails on both (revision-0006.md, 2.5).
    pub fn peer_takes_side_frames(&self) -> bool {
        !self.revision().has_settings() || self.side_frames != SideFrames::IfHgrpc
    }

    /// The streams that the peer has open, ascending.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.incoming.iter(true)
    }

    /// The requests that are partly received, in opening order. At the end of input these are the
    /// ones that are never run (server.md, "Input ends"; deviations.md, D11).
    pub fn receiving<'t, T: Table + ?Sized>(
        &self,
        table: &'t T,
    ) -> impl Iterator<Item = RequestId> + 't {
        entries(table)
            .filter(|(_, e)| e.phase.is_receiving())
            .map(|(id, _)| id)
    }

    /// The requests that were handed out and whose last response frame has not been, in opening
    /// order.
    pub fn active<'t, T: Table + ?Sized>(
        &self,
        table: &'t T,
    ) -> impl Iterator<Item = RequestId> + 't {
        entries(table)
            .filter(|(_, e)| e.phase.is_active())
            .map(|(id, _)| id)
    }

    /// Takes an active request away from whoever holds its responder, which becomes stale, and
    /// gives a new responder for it. `None` if the request is not active.
    ///
    /// For owners that lost a responder; [`active`](Self::active) lists what is unanswered.
    pub fn take_over<T: Table + ?Sized>(
        &mut self,
        table: &mut T,
        id: RequestId,
    ) -> Option<Responder> {
        let entry = table.find(id).filter(|e| e.phase.is_active())?;
        let order = self.next_order;
        let entry = Entry { order, ..*entry };
        table.remove(id);
        table.insert(id, entry).ok()?;
        self.next_order = order.wrapping_add(1);
        Some(Responder::new(id, order))
    }
}

impl Phase {
    /// Frames of the request are still to come.
    const fn is_receiving(self) -> bool {
        matches!(
            self,
            Self::Receiving | Self::ReceivingData | Self::Streaming
        )
    }

    /// The command was handed out and is not answered.
    const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::Streaming)
    }

    /// What still comes of the request is dropped.
    const fn is_swallowed(self) -> bool {
        matches!(self, Self::Refused | Self::Draining)
    }
}

/// A table's entries in opening order.
pub(crate) fn entries<T: Table + ?Sized>(table: &T) -> impl Iterator<Item = (RequestId, Entry)> {
    let mut next = table.next_after(None);
    core::iter::from_fn(move || {
        let item = next?;
        next = table.next_after(Some(item.1.order));
        Some(item)
    })
}
