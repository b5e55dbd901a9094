//! The reading side of a connection.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use hgrpc::server::{Command, ServerAction};
use hgrpc::wire::{CommandRequestFlags, FrameHeader, FrameKind, FrameReader, Part, RequestId};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::consume_budget;
use tracing::Instrument as _;

use super::super::budget::Charge;
use super::super::pipe::{Pushed, Sender, pipe};
use super::call::Head;
use super::conn::Conn;
use super::data::DataError;
use super::handler::Route;
use super::jobs::Job;
use super::reply::{Home, unanswered};
use super::stats::{add, count};
use super::{Call, Data, Parts, Refusal};
use crate::buffer::ReceiveBuffer;
use crate::host::{ConnectionError, ConnectionLimit, Direction, Failure, mistaken};
use crate::store::GrowableArena;

/// Most bytes that are read at once.
const READ: usize = 32 * 1024;

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
        loop {
            // A peer that always sends must not keep this task's thread to itself.
            consume_budget().await;
            let len = fill(&mut buffer, io)
                .await
                .map_err(ConnectionError::reading)?;
            if len == 0 {
                break;
            }
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
            clock.received(self.conn.shared.now(), bytes, has_ended, is_partial);
            let begun = self.begun.front().map_or(0, |(_, since)| *since);
            clock.unfinished(begun, !self.uploads.is_empty());
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
        if part.is_first {
            self.frame(&part.header);
        }
        let is_empty = part.is_last && part.header.length() == 0;
        let held = arena.held();
        let action = {
            let reactor = &mut *self.conn.reactor();
            reactor.server.handle(part, &mut reactor.table, arena)
        };
        let mut is_progress = !is_empty;
        match action.map_err(ConnectionError::Protocol)? {
            ServerAction::RunCommand(command) => {
                is_progress = true;
                self.run(command).await;
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
                let refusal = Refusal::from_core(rejection.reason());
                self.conn.shared.counters.refused(refusal);
                self.forget_begun(id);
                if let Some(upload) = self.uploads.remove(&id) {
                    upload.pipe.give_up(DataError::Refused);
                    self.conn.stop(upload.number);
                }
                if self.conn.control.len() >= self.conn.shared.limits.refusals {
                    return Err(ConnectionError::Limit(ConnectionLimit::Refusals));
                }
                self.conn.control.push(Job::Reject(Some(rejection)))?;
            }
            _ => {}
        }
        self.count_progress(is_empty, is_progress)?;
        if arena.held() != held || self.gathered.is_some() {
            self.charge_gathered(arena.held()).await?;
        }
        Ok(())
    }

    /// A frame begins.
    fn frame(&mut self, header: &FrameHeader) {
        let shared = &self.conn.shared;
        count(&shared.counters.frames_in);
        if let Some(observer) = &shared.observer {
            observer(&self.conn.peer, Direction::In, header);
        }
        let flags = CommandRequestFlags::from(header.flags());
        if header.kind(shared.config.revision) == FrameKind::CommandRequest
            && flags.contains(CommandRequestFlags::NEW)
            && flags.contains(CommandRequestFlags::MORE)
        {
            self.begun.push_back((header.request_id(), shared.now()));
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

    /// Charges what requests hold that come in several frames, a part late.
    async fn charge_gathered(&mut self, held: usize) -> Result<(), ConnectionError> {
        let charged = self.gathered.as_ref().map_or(0, Charge::bytes);
        if held == 0 {
            self.gathered = None;
        } else if held > charged {
            let conn = Arc::clone(&self.conn);
            let charge = paused(&conn, conn.charge(held - charged))
                .await
                .ok_or(ConnectionError::Limit(ConnectionLimit::ServerBytes))?;
            match &mut self.gathered {
                Some(gathered) => gathered.absorb(charge),
                gathered => *gathered = Some(charge),
            }
        } else if let Some(gathered) = &mut self.gathered {
            gathered.keep(held);
        }
        Ok(())
    }

    /// Starts a command, or refuses it.
    async fn run(&mut self, command: Command<'_>) {
        let id = command.request_id();
        self.forget_begun(id);
        let conn = Arc::clone(&self.conn);
        let shared = &conn.shared;
        let name: Vec<u8> = command.name.chunks().flatten().copied().collect();
        let args = command.args.as_cbor().to_vec();
        let redirect = command.redirect.map(|targets| targets.as_cbor().to_vec());
        let has_data = command.data_follows;
        let (number, reply, home) = conn.reply(command.responder, name.clone());
        if shared.stopping.is_cancelled() {
            return reply.fail(shared.refusal(Refusal::ShuttingDown));
        }
        let Some(route) = shared.routes.find(&name) else {
            shared.counters.refused(Refusal::UnknownCommand);
            return reply.fail(Failure::unknown_command(&name));
        };
        let held = name.len() + args.len() + redirect.as_ref().map_or(0, Vec::len);
        let Some(charge) = paused(&conn, conn.charge(held)).await else {
            return reply.fail(shared.refusal(Refusal::ServerBytes));
        };
        let [calls, requests] = [shared.config.limits.calls, shared.limits.requests];
        if conn.handlers() >= calls {
            return reply.fail(shared.too_many_requests(calls));
        }
        if !shared.counters.begin_request(requests) {
            return reply.fail(shared.too_many_requests(requests));
        }
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
        let span = tracing::info_span!(
            "request",
            id = id.value(),
            command = %String::from_utf8_lossy(&name).escape_debug(),
        );
        let call = Call(Arc::new(Head {
            name,
            args,
            redirect,
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
        conn.spawn(number, task.instrument(span));
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
            let failure = self.conn.shared.refusal(refusal);
            self.conn.refuse(upload.number, failure);
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
    conn.clock.resume(conn.shared.now());
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
            shared.counters.refused(Refusal::Forbidden);
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
