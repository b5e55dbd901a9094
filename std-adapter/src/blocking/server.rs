//! The server's end of one connection.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use hgrpc::server::{Command, ServerAction};
use hgrpc::wire::{FrameReader, RequestId};

use super::call::DataError;
use super::conn::{Chore, Conn, Reactor};
use super::outgoing::Outgoing;
use super::pipe::{Pushed, Sender, pipe};
use super::workers::Workers;
use super::{Call, Config, ConnectionError, Data, Failure, Reply, Router, Traffic, Transport};
use crate::buffer::{Filled, ReceiveBuffer};
use crate::host::config::Meter;
use crate::host::mistaken;
use crate::store::GrowableArena;

/// How long a peer that broke the protocol may take to read its answers and to close the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection until it ends: runs the router's commands, each in a thread of its own,
/// and answers as they are done.
///
/// Returns when the input has ended and every command has been answered. A client that only closes
/// its sending half still gets its answers.
///
/// # Errors
/// The connection broke, or the peer broke the protocol. Handlers that were running then have
/// seen their data end with an error, and [`Gone`](super::Gone) told them.
pub fn serve(
    transport: Transport,
    router: &Router,
    config: &Config,
) -> Result<Traffic, ConnectionError> {
    let Transport {
        mut read,
        write,
        close,
    } = transport;
    let meter = Arc::new(Meter::new(config.observer.clone()));
    let config = &Config {
        limits: config.limits.checked(),
        ..config.clone()
    };
    let out = Outgoing::new(write, close, Arc::clone(&meter));
    // One stream can always be opened on a fresh server.
    let reactor = Reactor::new(config).map_err(|_| ConnectionError::Shutdown)?;
    let mut incoming = Incoming {
        conn: Arc::new(Conn::new(reactor, out, config.clone())),
        frames: FrameReader::new(config.limits.frame_size),
        uploads: HashMap::new(),
        workers: Workers::new(config.limits.calls),
        router,
    };
    let result = incoming.read(&mut *read, &meter);
    let conn = Arc::clone(&incoming.conn);
    for (_, upload) in incoming.uploads.drain() {
        upload.end(Err(DataError::Cut));
    }
    conn.gone.signal();
    if let Err(error @ (ConnectionError::Read(_) | ConnectionError::Link(_))) = &result {
        // Nobody is there to read answers either.
        conn.out.close(error.clone());
    }
    incoming.workers.wait();
    conn.wait_answered();
    if let Err(ConnectionError::Protocol(_)) = &result {
        linger(&mut *read, &conn.out);
    }
    conn.out.close(ConnectionError::Shutdown);
    result.map(|()| meter.traffic())
}

/// Reads on, for nothing, until the peer has read its answers and closes too. A socket that is closed
/// with bytes unread takes answers with it that the peer has not read.
fn linger(read: &mut dyn Read, out: &Outgoing) {
    if !out.ends_reading() {
        return;
    }
    out.finish();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let limit = thread::Builder::new().spawn_scoped(scope, move || {
            if is_done.recv_timeout(LINGER) == Err(mpsc::RecvTimeoutError::Timeout) {
                out.close(ConnectionError::Shutdown);
            }
        });
        if limit.is_ok() {
            // However it ends.
            let _ = io::copy(read, &mut io::sink());
        }
        drop(done);
    });
}

/// The reading side; owned by the thread that serves.
struct Incoming<'a> {
    conn: Arc<Conn>,
    frames: FrameReader,
    /// Where the data of running commands goes.
    uploads: HashMap<RequestId, Sender<DataError>>,
    workers: Workers,
    router: &'a Router,
}

