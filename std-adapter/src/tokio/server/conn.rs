//! What the tasks of one connection share: the reactor, the replies under way, the lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use hgrpc::cbor::ContentEncoding;
use hgrpc::server::{Output, OutputStream, Responder, ResponseWriter, Server, ServerConfig};
use hgrpc::store::{Entry, Table as _};
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, Revision};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};
use tokio_util::sync::CancellationToken;

use super::super::outgoing::{Lane, Outgoing};
use super::super::pipe::within;
use super::clock::Clock;
use super::compose::Composer;
use super::jobs::Job;
use super::reply::Home;
use super::shared::{Shared, Slot};
use super::{Gone, Peer, Refusal};
use crate::encoding::{Encoder, encoder};
use crate::gate::limits::{CONNECTION, REFUSAL, REFUSED_BY_NAME, REQUEST};
use crate::host::budget::{Budget, Charge};
use crate::host::sync::lock;
use crate::host::{Config, ConnectionError, ConnectionLimit, Failure};
use crate::store::GrowableTable;

pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    pub(super) out: Arc<Outgoing<Job>>,
    /// Where answers to refused requests go.
    pub(super) control: Lane<Job>,
    pub(super) gone: Gone,
    pub(super) budget: Arc<Budget>,
    pub(super) clock: Clock,
    reactor: Mutex<Reactor>,
    /// A reply or a handler has ended.
    changed: Notify,
    /// A limit of time seems to be passed.
    suspected: Notify,
    killed: OnceLock<ConnectionError>,
    kill: CancellationToken,
}

/// What changes with frames. Locked for a look-up or one frame's making, never while anything
/// waits.
pub(super) struct Reactor {
    pub(super) server: Server<Revision>,
    pub(super) table: GrowableTable,
    /// The stream of everything that is not compressed.
    stream: OutputStream,
    /// The replies under way, by a number that is never used again.
    replies: HashMap<u64, Running>,
    /// The handlers that run; `None` for one that is being spawned.
    handlers: HashMap<u64, Option<AbortHandle>>,
    next_reply: u64,
    /// Compressing streams that no reply uses, and how many there are in all.
    idle: Vec<(OutputStream, Box<dyn Encoder>)>,
    coded: usize,
}

/// A command that is not answered yet.
struct Running {
    name: Vec<u8>,
    token: Token,
    /// Its own stream, where it is compressed (revision-0006.md, 3.5a).
    stream: Option<OutputStream>,
    /// What is answered instead of what its handler says.
    refusal: Option<Failure>,
    /// `None`: it was not run.
    slot: Option<Arc<Slot>>,
}

/// Most bytes of a command's name that are known until it was answered.
pub(super) const NAME: usize = 64;

/// Bytes of memory of one request that runs, or is refused by name, beside its handler's task and
/// what it writes: in maps, which take four times what is in them while they grow.
pub(super) const RUNNING: usize = 4
    * (size_of::<(u64, Running)>() + size_of::<(u64, Option<AbortHandle>)>())
    + Lane::<Job>::MEMORY
    + size_of::<Composer>()
    + size_of::<Home>()
    + size_of::<Slot>()
    + NAME;

/// The terms of [`ServerLimits`](super::ServerLimits)' formula hold.
const _: () = {
    let entry = size_of::<(RequestId, Entry)>() + 1;
    let order = 2 * size_of::<(u32, RequestId)>() + 4;
    // Of the jobs there are `refusals`, of all else `calls` and 1,024: either alone has room.
    assert!(3 * size_of::<Job>() <= REFUSAL);
    assert!(4 * entry + order <= REFUSAL);
    assert!((3 << 10) + RUNNING <= REFUSED_BY_NAME);
    assert!(2 * size_of::<Conn>() <= CONNECTION);
    assert!(2 * RUNNING <= REQUEST);
};

/// A reply's token: before its first frame, and after.
enum Token {
    Fresh(Responder),
    Begun(ResponseWriter),
    /// Being changed; or its request is not active any more.
    Stale,
}

pub(super) type Frames<'a> = Output<'a, GrowableTable, Revision>;

