//! Our server, in this process or as the tool.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};

use hgrpc_mercurial::{Commands, MemoryRepository, Source};
use hgrpc_std::http::server::{Permissions, Running, Server, ServerConfig};
use std::sync::Arc;

use super::hg::{Process, tool};

/// A repository that this process serves, for reading and writing.
pub(crate) struct Served {
    pub(crate) url: String,
    running: Option<Running>,
}

impl Served {
    pub(crate) fn new(source: impl Source) -> Self {
        Self::commands(Commands::new(source))
    }

    pub(crate) fn commands(commands: Commands) -> Self {
        let mut config = ServerConfig::default();
        config.authorize = Arc::new(Permissions::ReadWrite);
        let server = Server::new(commands.router, commands.capabilities, config);
        let running = server
            .start(TcpListener::bind("127.0.0.1:0").unwrap())
            .unwrap();
        Self {
            url: format!("http://{}", running.address()),
            running: Some(running),
        }
    }

    pub(crate) fn memory(repository: MemoryRepository) -> Self {
        Self::new(Arc::new(repository))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// `hgrpc hg serve`.
pub(crate) struct Tool {
    pub(crate) url: String,
    process: Process,
}

impl Tool {
    pub(crate) fn serve(mirror: &Path, options: &[&str]) -> Self {
        let mut child: Child = tool(&["hg", "serve", mirror.to_str().unwrap()])
            .args(["--address", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let process = Process(child);
        let url = line
            .trim_end()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Self { url, process }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }
}
