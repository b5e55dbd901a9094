//! `hgrpc man`: manual pages.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Command, ValueHint};
use clap_mangen::Man;

use crate::exit::Failure;
use crate::io;

/// Print a manual page, or write all of them to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The subcommand that the page is about; the tool itself if left out.
    #[arg(value_parser = crate::subcommand_parser(), conflicts_with = "dir")]
    subcommand: Option<String>,
    /// Write a page for the tool and one for each subcommand to this folder, which is made if it is
    /// not there.
    #[arg(long, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hgrpc man | man -l -
  hgrpc man decode | man -l -
  hgrpc man --dir ~/.local/share/man/man1";

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut tool = crate::command().disable_help_subcommand(true);
    // Fills in the names and the help of the subcommands.
    tool.build();
    match (&args.dir, &args.subcommand) {
        (Some(dir), _) => write_all(&tool, dir),
        (None, None) => print(&page(&tool)?),
        (None, Some(name)) => match tool.find_subcommand(name) {
            Some(subcommand) => print(&page(subcommand)?),
            None => Err(Failure::BadInput(format!("no such subcommand: {name}"))),
        },
    }
}

/// The page of a command, as the source of roff.
fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .source(concat!("hgrpc ", env!("CARGO_PKG_VERSION")))
        .manual("hgrpc")
        .render(&mut page)
        .map_err(Failure::output)?;
    // Examples keep their lines; the next section ends that.
    let page = String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n.nf\n");
    Ok(page.into_bytes())
}

fn print(page: &[u8]) -> Result<(), Failure> {
    let mut out = io::output();
    out.write_all(page)
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}

fn write_all(tool: &Command, dir: &Path) -> Result<(), Failure> {
    let failed =
        |path: &Path, error| Failure::Io(format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for command in std::iter::once(tool).chain(tool.get_subcommands()) {
        // `hgrpc decode` is in `hgrpc-decode.1`.
        let path = dir.join(Man::new(command.clone()).get_filename());
        fs::write(&path, page(command)?).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
