//! Connections: from the listener to their threads, and what is said of their ends.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::wire::FrameHeader;
use hgrpc_std::blocking::{
    Call, Config, ConnectionError, Direction, Failure, Reply, Router, Transport, serve,
};
use hgrpc_std::transport::{Connection, Listener};

use super::log;
use super::peer::{Peer, Timed};
use super::server::{Place, Server};

/// How long to wait where the operating system cannot accept: mostly too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until the listener is closed; then nobody listens any more.
pub(super) fn run(server: &Arc<Server>, listener: Listener) {
    loop {
        match listener.accept() {
            Ok(Some(connection)) => take(server, connection),
            Ok(None) => return,
            Err(error) => {
                log::line(error);
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Gives a connection a thread of its own.
fn take(server: &Arc<Server>, connection: Connection) {
    let name = connection.peer().to_owned();
    let make = |until: Option<Instant>| Peer::new(name.clone(), connection.handle(), until);
    let (number, peer) = match server.enter(make) {
        Place::Free(number, peer) => (number, peer),
        Place::Refused(number, peer) => {
            log::about(&name, too_many(server));
            (number, peer)
        }
        Place::None => return log::about(&name, too_many(server)),
    };
    let serving = Arc::clone(server);
    let started = thread::Builder::new()
        .name("connection".into())
        .spawn(move || {
            let error = connected(&serving, &peer, connection);
            serving.leave(number, error);
        });
    if let Err(error) = started {
        log::about(&name, format_args!("no thread for it: {error}"));
        server.leave(number, None);
    }
}

fn too_many(server: &Server) -> String {
    format!(
        "too many connections, limit {}",
        server.settings.connections
    )
}

/// Serves a connection until its end; what went wrong.
fn connected(server: &Arc<Server>, peer: &Arc<Peer>, connection: Connection) -> Option<String> {
    let (reader, writer, handle) = connection.into_parts();
    let transport = Transport::new(timed(reader, peer), timed(writer, peer));
    let transport = transport.on_close(move || handle.close());
    let mut config = server.settings.config.clone();
    if server.settings.is_verbose {
        log::about(&peer.name, "connected");
        config.observer = Some(observer(peer, &config));
    }
    let result = match peer.refused_until {
        None => serve(transport, &router(server, peer), &config),
        Some(_) => {
            // It is told with its first call, which is when it listens.
            let message = too_many(server);
            let refuse = move |_: Call, reply: Reply| drop(reply.fail(Failure::server(&message)));
            config.limits.calls = 1;
            serve(transport, &Router::new().fallback(refuse), &config)
        }
    };
    match (peer.closed(), result) {
        (Some(""), _) => None,
        (Some(reason), _) => Some(reason.to_owned()),
        // What it is told of writing that failed says nothing of the client's end.
        (None, Ok(_) | Err(ConnectionError::Closed | ConnectionError::Shutdown)) => {
            if server.settings.is_verbose {
                log::about(&peer.name, "disconnected");
            }
            return None;
        }
        // With a link this is how clients go, too.
        (None, Err(ConnectionError::Link(error))) if peer.was_idle() => {
            if server.settings.is_verbose {
                log::about(&peer.name, format_args!("disconnected ({error})"));
            }
            return None;
        }
        (None, Err(error)) => Some(error.to_string()),
    }
    // On standard input and output it is the end of the run, which says it.
    .inspect(|error| {
        if peer.name != "stdio:" {
            log::about(&peer.name, error);
        }
    })
}

fn timed<T>(inner: T, peer: &Arc<Peer>) -> Timed<T> {
    Timed {
        inner,
        peer: Arc::clone(peer),
    }
}

/// What shows the frames (framing.md, "Showing a frame to people").
fn observer(peer: &Peer, config: &Config) -> hgrpc_std::blocking::Observer {
    let (name, revision) = (peer.name.clone(), config.revision);
    Arc::new(move |direction: Direction, header: &FrameHeader| {
        let arrow = match direction {
            Direction::In => "->",
            Direction::Out => "<-",
        };
        let line = format!("{name} {arrow} {}\n", header.display(revision));
        let _ = std::io::stderr().write_all(line.as_bytes());
    })
}

/// The commands, for this connection.
fn router(server: &Arc<Server>, peer: &Arc<Peer>) -> Router {
    let mut router = Router::new();
    for (name, command) in &server.commands {
        let (server, peer) = (Arc::clone(server), Arc::clone(peer));
        let (name, command) = (name.clone(), Arc::clone(command));
        router = router.handler(name.clone(), move |mut call: Call, mut reply: Reply| {
            let running = match server.begin(&peer, &name) {
                Ok(running) => running,
                Err(failure) => return drop(reply.fail(failure)),
            };
            let result = command.run(&peer, &mut call, &mut reply);
            running.answer();
            // That the client is gone is nobody's error here.
            match result {
                Ok(()) => drop(reply.finish()),
                Err(failure) => drop(reply.fail(failure)),
            }
            drop(running);
        });
    }
    router
}
