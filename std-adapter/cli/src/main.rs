//! The command-line tool `hgrpc`. One file per subcommand; [`exit`] says how each run can end.

#[cfg(unix)]
mod call;
mod completions;
mod decode;
mod demo;
mod encode;
mod escape;
mod exit;
#[cfg(unix)]
mod hg;
mod io;
mod man;
#[cfg(unix)]
mod memory;
#[cfg(unix)]
mod serve;
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only `call` and `serve` show what peers cause")
)]
mod stderr;
#[cfg(unix)]
mod stray;
#[cfg_attr(
    not(unix),
    expect(dead_code, reason = "only `call` and `serve` take durations")
)]
mod units;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};
use hgrpc::{REVISIONS, Revision};

/// The tool's name.
const NAME: &str = "hgrpc";

/// Tools for hgrpc, Mercurial's frame-based RPC protocol.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(unix)]
    Call(Box<call::Args>),
    #[cfg(unix)]
    Serve(Box<serve::Args>),
    #[cfg(unix)]
    Hg(hg::Args),
    Demo(demo::Args),
    Decode(decode::Args),
    Encode(encode::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    #[cfg(unix)]
    if serve::guard::is_wanted() {
        serve::guard::run();
        return ExitCode::SUCCESS;
    }
    stderr::take_panics();
    let code = match Cli::try_parse() {
        Ok(cli) => exit::code(run(cli.command)),
        Err(error) => exit::usage(&error),
    };
    stderr::flush(stderr::LAST_LINES);
    code
}

fn run(command: Command) -> Result<(), exit::Failure> {
    match command {
        #[cfg(unix)]
        Command::Call(args) => call::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Encode(args) => encode::run(&args),
        #[cfg(unix)]
        Command::Serve(args) => serve::run(&args),
        #[cfg(unix)]
        Command::Hg(args) => hg::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// What `--revision` takes.
fn revision_parser() -> impl TypedValueParser<Value = Revision> {
    PossibleValuesParser::new(REVISIONS.map(Revision::name))
        .map(|name| Revision::from_name(&name).unwrap_or_default())
}

/// The whole command line, for what is generated from it.
fn command() -> clap::Command {
    Cli::command()
}

/// What names a subcommand.
fn subcommand_parser() -> impl TypedValueParser<Value = String> {
    // Not asked of `command`, of which it is a part.
    PossibleValuesParser::new([
        "call",
        "serve",
        "hg",
        "demo",
        "decode",
        "encode",
        "completions",
        "man",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_subcommand_is_named() {
        let known: Vec<String> = subcommand_parser()
            .possible_values()
            .unwrap()
            .map(|value| value.get_name().to_owned())
            .collect();
        let command = command();
        let all: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(known, all);
    }
}
