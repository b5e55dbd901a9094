//! `hgrpc hg`: Mercurial's servers and clients.
//!
//! ```text
//!   hg/server.rs     the server at a URL, and what is wrong with it
//!   hg/bar.rs        how far a fetch is
//!   hg/output.rs     lines for people, or JSON
//!   hg/list.rs       heads, known, branches, bookmarks
//!   hg/log.rs        changesets
//!   hg/files.rs      files, cat
//!   hg/call.rs       any command
//!   hg/mirror.rs     mirror, verify
//!   hg/bundle.rs     bundle
//!   hg/serve.rs      serve
//! ```

mod bar;
mod bundle;
mod call;
mod files;
mod list;
mod log;
mod mirror;
mod output;
mod serve;
mod server;

use clap::Subcommand;

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  hgrpc hg log http://127.0.0.1:8000 --limit 10
  hgrpc hg cat http://127.0.0.1:8000 README -r stable
  hgrpc hg call http://127.0.0.1:8000 known nodes:=\"[h'…']\"
  hgrpc hg mirror http://127.0.0.1:8000 work.mirror
  hgrpc hg bundle work.mirror work.hg      # then: hg clone work.hg work
  hgrpc hg serve work.mirror --address 127.0.0.1:8001
  hg clone --config experimental.httppeer.advertise-v2=true http://127.0.0.1:8001 work

Mercurial 4.8 to 6.0 serves this with
  hg serve --config experimental.web.apiserver=true --config experimental.web.api.http-v2=true";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the server or a file said no, 2 bad arguments (also: a command that the server \
does not have), 3 the connection or what was received is broken.";

/// Speak with Mercurial's servers and clients, over HTTP.
///
/// Needs no Mercurial here: revisions are fetched, checked against their hashes, kept and served by
/// this program.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = [EXAMPLES, EXIT_CODES].join("\n\n"))]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Heads(list::Heads),
    Known(list::Known),
    Branches(list::Branches),
    Bookmarks(list::Bookmarks),
    Log(log::Args),
    Files(files::Files),
    Cat(files::Cat),
    Call(call::Args),
    Mirror(mirror::Args),
    Bundle(bundle::Args),
    Verify(mirror::Verify),
    Serve(serve::Args),
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Heads(args) => args.run(),
        Command::Known(args) => args.run(),
        Command::Branches(args) => args.run(),
        Command::Bookmarks(args) => args.run(),
        Command::Log(args) => args.run(),
        Command::Files(args) => args.run(),
        Command::Cat(args) => args.run(),
        Command::Call(args) => args.run(),
        Command::Mirror(args) => args.run(),
        Command::Bundle(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Serve(args) => args.run(),
    }
}
