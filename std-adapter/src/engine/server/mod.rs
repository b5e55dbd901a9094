//! A server's connection. Read [`Connection`] first.
//!
//! ```text
//!   receive.rs   bytes ─▶ frames ─▶ the core's server ─▶ commands; data into buffers (data.rs)
//!   admit.rs     which command may run, and what it may hold
//!   handle.rs    a command's life: its handler, its reply, its data
//!   compose.rs   what a reply says ─▶ pieces (streams.rs: encoded)
//!   emit.rs      pieces, in turns ─▶ frames ─▶ the batch to be written
//!   ends.rs      limits of time, shutdown, the end
//!   half.rs      all is received before anything is sent, as over HTTP
//!   guarded.rs   what a driver keeps behind its lock; owned.rs: what handlers have
//! ```

mod admit;
mod compose;
mod data;
mod emit;
mod ends;
mod guarded;
mod half;
mod handle;
mod note;
mod owned;
mod receive;
mod reply;
mod shared;
mod streams;

pub use super::inbound::DataError;
pub use crate::gate::{Refusal, ServerLimits, Stats};
pub use crate::host::peer::{Credentials, Peer};
pub use admit::{Command, Request};
pub use ends::Progress;
pub(crate) use guarded::{Calls, Guarded};
pub use handle::Outcome;
pub use note::{OwnedAtom, OwnedProgress};
pub(crate) use owned::{Locked, OwnedReply};
pub use reply::Written;
pub use shared::{Hooks, Shared};

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use hgrpc::cbor::ContentEncoding;
use hgrpc::output::Stream;
use hgrpc::server::ServerConfig;
use hgrpc::server::{Refusal as CoreRefusal, Server};
use hgrpc::{ApiMisuse, Revision, Streaming};

use super::Key;
use super::batch::Batch;
pub use super::batch::Taken;
use super::budget::Budget;
use super::clock::Clock;
use super::slab::Slab;
use super::turns::Turns;
use crate::gate::limits::{CONNECTION, REFUSAL, REFUSED_BY_NAME, REQUEST};
use crate::host::ConnectionError;
use crate::requests::{GatheredBytes, GrowableRequests};
use compose::Job;
use handle::Running;
use receive::Incoming;
use streams::Streams;

/// The core's server as connections use it: data is streamed.
pub(super) type Core = Server<Streaming<Revision>, GrowableRequests>;

/// A server's end of one connection: bytes in, commands and bytes out.
///
/// The owner is a driver, which keeps it behind a lock if handlers run elsewhere. It
/// 1. reads bytes and hands them to [`next`](Self::next), which gives commands one by one and takes
///    what it can; what it leaves is handed in again, with more behind it or when it
///    [is woken](Wake::Input);
/// 2. runs each command's handler, which writes its reply, reads its data, and whose end the driver
///    reports ([`handler_ended`](Self::handler_ended));
/// 3. calls [`fill`](Self::fill), writes [`output`](Self::output) and says how much of it went;
/// 4. does what [`pop_wake`](Self::pop_wake) says after each call;
/// 5. calls [`check`](Self::check) now and then, and ends it as [`Progress`] says.
///
/// Times are milliseconds since the server began, never 0.
pub struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    core: Core,
    /// The bytes of requests that come in several frames.
    memory: GatheredBytes,
    budget: Arc<Budget>,
    incoming: Incoming,
    /// The commands that run, or whose replies are not sent.
    commands: Slab<Running>,
    /// Handlers that run.
    handlers: usize,
    /// Replies that are not made to their end.
    replies: usize,
    /// Commands whose data is still to come.
    uploads: usize,
    /// The stream of everything that is not compressed.
    stream: Stream,
    streams: Streams,
    turns: Turns,
    /// Answers to refused requests, and the bytes that were sent of them.
    refusals: VecDeque<CoreRefusal>,
    refusals_sent: u64,
    batch: Batch,
    /// The driver has nothing to write and waits for more.
    wants_output: bool,
    clock: Clock,
    wakes: VecDeque<Wake>,
    /// Why nothing is sent or received any more.
    ended: Option<ConnectionError>,
    /// Nothing more is received.
    is_input_over: bool,
    /// It is half-duplex, and all is to be received before anything is sent.
    holds_answers: bool,
}

