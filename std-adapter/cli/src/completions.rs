//! `hgrpc completions`: what a shell needs to complete this tool's command lines.

use std::io::Write;

use clap_complete::{Shell, generate};

use crate::exit::Failure;
use crate::io;

/// Print a script that makes a shell complete `hgrpc` command lines.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  hgrpc completions bash > ~/.local/share/bash-completion/completions/hgrpc
  hgrpc completions zsh > ~/.zfunc/_hgrpc      (with ~/.zfunc in fpath)
  hgrpc completions fish > ~/.config/fish/completions/hgrpc.fish";

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    // Into memory: it panics where it cannot write.
    generate(args.shell, &mut crate::command(), crate::NAME, &mut script);
    let mut out = io::output();
    out.write_all(&script)
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}
