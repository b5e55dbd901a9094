//! How a server is made, and what its clients may make it hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Authorize, Permissions};
use crate::blocking;
use crate::encoding::{ContentEncoding, SUPPORTED};

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
    /// What clients may make this end hold.
    pub limits: ServerLimits,
    /// The version 1 capabilities, for clients that do not ask for version 2. None of its commands
    /// is served.
    pub version_1: String,
    /// Answer a request that breaks the framing's rules with status 400, not with 200 and a text as
    /// Mercurial's servers do (http-v2.md, 3). Default: no.
    pub strict_status: bool,
}

/// What the clients of a server may make it hold, and for how long.
///
/// In bytes at most: `connections` × 100 Ki, and for each of `running` requests three times its own
/// length while it is read, 1 Mi while it is answered, and 5 Mi if that is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Most bytes of a request's body. Default 64 MiB.
    pub request: u64,
    /// Most bytes of one command's name and arguments. Default 16 MiB.
    pub command: u32,
    /// Most commands of one request. Default 1,024.
    pub commands: usize,
    /// Largest payload of a frame that is received, in bytes. Default 65,535.
    pub frame_size: u32,
    /// Most requests at once that are read or answered; one more is refused with status 503.
    /// Default 64: each has a thread.
    pub running: usize,
    /// Most connections at once; more wait to be accepted. Default 256.
    pub connections: usize,
    /// How long a client may take for a request's head, and for each next piece of its body.
    /// Default 60 seconds.
    pub read: Duration,
    /// How long a client may leave a response unread before it is given up. Default 5 minutes.
    pub stall: Duration,
    /// How long running requests may take to end after [`Running::stop`](super::Running::stop).
    /// Default 30 seconds.
    pub shutdown: Duration,
}

impl ServerLimits {
    /// The default limits.
    pub const DEFAULT: Self = Self {
        request: 64 << 20,
        command: 16 << 20,
        commands: 1024,
        frame_size: 65_535,
        running: 64,
        connections: 256,
        read: Duration::from_secs(60),
        stall: Duration::from_secs(300),
        shutdown: Duration::from_secs(30),
    };
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            authorize: Arc::new(Permissions::ReadOnly),
            encodings: SUPPORTED.to_vec(),
            limits: ServerLimits::DEFAULT,
            version_1: String::new(),
            strict_status: false,
        }
    }
}

impl ServerConfig {
    /// The reactor's configuration.
    pub(super) fn exchange(&self) -> blocking::Config {
        let mut config = blocking::Config::default();
        config.encodes.clone_from(&self.encodings);
        config.limits.frame_size = self.limits.frame_size;
        config.limits.request_size = self.limits.command;
        config.limits.calls = self.limits.commands;
        config.limits.gathered = usize::try_from(self.limits.request).unwrap_or(usize::MAX);
        config
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("path", &self.path)
            .field("encodings", &self.encodings)
            .field("limits", &self.limits)
            .field("version_1", &self.version_1)
            .field("strict_status", &self.strict_status)
            .finish_non_exhaustive()
    }
}
