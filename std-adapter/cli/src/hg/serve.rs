//! `hgrpc hg serve`.

use std::net::TcpListener;
use std::path::PathBuf;

use clap::ValueHint;
use hgrpc_mercurial::{Commands, LiveMirror};
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http::server::{Server, ServerConfig};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::server::mirror_failure;
use crate::escape::one_line;
use crate::exit::{self, Failure};
use crate::{io, memory};

/// Serve a mirror to Mercurial's clients, and to this program.
///
/// For reading only, to everybody who can connect. What `hgrpc hg mirror` adds meanwhile is served
/// from then on. Prints its address when it listens; Ctrl-C, or SIGTERM, ends it in order.
///
/// Mercurial 4.8 to 6.0 clones it with --config experimental.httppeer.advertise-v2=true.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mirror's directory.
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Where to listen: HOST:PORT (port 0: any that is free).
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    address: String,
    /// Content encodings for responses, joined by commas, best first; the first that the client
    /// takes is used. Default: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = crate::call::encoding_parser())]
    encoding: Option<Vec<ContentEncoding>>,
}

impl Args {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mirror = LiveMirror::open(&self.dir).map_err(mirror_failure)?;
        // It is not served, and whoever asked for it is told that, too.
        let mirror = mirror.with_on_damage(|error| {
            exit::report(&one_line(format_args!(
                "{error}; `hgrpc hg mirror --repair URL DIR` mends the mirror"
            )));
        });
        let mut config = ServerConfig::default();
        if let Some(encodings) = &self.encoding {
            config.encodings.clone_from(encodings);
        }
        let commands = Commands::new(mirror);
        let server = Server::new(commands.router, commands.capabilities, config);
        let address = &self.address;
        let listener = TcpListener::bind(address)
            .map_err(|error| Failure::Connection(format!("cannot listen on {address}: {error}")))?;
        let cannot = |error| Failure::Io(format!("cannot start: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
        let running = server.start(listener).map_err(cannot)?;
        memory::give_back();
        io::announce(format!("listening on http://{}/", running.address()));
        signals.forever().next();
        running.stop();
        Ok(())
    }
}