/// The terms of [`ServerLimits`](crate::gate::ServerLimits)' formula hold. While it grows, a vector or
/// a deque takes three times what is in it.
const _: () = {
    let refused = 3 * size_of::<CoreRefusal>() + 3 * GrowableRequests::ENTRY;
    // Of these there are at least 1,024.
    assert!(1024 * refused + GrowableRequests::PLACES <= 1024 * REFUSAL);
    let running = 3 * (size_of::<Running>() + 16) + size_of::<Job>() * 4;
    assert!((3 << 10) + running <= REFUSED_BY_NAME);
    assert!(2 * running <= REQUEST);
    assert!(2 * size_of::<Connection>() <= CONNECTION);
};

/// Someone to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wake {
    /// Who reads: [`Connection::next`] can go on with what is there.
    Input,
    /// Who writes: there are bytes again.
    Output,
    /// Who writes this reply, or notes beside it: there is room, or all was made into frames.
    Reply(Key),
    /// Who reads this command's data.
    Data(Key),
    /// This command's handler is to be dropped.
    Stop(Key),
    /// All who wait for the end of the peer's input.
    Gone,
    /// Who waits for the end of commands: see [`Connection::progress`].
    Progress,
}

impl Connection {
    /// A connection that was accepted now. `waker` is woken when bytes that it waits for may be free,
    /// as if it said [`Wake::Input`].
    ///
    /// # Errors
    /// None: a stream can always be opened on a fresh server.
    pub fn new(
        shared: Arc<Shared>,
        peer: Arc<Peer>,
        waker: Waker,
        now: u64,
    ) -> Result<Self, ApiMisuse> {
        let mut connection = Self::unopened(shared, peer, waker, now);
        // Everybody decodes `identity`, so this need not wait for the peer's settings.
        connection.stream = connection.core.open_stream(&[ContentEncoding::Identity])?;
        Ok(connection)
    }

    /// A connection whose stream is not open.
    fn unopened(shared: Arc<Shared>, peer: Arc<Peer>, waker: Waker, now: u64) -> Self {
        let config = &shared.config;
        let budgets = config.limits.budgets();
        let core = Core::new(
            Streaming(config.revision),
            config.server(ServerConfig::STREAMING),
            GrowableRequests::new(budgets),
        );
        let limits = &shared.limits;
        let budget = Budget::new(
            Arc::clone(&shared.pool),
            limits.connection_bytes,
            limits.own_bytes,
            waker,
        );
        Self {
            stream: Stream::ONLY,
            core,
            memory: GatheredBytes::new(budgets.bytes),
            budget,
            incoming: Incoming::default(),
            commands: Slab::new(),
            handlers: 0,
            replies: 0,
            uploads: 0,
            streams: Streams::default(),
            turns: Turns::default(),
            refusals: VecDeque::new(),
            refusals_sent: 0,
            batch: Batch::default(),
            wants_output: false,
            clock: Clock::new(now),
            wakes: VecDeque::new(),
            ended: None,
            is_input_over: false,
            holds_answers: false,
            peer,
            shared,
        }
    }

    /// What all connections of the server share.
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The next one to be woken.
    pub fn pop_wake(&mut self) -> Option<Wake> {
        self.wakes.pop_front()
    }

    fn wake(&mut self, wake: Wake) {
        // Of what comes in rows one is enough.
        if self.wakes.back() != Some(&wake) {
            self.wakes.push_back(wake);
        }
    }

    /// Largest payload of a frame that is sent.
    fn frame_size(&self) -> usize {
        let size = self.shared.config.limits.send_frame_size;
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// Gives the memory back that nothing is in: for connections on which nothing happens.
    pub fn shrink(&mut self) {
        self.core.requests_mut().shrink();
        self.memory.shrink();
        self.commands.shrink();
        self.turns.shrink();
        self.batch.shrink();
        self.refusals.shrink_to_fit();
        self.wakes.shrink_to_fit();
        self.incoming.shrink();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("handlers", &self.handlers)
            .field("replies", &self.replies)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
