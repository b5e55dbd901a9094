//! `hgrpc hg bundle`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{ValueEnum, ValueHint};
use hgrpc_mercurial::mirror::{Bundled, Compression, Mirror, MirrorError, MirrorWriter};
use hgrpc_std::value::Value;

use super::bar;
use super::output::{Style, text};
use super::server::{Options, fetch_failure, mirror_failure};
use crate::escape::one_line;
use crate::exit::Failure;

/// Write all of a repository into one file, which Mercurial reads: a bundle.
///
/// `hg unbundle FILE` and `hg clone FILE` make an ordinary repository of it, with bookmarks and
/// phases, without a server; `hgrpc hg mirror FILE DIR` a mirror.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository's address, http://HOST:PORT/PATH or https://…; or a mirror's directory.
    #[arg(value_name = "URL|DIR", value_hint = ValueHint::AnyPath)]
    source: OsString,
    /// The file to write; one that is there is replaced when the new one is whole.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How it is compressed. Mercurial before 4.1 does not read zstd.
    #[arg(long, value_name = "NAME", default_value = "zstd")]
    compression: Method,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    style: Style,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Zstd,
    Gzip,
    Bzip2,
    None,
}

impl From<Method> for Compression {
    fn from(method: Method) -> Self {
        match method {
            Method::Zstd => Self::Zstd,
            Method::Gzip => Self::Gzip,
            Method::Bzip2 => Self::Bzip2,
            Method::None => Self::None,
        }
    }
}

impl Args {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let folder = match self.file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let (mirror, _temporary) = match self.source.to_str().filter(|s| s.contains("://")) {
            None => (Mirror::open(PathBuf::from(&self.source)), None),
            Some(url) => {
                let client = self.options.connect(url)?;
                let temporary = tempfile::Builder::new()
                    .prefix(".hgrpc-bundle-")
                    .tempdir_in(folder)
                    .map_err(|error| self.wrong(&error))?;
                let path = temporary.path().join("mirror");
                let mut writer = MirrorWriter::open(&path).map_err(mirror_failure)?;
                let bar = bar::counting("changesets");
                let fetched = writer.fetch(&client, &mut |_, done| {
                    bar.set_length(done.total);
                    bar.set_position(done.complete);
                });
                bar.finish_and_clear();
                fetched.map_err(fetch_failure)?;
                drop(writer);
                (Mirror::open(&path), Some(temporary))
            }
        };
        let mirror = mirror.map_err(mirror_failure)?;
        let bundled = self.write(&mirror, folder)?;
        let mut out = self.style.output();
        if out.is_json() {
            out.line(&[
                ("changesets", Value::from(bundled.changesets)),
                ("revisions", Value::from(bundled.revisions)),
            ])?;
        } else {
            let line = format!(
                "{} changesets, {} revisions of manifests and files",
                bundled.changesets, bundled.revisions
            );
            out.line(&[("", text(line.as_bytes()))])?;
        }
        out.finish()
    }

    fn write(&self, mirror: &Mirror, folder: &Path) -> Result<Bundled, Failure> {
        let wrong = |error| self.wrong(&error);
        let mut file = tempfile::Builder::new()
            .prefix(".hgrpc-bundle-")
            .tempfile_in(folder)
            .map_err(wrong)?;
        let bar = bar::counting("revisions");
        let mut out = BufWriter::new(&mut file);
        let written = mirror.write_bundle(&mut out, self.compression.into(), &mut |done| {
            bar.set_length(done.total);
            bar.set_position(done.changesets + done.revisions);
        });
        bar.finish_and_clear();
        let bundled = written.map_err(|error| match MirrorError::from_io(error) {
            Ok(error) => mirror_failure(error),
            Err(error) => self.wrong(&error),
        })?;
        out.flush().map_err(wrong)?;
        drop(out);
        readable(file.path()).map_err(wrong)?;
        file.as_file().sync_all().map_err(wrong)?;
        file.persist(&self.file)
            .map_err(|error| self.wrong(&error.error))?;
        Ok(bundled)
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> Failure {
        let file = one_line(self.file.display());
        Failure::Io(format!("cannot write {file}: {error}"))
    }
}

/// Gives a temporary file the rights of an ordinary one.
fn readable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    }
    #[cfg(not(unix))]
    {
        fs::metadata(path).map(drop)
    }
}
