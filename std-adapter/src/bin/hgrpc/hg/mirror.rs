//! `hgrpc hg mirror` and `verify`.

use std::path::PathBuf;

use clap::ValueHint;
use hgrpc_std::mercurial::Repository;
use hgrpc_std::mercurial::mirror::{Fetched, Mirror, MirrorWriter, Stage};
use hgrpc_std::value::Value;
use indicatif::ProgressBar;

use super::bar;
use super::output::{Style, text};
use super::server::{Server, fetch_failure, mirror_failure};
use crate::exit::Failure;

/// Fetch a repository into a directory, or bring it up to date there.
///
/// Every revision is checked against its hash. Run again, it fetches what is new; killed, it goes on
/// where it was. `hgrpc hg serve` serves what is there, also meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    /// The mirror's directory; it is made if it is not there.
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    #[command(flatten)]
    style: Style,
}

/// Check a mirror: read everything in it, and compare all hashes.
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
        let client = self.server.connect()?;
        let mut writer = MirrorWriter::open(&self.dir).map_err(mirror_failure)?;
        let bar = bar::counting("changesets");
        let fetched = writer.fetch(&client, &mut |stage, done| show(&bar, stage, done));
        bar.finish_and_clear();
        let fetched = fetched.map_err(fetch_failure)?;
        let mut out = self.style.output();
        if out.is_json() {
            out.line(&[
                ("new_changesets", Value::from(fetched.changesets)),
                ("new_manifests", Value::from(fetched.manifests)),
                ("new_files", Value::from(fetched.files)),
                ("changesets", count(writer.changesets())),
                ("revisions", count(writer.revisions())),
            ])?;
        } else {
            let line = format!(
                "{} new changesets, {} manifests, {} revisions of files; {} changesets in all",
                fetched.changesets,
                fetched.manifests,
                fetched.files,
                writer.changesets()
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
        // What is left of a batch is not known; what is complete is.
        _ => {
            bar.set_prefix("contents");
            bar.set_position(done.complete);
            let message = format!("{} manifests, {} files", done.manifests, done.files);
            bar.set_message(message);
        }
    }
}

impl Verify {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mirror = Mirror::open(&self.dir).map_err(mirror_failure)?;
        let bar = bar::counting("revisions");
        let total = mirror.revisions() + usize::try_from(mirror.len()).unwrap_or(0);
        bar.set_length(u64::try_from(total).unwrap_or(u64::MAX));
        let verified = mirror.verify(|| bar.inc(1));
        bar.finish_and_clear();
        let verified = verified.map_err(mirror_failure)?;
        let mut out = self.style.output();
        if out.is_json() {
            out.line(&[("verified", Value::from(verified))])?;
        } else {
            let line = format!("{verified} revisions, all with the hashes that name them");
            out.line(&[("", text(line.as_bytes()))])?;
        }
        out.finish()
    }
}
