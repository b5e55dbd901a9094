//! `hgrpc hg files` and `cat`.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use hgrpc_mercurial::client::{ChangesetFields, Error, Form, RevisionFields};
use hgrpc_mercurial::{Changeset, Client, Contents, FileKind, Manifest, Node, Specifier};
use hgrpc_std::value::Value;

use super::bar;
use super::output::{Style, node, text, word};
use super::server::{Server, bytes, failure, lookup};
use crate::exit::Failure;
use crate::io;

/// Print the files that a changeset has.
///
/// For people their paths, with --json also their revisions and kinds.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
    /// The changeset: a node or its beginning, a bookmark, tag or branch. Default: the newest.
    #[arg(short, long, value_name = "NAME")]
    rev: Option<OsString>,
    /// Print paths as they are, each followed by a NUL byte, as `xargs -0` takes them.
    #[arg(short = '0', long, conflicts_with = "json")]
    print0: bool,
}

/// Print what is in a file.
#[derive(Debug, clap::Args)]
pub(super) struct Cat {
    #[command(flatten)]
    server: Server,
    /// The file's path in the repository, of any bytes.
    path: OsString,
    /// The changeset: a node or its beginning, a bookmark, tag or branch. Default: the newest.
    #[arg(short, long, value_name = "NAME")]
    rev: Option<OsString>,
}

impl Files {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let client = self.server.connect()?;
        let (manifest, entries) = manifest(&client, self.rev.as_deref())?;
        let mut out = self.style.output();
        for entry in Manifest::new(&entries).entries() {
            let entry = entry.map_err(wrong(manifest))?;
            if self.print0 {
                out.raw(&[entry.path, &[0]].concat())?;
                continue;
            }
            if !out.is_json() {
                out.line(&[("path", text(entry.path))])?;
                continue;
            }
            let kind = match entry.kind {
                FileKind::Plain => "plain",
                FileKind::Executable => "executable",
                FileKind::Symlink => "symlink",
            };
            out.line(&[
                ("path", text(entry.path)),
                ("node", node(&entry.node)),
                ("kind", Value::from(kind)),
            ])?;
        }
        out.finish()
    }
}

impl Cat {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let client = self.server.connect()?;
        let (manifest, entries) = manifest(&client, self.rev.as_deref())?;
        let path = bytes(&self.path);
        let entry = Manifest::new(&entries)
            .find(path)
            .map_err(wrong(manifest))?;
        let Some(entry) = entry else {
            let path = word(&text(path));
            return Err(Failure::Command(format!(
                "no file {path} in this changeset"
            )));
        };
        let fields = RevisionFields::TEXT;
        let mut revisions = client.file(path, &[entry.node], fields).map_err(failure)?;
        let Some(incoming) = revisions.next().map_err(failure)? else {
            let message = "the server did not send the file's revision";
            return Err(Failure::Connection(message.to_owned()));
        };
        let bar = bar::unless_printed(bar::bytes(), true);
        if let Form::Text(len) = incoming.info.form {
            bar.set_length(len);
        }
        let mut contents = Contents::new(bar.wrap_write(io::output()));
        let written = incoming.write_to(|_| Ok(None), &mut contents);
        written.map_err(|error| match error {
            Error::Storage(error) => Failure::output(error),
            error => failure(error),
        })?;
        let finished = contents.finish().and_then(|mut out| out.flush());
        bar.finish_and_clear();
        finished.map_err(Failure::output)
    }
}

fn wrong(node: Node) -> impl Fn(hgrpc_mercurial::ManifestError) -> Failure {
    move |error| failure(Error::Manifest { node, error })
}

/// The manifest of a changeset, and its text; empty for a changeset without files.
fn manifest(client: &Client, rev: Option<&OsStr>) -> Result<(Node, Vec<u8>), Failure> {
    let node = lookup(client, rev)?;
    if node.is_null() {
        return Ok((node, Vec::new()));
    }
    let fields = ChangesetFields {
        revision: true,
        ..ChangesetFields::default()
    };
    let nothing = || Failure::Connection(format!("the server did not send {node}"));
    let mut changesets = client
        .changesets(&[Specifier::Explicit(vec![node])], fields)
        .map_err(failure)?;
    let data = changesets.next().ok_or_else(nothing)?.map_err(failure)?;
    let text = data.text.ok_or_else(nothing)?;
    let manifest = Changeset::parse_manifest(&text);
    let manifest = manifest.map_err(|error| failure(Error::Changeset { node, error }))?;
    if manifest.is_null() {
        return Ok((manifest, Vec::new()));
    }
    let revisions = client.manifests(&[manifest], RevisionFields::TEXT);
    let mut texts = revisions.map_err(failure)?.texts();
    let (_, text) = texts.next().ok_or_else(nothing)?.map_err(failure)?;
    Ok((manifest, text))
}