impl Reactor {
    fn new(config: &Config) -> Result<Self, ApiMisuse> {
        let mut server = Server::new(config.revision, config.server(ServerConfig::STREAMING));
        Ok(Self {
            // Everybody decodes `identity`, so this need not wait for the peer's settings.
            stream: server.open_stream(&[ContentEncoding::Identity])?,
            server,
            table: GrowableTable::new(config.limits.budgets()),
            replies: HashMap::new(),
            handlers: HashMap::new(),
            next_reply: 0,
            idle: Vec::new(),
            coded: 0,
        })
    }

    /// A command was handed out: the number of its reply.
    pub(super) fn add_reply(&mut self, responder: Responder, name: Vec<u8>) -> u64 {
        let number = self.next_reply;
        self.next_reply += 1;
        let running = Running {
            name,
            token: Token::Fresh(responder),
            stream: None,
            refusal: None,
            slot: None,
        };
        self.replies.insert(number, running);
        number
    }

    /// The token of a reply that has sent nothing yet.
    pub(super) fn take_fresh(&mut self, number: u64) -> Option<Responder> {
        let running = self.replies.get_mut(&number)?;
        match std::mem::replace(&mut running.token, Token::Stale) {
            Token::Fresh(responder) => Some(responder),
            other => {
                running.token = other;
                None
            }
        }
    }

    /// The token of a reply, for frames beside it.
    pub(super) fn responder(&self, number: u64) -> Option<&Responder> {
        match &self.replies.get(&number)?.token {
            Token::Fresh(responder) => Some(responder),
            Token::Begun(writer) => Some(writer.responder()),
            Token::Stale => None,
        }
    }

    /// Whether a request is received or runs, and was not refused.
    pub(super) fn is_taken(&self, id: RequestId) -> bool {
        self.table.find(id).is_some_and(|entry| !entry.is_refused())
    }

    fn asked(&self, number: u64) -> Option<(RequestId, Vec<u8>)> {
        let id = self.responder(number)?.request_id();
        Some((id, self.replies.get(&number)?.name.clone()))
    }

    /// Has frames of a reply made on its stream; `true` is said of a compressing one.
    pub(super) fn write<R>(
        &mut self,
        number: u64,
        make: impl FnOnce(&mut ResponseWriter, &mut Frames<'_>, bool) -> Result<R, ApiMisuse>,
    ) -> Result<R, ApiMisuse> {
        let running = self
            .replies
            .get_mut(&number)
            .ok_or(ApiMisuse::RequestNotActive)?;
        running.token = match std::mem::replace(&mut running.token, Token::Stale) {
            Token::Fresh(responder) => {
                Token::Begun(self.server.begin_response(&self.table, responder)?)
            }
            other => other,
        };
        let Token::Begun(writer) = &mut running.token else {
            return Err(ApiMisuse::RequestNotActive);
        };
        let is_coded = running.stream.is_some();
        let stream = running.stream.as_mut().unwrap_or(&mut self.stream);
        make(
            writer,
            &mut self.server.output(&mut self.table, stream),
            is_coded,
        )
    }

    /// Where frames outside of replies are made.
    pub(super) fn frames(&mut self) -> Frames<'_> {
        self.server.output(&mut self.table, &mut self.stream)
    }

    /// A compressing stream for a reply that begins, if the peer decodes one and it is not too
    /// many; its encoder.
    pub(super) fn take_coded(&mut self, number: u64, config: &Config) -> Option<Box<dyn Encoder>> {
        if !config.revision.has_settings() {
            return None;
        }
        let encoding = self.server.peer_encodings().choose(&config.encodes);
        if encoding == ContentEncoding::Identity {
            return None;
        }
        let running = self.replies.get_mut(&number)?;
        let (stream, encoder) = match self.idle.pop() {
            Some(idle) => idle,
            None if self.coded >= config.limits.compressed_streams => return None,
            None => {
                let encoder = encoder(encoding)?;
                let stream = self.server.open_stream(&[encoding]).ok()?;
                self.coded += 1;
                (stream, encoder)
            }
        };
        running.stream = Some(stream);
        Some(encoder)
    }

