//! What those who run one program tell each other: its exit, and why it has to end.

use std::time::Duration;

use hgrpc_std::tokio::Failure;
use tokio::sync::watch;
use tokio::time::timeout;

/// Why a program is ended before it ends by itself.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Its client has gone.
    Gone,
    /// It took too long.
    TimedOut,
    /// It wrote too much.
    TooLong,
    /// Something here failed.
    Failed(Failure),
}

/// A call's state, for all who run it.
#[derive(Debug, Default)]
pub(super) struct Watch(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    has_exited: bool,
    /// All that it wrote was read.
    is_read: bool,
    end: Option<End>,
}

impl Watch {
    /// Waits until this is so.
    async fn wait(&self, is_so: impl FnMut(&State) -> bool) {
        // It lives as long as this does.
        let _ = self.0.subscribe().wait_for(is_so).await;
    }

    /// The program has exited.
    pub(super) fn exited(&self) {
        self.0.send_modify(|state| state.has_exited = true);
    }

    /// All that it wrote was read.
    pub(super) fn read(&self) {
        self.0.send_modify(|state| state.is_read = true);
    }

    /// The program has to end; the first reason counts.
    pub(super) fn end(&self, end: End) {
        self.0.send_modify(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Why it has to end.
    pub(super) fn reason(&self) -> Option<End> {
        self.0.borrow().end.clone()
    }

    /// Waits until the program has ended by itself and was read, or has to end, or for so long.
    pub(super) async fn wait_done(&self, time: Option<Duration>) {
        let done = self.wait(|state| state.has_exited && state.is_read || state.end.is_some());
        match time {
            None => done.await,
            Some(time) => {
                if timeout(time, done).await.is_err() {
                    self.end(End::TimedOut);
                }
            }
        }
    }

    /// Waits until the program has exited.
    pub(super) async fn wait_exited(&self) {
        self.wait(|state| state.has_exited).await;
    }
}
