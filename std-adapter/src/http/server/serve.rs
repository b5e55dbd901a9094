//! Listening, and an orderly end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error as _;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::gate::Conn;
use super::stream::Metered;
use super::{Peer, Server};
use crate::blocking::ConnectionLimit;
use crate::host::counting::count;

/// How long accepting pauses when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Most bytes of a head, and of what is read or written at once.
const BUFFER: usize = 64 << 10;

/// What a shutdown did not wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Connections that were cut inside a request or its answer.
    pub cut: Vec<Cut>,
}

/// A connection that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Who was at the other end.
    pub peer: Arc<Peer>,
    /// The request that was not answered to its end: its method and its path, up to 200 bytes.
    pub request: String,
}

impl Server {
    /// Serves the connections of a listener until `stop` is ready, then lets what runs end within
    /// [`ServerConfig::shutdown`](super::ServerConfig::shutdown), and cuts the rest. Says what was
    /// cut.
    ///
    /// A connection over a limit is closed at once, and counted. What cannot be accepted, as for
    /// want of file descriptors, is tried again after a pause.
    ///
    /// Commands run in tokio's blocking threads; the runtime needs I/O and time enabled.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) -> Shutdown {
        let gate = &self.0.gate;
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        let mut tasks = JoinSet::new();
        let mut conns: HashMap<Id, Weak<Conn>> = HashMap::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(ended) = tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    conns.remove(&id);
                    continue;
                }
                () = &mut stop => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    count(&gate.counters.accept_errors);
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Refused here, it costs no task.
            let Ok(conn) = gate.admit(Peer::tcp(peer)) else {
                continue;
            };
            // Not worth an error: it is slower without.
            let _ = stream.set_nodelay(true);
            let weak = Arc::downgrade(&conn);
            let watcher = Some(graceful.watcher());
            let task = self.clone().run_connection(stream, conn, watcher);
            conns.insert(tasks.spawn(task).id(), weak);
        }
        drop(listener);
        let mut shutdown = Shutdown::default();
        let deadline = self.0.config.shutdown;
        if timeout(deadline, graceful.shutdown()).await.is_err() {
            for conn in conns.values().filter_map(Weak::upgrade) {
                // Others have nothing to lose, and only wait for their clients.
                if let Some(request) = conn.request() {
                    gate.counters.closed(ConnectionLimit::Deadline);
                    tracing::warn!(peer = %conn.peer, request, "a connection was cut");
                    let peer = Arc::clone(&conn.peer);
                    shutdown.cut.push(Cut { peer, request });
                }
            }
        }
        tasks.shutdown().await;
        shutdown
    }

    /// Serves one connection that the caller has accepted, over any byte stream: one with TLS, a
    /// Unix socket ([`Peer::unix`]). Returns when it is over, at once if it is one more than the
    /// limits let in. Dropping the future cuts it.
    ///
    /// Commands run in tokio's blocking threads; the runtime needs time enabled.
    pub async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) {
        if let Ok(conn) = self.0.gate.admit(peer) {
            self.clone().run_connection(stream, conn, None).await;
        }
    }

    /// Serves a connection that was let in.
    async fn run_connection<S>(self, stream: S, conn: Arc<Conn>, watcher: Option<Watcher>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let span = tracing::info_span!("connection", peer = %conn.peer);
        async {
            tracing::debug!("opened");
            match self.drive(stream, &conn, watcher).await {
                Ok(()) => tracing::debug!("closed"),
                Err(end) => self.ended(&end),
            }
        }
        .instrument(span)
        .await;
    }

    async fn drive<S>(
        &self,
        stream: S,
        conn: &Arc<Conn>,
        watcher: Option<Watcher>,
    ) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.0.config.limits;
        let service = service_fn(|request| {
            let answer = self.clone().answer(request, Arc::clone(conn));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let stream = Metered::new(stream, Arc::clone(&self.0.gate), limits.not_reading);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(BUFFER)
            .header_read_timeout(limits.idle)
            .serve_connection(TokioIo::new(stream), service);
        let asked = async {
            let asked = conn.asked.notified();
            match limits.first_frame {
                Some(limit) if timeout(limit, asked).await.is_err() => {}
                _ => pending().await,
            }
        };
        let served = async {
            match watcher {
                Some(watcher) => watcher.watch(served).await,
                None => served.await,
            }
        };
        tokio::select! {
            result = served => result.map_err(End::of),
            () = asked => Err(End::Limit(ConnectionLimit::FirstFrame)),
        }
    }

    fn ended(&self, end: &End) {
        let counters = &self.0.gate.counters;
        match end {
            End::Limit(limit) => counters.closed(*limit),
            End::NotHttp(_) => count(&counters.protocol_errors),
            End::Broken(_) => count(&counters.broken),
        }
        tracing::debug!(%end, "the connection was ended");
    }

    /// Serves a listener in a thread of its own, with a runtime of its own.
    ///
    /// # Errors
    /// The listener cannot be used so, or the system has no threads left.
    pub fn start(&self, listener: std::net::TcpListener) -> io::Result<Running> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime()?;
        let server = self.clone();
        listener.set_nonblocking(true)?;
        let thread = thread::Builder::new()
            .name("hgrpc-http".into())
            .spawn(move || {
                server.run_in(runtime, listener, async {
                    if stopped.await.is_err() {
                        // Nobody can stop it any more.
                        pending().await
                    }
                })
            })?;
        Ok(Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
            server: self.clone(),
        })
    }

    /// Serves a listener in this thread, for as long as the program runs.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn run(&self, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.run_in(runtime()?, listener, pending());
        Ok(())
    }

    fn run_in(
        &self,
        runtime: Runtime,
        listener: std::net::TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Shutdown {
        let shutdown = runtime.block_on(async {
            // Fails only outside of a runtime.
            if let Ok(listener) = TcpListener::from_std(listener) {
                self.serve(listener, stop).await
            } else {
                Shutdown::default()
            }
        });
        // A command that still runs is not waited for: its client is gone, and it is told so.
        runtime.shutdown_background();
        shutdown
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hgrpc-http")
        .enable_io()
        .enable_time()
        .build()
}

/// A server that runs in a thread of its own. Dropped, it goes on.
#[must_use = "only this can stop the server"]
pub struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Shutdown>>,
    server: Server,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server, whose [`stats`](Server::stats) may be read at any time.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Stops it: no connection is accepted any more, what runs may end. Returns when it has, within
    /// [`ServerConfig::shutdown`](super::ServerConfig::shutdown), and says what was cut then.
    pub fn stop(mut self) -> Shutdown {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // The thread runs nothing that panics but what its tasks have caught.
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_default()
    }
}

/// Why a connection has ended before its client closed it.
enum End {
    Limit(ConnectionLimit),
    NotHttp(hyper::Error),
    Broken(hyper::Error),
}

impl End {
    fn of(error: hyper::Error) -> Self {
        let io = error.source().and_then(|e| e.downcast_ref::<io::Error>());
        if error.is_timeout() {
            Self::Limit(ConnectionLimit::Idle)
        } else if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            Self::Limit(ConnectionLimit::NotReading)
        } else if error.is_parse() {
            Self::NotHttp(error)
        } else {
            Self::Broken(error)
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => limit.fmt(f),
            Self::NotHttp(error) => write!(f, "what came is not HTTP: {error}"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