    /// The encoder of a reply has failed: its stream takes one more frame.
    pub(super) fn end_stream(&mut self, number: u64) {
        if let Some(running) = self.replies.get_mut(&number)
            && let Some(stream) = &mut running.stream
        {
            stream.end_with_next();
        }
    }

    /// A reply has ended; with its encoder, its stream can be used again.
    pub(super) fn end_reply(&mut self, number: u64, encoder: Option<Box<dyn Encoder>>) {
        let Some(running) = self.replies.remove(&number) else {
            return;
        };
        match (running.stream, encoder) {
            (Some(stream), Some(encoder)) => self.idle.push((stream, encoder)),
            // It was ended with its last frame, or the connection is gone.
            (Some(stream), None) => {
                self.coded -= 1;
                drop(self.server.close_stream(stream));
            }
            (None, _) => {}
        }
    }

    /// What a reply is to say instead of its own end.
    pub(super) fn take_refusal(&mut self, number: u64) -> Option<Failure> {
        self.replies.get_mut(&number)?.refusal.take()
    }

    /// Whether a reply is to say something else than its own end.
    pub(super) fn is_refused(&self, number: u64) -> bool {
        let running = self.replies.get(&number);
        running.is_some_and(|running| {
            running.refusal.is_some() || matches!(running.token, Token::Stale)
        })
    }

    /// The reactor has refused a request that runs: its tokens are stale.
    fn forget(&mut self, number: u64) {
        if let Some(running) = self.replies.get_mut(&number) {
            running.token = Token::Stale;
        }
    }
}

impl Conn {
    pub(super) fn new(shared: Arc<Shared>, peer: Arc<Peer>) -> Result<Arc<Self>, ApiMisuse> {
        let out = Outgoing::new();
        Ok(Arc::new(Self {
            reactor: Mutex::new(Reactor::new(&shared.config)?),
            control: out.lane(),
            out,
            gone: Gone(CancellationToken::new()),
            budget: Budget::new(
                Arc::clone(&shared.pool),
                shared.limits.connection_bytes,
                shared.limits.own_bytes,
            ),
            clock: Clock::new(shared.now()),
            changed: Notify::new(),
            suspected: Notify::new(),
            killed: OnceLock::new(),
            kill: CancellationToken::new(),
            shared,
            peer,
        }))
    }

