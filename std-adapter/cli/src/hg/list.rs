//! `hgrpc hg heads`, `known`, `branches`, `bookmarks`.

use hgrpc_mercurial::Node;
use hgrpc_std::value::Value;

use super::output::{Style, node, text};
use super::server::{Server, failure};
use crate::exit::Failure;

/// Print the changesets without children.
#[derive(Debug, clap::Args)]
pub(super) struct Heads {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
    /// Only of public changesets.
    #[arg(long)]
    public: bool,
}

impl Heads {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let heads = self.server.connect()?.heads(self.public).map_err(failure)?;
        let mut out = self.style.output();
        for head in &heads {
            out.line(&[("node", node(head))])?;
        }
        out.finish()
    }
}

/// Print which changesets the server has: yes or no for each.
#[derive(Debug, clap::Args)]
pub(super) struct Known {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
    /// Changesets, 40 hexadecimal digits each.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<Node>,
}

impl Known {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let known = self.server.connect()?.known(&self.nodes).map_err(failure)?;
        let mut out = self.style.output();
        for (changeset, is_known) in self.nodes.iter().zip(known) {
            out.line(&[("node", node(changeset)), ("known", Value::Bool(is_known))])?;
        }
        out.finish()
    }
}

/// Print the branches with their heads.
#[derive(Debug, clap::Args)]
pub(super) struct Branches {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
}

impl Branches {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let branches = self.server.connect()?.branchmap().map_err(failure)?;
        let mut out = self.style.output();
        for (name, heads) in &branches {
            let heads = Value::Array(heads.iter().map(node).collect());
            out.line(&[("branch", text(name)), ("heads", heads)])?;
        }
        out.finish()
    }
}

/// Print the bookmarks and where they are.
#[derive(Debug, clap::Args)]
pub(super) struct Bookmarks {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
}

impl Bookmarks {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let bookmarks = self.server.connect()?.bookmarks().map_err(failure)?;
        let mut out = self.style.output();
        for (name, changeset) in &bookmarks {
            out.line(&[("bookmark", text(name)), ("node", node(changeset))])?;
        }
        out.finish()
    }
}
