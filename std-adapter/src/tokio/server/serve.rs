//! A server: it accepts connections, serves them, and shuts down.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hgrpc::Revision;
use hgrpc::wire::{FrameHeader, RequestId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

use super::driver::{DEADLINE, drive};
use super::router::Routes;
use super::shared::{Authorize, PeerObserver, Shared};
use super::{Call, Listener, Peer, Router, ServerLimits, Stats};
use crate::encoding::ContentEncoding;
use crate::engine::server::Locked as _;
use crate::host::counting::count;
use crate::host::{Config, ConnectionError, Direction, Failure};

/// The first pause after a connection could not be accepted, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// Serves this listener's connections with the default limits and revision 0006, until the program
/// ends; see [`Server`] for all else.
///
/// # Panics
/// Outside of a tokio runtime with its timers.
pub async fn serve<L: Listener>(listener: L, router: Router) {
    Server::new(router).serve(listener).await;
}

/// A server for any number of listeners and connections. Cheap to clone; all clones are the same.
///
/// One server speaks one revision; two revisions need two servers, on two addresses. Its limits
/// ([`ServerLimits`]) are counted over all that it serves.
///
/// ```
/// use hgrpc_std::tokio::{Call, Failure, Router, Server};
/// use std::time::Duration;
/// # use hgrpc_std::blocking::{Client, Config, Transport};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let router = Router::new().command("greet", |call: Call| async move {
///     Ok::<_, Failure>(format!("hello {}", call.arg_text("name")?))
/// });
/// let server = Server::builder(router)
///     // Who may do what: before a handler runs.
///     .authorize(|call: Call| async move {
///         match call.peer().address {
///             Some(address) if address.ip().is_loopback() => Ok(()),
///             _ => Err(Failure::server("only from this machine")),
///         }
///     })
///     .build();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let serving = tokio::spawn(server.clone().serve(listener));
///
/// // ... later: no new connection, no new request; what runs may end.
/// # let greeting = tokio::task::spawn_blocking(move || {
/// #     let stream = std::net::TcpStream::connect(address).unwrap();
/// #     let client = Client::new(Transport::tcp(stream).unwrap(), &Config::default()).unwrap();
/// #     client.call("greet").arg("name", "world").send().unwrap().read_text(99).unwrap()
/// # }).await?;
/// # assert_eq!(greeting, "hello world");
/// let shutdown = server.shutdown(Duration::from_secs(10)).await;
/// assert!(shutdown.cut.is_empty());
/// assert_eq!(server.stats().requests, 1);
/// serving.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// How a server is made.
pub struct ServerBuilder {
    router: Router,
    config: Config,
    limits: ServerLimits,
    authorize: Option<Authorize>,
    observer: Option<PeerObserver>,
}

impl ServerBuilder {
    /// The revision that all clients speak. Default: 0006.
    #[must_use]
    pub fn revision(mut self, revision: Revision) -> Self {
        self.config.revision = revision;
        self
    }

    /// What peers may make the server hold, and for how long. Numbers that are out of range, such as
    /// a frame size below 256, are put right.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Encodings for responses (0006), best first; see [`Config::encodes`].
    #[must_use]
    pub fn encodes(mut self, encodings: impl Into<Vec<ContentEncoding>>) -> Self {
        self.config.encodes = encodings.into();
        self
    }

    /// See [`Config::always_side_frames`].
    #[must_use]
    pub fn always_side_frames(mut self, always: bool) -> Self {
        self.config.always_side_frames = always;
        self
    }

    /// Told of each frame of each connection, before it is handled or written; must not block: it is
    /// called by the connection's own task.
    #[must_use]
    pub fn observer<F>(mut self, observer: F) -> Self
    where
        F: Fn(&Peer, Direction, &FrameHeader) + Send + Sync + 'static,
    {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Asked before each command is run: it sees who asks ([`Call::peer`]) and for what
    /// ([`Call::name`]). Its error is what the client is told. It runs in the request's own task, so
    /// it may take its time.
    #[must_use]
    pub fn authorize<F, Fut>(mut self, authorize: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.authorize = Some(Box::new(move |call| Box::pin(authorize(call))));
        self
    }

    /// The server.
    pub fn build(self) -> Server {
        let routes = Routes::new(self.router);
        Server(Shared::new(
            routes,
            self.config,
            self.limits,
            self.authorize,
            self.observer,
        ))
    }
}

/// What a shutdown did not wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Connections that were cut.
    pub cut: Vec<Cut>,
}

/// A connection that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Who was at the other end.
    pub peer: Arc<Peer>,
    /// The commands that were not answered to their end: their request's ID, at most 64
    /// bytes of their name.
    pub commands: Vec<(RequestId, Vec<u8>)>,
}

