//! What the threads of one server connection share: the reactor, the replies under way, the line.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use hgrpc::cbor::ContentEncoding;
use hgrpc::server::{
    Output, OutputStream, Rejection, Responder, ResponseWriter, Server, ServerConfig,
};
use hgrpc::{ApiMisuse, Revision};

use super::outgoing::Outgoing;
use super::{Config, ConnectionError, Failure, Gone, Reply};
use crate::encoding::{Encoder, encoder};
use crate::host::sync::{lock, wait};
use crate::store::GrowableTable;

pub(super) struct Conn {
    reactor: Mutex<Reactor>,
    /// A reply has ended, or a refusal was sent.
    changed: Condvar,
    pub(super) out: Outgoing,
    pub(super) gone: Gone,
    pub(super) config: Config,
}

/// What changes with frames. Locked for a look-up or one frame's making, never while anything
/// blocks.
pub(super) struct Reactor {
    pub(super) server: Server<Revision>,
    pub(super) table: GrowableTable,
    /// The stream of everything that is not compressed.
    shared: OutputStream,
    /// The replies under way, by a number that is never used again.
    replies: HashMap<u64, Slot>,
    next_reply: u64,
    /// Compressing streams that no reply uses, and how many there are in all.
    idle: Vec<Coded>,
    coded: usize,
    chores: VecDeque<Chore>,
    has_servant: bool,
}

/// A reply's token: before its first frame, and after.
enum Slot {
    Fresh(Responder),
    Begun(ResponseWriter),
}

/// A stream with an encoding, for one reply at a time (revision-0006.md, 3.5a).
#[derive(Debug)]
pub(super) struct Coded {
    /// `None`: the shared stream, which then is the only one.
    pub(super) stream: Option<OutputStream>,
    pub(super) encoder: Box<dyn Encoder>,
}

/// What is answered without a handler.
pub(super) enum Chore {
    Reject(Rejection),
    Fail(Box<Reply>, Failure),
}

/// Chores that may wait; then reading stops until some are done.
const MAX_CHORES: usize = 1024;

pub(super) type Frames<'a> = Output<'a, GrowableTable, Revision>;

impl Reactor {
    pub(super) fn new(config: &Config) -> Result<Self, ApiMisuse> {
        let mut server = Server::new(config.revision, config.server(ServerConfig::STREAMING));
        Ok(Self {
            // Everybody decodes `identity`, so this need not wait for the peer's settings.
            shared: server.open_stream(&[ContentEncoding::Identity])?,
            server,
            table: GrowableTable::new(config.limits.budgets()),
            replies: HashMap::new(),
            next_reply: 0,
            idle: Vec::new(),
            coded: 0,
            chores: VecDeque::new(),
            has_servant: false,
        })
    }

    /// A reactor that has read all of its input, and writes on one stream only
    /// (revision-0006.md, 3.2).
    #[cfg(feature = "http-server")]
    pub(super) fn half_duplex(
        mut server: Server<Revision>,
        table: GrowableTable,
        config: &Config,
    ) -> Result<Self, ApiMisuse> {
        let has_encoder = |e: &&ContentEncoding| encoder(**e).is_some();
        let encodes: Vec<_> = config.encodes.iter().filter(has_encoder).copied().collect();
        let shared = server.open_stream(&encodes)?;
        let idle: Vec<Coded> = match shared.encoding() {
            ContentEncoding::Identity => None,
            encoding => encoder(encoding),
        }
        .map(|encoder| Coded {
            stream: None,
            encoder,
        })
        .into_iter()
        .collect();
        Ok(Self {
            shared,
            server,
            table,
            replies: HashMap::new(),
            next_reply: 0,
            // No other stream is opened.
            coded: usize::MAX,
            idle,
            chores: VecDeque::new(),
            has_servant: false,
        })
    }

    /// The encoder of the stream on which a reply is lost bytes: its next frame ends it.
    pub(super) fn end_stream(&mut self, coded: &mut Coded) {
        coded
            .stream
            .as_mut()
            .unwrap_or(&mut self.shared)
            .end_with_next();
    }

    /// A command was handed out: the number of its reply.
    pub(super) fn add_reply(&mut self, responder: Responder) -> u64 {
        let number = self.next_reply;
        self.next_reply += 1;
        self.replies.insert(number, Slot::Fresh(responder));
        number
    }

    /// The token of a reply that has sent nothing yet; the reply is forgotten.
    pub(super) fn take_fresh(&mut self, number: u64) -> Option<Responder> {
        match self.replies.remove(&number)? {
            Slot::Fresh(responder) => Some(responder),
            begun @ Slot::Begun(_) => {
                self.replies.insert(number, begun);
                None
            }
        }
    }

    /// The token of a reply, for frames beside it.
    pub(super) fn responder(&self, number: u64) -> Option<&Responder> {
        match self.replies.get(&number)? {
            Slot::Fresh(responder) => Some(responder),
            Slot::Begun(writer) => Some(writer.responder()),
        }
    }

