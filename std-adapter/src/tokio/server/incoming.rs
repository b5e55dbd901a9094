//! The reading side of a connection.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use hgrpc::RefusalReason;
use hgrpc::server::{Command, ServerAction};
use hgrpc::wire::{CommandRequestFlags, FrameHeader, FrameKind, FrameReader, Part, RequestId};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tracing::{Instrument as _, Span};

use super::super::pipe::{Pushed, Sender, pipe};
use super::call::Head;
use super::conn::{Conn, NAME};
use super::data::DataError;
use super::handler::Route;
use super::jobs::Job;
use super::reply::{Home, unanswered};
use super::shared::{Shared, shown};
use super::{Call, Data, Parts, Refusal};
use crate::buffer::ReceiveBuffer;
use crate::host::budget::Charge;
use crate::host::counting::{add, count};
use crate::host::{ConnectionError, ConnectionLimit, Direction, Failure, mistaken};
use crate::store::GrowableArena;

/// Most bytes that are read at once.
const READ: usize = 32 * 1024;

/// Bytes that are read before it is the turn of others. A peer that always sends would else be
/// served for as long as the runtime lets a task run, which is 128 reads.
const TURN: usize = 64 * 1024;

pub(super) struct Incoming {
    conn: Arc<Conn>,
    frames: FrameReader,
    /// What the requests hold that come in several frames.
    gathered: Option<Charge>,
    /// Where the data of running commands goes.
    uploads: HashMap<RequestId, Upload>,
    /// Requests that are not complete, and when they began.
    begun: VecDeque<(RequestId, u64)>,
    /// Frames that brought no request nearer to its end, less those that did.
    empty_frames: u32,
}

struct Upload {
    pipe: Sender<DataError>,
    /// The request's reply.
    number: u64,
}

impl Incoming {
    pub(super) fn new(conn: &Arc<Conn>) -> Self {
        Self {
            conn: Arc::clone(conn),
            frames: FrameReader::new(conn.shared.config.limits.frame_size),
            gathered: None,
            uploads: HashMap::new(),
            begun: VecDeque::new(),
            empty_frames: 0,
        }
    }

