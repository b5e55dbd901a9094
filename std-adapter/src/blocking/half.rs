//! The server's end of one half-duplex exchange, as HTTP makes them: all of the request is read,
//! then its commands run one after another (revision-0006.md, 5.8; http-v2.md, 3).

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hgrpc::server::{Rejection, Responder, Server, ServerAction, ServerConfig};
use hgrpc::wire::FrameReader;
use hgrpc::{ApiMisuse, ProtocolError, Revision};

use super::conn::{Conn, Reactor};
use super::outgoing::Outgoing;
use super::pipe::filled;
use super::{Call, Config, ConnectionError, Data, Gone, Reply};
use crate::host::config::Meter;
use crate::store::{GrowableArena, GrowableTable};

/// A request that is being read.
pub(crate) struct Receiving {
    server: Server<Revision>,
    table: GrowableTable,
    arena: GrowableArena,
    frames: FrameReader,
    jobs: Vec<Job>,
    config: Config,
}

/// What is to be answered, in this order.
enum Job {
    Run(Box<Queued>),
    Reject(Rejection),
}

struct Queued {
    name: Vec<u8>,
    args: Vec<u8>,
    redirect: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    responder: Responder,
}

/// Why reading a request stops.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// A command is refused by the owner, and the request with it.
    Refused(E),
}

impl Receiving {
    pub(crate) fn new(config: Config) -> Self {
        let budgets = config.limits.budgets();
        Self {
            server: Server::new(config.revision, config.server(ServerConfig::DEFAULT)),
            table: GrowableTable::new(budgets),
            arena: GrowableArena::new(budgets),
            frames: FrameReader::new(config.limits.frame_size),
            jobs: Vec::new(),
            config,
        }
    }

    /// Handles the next bytes; `check` is asked for each command, with how many came before it.
    pub(crate) fn feed<E>(
        &mut self,
        mut input: &[u8],
        mut check: impl FnMut(&[u8], usize) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        while let Some(part) = self.frames.next(&mut input).map_err(Stop::Protocol)? {
            let action = self.server.handle(part, &mut self.table, &mut self.arena);
            match action.map_err(Stop::Protocol)? {
                ServerAction::RunCommand(command) => {
                    let name: Vec<u8> = command.name.chunks().flatten().copied().collect();
                    check(&name, self.jobs.len()).map_err(Stop::Refused)?;
                    self.jobs.push(Job::Run(Box::new(Queued {
                        name,
                        args: command.args.as_cbor().to_vec(),
                        redirect: command.redirect.map(|targets| targets.as_cbor().to_vec()),
                        data: command.data.map(<[u8]>::to_vec),
                        responder: command.responder,
                    })));
                }
                ServerAction::RejectRequest(rejection) => self.jobs.push(Job::Reject(rejection)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The request has ended; `None` if nothing is to be answered.
    ///
    /// # Errors
    /// It ended inside a frame.
    pub(crate) fn finish(self) -> Result<Option<Answering>, ProtocolError> {
        self.frames.finish()?;
        Ok((!self.jobs.is_empty()).then_some(Answering {
            server: self.server,
            table: self.table,
            jobs: self.jobs,
            config: self.config,
        }))
    }
}

/// A request that was read and is to be answered.
pub(crate) struct Answering {
    server: Server<Revision>,
    table: GrowableTable,
    jobs: Vec<Job>,
    config: Config,
}

impl Answering {
    /// Answers without compression, whatever the peer decodes.
    pub(crate) fn uncompressed(&mut self) {
        self.config.encodes.clear();
    }

    /// Answers everything, each command by `handle`, one after another on one stream.
    ///
    /// # Errors
    /// Writing failed; what was not answered then is not run any more.
    pub(crate) fn run(
        self,
        write: impl Write + Send + 'static,
        gone: Gone,
        mut handle: impl FnMut(Call, Reply),
    ) -> Result<(), ConnectionError> {
        let Self {
            server,
            table,
            jobs,
            config,
        } = self;
        let meter = Arc::new(Meter::new(config.observer.clone()));
        let out = Outgoing::new(Box::new(write), None, meter);
        let revision = config.revision;
        let reactor = Reactor::half_duplex(server, table, &config)
            .map_err(|_: ApiMisuse| ConnectionError::Shutdown)?;
        let conn = Arc::new(Conn::with_gone(reactor, out, config, gone));
        for job in jobs {
            match job {
                Job::Reject(rejection) => conn.reject(rejection),
                Job::Run(queued) => {
                    let request_id = queued.responder.request_id();
                    let number = conn.reactor().add_reply(queued.responder);
                    let reply = Reply::new(Arc::clone(&conn), number);
                    let call = Call {
                        name: queued.name,
                        args: queued.args,
                        redirect: queued.redirect,
                        data: queued.data.map(|bytes| Data(Some(filled(bytes)))),
                        request_id,
                        revision,
                        gone: conn.gone.clone(),
                    };
                    // The reply has answered when it unwinds; the next command runs all the same.
                    let _ = catch_unwind(AssertUnwindSafe(|| handle(call, reply)));
                    // One that was kept is answered later.
                    conn.wait_answered();
                }
            }
            conn.out.failed()?;
        }
        Ok(())
    }
}
