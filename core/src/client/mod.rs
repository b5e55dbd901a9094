//! The client's end of a connection. Read [`Client`] first.
//!
//! Specification: client.md; revision-0006.md, sections 4, 6 and 8.
//!
//! ```text
//!   your code ─▶ Client::call ─▶ Call ─▶ OutFrame ─▶ bytes
//!   bytes ─▶ FrameReader ─▶ Client::handle ─▶ ClientAction ─▶ your code
//! ```
//!
//! - [`Call`]: a request as a source of frames (`call.rs`).
//! - [`CallQueue`]: calls that wait to be flushed together (`queue.rs`).
//! - [`ClientAction`]: what a frame asks for (`action.rs`; the rules are in `receive.rs`).

mod action;
mod call;
mod queue;
mod receive;

pub use action::{ClientAction, ClientError, ClientVerdict};
pub use call::{Call, CallData, ClientOutput, Request};
pub use queue::CallQueue;

pub use crate::next::client::{Announcement, ClientConfig, RequestState, SendAction};

use crate::server::entries;
use crate::store::{Arena, Entry, Key, Phase, Table};
use crate::streams::StreamSet;
use crate::wire::{RequestId, StreamId, TypeFlags, payload_limit};
use crate::{ApiMisuse, Protocol, Revision};

/// The client reactor: it makes the frames of calls, is told of frames that arrive, and answers
/// each with one action. It does no I/O and knows no time.
///
/// Requests are remembered in a [`Table`], what must be gathered in an [`Arena`], both beside the
/// reactor and always the same ones. A request that has ended is forgotten.
///
/// Errors do not latch: the owner gives up on the connection (client.md).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Client<P: Protocol = Revision> {
    protocol: P,
    config: ClientConfig,
    /// The one send is spent.
    is_spent: bool,
    has_begun: bool,
    has_settings: bool,
    /// Calls that wait to be flushed.
    pending: u16,
    next_id: RequestId,
    next_order: u32,
    incoming: StreamSet,
    frame: CurrentFrame,
}

/// The frame that is being handled, as far as later parts need it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct CurrentFrame {
    request_id: RequestId,
    stream_id: StreamId,
    flags: TypeFlags,
    task: receive::Task,
    /// Bytes of it were handled already.
    is_begun: bool,
    /// Its stream ends with it.
    ends_stream: bool,
    /// Its request ends with it, if it is of a request that is active.
    ends_request: bool,
}

impl<P: Protocol> Client<P> {
    /// A client at the start of a connection.
    pub const fn new(protocol: P, mut config: ClientConfig) -> Self {
        config.send_frame_size = payload_limit(config.send_frame_size);
        Self {
            protocol,
            config,
            is_spent: false,
            has_begun: false,
            has_settings: false,
            pending: 0,
            next_id: RequestId::new(1),
            next_order: 0,
            incoming: StreamSet::EMPTY,
            frame: CurrentFrame {
                request_id: RequestId::new(0),
                stream_id: StreamId::new(0),
                flags: TypeFlags::NONE,
                task: receive::Task::Skip,
                is_begun: false,
                ends_stream: false,
                ends_request: false,
            },
        }
    }

    /// Begins anew, for the next connection; the store beside it is to be
    /// [cleared](crate::store::FixedStore::clear), and calls of before are to be dropped.
    pub fn restart(&mut self, protocol: P) {
        self.protocol = protocol;
        self.is_spent = false;
        self.has_begun = false;
        self.has_settings = false;
        self.pending = 0;
        self.next_id = RequestId::new(1);
        self.incoming.clear();
        self.frame.task = receive::Task::Skip;
    }

    /// Bytes of memory that the reactor takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The revision that the client speaks.
    #[inline]
    pub fn revision(&self) -> Revision {
        self.protocol.revision()
    }