    /// Reads until the input ends. It waits for handlers that are slow to take data, never for
    /// writing.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
    ) -> Result<(), ConnectionError> {
        let mut buffer = ReceiveBuffer::new(READ);
        let mut arena = GrowableArena::new(self.conn.shared.config.limits.budgets());
        let mut is_first = true;
        let mut turn = 0;
        loop {
            if turn >= TURN {
                turn = 0;
                yield_now().await;
            }
            // Many small reads take their time, too.
            consume_budget().await;
            let len = fill(&mut buffer, io)
                .await
                .map_err(ConnectionError::reading)?;
            if len == 0 {
                break;
            }
            turn += len;
            add(&self.conn.shared.counters.bytes_in, len);
            let mut input = buffer.bytes();
            let len = input.len();
            if std::mem::take(&mut is_first)
                && let Some(protocol) = mistaken::asking(input)
            {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
            let mut has_ended = false;
            while let Some(part) = self
                .frames
                .next(&mut input)
                .map_err(ConnectionError::Protocol)?
            {
                has_ended |= part.is_last;
                self.part(part, &mut arena).await?;
            }
            buffer.consume(len);
            let clock = &self.conn.clock;
            let bytes = u64::try_from(len).unwrap_or(u64::MAX);
            let is_partial = self.frames.finish().is_err();
            let now = self.conn.shared.now();
            clock.received(now, bytes, has_ended, is_partial);
            clock.unfinished(self.begun.front().map_or(0, |(_, since)| *since));
            let has_uploads = !self.uploads.is_empty();
            clock.data(now, bytes, has_uploads, &self.conn.shared.limits);
        }
        self.frames.finish().map_err(|_| ConnectionError::Cut {
            missing: self.frames.missing(),
        })
    }

    async fn part(
        &mut self,
        part: Part<'_>,
        arena: &mut GrowableArena,
    ) -> Result<(), ConnectionError> {
        let mut has_room = true;
        if part.is_first {
            self.frame(&part.header);
            has_room = self.reserve(&part, arena.held()).await;
        }
        let is_whole = part.is_first && self.is_new(&part.header);
        let (is_last, is_empty) = (part.is_last, part.header.length() == 0 && part.is_last);
        if !has_room {
            // Then the core refuses this request, and no other.
            arena.set_budget(arena.held());
        }
        let action = {
            let reactor = &mut *self.conn.reactor();
            reactor.server.handle(part, &mut reactor.table, arena)
        };
        let mut is_progress = !is_empty;
        match action.map_err(ConnectionError::Protocol)? {
            ServerAction::RunCommand(command) => {
                is_progress = true;
                self.run(command, is_whole).await;
            }
            ServerAction::CommandData {
                request_id,
                bytes,
                is_last,
            } => {
                is_progress |= is_last;
                self.data(request_id, bytes, is_last).await;
            }
            ServerAction::RejectRequest(rejection) => {
                let id = rejection.request_id();
                let refusal = match rejection.reason() {
                    RefusalReason::RequestTooLarge if !has_room => Refusal::ServerBytes,
                    reason => Refusal::from_core(reason),
                };
                self.forget_begun(id);
                let upload = self.uploads.remove(&id);
                let asked = upload.as_ref().and_then(|u| self.conn.asked(u.number));
                let command = asked.as_ref().map(|(_, command)| command.as_slice());
                self.conn.shared.refused(id, command, refusal);
                if let Some(upload) = upload {
                    upload.pipe.give_up(DataError::Refused);
                    self.conn.stop(upload.number);
                }
                let refusals = self.conn.shared.limits.refusals;
                // A peer that reads them is not to blame for how many one read brought: writing, which
                // is polled before or behind this, has its turn with the second yield at the latest.
                for _ in 0..2 {
                    if self.conn.control.len() >= refusals {
                        yield_now().await;
                    }
                }
                if self.conn.control.len() >= refusals {
                    return Err(ConnectionError::Limit(ConnectionLimit::Refusals));
                }
                self.conn.control.push(Job::Reject(Some(rejection)))?;
            }
            _ => {}
        }
        self.count_progress(is_empty, is_progress)?;
        arena.set_budget(self.conn.shared.config.limits.gathered);
        arena.release_taken();
        self.settle(arena.held(), is_last).await
    }

    /// A frame begins.
    fn frame(&mut self, header: &FrameHeader) {
        let shared = &self.conn.shared;
        count(&shared.counters.frames_in);
        if let Some(observer) = &shared.observer {
            observer(&self.conn.peer, Direction::In, header);
        }
        let flags = CommandRequestFlags::from(header.flags());
        if self.is_new(header) && flags.contains(CommandRequestFlags::MORE) {
            let now = shared.now();
            self.begun.push_back((header.request_id(), now));
        }
    }

    fn forget_begun(&mut self, id: RequestId) {
        self.begun.retain(|(begun, _)| *begun != id);
    }

    /// Frames without a byte cost no memory, but work.
    fn count_progress(&mut self, is_empty: bool, is_progress: bool) -> Result<(), ConnectionError> {
        if is_progress {
            self.empty_frames = self.empty_frames.saturating_sub(1);
        } else if is_empty {
            self.empty_frames += 1;
        }
        if self.empty_frames > self.conn.shared.limits.empty_frames {
            return Err(ConnectionError::Limit(ConnectionLimit::NoProgress));
        }
        Ok(())
    }

    fn is_new(&self, header: &FrameHeader) -> bool {
        header.kind(self.conn.shared.config.revision) == FrameKind::CommandRequest
            && CommandRequestFlags::from(header.flags()).contains(CommandRequestFlags::NEW)
    }

    /// A frame begins: charges it if its bytes will be gathered, beside those that are held.
    /// `false` if they may not be.
    async fn reserve(&mut self, part: &Part<'_>, held: usize) -> bool {
        let header = &part.header;
        if header.kind(self.conn.shared.config.revision) != FrameKind::CommandRequest {
            return true;
        }
        let flags = CommandRequestFlags::from(header.flags());
        let is_gathered = if self.is_new(header) {
            flags.contains(CommandRequestFlags::MORE) || !part.is_last
        } else {
            // What is left of a refused one is not kept.
            self.conn.reactor().is_taken(header.request_id())
        };
        let len = usize::try_from(header.length()).unwrap_or(usize::MAX);
        !is_gathered || self.charge(held.saturating_add(len)).await
    }

    /// Charges what is gathered, up to so many bytes; `false` if that takes too long.
    async fn charge(&mut self, bytes: usize) -> bool {
        let charged = self.gathered.as_ref().map_or(0, Charge::bytes);
        if bytes <= charged {
            return true;
        }
        let conn = Arc::clone(&self.conn);
        let Some(charge) = paused(&conn, conn.charge(bytes - charged)).await else {
            return false;
        };
        match &mut self.gathered {
            Some(gathered) => gathered.absorb(charge),
            gathered => *gathered = Some(charge),
        }
        true
    }

    /// A part was handled: so many bytes are held now.
    async fn settle(&mut self, held: usize, is_last: bool) -> Result<(), ConnectionError> {
        // Settings are no request that could be refused.
        if !self.charge(held).await {
            return Err(ConnectionError::Limit(ConnectionLimit::ServerBytes));
        }
        if held == 0 && is_last {
            self.gathered = None;
        } else if is_last && let Some(gathered) = &mut self.gathered {
            gathered.keep(held);
        }
        Ok(())
    }

    /// Starts a command, or refuses it. One that was not gathered came whole, in one part.
    async fn run(&mut self, command: Command<'_>, is_whole: bool) {
        let id = command.request_id();
        self.forget_begun(id);
        let name: Vec<u8> = command.name.chunks().flatten().copied().collect();
        let span = tracing::info_span!("request", id = id.value(), command = %shown(&name));
        let of = span.clone();
        self.start(command, name, is_whole, span)
            .instrument(of)
            .await;
    }

    /// The same, in the request's span.
    async fn start(&mut self, command: Command<'_>, name: Vec<u8>, is_whole: bool, span: Span) {
        let id = command.request_id();
        let conn = Arc::clone(&self.conn);
        let shared = &conn.shared;
        let args = command.args.as_cbor();
        let redirect = command.redirect.map(|targets| targets.as_cbor());
        let has_data = command.data_follows;
        // It may be answered long after its handler has ended: nobody charges for that.
        let kept = name.get(..NAME).unwrap_or(&name).to_vec();
        let (number, reply, home) = conn.reply(command.responder, kept);
        let refused = |refusal| shared.refused(id, Some(&name), refusal);
        if shared.stopping.is_cancelled() {
            refused(Refusal::ShuttingDown);
            return reply.fail(shared.refusal(Refusal::ShuttingDown));
        }
        let Some(route) = shared.routes.find(&name) else {
            refused(Refusal::UnknownCommand);
            return reply.fail(Failure::unknown_command(&name));
        };
        let held = name.len() + args.len() + redirect.map_or(0, <[u8]>::len);
        let gathered = self.gathered.as_mut().filter(|_| !is_whole);
        let charge = match gathered.and_then(|gathered| gathered.split(held)) {
            Some(charge) => Some(charge),
            None => paused(&conn, conn.charge(held)).await,
        };
        let Some(charge) = charge else {
            refused(Refusal::ServerBytes);
            return reply.fail(shared.refusal(Refusal::ServerBytes));
        };
        let [calls, requests] = [shared.config.limits.calls, shared.limits.requests];
        let slot = match conn.handlers() < calls {
            true => shared.slot().ok_or(requests),
            false => Err(calls),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(limit) => {
                refused(Refusal::TooManyRequests);
                return reply.fail(Shared::too_many_requests(limit));
            }
        };
        let mut data = Data::EMPTY;
        if has_data {
            let budget = Some(Arc::clone(&conn.budget));
            let (sender, receiver) = pipe(shared.config.limits.buffer, budget);
            data.pipe = Some(receiver);
            let upload = Upload {
                pipe: sender,
                number,
            };
            self.uploads.insert(id, upload);
        }
        let call = Call(Arc::new(Head {
            name,
            args: args.to_vec(),
            redirect: redirect.map(<[u8]>::to_vec),
            request_id: id,
            revision: shared.config.revision,
            peer: Arc::clone(&conn.peer),
            gone: conn.gone.clone(),
            _charge: charge,
        }));
        let parts = Parts {
            call,
            data: Some(data),
            reply: Some(reply),
            conn: Arc::clone(&conn),
        };
        let task = handle(Arc::clone(&conn), route, parts, home);
        conn.spawn(number, slot, task.instrument(span));
    }

    /// Data for a handler. A full pipe stops the reading here; nothing is locked meanwhile.
    async fn data(&mut self, id: RequestId, bytes: &[u8], is_last: bool) {
        let conn = Arc::clone(&self.conn);
        let stall = conn.shared.config.limits.stall;
        let mut rest = bytes;
        while let Some(upload) = self.uploads.get(&id) {
            match paused(&conn, upload.pipe.push(&mut rest, stall)).await {
                Pushed::Taken if !is_last => return,
                Pushed::Taken => upload.pipe.end(Ok(())),
                // Nobody wants it.
                Pushed::Closed => {}
                Pushed::Stalled => {
                    self.refuse(id, Refusal::Stalled);
                    return;
                }
                Pushed::OverBudget => {
                    // Whoever holds most is to blame; then this one may have room.
                    let largest = self.uploads.iter().max_by_key(|(_, u)| u.pipe.held());
                    let largest = largest.map_or(id, |(largest, _)| *largest);
                    self.refuse(largest, Refusal::ServerBytes);
                    continue;
                }
            }
            self.uploads.remove(&id);
        }
    }

    fn refuse(&mut self, id: RequestId, refusal: Refusal) {
        if let Some(upload) = self.uploads.remove(&id) {
            upload.pipe.give_up(DataError::Refused);
            self.conn.refuse(upload.number, id, refusal);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        for upload in self.uploads.values() {
            upload.pipe.end(Err(DataError::Cut));
        }
    }
}

/// Reads once; 0 at the end. While it waits for the first byte it holds no memory.
async fn fill<R: AsyncRead + Unpin>(buffer: &mut ReceiveBuffer, io: &mut R) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut room = ReadBuf::new(buffer.unfilled());
        let read = Pin::new(&mut *io).poll_read(cx, &mut room);
        let len = room.filled().len();
        if read.is_pending() {
            buffer.release();
        }
        ready!(read)?;
        buffer.filled(len);
        Poll::Ready(Ok(len))
    })
    .await
}