impl Incoming<'_> {
    fn read(&mut self, read: &mut dyn Read, meter: &Meter) -> Result<(), ConnectionError> {
        let mut buffer = ReceiveBuffer::default();
        let mut arena = GrowableArena::new(self.conn.config.limits.budgets());
        let mut is_first = true;
        loop {
            match buffer.fill_from(read) {
                Ok(Filled::Bytes(len)) => meter.bytes_in(len),
                Ok(_) => break,
                Err(error) => return Err(ConnectionError::reading(error)),
            }
            let mut input = buffer.bytes();
            if std::mem::take(&mut is_first)
                && let Some(protocol) = mistaken::asking(input)
            {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
            let len = input.len();
            while let Some(part) = self
                .frames
                .next(&mut input)
                .map_err(ConnectionError::Protocol)?
            {
                if part.is_first {
                    meter.frame_in(&part.header);
                }
                let action = {
                    let reactor = &mut *self.conn.reactor();
                    reactor.server.handle(part, &mut reactor.table, &mut arena)
                };
                match action.map_err(ConnectionError::Protocol)? {
                    ServerAction::RunCommand(command) => {
                        let upload = run(&self.conn, self.router, &self.workers, command);
                        if let Some((id, sender)) = upload {
                            self.add_upload(id, sender);
                        }
                    }
                    ServerAction::CommandData {
                        request_id,
                        bytes,
                        is_last,
                    } => self.data(request_id, bytes, is_last),
                    ServerAction::RejectRequest(rejection) => {
                        self.conn.add_chore(Chore::Reject(rejection));
                    }
                    _ => {}
                }
            }
            buffer.consume(len);
        }
        self.frames.finish().map_err(|_| ConnectionError::Cut {
            missing: self.frames.missing(),
        })
    }

    fn add_upload(&mut self, id: RequestId, sender: Sender<DataError>) {
        if self.uploads.len() >= 64 {
            // Of requests that were answered before their data ended.
            self.uploads.retain(|_, upload| !upload.is_closed());
        }
        self.uploads.insert(id, sender);
    }

    /// Data for a handler. A full pipe stops the reading here; nothing is locked meanwhile.
    fn data(&mut self, id: RequestId, bytes: &[u8], is_last: bool) {
        let Some(upload) = self.uploads.get(&id) else {
            return;
        };
        let pushed = upload.push(bytes, self.conn.config.limits.stall);
        match pushed {
            Pushed::Taken if !is_last => return,
            Pushed::Taken => upload.end(Ok(())),
            Pushed::Stalled => upload.end(Err(DataError::Stalled)),
            // Nobody wants it.
            Pushed::Closed => {}
        }
        self.uploads.remove(&id);
    }
}

/// Starts a command; where its data goes, if there is any to come.
fn run(
    conn: &Arc<Conn>,
    router: &Router,
    workers: &Workers,
    command: Command<'_>,
) -> Option<(RequestId, Sender<DataError>)> {
    let request_id = command.request_id();
    let name: Vec<u8> = command.name.chunks().flatten().copied().collect();
    let mut call = Call {
        args: command.args.as_cbor().to_vec(),
        redirect: command.redirect.map(|targets| targets.as_cbor().to_vec()),
        data: None,
        request_id,
        revision: conn.config.revision,
        gone: conn.gone.clone(),
        name,
    };
    let number = conn.reactor().add_reply(command.responder);
    let reply = Reply::new(Arc::clone(conn), number);
    let Some(handler) = router.find(&call.name) else {
        let failure = Failure::unknown_command(&call.name);
        conn.add_chore(Chore::Fail(Box::new(reply), failure));
        return None;
    };
    let mut upload = None;
    if command.data_follows {
        let (sender, receiver) = pipe(conn.config.limits.buffer);
        call.data = Some(Data(Some(receiver)));
        upload = Some((request_id, sender));
    }
    // Out of the box again if no thread can take it.
    let reply = Arc::new(std::sync::Mutex::new(Some(reply)));
    let taken = Arc::clone(&reply);
    let job = Box::new(move || {
        if let Some(reply) = crate::host::sync::lock(&taken).take() {
            handler.handle(call, reply);
        }
    });
    if workers.run(job).is_err()
        && let Some(reply) = crate::host::sync::lock(&reply).take()
    {
        let failure = Failure::server(format_args!(
            "too-many-requests, limit {}",
            conn.config.limits.calls
        ));
        conn.add_chore(Chore::Fail(Box::new(reply), failure));
        return None;
    }
    upload
}
