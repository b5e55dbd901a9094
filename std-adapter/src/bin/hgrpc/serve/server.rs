//! What all connections share: the commands, the places, the end.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc_std::blocking::{Call, Config, Failure, Reply};
use hgrpc_std::transport::ListenerHandle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::limit::Limit;
use super::peer::Peer;
use super::program::{Program, Programs};
use super::{builtin, capabilities, log};
use crate::units::Shown;

/// How long the threads of connections that were cut may take. Programs get a second to end.
const AFTER_CUT: Duration = Duration::from_secs(3);

/// How often time limits are looked at.
const TICK: Duration = Duration::from_millis(250);

/// What the command line says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) connections: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) is_verbose: bool,
}

/// Something that clients can call.
pub(super) trait Command: Send + Sync {
    /// Runs it.
    fn run(&self, peer: &Peer, call: &mut Call, reply: &mut Reply) -> Result<(), Failure>;

    /// Its arguments, as `capabilities` shows them.
    fn args(&self) -> Vec<(&'static str, capabilities::Arg)>;

    /// Its limits; none where it needs none.
    fn limit(&self) -> Option<Limit> {
        None
    }
}

pub(super) type Commands = BTreeMap<String, Arc<dyn Command>>;

pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) commands: Commands,
    state: Mutex<State>,
    changed: Condvar,
    is_stopping: AtomicBool,
    listener: ListenerHandle,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<u64, Arc<Peer>>,
    next: u64,
    /// When calls that still run are cut.
    deadline: Option<Instant>,
    /// What went wrong with the connection that ended last.
    error: Option<String>,
}

/// Whether a connection can be served.
pub(super) enum Place {
    /// It has a place, by this number.
    Free(u64, Arc<Peer>),
    /// All are taken; it can be told so.
    Refused(u64, Arc<Peer>),
    /// Too many are being told so.
    None,
}

/// How many connections are told at once that they were one too many, and for how long each.
const REFUSED: usize = 16;
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// A call that runs; dropped, it has ended.
pub(super) struct Running<'a> {
    server: &'a Server,
    peer: &'a Peer,
    number: u64,
}

impl Running<'_> {
    /// Only the end of the answer is left to be sent. A client that has it may go, and the server
    /// be ended, before this thread comes to drop this: nothing is cut then.
    pub(super) fn answer(&self) {
        if let Some(name) = self.peer.calls().get_mut(&self.number) {
            *name = None;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut calls = self.peer.calls();
        calls.remove(&self.number);
        let is_last = calls.is_empty();
        drop(calls);
        self.peer.touch();
        if is_last && self.server.is_stopping() {
            self.peer.close("");
        }
    }
}

impl Server {
    pub(super) fn new(
        settings: Settings,
        programs: Vec<Program>,
        listener: ListenerHandle,
    ) -> io::Result<Self> {
        let mut commands = builtin::all();
        let programs = Programs::start(programs)?;
        for (name, command) in programs {
            commands.insert(name, command);
        }
        let capabilities = capabilities::Capabilities::new(&settings, &commands);
        commands
            .entry("capabilities".to_owned())
            .or_insert_with(|| Arc::new(capabilities));
        Ok(Self {
            settings,
            commands,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
            listener,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// A place for a connection.
    pub(super) fn enter(&self, make: impl FnOnce(Option<Instant>) -> Peer) -> Place {
        let mut state = self.state();
        let is_refused = |peer: &&Arc<Peer>| peer.refused_until.is_some();
        let refused = state.peers.values().filter(is_refused).count();
        let is_full = state.peers.len() - refused >= self.settings.connections;
        if is_full && refused >= REFUSED {
            return Place::None;
        }
        let peer = Arc::new(make(is_full.then(|| Instant::now() + REFUSED_FOR)));
        let number = state.next;
        state.next += 1;
        state.peers.insert(number, Arc::clone(&peer));
        if is_full {
            Place::Refused(number, peer)
        } else {
            Place::Free(number, peer)
        }
    }

    /// A connection has ended.
    pub(super) fn leave(&self, number: u64, error: Option<String>) {
        let mut state = self.state();
        state.peers.remove(&number);
        state.error = error;
        drop(state);
        self.changed.notify_all();
    }

    /// A call begins.
    pub(super) fn begin<'a>(
        &'a self,
        peer: &'a Peer,
        command: &str,
    ) -> Result<Running<'a>, Failure> {
        let number = peer.next_call();
        let mut calls = peer.calls();
        if self.is_stopping() {
            return Err(Failure::server("the server is being ended"));
        }
        calls.insert(number, Some(command.to_owned()));
        Ok(Running {
            server: self,
            peer,
            number,
        })
    }

    /// Ends in order; asked again, at once.
    fn stop(&self) {
        let is_first = !self.is_stopping.swap(true, Ordering::SeqCst);
        self.listener.close();
        let mut state = self.state();
        let mut running = 0;
        for peer in state.peers.values() {
            let calls = peer.calls();
            running += calls.values().flatten().count();
            if calls.is_empty() {
                peer.close("");
            }
        }
        if is_first {
            let grace = self.settings.grace;
            state.deadline = Some(Instant::now() + grace);
            if running > 0 {
                let calls = counted(running);
                log::line(format_args!(
                    "ending: {calls} may go on for {}",
                    Shown(grace)
                ));
            }
        } else {
            state.deadline = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the connections that are left, and cuts those that do not end in time; what went
    /// wrong with the last.
    pub(super) fn finish(&self) -> Option<String> {
        let mut state = self.wait(self.state(), |state| state.deadline);
        let left: Vec<Arc<Peer>> = state.peers.values().cloned().collect();
        let mut cut = Vec::new();
        for peer in &left {
            for call in peer.calls().values().flatten() {
                cut.push(format!("{call} of {}", peer.name));
            }
        }
        if !cut.is_empty() {
            log::line(format_args!(
                "cut {}: {}",
                counted(cut.len()),
                cut.join(", ")
            ));
        }
        drop(state);
        for peer in &left {
            peer.close("");
        }
        let end = Instant::now() + AFTER_CUT;
        state = self.wait(self.state(), |_| Some(end));
        state.error.take()
    }

    /// Waits until no connection is left, or the deadline has passed.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        deadline: impl Fn(&State) -> Option<Instant>,
    ) -> MutexGuard<'a, State> {
        loop {
            let left = match deadline(&state) {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if state.peers.is_empty() || left.is_zero() {
                return state;
            }
            state = match left {
                Duration::MAX => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                left => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

fn counted(calls: usize) -> String {
    match calls {
        1 => "1 call".to_owned(),
        calls => format!("{calls} calls"),
    }
}

/// What asks the server to end, from here on: before it, nothing has to be ended in order.
pub(super) fn signals() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM])
}

/// Ends the server when it is asked to, as Ctrl-C does.
pub(super) fn watch_signals(server: &Arc<Server>, mut signals: Signals) -> io::Result<()> {
    let server = Arc::clone(server);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().for_each(|_| server.stop()))
        .map(drop)
}

/// Closes connections whose time is up.
pub(super) fn watch_time(server: &Arc<Server>) -> io::Result<()> {
    let server = Arc::clone(server);
    thread::Builder::new()
        .name("time".into())
        .spawn(move || {
            loop {
                thread::sleep(TICK);
                let peers: Vec<Arc<Peer>> = server.state().peers.values().cloned().collect();
                for peer in peers {
                    peer.close_if_idle(server.settings.timeout);
                }
            }
        })
        .map(drop)
}