    /// How the client was made; the frame size is one that a header can hold.
    pub const fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The streams that the server has open, ascending.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.incoming.iter(false)
    }

    /// The requests whose first frame was taken and whose response has not ended, in the order of
    /// the calls. (Cancelled ones are not among them.)
    pub fn active<'t, T: Table + ?Sized>(
        &self,
        table: &'t T,
    ) -> impl Iterator<Item = RequestId> + 't {
        entries(table)
            .filter(|(_, e)| e.is_awaiting())
            .map(|(id, _)| id)
    }

    /// The state of a request; `None` once it has ended.
    pub fn request_state<T: Table + ?Sized>(
        &self,
        table: &T,
        id: RequestId,
    ) -> Option<RequestState> {
        Some(match table.find(id)?.phase {
            Phase::Pending => RequestState::Pending,
            Phase::Sending => RequestState::Sending,
            Phase::Sent => RequestState::Sent,
            Phase::ReceivingResponse | Phase::SendingAndReceiving => RequestState::Receiving,
            Phase::Cancelled | Phase::CancelledSending => RequestState::Cancelled,
            _ => return None,
        })
    }

    /// Calls a command: gives the request its ID and says whether to take its frames now.
    ///
    /// With `buffer_sends` the call waits for [`flush`](Self::flush); keep it in a [`CallQueue`].
    ///
    /// # Errors
    /// [`ApiMisuse::CannotIssueCommands`]: the one send is spent.
    /// [`ApiMisuse::RequestIdsExhausted`]: no ID, or no room in the table. Nothing changed.
    /// [`ApiMisuse::NotInThisRevision`]: a redirect before 0006.
    /// [`ApiMisuse::TooLarge`]: the client's settings do not fit a frame.
    pub fn call<'a, T: Table + ?Sized>(
        &mut self,
        table: &mut T,
        request: Request<'a>,
    ) -> Result<(Call<'a>, SendAction), ApiMisuse> {
        if self.is_spent {
            return Err(ApiMisuse::CannotIssueCommands);
        }
        if !self.settings_fit() {
            return Err(ApiMisuse::TooLarge);
        }
        let id = self.free_id(table).ok_or(ApiMisuse::RequestIdsExhausted)?;
        let call = Call::new(id, self.next_order, request, self.revision())?;
        let entry = Entry {
            order: self.next_order,
            request_len: 0,
            frames: 0,
            phase: Phase::Pending,
            has_data: call.has_data(),
        };
        table
            .insert(id, entry)
            .map_err(|_| ApiMisuse::RequestIdsExhausted)?;
        self.next_id = RequestId::new(id.value().wrapping_add(2));
        self.next_order = self.next_order.wrapping_add(1);
        if self.config.buffer_sends {
            self.pending = self.pending.saturating_add(1);
            return Ok((call, SendAction::Noop));
        }
        self.is_spent = !self.config.multiple_sends;
        Ok((call, SendAction::SendFrames))
    }

    /// The next request ID that is not in use (deviations.md, D8; revision-0006.md, 6.8). Work: a look-up for each ID in
    /// use that is skipped.
    fn free_id<T: Table + ?Sized>(&self, table: &T) -> Option<RequestId> {
        let mut id = self.next_id;
        for _ in 0..0x8000u32 {
            if table.find(id).is_none() {
                return Some(id);
            }
            id = RequestId::new(id.value().wrapping_add(2));
        }
        None
    }

    /// Flushes the calls that wait. On [`SendAction::SendFrames`] take the frames of all of them,
    /// in the order of the calls; calls made before the last frame is taken are included.
    ///
    /// # Errors
    /// [`ApiMisuse::CannotSend`]: calls wait, but the one send is spent.
    pub fn flush(&mut self) -> Result<SendAction, ApiMisuse> {
        if self.pending == 0 {
            return Ok(SendAction::Noop);
        }
        if self.is_spent {
            return Err(ApiMisuse::CannotSend);
        }
        self.is_spent = !self.config.multiple_sends;
        Ok(SendAction::SendFrames)
    }

    /// Gives up on a request. What still arrives for it is swallowed and its ID stays out of use
    /// until its response has ended; what was not sent of it is cut short (client.md, "Ends before
    /// its time"): go on taking the call's frames.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: it has ended, or never was.
    pub fn cancel<T: Table + ?Sized, A: Arena + ?Sized>(
        &mut self,
        table: &mut T,
        arena: &mut A,
        id: RequestId,
    ) -> Result<(), ApiMisuse> {
        let entry = table.find_mut(id).ok_or(ApiMisuse::RequestNotActive)?;
        match entry.phase {
            Phase::Pending => {
                table.remove(id);
                self.pending = self.pending.saturating_sub(1);
            }
            Phase::Sending | Phase::SendingAndReceiving => entry.phase = Phase::CancelledSending,
            Phase::Sent | Phase::ReceivingResponse => entry.phase = Phase::Cancelled,
            _ => return Err(ApiMisuse::RequestNotActive),
        }
        arena.remove(Key::request(id));
        if self.frame.request_id == id {
            self.swallow_frame();
        }
        Ok(())
    }

    /// The input has ended: takes the requests that will never be answered, one per call, in the
    /// order of the calls (revision-0006.md, 11); `None` when there is none left. Each has failed with
    /// [`ProtocolError::UnexpectedEndOfInput`](crate::ProtocolError::UnexpectedEndOfInput).
    pub fn handle_eof<T: Table + ?Sized>(&mut self, table: &mut T) -> Option<RequestId> {
        loop {
            let (id, entry) = table.next_after(None)?;
            table.remove(id);
            if entry.is_awaiting() || entry.phase == Phase::Pending {
                return Some(id);
            }
        }
    }
}

impl Entry {
    /// Some of it was sent, and its response has not ended.
    fn is_awaiting(&self) -> bool {
        matches!(
            self.phase,
            Phase::Sending | Phase::Sent | Phase::ReceivingResponse | Phase::SendingAndReceiving
        )
    }

    /// What arrives of it is swallowed.
    fn is_cancelled(&self) -> bool {
        matches!(self.phase, Phase::Cancelled | Phase::CancelledSending)
    }

    /// Frames of it are still to be taken.
    fn is_sending(&self) -> bool {
        matches!(
            self.phase,
            Phase::Sending
                | Phase::SendingAndReceiving
                | Phase::CancelledSending
                | Phase::EndedSending
        )
    }
}
