//! The server: its connections, from where they come in to what is said of their ends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hgrpc::Revision;
use hgrpc::wire::FrameHeader;
use hgrpc_std::tokio::transport::{Connection, Listener};
use hgrpc_std::tokio::{
    Call, ConnectionError, ConnectionLimit, Direction, Failure, Origin, Peer, Router, ServerLimits,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::command::{Calls, router};
use super::places::{Full, Places};
use super::program::{Offer, Programs};
use super::signals::Signals;
use super::{builtin, capabilities, log};
use crate::units::Shown;

/// How long to wait where the operating system cannot accept: mostly too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// How long what is left may take when all connections were cut. Programs get a second to end.
const AFTER_CUT: Duration = Duration::from_secs(3);

/// How long the last packets of a link may take.
const LAST_PACKETS: Duration = Duration::from_secs(1);

/// How many connections are told at once that they were one too many, and for how long each.
const REFUSED: usize = 16;
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// What the command line says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) revision: Revision,
    pub(super) limits: ServerLimits,
    pub(super) grace: Duration,
    pub(super) is_verbose: bool,
}

pub(super) struct Server {
    settings: Settings,
    calls: Arc<Calls>,
    server: hgrpc_std::tokio::Server,
    /// Tell connections that they were one too many: of all, of their peer.
    refusing: [hgrpc_std::tokio::Server; 2],
    places: Arc<Places>,
    refused_places: Arc<Semaphore>,
    /// What still has something to do listens to it: connections and programs.
    busy: Arc<watch::Sender<()>>,
    /// What went wrong with the connection that ended last.
    error: Mutex<Option<String>>,
}

impl Server {
    pub(super) fn new(settings: Settings, offer: Offer) -> std::io::Result<Arc<Self>> {
        let busy = Arc::new(watch::Sender::new(()));
        let mut commands = builtin::all(|name| offer.time(name));
        for (name, command) in Programs::start(offer.programs, &busy)? {
            commands.insert(name, command);
        }
        let capabilities = capabilities::Capabilities::new(&settings, &commands);
        commands
            .entry("capabilities".to_owned())
            .or_insert_with(|| Arc::new(capabilities));
        let calls = Arc::default();
        let mut server = hgrpc_std::tokio::Server::builder(router(&commands, &calls))
            .revision(settings.revision)
            .limits(settings.limits);
        if settings.is_verbose {
            let revision = settings.revision;
            server = server.observer(move |peer, direction, header| {
                show(peer, direction, header, revision);
            });
        }
        Ok(Arc::new(Self {
            places: Places::new(
                settings.limits.connections,
                settings.limits.peer_connections,
            ),
            refused_places: Arc::new(Semaphore::new(REFUSED)),
            server: server.build(),
            refusing: [Full::All, Full::Each].map(|full| refusing(&settings, full)),
            settings,
            calls,
            busy,
            error: Mutex::default(),
        }))
    }

    /// Serves until no connection can come any more, or until it is asked to end; what went wrong
    /// with the last connection.
    pub(super) async fn run(
        self: &Arc<Self>,
        listener: Listener,
        signals: &mut Signals,
    ) -> Option<String> {
        tokio::select! {
            () = async {
                self.accept(&listener).await;
                self.busy.closed().await;
            } => {}
            () = signals.next() => {
                drop(listener);
                self.stop(signals).await;
                // Without it nothing is lost: programs are ended by their guard.
                let _ = timeout(AFTER_CUT, self.busy.closed()).await;
            }
        }
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.take()
    }

