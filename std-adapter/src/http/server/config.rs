//! How a server is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Authorize, Permissions, ServerLimits};
use crate::encoding::{ContentEncoding, SUPPORTED};
use crate::engine::server::{Hooks, Shared};
use crate::host::Config;

/// How a server is made; see [`Server::new`](super::Server::new).
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The repository's path in addresses, such as `/repo`. Default: empty, the root.
    pub path: String,
    /// Who may do what. Default: everybody may pull, nobody may push.
    pub authorize: Arc<dyn Authorize>,
    /// Encodings for responses, best first; the first that the client decodes is used. Default: all
    /// that this build has ([`SUPPORTED`]), in the reference's order.
    pub encodings: Vec<ContentEncoding>,
    /// What clients may make this end hold, and for how long. Default: [`ServerLimits::HTTP`].
    pub limits: ServerLimits,
    /// How long running requests may take to end after [`Running::stop`](super::Running::stop).
    /// Default 30 seconds.
    pub shutdown: Duration,
    /// The version 1 capabilities, for clients that do not ask for version 2. None of its commands
    /// is served.
    pub version_1: String,
    /// Answer a request that breaks the framing's rules with status 400, not with 200 and a text as
    /// Mercurial's servers do (http-v2.md, 3). Default: no.
    pub strict_status: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            authorize: Arc::new(Permissions::ReadOnly),
            encodings: SUPPORTED.to_vec(),
            limits: ServerLimits::HTTP,
            shutdown: Duration::from_secs(30),
            version_1: String::new(),
            strict_status: false,
        }
    }
}

impl ServerConfig {
    /// What exchanges of frames share; what a request holds is counted as its body comes.
    pub(super) fn exchange(&self) -> Arc<Shared> {
        let mut config = Config::default();
        config.encodes.clone_from(&self.encodings);
        let limits = &self.limits.per_connection;
        // Data is there as a whole when its command runs.
        config.limits.buffer = limits.gathered;
        config.limits.gathered = limits.gathered;
        config.limits.frame_size = limits.frame_size;
        config.limits.request_size = limits.request_size;
        config.limits.calls = limits.calls;
        let mut limits = ServerLimits::only(config.limits);
        // All are answered at the end, and the body says how many there can be.
        limits.refusals = usize::MAX;
        Shared::new(config, limits, Hooks::default())
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("path", &self.path)
            .field("encodings", &self.encodings)
            .field("limits", &self.limits)
            .field("shutdown", &self.shutdown)
            .field("version_1", &self.version_1)
            .field("strict_status", &self.strict_status)
            .finish_non_exhaustive()
    }
}
