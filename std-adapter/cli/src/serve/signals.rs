//! What asks the server to end: Ctrl-C and `SIGTERM`.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, from its making on: before it, nothing has to be ended in order.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next. Dropping it loses none.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
