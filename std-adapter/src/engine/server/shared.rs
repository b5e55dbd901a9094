//! What all connections of a server share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hgrpc::wire::{FrameHeader, RequestId};

use super::super::budget::Pool;
use crate::gate::stats::Counters;
use crate::gate::{Refusal, ServerLimits, Stats};
use crate::host::counting::count;
use crate::host::peer::Peer;
use crate::host::{Config, ConnectionError, Direction, Failure};

/// Told of a frame.
type OnFrame = Box<dyn Fn(&Peer, Direction, &FrameHeader) + Send + Sync>;
/// Told of a refused request, and of its command's name if that is known.
type OnRefusal = Box<dyn Fn(RequestId, Option<&[u8]>, Refusal) + Send + Sync>;

/// Functions that are told of what happens; they must not block.
#[derive(Default)]
pub struct Hooks {
    /// Told of each frame before it is handled or written.
    pub frame: Option<OnFrame>,
    /// Told of each refused request.
    pub refusal: Option<OnRefusal>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("frame", &self.frame.is_some())
            .field("refusal", &self.refusal.is_some())
            .finish()
    }
}

/// What all connections of a server share.
pub struct Shared {
    pub(super) config: Config,
    pub(super) limits: ServerLimits,
    pub(crate) counters: Counters,
    pub(super) pool: Arc<Pool>,
    hooks: Hooks,
    is_stopping: AtomicBool,
}

impl Shared {
    /// A server with these limits; those of `config` are not looked at.
    pub fn new(mut config: Config, limits: ServerLimits, hooks: Hooks) -> Arc<Self> {
        let limits = limits.checked();
        config.limits = limits.per_connection;
        Arc::new(Self {
            config,
            limits,
            counters: Counters::default(),
            pool: Pool::new(limits.shared_bytes),
            hooks,
            is_stopping: AtomicBool::new(false),
        })
    }

    /// The configuration, with the limits of one connection.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The limits.
    pub const fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// What was done and refused so far.
    pub fn stats(&self) -> Stats {
        self.counters.read(self.pool.held(), self.pool.most_held())
    }

    /// Counts a connection that has ended with an error, be it at once.
    pub fn count_end(&self, error: &ConnectionError) {
        let counters = &self.counters;
        match error {
            ConnectionError::Limit(limit) => counters.closed(*limit),
            ConnectionError::Protocol(error) => counters.broke(*error),
            ConnectionError::NotHgrpc(_) => count(&counters.not_hgrpc),
            _ => count(&counters.broken),
        }
    }

    /// Takes no request any more.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether no request is taken any more.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn saw(&self, peer: &Peer, direction: Direction, header: &FrameHeader) {
        if let Some(frame) = &self.hooks.frame {
            frame(peer, direction, header);
        }
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.hooks.frame.is_some()
    }

    /// Counts and reports a refused request.
    pub(crate) fn refused(&self, id: RequestId, command: Option<&[u8]>, refusal: Refusal) {
        self.counters.refused(refusal);
        if let Some(told) = &self.hooks.refusal {
            told(id, command, refusal);
        }
    }

    /// A limit's refusal as the client is told of it.
    pub(crate) fn refusal(&self, refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Stalled => {
                let stall = self.config.limits.stall.unwrap_or_default();
                Failure::server(format_args!(
                    "{refusal}, the command did not take its data for {} ms",
                    stall.as_millis()
                ))
            }
            Refusal::ServerBytes => Failure::server(format_args!(
                "{refusal}, limit {} of the connection, {} of all",
                self.limits.connection_bytes, self.limits.shared_bytes
            )),
            Refusal::DataTooLarge => Failure::server(format_args!(
                "{refusal}, limit {} bytes",
                self.limits.collected
            )),
            Refusal::ShuttingDown => {
                Failure::server(format_args!("{refusal}, the server is being ended"))
            }
            _ => Failure::server(refusal),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