    /// Accepts connections as long as there are any.
    async fn accept(self: &Arc<Self>, listener: &Listener) {
        loop {
            match listener.accept().await {
                Ok(Some(connection)) => self.take(connection),
                Ok(None) => return,
                Err(error) => {
                    log::line(error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Gives a connection a task of its own, if there is a place for it.
    fn take(self: &Arc<Self>, connection: Connection) {
        let (server, busy) = (Arc::clone(self), self.busy.subscribe());
        let origin = connection.peer().origin();
        let full = match self.places.take(origin) {
            Ok(place) => {
                tokio::spawn(async move {
                    let error = server.serve(connection).await;
                    *server.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
                    drop((place, busy));
                });
                return;
            }
            Err(full) => full,
        };
        let too_many = too_many(&self.settings.limits, full, origin);
        log::about(connection.name(), too_many);
        if let Ok(place) = Arc::clone(&self.refused_places).try_acquire_owned() {
            tokio::spawn(async move {
                // It is told with its first call, which is when it listens.
                let (name, peer) = (connection.name().to_owned(), connection.peer());
                let [all, each] = &server.refusing;
                let refusing = match full {
                    Full::All => all,
                    Full::Each => each,
                };
                let refusing = refusing.serve_connection(connection, peer);
                if timeout(REFUSED_FOR, refusing).await.is_err() {
                    log::about(&name, "it did not go");
                }
                drop((place, busy));
            });
        }
    }

    /// Serves a connection until its end; what went wrong.
    async fn serve(&self, connection: Connection) -> Option<String> {
        let (name, left) = (connection.name().to_owned(), connection.left());
        let peer = Arc::new(connection.peer());
        let say = |message: &dyn fmt::Display| {
            if self.settings.is_verbose {
                log::trace(&name, message);
            }
        };
        say(&"connected");
        self.calls.enter(&peer);
        let served = self.server.serve_connection(connection, Arc::clone(&peer));
        let result = served.await;
        let cut = self.calls.leave(&peer);
        let error = match result {
            // What it is told of writing that failed says nothing of the client's end.
            Ok(())
            | Err(
                ConnectionError::Closed | ConnectionError::Shutdown | ConnectionError::Write(_),
            ) => {
                say(&"disconnected");
                None
            }
            // With a link this is how clients go, too.
            Err(ConnectionError::Link(error)) if cut == 0 => {
                say(&format_args!("disconnected ({error})"));
                None
            }
            // That is said of all that were cut.
            Err(ConnectionError::Limit(ConnectionLimit::Deadline)) => None,
            Err(ConnectionError::Limit(limit)) => Some(self.closed(limit)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error
            // On standard input and output it is the end of the run, which says it.
            && name != "stdio:"
        {
            log::about(&name, error);
        }
        let _ = timeout(LAST_PACKETS, left.wait()).await;
        error
    }

    /// Why this end has closed a connection.
    fn closed(&self, limit: ConnectionLimit) -> String {
        let limits = &self.settings.limits;
        let shown = |time: Option<Duration>| Shown(time.unwrap_or_default());
        match limit {
            ConnectionLimit::Idle => {
                format!("closed: nothing came for {}", shown(limits.idle))
            }
            ConnectionLimit::NotReading => {
                format!(
                    "closed: it took no answer for {}",
                    shown(limits.not_reading)
                )
            }
            ConnectionLimit::FirstFrame => {
                format!("closed: no call came within {}", shown(limits.first_frame))
            }
            ConnectionLimit::Unfinished => {
                "closed: the rest of a call did not come in time (--timeout, --data-timeout)"
                    .to_owned()
            }
            ConnectionLimit::SlowData => format!(
                "closed: data came more slowly than {} bytes a second for {} (--min-rate)",
                limits.min_rate,
                shown(limits.data_silence)
            ),
            _ => format!("closed: {limit}"),
        }
    }

    /// Ends in order; asked again, at once.
    async fn stop(&self, signals: &mut Signals) {
        let grace = self.settings.grace;
        let asked_again = async {
            let running = self.calls.running();
            if running > 0 {
                let calls = counted(running);
                log::line(format_args!(
                    "ending: {calls} may go on for {}",
                    Shown(grace)
                ));
            }
            signals.next().await;
        };
        let shutdown = tokio::select! {
            // In this order: what is said to have begun has.
            biased;
            shutdown = self.server.shutdown(grace) => shutdown,
            () = asked_again => self.server.shutdown(Duration::ZERO).await,
        };
        for refusing in &self.refusing {
            refusing.shutdown(Duration::ZERO).await;
        }
        let mut cut = Vec::new();
        for connection in &shutdown.cut {
            for (_, command) in &connection.commands {
                let command = String::from_utf8_lossy(command);
                cut.push(format!("{command} of {}", connection.peer));
            }
        }
        if !cut.is_empty() {
            log::line(format_args!(
                "cut {}: {}",
                counted(cut.len()),
                cut.join(", ")
            ));
        }
    }
}

fn counted(calls: usize) -> String {
    match calls {
        1 => "1 call".to_owned(),
        calls => format!("{calls} calls"),
    }
}

/// Makes what tells connections that they were one too many, with their first call.
fn refusing(settings: &Settings, full: Full) -> hgrpc_std::tokio::Server {
    let limits = settings.limits;
    let refuse = move |call: Call| {
        let origin = call.peer().origin();
        let refused = Err::<(), _>(Failure::server(too_many(&limits, full, origin)));
        async move { refused }
    };
    let mut limits = limits;
    limits.per_connection.calls = 1;
    hgrpc_std::tokio::Server::builder(Router::new().fallback(refuse))
        .revision(settings.revision)
        .limits(limits)
        .build()
}

fn too_many(limits: &ServerLimits, full: Full, origin: Origin) -> String {
    match full {
        Full::All => format!("too many connections, limit {}", limits.connections),
        Full::Each => format!(
            "too many connections of {origin}, limit {} of each peer (--peer-connections)",
            limits.peer_connections
        ),
    }
}

/// Shows a frame (framing.md, "Showing a frame to people").
fn show(peer: &Peer, direction: Direction, header: &FrameHeader, revision: Revision) {
    let arrow = match direction {
        Direction::In => "->",
        Direction::Out => "<-",
    };
    let shown = header.display(revision);
    log::trace(&peer.to_string(), format_args!("{arrow} {shown}"));
}
