//! Mercurial: its data formats, its servers asked, its repositories kept and served.
//!
//! | what | where |
//! | --- | --- |
//! | data formats: nodes, changesets, manifests, files, deltas | [`Node`], [`Changeset`], [`Manifest`], [`FileText`], [`Delta`] |
//! | typed calls of a server's commands over HTTP | [`client`], [`Client`] |
//! | a repository for those that serve it; one in memory | [`Repository`], [`MemoryRepository`] |
//! | the commands that serve a repository | [`Commands`] |
//! | a repository in files, fetched from a server | [`mirror`], [`Mirror`] |
//!
//! Revision 0006 over HTTP is what Mercurial 4.8 to 6.0 speaks with
//! `experimental.web.api.http-v2` (http-v2.md, 5). Everything received is checked against the hash
//! that names it; texts of any size stream.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::TcpListener;
//! use std::sync::Arc;
//!
//! use hgrpc_std::http::server::{Server, ServerConfig};
//! use hgrpc_std::http::Config;
//! use hgrpc_mercurial::{Client, Commands, Commit, FileKind, MemoryRepository};
//!
//! // A repository of one changeset, which `hg clone` would take, too.
//! let repository = MemoryRepository::new();
//! let mut commit = Commit::default();
//! commit.about.user = b"somebody".to_vec();
//! commit.changes.insert(b"hello".to_vec(), Some((b"world\n".to_vec(), FileKind::Plain)));
//! let node = repository.commit(commit)?;
//!
//! let commands = Commands::new(Arc::new(repository));
//! let server = Server::new(commands.router, commands.capabilities, ServerConfig::default());
//! let running = server.start(TcpListener::bind("127.0.0.1:0")?)?;
//!
//! let client = Client::connect(&format!("http://{}", running.address()), Config::default())?;
//! assert_eq!(client.heads(false)?, [node]);
//! # running.stop();
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod changeset;
pub mod client;
mod dag;
mod delta;
mod file;
mod filter;
mod manifest;
mod memory;
pub mod mirror;
mod node;
mod repository;
mod serve;
mod specifier;
mod values;

pub use changeset::{Changeset, ChangesetError};
pub use client::Client;
pub use delta::{ApplyError, Delta, DeltaError, DeltaErrorKind, apply};
pub use file::{Contents, FileText, FileTextError};
pub use filter::{PathFilter, PathPattern};
pub use manifest::{
    Added, FileKind, Manifest, ManifestEntries, ManifestEntry, ManifestError, ManifestErrorKind,
};
pub use memory::{Commit, CommitError, MemoryRepository};
pub use mirror::{LiveMirror, Mirror, MirrorWriter};
pub use node::{Node, NodeError, NodeHasher};
pub use repository::{Log, Phase, Repository, Revision, Source, StoredDelta, Text};
pub use serve::Commands;
pub use specifier::Specifier;