impl Server {
    /// A server with the default limits.
    pub fn new(router: Router) -> Self {
        Self::builder(router).build()
    }

    /// A server to be configured.
    pub fn builder(router: Router) -> ServerBuilder {
        ServerBuilder {
            router,
            config: Config::default(),
            limits: ServerLimits::DEFAULT,
            authorize: None,
            observer: None,
        }
    }

    /// What it has done and refused so far.
    pub fn stats(&self) -> Stats {
        self.0.engine.stats()
    }

    /// Accepts connections and serves each in a task of its own, until [`shutdown`](Self::shutdown);
    /// returns when the last connection has ended.
    ///
    /// A connection over a limit is closed at once, and counted. What cannot be accepted, as for
    /// want of file descriptors, is tried again after a pause of 5 ms, which doubles up to a second.
    /// Dropping the future stops accepting; connections go on.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timers.
    pub async fn serve<L: Listener>(self, mut listener: L) {
        let [mut pause, longest] = PAUSES;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.0.stopping.cancelled() => break,
            };
            match accepted {
                Ok((io, peer)) => {
                    [pause, _] = PAUSES;
                    // Refused here, it costs no task.
                    let Ok(entry) = self.admit(peer.into()) else {
                        continue;
                    };
                    tokio::spawn(async move { drop(run(entry, io).await) });
                }
                Err(error) => {
                    count(&self.0.engine.counters.accept_errors);
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::select! {
                        () = sleep(pause) => pause = (pause * 2).min(longest),
                        () = self.0.stopping.cancelled() => break,
                    }
                }
            }
        }
        drop(listener);
        self.0.empty().await;
    }

    /// Serves one connection that was accepted elsewhere, until it ends. Dropping the future cuts
    /// it.
    ///
    /// Returns when the input has ended and every command has been answered. A client that only
    /// closes its sending half still gets its answers. Who keeps the peer knows it again in
    /// [`Call::peer`], by [`Arc::ptr_eq`].
    ///
    /// A peer that breaks the protocol still gets the answers to what it asked before, and has a
    /// second to read them.
    ///
    /// # Errors
    /// The connection broke, the peer broke the protocol, or a limit was passed: see
    /// [`ConnectionError`]. [`ConnectionError::Shutdown`]: the server has been shut down.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timers.
    pub async fn serve_connection<Io>(
        &self,
        io: Io,
        peer: impl Into<Arc<Peer>>,
    ) -> Result<(), ConnectionError>
    where
        Io: AsyncRead + AsyncWrite + Send + 'static,
    {
        run(self.admit(peer.into())?, io).await
    }

    fn admit(&self, peer: Arc<Peer>) -> Result<super::shared::Entry, ConnectionError> {
        self.0.admit(peer).inspect_err(|error| {
            if let ConnectionError::Limit(_) = error {
                self.0.engine.count_end(error);
            }
            tracing::warn!(%error, "a connection was refused");
        })
    }

    /// Shuts down: no new connection, no new request; what runs may end within this time, then it is
    /// cut. Says what was.
    ///
    /// A request that comes meanwhile is refused ([`Refusal::ShuttingDown`](super::Refusal)); a
    /// connection ends as soon as nothing runs on it. It may be called again, as with a shorter time:
    /// what comes first counts. A server that was shut down serves no more.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let shared = &self.0;
        shared.stop();
        let mut shutdown = Shutdown::default();
        if timeout(deadline, shared.empty()).await.is_err() {
            for conn in shared.connections() {
                let commands = conn.with(|connection| {
                    // Others have nothing to lose, and only wait for their peers.
                    let has_some = !connection.is_idle() || connection.is_writing();
                    has_some.then(|| connection.unanswered())
                });
                if let Some(commands) = commands {
                    let peer = Arc::clone(&conn.peer);
                    shutdown.cut.push(Cut { peer, commands });
                }
                conn.kill(DEADLINE);
            }
            shared.empty().await;
        }
        shutdown
    }
}

/// Serves a connection that was let in.
async fn run<Io>(entry: super::shared::Entry, io: Io) -> Result<(), ConnectionError>
where
    Io: AsyncRead + AsyncWrite + Send + 'static,
{
    let conn = Arc::clone(&entry.conn);
    let span = tracing::info_span!("connection", peer = %conn.peer);
    async {
        tracing::debug!("opened");
        let result = drive(&conn, io).await;
        match &result {
            Ok(()) => tracing::debug!("closed"),
            Err(error) => {
                conn.shared.engine.count_end(error);
                tracing::info!(%error, "the connection was ended");
            }
        }
        drop(entry);
        result
    }
    .instrument(span)
    .await
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0).finish()
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("router", &self.router)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