    /// Has frames of a reply made, on the compressing stream or on the shared one.
    pub(super) fn write<R>(
        &mut self,
        number: u64,
        stream: Option<&mut OutputStream>,
        make: impl FnOnce(&mut ResponseWriter, &mut Frames<'_>) -> Result<R, ApiMisuse>,
    ) -> Result<R, ApiMisuse> {
        if matches!(self.replies.get(&number), Some(Slot::Fresh(_)))
            && let Some(responder) = self.take_fresh(number)
        {
            let writer = self.server.begin_response(&self.table, responder)?;
            self.replies.insert(number, Slot::Begun(writer));
        }
        let Some(Slot::Begun(writer)) = self.replies.get_mut(&number) else {
            return Err(ApiMisuse::RequestNotActive);
        };
        let stream = stream.unwrap_or(&mut self.shared);
        make(writer, &mut self.server.output(&mut self.table, stream))
    }

    /// Where frames outside of replies are made.
    pub(super) fn frames(&mut self) -> Frames<'_> {
        self.server.output(&mut self.table, &mut self.shared)
    }

    /// A compressing stream for a reply that begins, if the peer decodes one and it is not too
    /// many.
    pub(super) fn take_coded(&mut self, config: &Config) -> Option<Coded> {
        if !config.revision.has_settings() {
            return None;
        }
        let encoding = self.server.peer_encodings().choose(&config.encodes);
        if encoding == ContentEncoding::Identity {
            return None;
        }
        if let Some(idle) = self.idle.pop() {
            return Some(idle);
        }
        if self.coded >= config.limits.compressed_streams {
            return None;
        }
        let encoder = encoder(encoding)?;
        let stream = self.server.open_stream(&[encoding]).ok()?;
        self.coded += 1;
        Some(Coded {
            stream: Some(stream),
            encoder,
        })
    }

    /// A reply has ended; its stream can be used again, unless its encoder failed.
    pub(super) fn end_reply(&mut self, number: u64, coded: Option<(Coded, bool)>) {
        self.replies.remove(&number);
        match coded {
            Some((coded, true)) => self.idle.push(coded),
            // It was ended with its last frame, or the connection is gone.
            Some((Coded { stream, .. }, false)) => match stream {
                Some(stream) => {
                    self.coded -= 1;
                    drop(self.server.close_stream(stream));
                }
                // What comes after goes uncompressed.
                None => {
                    if let Ok(plain) = self.server.open_stream(&[ContentEncoding::Identity]) {
                        self.shared = plain;
                    }
                }
            },
            None => {}
        }
    }
}

impl Conn {
    pub(super) fn new(reactor: Reactor, out: Outgoing, config: Config) -> Self {
        Self::with_gone(reactor, out, config, Gone::default())
    }

    pub(super) fn with_gone(reactor: Reactor, out: Outgoing, config: Config, gone: Gone) -> Self {
        Self {
            reactor: Mutex::new(reactor),
            changed: Condvar::new(),
            out,
            gone,
            config,
        }
    }

    pub(super) fn reactor(&self) -> MutexGuard<'_, Reactor> {
        lock(&self.reactor)
    }

    /// Something has ended that others may wait for.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Writing has failed, so the peer takes no answers any more: nothing it asks for is of use.
    pub(super) fn fail(&self, error: &ConnectionError) {
        self.out.close(error.clone());
        self.gone.signal();
    }

    /// Has something answered by a thread that comes and goes, since reading must not wait for
    /// writing. Waits only if very many such answers wait already.
    pub(super) fn add_chore(self: &Arc<Self>, chore: Chore) {
        let mut reactor = self.reactor();
        while reactor.chores.len() >= MAX_CHORES {
            match wait(&self.changed, reactor, None) {
                Some(guard) => reactor = guard,
                None => return,
            }
        }
        reactor.chores.push_back(chore);
        if reactor.has_servant {
            return;
        }
        reactor.has_servant = true;
        drop(reactor);
        let conn = Arc::clone(self);
        let started = thread::Builder::new()
            .name("hgrpc-refuse".into())
            .spawn(move || conn.do_chores());
        if started.is_err() {
            self.do_chores();
        }
    }

    fn do_chores(&self) {
        loop {
            let mut reactor = self.reactor();
            let Some(chore) = reactor.chores.pop_front() else {
                reactor.has_servant = false;
                break;
            };
            match chore {
                Chore::Fail(reply, failure) => {
                    drop(reactor);
                    drop(reply.fail(failure));
                }
                Chore::Reject(rejection) => {
                    drop(reactor);
                    self.reject(rejection);
                }
            }
            self.notify();
        }
        self.notify();
    }

    /// Answers a request that is refused.
    pub(super) fn reject(&self, rejection: Rejection) {
        let mut turn = self.out.turn();
        let mut reactor = self.reactor();
        let mut answer = reactor.server.reject(rejection);
        let frame = answer.next_frame(&mut reactor.frames());
        drop(reactor);
        if let Ok(Some(frame)) = frame
            && let Err(error) = turn.write(&[frame])
        {
            self.fail(&error);
        }
    }

    /// Waits until every reply has ended and every refusal was sent.
    pub(super) fn wait_answered(&self) {
        let mut reactor = self.reactor();
        while !reactor.replies.is_empty() || reactor.has_servant {
            match wait(&self.changed, reactor, None) {
                Some(guard) => reactor = guard,
                None => return,
            }
        }
    }
}