/// Awaits, and has it known if that takes time, which is not the peer's fault.
async fn paused<F: Future>(conn: &Conn, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return output;
    }
    conn.clock.pause();
    let output = future.await;
    conn.clock.resume(conn.shared.now(), &conn.shared.limits);
    output
}

/// The task of one request.
async fn handle(conn: Arc<Conn>, route: Route, parts: Parts, home: Arc<Home>) {
    let shared = &conn.shared;
    let allowed = match &shared.authorize {
        Some(authorize) => authorize(parts.call.clone()).await,
        None => Ok(()),
    };
    let result = match allowed {
        Ok(()) => route(parts).await,
        Err(failure) => {
            let Call(head) = &parts.call;
            shared.refused(head.request_id, Some(&head.name), Refusal::Forbidden);
            drop(parts);
            if let Some(composer) = home.close() {
                composer.fail(&failure);
            }
            return;
        }
    };
    match (result, home.close()) {
        (Err(failure), reply) => {
            let counters = &shared.counters;
            count(if failure.is_command {
                &counters.failed
            } else {
                &counters.failed_server
            });
            tracing::debug!(%failure, "the command failed");
            if let Some(composer) = reply {
                composer.fail(&failure);
            }
        }
        (Ok(()), Some(composer)) => unanswered(composer),
        (Ok(()), None) => {}
    }
}
