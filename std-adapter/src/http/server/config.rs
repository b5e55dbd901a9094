//! How a server is made.

use std::fmt;
use std::sync::Arc;

use super::{Authorize, Permissions, ServerLimits};
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
