//! The command-line tool `hgrpc`. One file per subcommand; [`exit`] says how each run can end.

mod call;
mod decode;
mod demo;
mod encode;
mod exit;
mod io;
#[cfg(unix)]
mod serve;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use hgrpc::{REVISIONS, Revision};

/// Tools for hgrpc, Mercurial's frame-based RPC protocol.
#[derive(Debug, Parser)]
#[command(name = "hgrpc", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Decode(decode::Args),
    Encode(encode::Args),
    #[cfg(unix)]
    Serve(Box<serve::Args>),
    #[cfg(unix)]
    #[command(hide = true)]
    ServeGuard(serve::guard::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Encode(args) => encode::run(&args),
        #[cfg(unix)]
        Command::Serve(args) => serve::run(&args),
        #[cfg(unix)]
        Command::ServeGuard(args) => {
            serve::guard::run(&args);
            Ok(())
        }
    };
    exit::code(result)
}

/// What `--revision` takes.
fn revision_parser() -> impl TypedValueParser<Value = Revision> {
    PossibleValuesParser::new(REVISIONS.map(Revision::name))
        .map(|name| Revision::from_name(&name).unwrap_or_default())
}
