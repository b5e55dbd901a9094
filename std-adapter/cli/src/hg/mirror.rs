//! `hgrpc hg mirror` and `verify`.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use hgrpc_mercurial::mirror::{
    FetchError, FetchOptions, Fetched, MirrorError, MirrorWriter, Stage, verify,
};
use hgrpc_std::value::Value;
use indicatif::ProgressBar;

use super::bar;
use super::output::{Style, node, text};
use super::server::{Options, fetch_failure, mirror_failure};
use crate::escape::one_line;
use crate::exit::{self, Failure};
use crate::units;

/// How long what has come may be unsaved.
const CHECKPOINT: Duration = Duration::from_secs(5);

/// Fetch a repository into a directory, or bring it up to date there.
///
/// Every revision is checked against its hash. Run again, it fetches what is new; killed, it goes on
/// where it was: what has come is saved every 5 seconds. `hgrpc hg serve` serves what is there, also
/// meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository's address, http://HOST:PORT/PATH or https://…; or a bundle, a file of
    /// `hg bundle` or `hgrpc hg bundle`.
    #[arg(value_name = "URL|BUNDLE", value_hint = ValueHint::Url)]
    source: OsString,
    /// The mirror's directory; it is made if it is not there.
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Mend a damaged mirror: make it anew from what is whole, and fetch the rest.
    #[arg(long)]
    repair: bool,
    /// Drop changesets that the server does not have any more. Default: they are kept.
    #[arg(long)]
    drop_missing: bool,
    /// Save what has come after so many bytes, too.
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = units::size)]
    checkpoint: u64,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    style: Style,
}

/// Check a mirror: every byte against its checksum, every revision against its hash, and that all
/// that belongs to its changesets is there.
///
/// Prints what is damaged, each thing on a line, and then exits with 1.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The mirror's directory.
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    #[command(flatten)]
    style: Style,
}

fn count(count: usize) -> Value {
    Value::from(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Args {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let bar = bar::counting("changesets");
        let fetched = match self.source.to_str().filter(|source| source.contains("://")) {
            Some(url) => self.fetch(url, &bar),
            None => self.unbundle(&bar),
        };
        bar.finish_and_clear();
        let (writer, fetched) = fetched?;
        self.report(&writer, fetched)
    }

    fn fetch(&self, url: &str, bar: &ProgressBar) -> Result<(MirrorWriter, Fetched), Failure> {
        let client = self.options.connect(url)?;
        let options = FetchOptions::default()
            .with_checkpoint(self.checkpoint, CHECKPOINT)
            .with_missing_dropped(self.drop_missing);
        let mut progress = |stage, done| show(bar, stage, done);
        if self.repair {
            let repaired = MirrorWriter::repair(&self.dir, &client, options, &mut progress);
            return repaired.map_err(fetch_failure);
        }
        let mut writer = MirrorWriter::open(&self.dir).map_err(mirror_failure)?;
        let fetched = writer.fetch_with(&client, options, &mut progress);
        Ok((writer, fetched.map_err(fetch_failure)?))
    }

    fn unbundle(&self, bar: &ProgressBar) -> Result<(MirrorWriter, Fetched), Failure> {
        if self.repair || self.drop_missing {
            let message = "--repair and --drop-missing need a server's address, not a bundle";
            return Err(Failure::BadInput(message.to_owned()));
        }
        let path = PathBuf::from(&self.source);
        let name = one_line(path.display());
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::Io(format!(
                "{name}: {error}; is it a URL? Those begin with http://"
            ))
        };
        let file = File::open(&path).map_err(|error| wrong(&error))?;
        let mut writer = MirrorWriter::open(&self.dir).map_err(mirror_failure)?;
        let mut progress = |stage, done| show(bar, stage, done);
        let fetched = writer.unbundle(file, &name, &mut progress);
        let fetched = fetched.map_err(|error| match error {
            FetchError::Bundle(what) => Failure::Io(format!("{name}: {}", one_line(&what))),
            error => fetch_failure(error),
        })?;
        Ok((writer, fetched))
    }

    fn report(&self, writer: &MirrorWriter, fetched: Fetched) -> Result<(), Failure> {
        let mut out = self.style.output();
        let gone = writer.gone();
        if out.is_json() {
            out.line(&[
                ("new_changesets", Value::from(fetched.changesets)),
                ("new_manifests", Value::from(fetched.manifests)),
                ("new_files", Value::from(fetched.files)),
                ("changesets", count(writer.changesets())),
                ("revisions", count(writer.revisions())),
                ("kept", Value::from(fetched.kept)),
                ("dropped", Value::from(fetched.dropped)),
                ("gone", Value::Array(gone.iter().map(node).collect())),
            ])?;
            return out.finish();
        }
        let line = format!(
            "{} new changesets, {} manifests, {} revisions of files; {} changesets in all",
            fetched.changesets,
            fetched.manifests,
            fetched.files,
            writer.changesets()
        );
        out.line(&[("", text(line.as_bytes()))])?;
        if fetched.dropped > 0 {
            let line = format!(
                "{} changesets dropped that the server does not have any more",
                fetched.dropped
            );
            out.line(&[("", text(line.as_bytes()))])?;
        }
        if let Some(first) = gone.first() {
            let line = format!(
                "{} changesets kept that the server does not have any more, {first} the first \
                 (--drop-missing drops them)",
                gone.len()
            );
            out.line(&[("", text(line.as_bytes()))])?;
        }
        out.finish()
    }
}

fn show(bar: &ProgressBar, stage: Stage, done: Fetched) {
    bar.set_length(done.total);
    match stage {
        Stage::Changesets => {
            bar.set_prefix("changesets");
            bar.set_position(done.changesets);
        }
        _ => {
            bar.set_prefix("complete");
            bar.set_position(done.complete);
            // Of the changesets whose texts have come.
            bar.set_message(format!(
                "{}/{} manifests, {}/{} files, {} MiB",
                done.manifests,
                done.manifests_total,
                done.files,
                done.files_total,
                done.bytes >> 20
            ));
        }
    }
}

impl Verify {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let bar = bar::counting("revisions");
        let report = verify(&self.dir, &mut |done| {
            bar.set_length(done.total);
            bar.set_position(done.revisions);
        });
        bar.finish_and_clear();
        let report = report.map_err(mirror_failure)?;
        let mut out = self.style.output();
        for error in &report.damage {
            if out.is_json() {
                let file = match error {
                    MirrorError::Damaged { file, .. } | MirrorError::Missing(file) => {
                        text(file.as_os_str().as_encoded_bytes())
                    }
                    _ => Value::Null,
                };
                let what = text(error.to_string().as_bytes());
                out.line(&[("damage", what), ("file", file)])?;
            } else {
                out.line(&[("", text(format!("damaged: {error}").as_bytes()))])?;
            }
        }
        if out.is_json() {
            out.line(&[
                ("verified", Value::from(report.revisions)),
                ("bytes", Value::from(report.bytes)),
                ("damaged", count(report.damage.len())),
            ])?;
        } else if report.damage.is_empty() {
            let line = format!(
                "{} revisions, all with the hashes that name them; {} bytes, all with their checksums",
                report.revisions, report.bytes
            );
            out.line(&[("", text(line.as_bytes()))])?;
        }
        out.finish()?;
        if report.damage.is_empty() {
            return Ok(());
        }
        exit::report(&format!(
            "{} is damaged; `hgrpc hg mirror --repair URL DIR` mends it",
            one_line(self.dir.display())
        ));
        Err(Failure::Reported(1))
    }
}
