//! What clients can call, and which calls run.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hgrpc_std::tokio::{Call, Data, Failure, Peer, Reply, Router};

use tokio::time::timeout;

use super::capabilities::Arg;
use super::limit::Limit;
use super::log;
use crate::units::Shown;

/// How a command ends: with its reply, to be finished; or with what is answered instead, behind
/// what it has flushed.
pub(super) type Answer = BoxFuture<'static, Result<Reply, Failure>>;

/// Something that clients can call.
pub(super) trait Command: Send + Sync {
    /// Runs it. Dropped where the connection has ended.
    fn run(self: Arc<Self>, call: Call, data: Data, reply: Reply) -> Answer;

    /// Its arguments, as `capabilities` shows them.
    fn args(&self) -> Vec<(&'static str, Arg)>;

    /// Its limits, if it is a program.
    fn limit(&self) -> Option<Limit> {
        None
    }

    /// How long a call of it may take.
    fn time(&self) -> Option<Duration> {
        self.limit()?.time
    }
}

/// A command whose calls may take so long.
pub(super) struct Timed {
    pub(super) name: String,
    pub(super) command: Arc<dyn Command>,
    pub(super) time: Duration,
}

impl Command for Timed {
    fn run(self: Arc<Self>, call: Call, data: Data, reply: Reply) -> Answer {
        Box::pin(async move {
            let peer = Arc::clone(call.peer());
            let running = Arc::clone(&self.command).run(call, data, reply);
            timeout(self.time, running)
                .await
                .unwrap_or_else(|_| Err(took_too_long(&self.name, self.time, &peer.to_string())))
        })
    }

    fn args(&self) -> Vec<(&'static str, Arg)> {
        self.command.args()
    }

    fn time(&self) -> Option<Duration> {
        Some(self.time)
    }
}

/// What a call fails with that took too long. The log is told, too.
pub(super) fn took_too_long(name: &str, time: Duration, peer: &str) -> Failure {
    let what = format!("{name} took longer than {} and was ended", Shown(time));
    log::about(peer, &what);
    Failure::command(what)
}

pub(super) type Commands = BTreeMap<String, Arc<dyn Command>>;

/// The commands as handlers. Their calls are counted.
pub(super) fn router(commands: &Commands, calls: &Arc<Calls>) -> Router {
    let mut router = Router::new();
    for (name, command) in commands {
        let (command, calls) = (Arc::clone(command), Arc::clone(calls));
        router = router.command(name, move |call: Call, data: Data, reply: Reply| {
            let (command, calls) = (Arc::clone(&command), Arc::clone(&calls));
            async move {
                let (peer, gone) = (Arc::clone(call.peer()), call.gone().clone());
                calls.begin(&peer);
                let answer = command.run(call, data, reply).await;
                // Only the end of the answer is left to be sent. A client that has it may go at
                // once; one that has gone before has left its call behind.
                if !gone.is_gone() {
                    calls.end(&peer);
                }
                // That the client is gone is nobody's error here.
                drop(answer?.finish());
                Ok::<_, Failure>(())
            }
        });
    }
    router
}

/// How many calls run on each connection; those that its end has cut stay.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<HashMap<usize, usize>>);

impl Calls {
    fn connections(&self) -> MutexGuard<'_, HashMap<usize, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to this peer begins, who is kept until its end.
    pub(super) fn enter(&self, peer: &Arc<Peer>) {
        self.connections().insert(address(peer), 0);
    }

    /// It has ended: how many of its calls had not.
    pub(super) fn leave(&self, peer: &Arc<Peer>) -> usize {
        self.connections().remove(&address(peer)).unwrap_or(0)
    }

    /// How many calls run on all connections.
    pub(super) fn running(&self) -> usize {
        self.connections().values().sum()
    }

    fn begin(&self, peer: &Arc<Peer>) {
        if let Some(calls) = self.connections().get_mut(&address(peer)) {
            *calls += 1;
        }
    }

    fn end(&self, peer: &Arc<Peer>) {
        if let Some(calls) = self.connections().get_mut(&address(peer)) {
            *calls = calls.saturating_sub(1);
        }
    }
}

/// What tells connections apart: Unix sockets' peers have the same name.
fn address(peer: &Arc<Peer>) -> usize {
    Arc::as_ptr(peer).addr()
}
