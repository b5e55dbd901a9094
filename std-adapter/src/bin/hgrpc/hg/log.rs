//! `hgrpc hg log`.

use std::collections::VecDeque;
use std::ffi::OsString;

use hgrpc_std::mercurial::client::{ChangesetData, ChangesetFields, Error};
use hgrpc_std::mercurial::{Changeset, Specifier};
use hgrpc_std::value::Value;

use super::bar;
use super::output::{Output, Style, node, text};
use super::server::{Server, failure, lookup};
use crate::exit::Failure;

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
    let time = time(changeset.seconds);
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

/// `2018-09-28T12:34:56Z`. Years far off are seconds.
fn time(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    if !(-100_000_000..100_000_000).contains(&days) {
        return format!("{seconds}s");
    }
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_calendar_times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_538_138_096, "2018-09-28T12:34:56Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9223372036854775807s"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }
}