    pub(super) fn reactor(&self) -> MutexGuard<'_, Reactor> {
        lock(&self.reactor)
    }

    /// Runs a handler in a task of its own. The request has its slot until the handler has ended
    /// and its answer was sent: either holds memory.
    pub(super) fn spawn(
        self: &Arc<Self>,
        number: u64,
        slot: Arc<Slot>,
        handler: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut reactor = self.reactor();
        if let Some(running) = reactor.replies.get_mut(&number) {
            running.slot = Some(Arc::clone(&slot));
        }
        reactor.handlers.insert(number, None);
        drop(reactor);
        let ended = HandlerGuard {
            conn: Arc::clone(self),
            number,
            slot: Some(slot),
        };
        // Not under the lock: a runtime that shuts down drops the task here and now.
        let task = tokio::spawn(async move {
            let _ended = ended;
            handler.await;
        });
        if let Some(handler) = self.reactor().handlers.get_mut(&number) {
            *handler = Some(task.abort_handle());
        }
    }

    /// Waits until so many bytes may be held; `None` if that takes too long.
    pub(super) async fn charge(&self, bytes: usize) -> Option<Charge> {
        within(self.shared.config.limits.stall, self.budget.take(bytes)).await
    }

    /// How many handlers run.
    pub(super) fn handlers(&self) -> usize {
        self.reactor().handlers.len()
    }

    /// Refuses a request whose handler runs: it is dropped, and this is answered instead.
    pub(super) fn refuse(&self, number: u64, id: RequestId, refusal: Refusal) {
        let mut reactor = self.reactor();
        let running = reactor.replies.get_mut(&number);
        let command = running.map(|running| {
            running.refusal = Some(self.shared.refusal(refusal));
            running.name.clone()
        });
        if let Some(Some(handler)) = reactor.handlers.get(&number) {
            handler.abort();
        }
        drop(reactor);
        self.shared.refused(id, command.as_deref(), refusal);
    }

    /// The reactor has refused a request whose handler runs.
    pub(super) fn stop(&self, number: u64) {
        let mut reactor = self.reactor();
        reactor.forget(number);
        if let Some(Some(handler)) = reactor.handlers.get(&number) {
            handler.abort();
        }
    }

    /// Something has ended that others may wait for.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until every handler has ended and every reply was sent.
    pub(super) async fn answered(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let reactor = self.reactor();
                if reactor.handlers.is_empty() && reactor.replies.is_empty() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Whether nothing runs, nothing is partly received, and nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        let is_idle = {
            let reactor = self.reactor();
            reactor.handlers.is_empty()
                && reactor.replies.is_empty()
                && reactor.server.receiving(&reactor.table).next().is_none()
        };
        is_idle && self.out.is_idle()
    }

    /// The request that a reply answers, and its command's name; `None` once it was answered.
    pub(super) fn asked(&self, number: u64) -> Option<(RequestId, Vec<u8>)> {
        self.reactor().asked(number)
    }

    /// The commands that are not answered.
    pub(super) fn unanswered(&self) -> Vec<(RequestId, Vec<u8>)> {
        let reactor = self.reactor();
        let numbers = reactor.replies.keys();
        let mut commands: Vec<_> = numbers
            .filter_map(|number| reactor.asked(*number))
            .collect();
        commands.sort_unstable();
        commands
    }

    /// Ends the connection from anywhere.
    pub(super) fn kill(&self, error: ConnectionError) {
        if self.killed.set(error).is_ok() {
            self.kill.cancel();
        }
    }

    /// Waits until the connection is to end, and why.
    pub(super) async fn killed(&self) -> ConnectionError {
        self.kill.cancelled().await;
        self.killed
            .get()
            .cloned()
            .unwrap_or(ConnectionError::Shutdown)
    }

    /// It seems to be over a limit of time: it looks for itself.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Waits until a limit of time is passed, by the peer: on a busy machine it may be this
    /// connection's own task that is late, so that it first does what waits to be done.
    pub(super) async fn overdue(&self) -> ConnectionLimit {
        loop {
            self.suspected.notified().await;
            for _ in 0..3 {
                yield_now().await;
            }
            if let Some(limit) = self.check(self.shared.now()) {
                return limit;
            }
        }
    }

    /// Its time limits.
    pub(super) fn check(&self, now: u64) -> Option<ConnectionLimit> {
        self.clock
            .check(now, &self.shared.limits, || self.is_idle())
    }

    /// The connection has ended: nothing is sent, and handlers are dropped.
    pub(super) fn end(&self, error: ConnectionError) {
        self.gone.0.cancel();
        self.out.end(error);
        let mut reactor = self.reactor();
        let slots: Vec<_> = (reactor.replies.values_mut())
            .filter_map(|running| running.slot.take())
            .collect();
        let handlers: Vec<_> = reactor.handlers.values().cloned().collect();
        drop(reactor);
        drop(slots);
        for handler in handlers.into_iter().flatten() {
            handler.abort();
        }
    }

    /// A new reply to a command.
    pub(super) fn reply(
        self: &Arc<Self>,
        responder: Responder,
        name: Vec<u8>,
    ) -> (u64, super::Reply, Arc<Home>) {
        let number = self.reactor().add_reply(responder, name);
        let (reply, home) = super::Reply::new(Arc::clone(self), number);
        (number, reply, home)
    }
}

/// Notices the end of a handler, however it comes.
struct HandlerGuard {
    conn: Arc<Conn>,
    number: u64,
    slot: Option<Arc<Slot>>,
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        // Before anybody is told: when nothing runs, no slot is taken.
        drop(self.slot.take());
        self.conn.reactor().handlers.remove(&self.number);
        self.conn.notify();
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
