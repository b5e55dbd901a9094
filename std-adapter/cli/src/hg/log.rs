//! `hgrpc hg log`.

use std::collections::VecDeque;
use std::ffi::OsString;

use hgrpc_mercurial::client::{ChangesetData, ChangesetFields, Error};
use hgrpc_mercurial::{Changeset, Specifier};
use hgrpc_std::value::Value;

use super::bar;
use super::output::{Output, Style, node, text};
use super::server::{Server, failure, lookup};
use crate::exit::Failure;
use crate::units;

/// Print changesets: node, time (UTC), user, first line of the description.
///
/// Parents before their children, as they come; --json has all fields.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    style: Style,
    /// Only this changeset and its ancestors: a node or its beginning, a bookmark, tag or branch.
    #[arg(short, long, value_name = "NAME")]
    rev: Option<OsString>,
    /// Only the newest so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Args {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let client = self.server.connect()?;
        let heads = match &self.rev {
            Some(rev) => vec![lookup(&client, Some(rev))?],
            None => client.heads(false).map_err(failure)?,
        };
        let mut out = self.style.output();
        // Mercurial's server refuses to be asked about nothing.
        if heads.is_empty() {
            return out.finish();
        }
        let range = Specifier::Range {
            roots: Vec::new(),
            heads,
        };
        let changesets = client.changesets(&[range], ChangesetFields::ALL);
        let changesets = changesets.map_err(failure)?;
        let bar = bar::unless_printed(bar::counting("changesets"), self.limit.is_none());
        bar.set_length(changesets.total());
        let mut last = VecDeque::new();
        for data in bar.wrap_iter(changesets) {
            let data = data.map_err(failure)?;
            if !data.is_selected {
                continue;
            }
            match self.limit {
                None => print(&mut out, &data)?,
                Some(limit) => {
                    last.push_back(data);
                    if last.len() > limit {
                        last.pop_front();
                    }
                }
            }
        }
        bar.finish_and_clear();
        for data in &last {
            print(&mut out, data)?;
        }
        out.finish()
    }
}

fn print(out: &mut Output, data: &ChangesetData) -> Result<(), Failure> {
    let wrong = |error| {
        let node = data.node;
        failure(Error::Changeset { node, error })
    };
    let encoded = data.text.as_deref().unwrap_or_default();
    let changeset = Changeset::parse(encoded).map_err(wrong)?;
    let time = units::utc(changeset.seconds);
    if !out.is_json() {
        return out.line(&[
            ("node", node(&data.node)),
            ("time", Value::Text(time)),
            ("user", text(&changeset.user)),
            ("summary", text(changeset.summary())),
        ]);
    }
    let texts = |texts: &[Vec<u8>]| Value::Array(texts.iter().map(|t| text(t)).collect());
    let parents = data
        .parents
        .iter()
        .flatten()
        .filter(|parent| !parent.is_null());
    let extras = changeset
        .extras
        .iter()
        .map(|(key, value)| (text(key), text(value)));
    let phase = data.phase.unwrap_or_default().name();
    out.line(&[
        ("node", node(&data.node)),
        ("parents", Value::Array(parents.map(node).collect())),
        ("manifest", node(&changeset.manifest)),
        ("phase", Value::from(phase)),
        ("branch", text(changeset.branch())),
        ("bookmarks", texts(&data.bookmarks)),
        ("user", text(&changeset.user)),
        ("seconds", Value::from(changeset.seconds)),
        ("offset", Value::from(i64::from(changeset.offset))),
        ("time", Value::Text(time)),
        ("extras", Value::Map(extras.collect())),
        ("files", texts(&changeset.files)),
        ("description", text(&changeset.description)),
    ])
}
