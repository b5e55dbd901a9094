//! `hgrpc serve`: commands for whoever connects.
//!
//! ```text
//!   main task        accepts; then waits for what is left. Signals
//!   per connection   a task that reads and writes, and one for each call
//!   per program      a task more: its input and its output. And a thread: its exit
//!   for all          a task of the library's: limits of time
//! ```

mod builtin;
mod capabilities;
mod client;
mod command;
mod limit;
mod log;
mod places;
mod program;
mod server;
mod signals;

pub(crate) use program::guard;

use std::io::{self, ErrorKind};
use std::time::Duration;

use hgrpc::Revision;
use hgrpc_std::tokio::ServerLimits;
use hgrpc_std::tokio::transport::Listener;
use hgrpc_std::transport::{Address, Options};
use tokio::runtime::Builder;

use crate::exit::Failure;
use crate::stray::StrayLines;
use crate::{memory, stderr, units};
use server::{Server, Settings};
use signals::Signals;

const EXAMPLES: &str = "\
Built-in commands: capabilities says what is offered. echo gives back its argument msg, or the \
data. digest gives the SHA-256 of the data. count counts to its argument to, with progress, and \
waits delay-ms each time. sleep waits ms milliseconds.

Programs: a call's arguments are in HGRPC_ARG_<name> (letters, digits and _; a - in a name becomes \
_; byte strings and text as they are, integers and booleans as text) and, all of them, as CBOR in \
the file HGRPC_ARGS_FILE. Its data is standard input. Standard output is the response, error \
output goes to the client as text, and lines `TOPIC POS TOTAL` on file descriptor 3 are progress. \
An exit status but 0 makes the call fail. When the client goes away, the program and all that it \
started are ended: SIGTERM, and SIGKILL a second later. So they are when the server is killed.

Limits: --limit running=N,peer=N,time=DURATION,output=SIZE holds for each command, NAME: before it \
for this one. time: of one call, 1h (for what hangs; 0 is no limit). The others are for programs. \
running: calls at once, 64 (each is a process). peer: of these of one peer, a quarter of running. \
output: bytes of one call, no limit (they stream at the client's pace).

Peers: connections are of one peer if they come from one IPv4 address, from one IPv6 network of 64 \
bits, or from one user over a Unix socket. All from this machine are of one peer, all through one \
proxy or tunnel too: for those alone, make --peer-connections and peer= as large as the whole.

Log: the error output has a line for each thing, with the time in UTC and the peer, at most 20 a \
second about connections that went wrong and 200 from programs and devices. Lines that nobody reads \
are dropped, and the log says how many were; the server goes on. What a device prints between packets \
begins with \"remote: \".

Examples:
  hgrpc serve tcp://127.0.0.1:7070
  hgrpc serve unix:///run/user/1000/files --command 'cat=cat' --command 'list=ls -l /srv'
  hgrpc serve tcp://127.0.0.1:0 --command 'pack=tar -cz /srv' --limit pack:running=2,time=10m
  hgrpc call 'exec:ssh host hgrpc serve stdio:' echo msg=hello";

/// How long a connection may be open before its first frame: a person may be typing it.
const FIRST_FRAME: Duration = Duration::from_secs(60);

/// Serve commands to whoever connects.
///
/// Offers the built-in commands capabilities, count, digest, echo and sleep, and any program that
/// is named with --command. Prints its address when it listens. Ctrl-C, or SIGTERM, ends it in
/// order: running calls get some time, then they are cut.
#[derive(Debug, clap::Args)]
#[command(after_long_help = [EXAMPLES, crate::call::LINES].join("\n\n"))]
pub(crate) struct Args {
    /// Where to listen: tcp://HOST:PORT (port 0: any that is free), unix:///PATH, serial:///DEVICE,
    /// or stdio: for one connection over standard input and output. pty: makes a pseudo-terminal,
    /// for tests, and prints the address of its other end.
    address: String,
    /// Offer a program as a command. Words are split and quoted as in a shell, but nothing is
    /// expanded, and arguments of a call never become words. Takes the place of a built-in command
    /// of this name. Repeatable.
    #[arg(long, value_name = "NAME=PROGRAM ARGS")]
    command: Vec<String>,
    /// Limit commands: time=DURATION, and programs: running=N, peer=N, output=SIZE, joined by
    /// commas; one of them with NAME: before. Repeatable.
    #[arg(long, value_name = "[NAME:]LIMITS")]
    limit: Vec<String>,
    /// The revision of the protocol to speak.
    #[arg(long, value_parser = crate::revision_parser(), default_value = "0006")]
    revision: Revision,
    /// Largest payload of a frame in bytes, received and sent. Default: 65535 received, 32768 sent.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=16_777_215))]
    max_frame: Option<u32>,
    /// Connections at once. One more is told so and closed.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Connections at once of one peer: an address, or a user of a Unix socket. One more is told so
    /// and closed. Default: a quarter of --connections, so that nobody keeps the others out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    peer_connections: Option<u32>,
    /// Calls at once on one connection. One more is refused.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    calls: u32,
    /// Close a connection on which nothing runs and nothing comes for so long, that takes none of
    /// its answers for so long, or a request without its data takes so long to come: 30s, 10m; 0 is
    /// never. Default: 10m, never for stdio: and serial ports.
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// Close a tcp: connection when nothing has come back from the client's machine for this long:
    /// 10s, 2m; 0 is never. The machine is asked from time to time, so a client may be silent.
    #[arg(long, value_name = "DURATION", value_parser = crate::call::keepalive, default_value = crate::call::KEEPALIVE)]
    keepalive: Duration,
    /// Close a connection when a call's data stops for so long, or comes more slowly than --min-rate
    /// for about as long: 30s, 10m; 0 is never, for data that people type. Default: 5m, never for
    /// stdio: and serial ports.
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    data_timeout: Option<Duration>,
    /// Least bytes a second of a connection while a call's data comes, on average of
    /// --data-timeout, and of a frame. 0: none is too few.
    #[arg(long, value_name = "BYTES", default_value_t = ServerLimits::DEFAULT.min_rate)]
    min_rate: u32,
    /// How long running calls may go on when the server is ended.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::duration)]
    grace: Duration,
    /// Show each frame on standard error as it goes by.
    #[arg(short, long)]
    verbose: bool,
}

/// As the command line says, until it is ended.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let address: Address = args
        .address
        .parse()
        .map_err(|error| Failure::BadInput(format!("{error}")))?;
    let offer = program::parse(&args.command, &args.limit).map_err(Failure::BadInput)?;
    stderr::queue().is_log();
    // One line is as good as another: what has not ended is held until it has.
    let stray = StrayLines::new(log::device);
    let mut options = Options::default();
    options.console = Some(stray.console());
    options.keepalive = Some(args.keepalive).filter(|keepalive| !keepalive.is_zero());
    let settings = settings(args, &address);
    // A line is a place, too, even before its link is up.
    options.lines = settings.limits.connections;
    options.peer_lines = settings.limits.peer_connections;
    options.line_silence = settings.limits.idle.map(|idle| idle.min(FIRST_FRAME));
    let runtime = Builder::new_multi_thread()
        .thread_name("hgrpc")
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    memory::give_back();
    let result = runtime.block_on(serve(settings, &address, &options, offer));
    // Somebody may be reading standard input, or waiting for a port.
    runtime.shutdown_background();
    result
}

async fn serve(
    settings: Settings,
    address: &Address,
    options: &Options,
    offer: program::Offer,
) -> Result<(), Failure> {
    let listener =
        address
            .listen_async_with(options)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Unsupported => Failure::BadInput(error.to_string()),
                _ => Failure::Connection(error.to_string()),
            })?;
    let mut signals = Signals::new().map_err(cannot_start)?;
    let server = Server::new(settings, offer).map_err(cannot_start)?;
    announce(&listener);
    match (server.run(listener, &mut signals).await, address) {
        // It was the only connection, and what became of it is what became of the run.
        (Some(error), Address::Stdio) => Err(Failure::Connection(format!("stdio: {error}"))),
        _ => Ok(()),
    }
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::Io(format!("cannot start: {error}"))
}

fn settings(args: &Args, address: &Address) -> Settings {
    let line = match address {
        Address::Linked { line, .. } => line,
        address => address,
    };
    // They have one peer, who takes nobody's place.
    let is_alone = matches!(line, Address::Stdio | Address::Serial { .. } | Address::Pty);
    let or = |said: Option<Duration>, default: Option<Duration>| match said {
        Some(time) => Some(time).filter(|time| !time.is_zero()),
        None => default.filter(|_| !is_alone),
    };
    let timeout = or(args.timeout, Some(Duration::from_secs(600)));
    let data_timeout = or(args.data_timeout, ServerLimits::DEFAULT.data_silence);
    Settings {
        revision: args.revision,
        limits: limits(args, timeout, data_timeout),
        grace: args.grace,
        is_verbose: args.verbose,
    }
}

fn limits(args: &Args, timeout: Option<Duration>, data_timeout: Option<Duration>) -> ServerLimits {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let mut limits = ServerLimits::DEFAULT;
    let connection = &mut limits.per_connection;
    connection.calls = count(args.calls);
    // A program that pauses is no error, and holds up its own client only.
    connection.stall = None;
    if let Some(max_frame) = args.max_frame {
        connection.frame_size = max_frame;
        connection.send_frame_size = max_frame;
    }
    limits.connections = count(args.connections);
    limits.requests = limits.connections.saturating_mul(connection.calls);
    limits.shared_bytes = limits.connections.saturating_mul(limits.connection_bytes);
    limits.peer_connections = match args.peer_connections {
        Some(connections) => count(connections),
        None => places::part(limits.connections),
    };
    // A script may call as often as it likes: one connection after the other takes one place.
    limits.peer_accepts = u32::MAX;
    // Where --timeout is shorter it comes first, and says so.
    limits.first_frame = Some(FIRST_FRAME).filter(|&time| Some(time) < timeout);
    limits.slow_frame = limits.slow_frame.min(timeout);
    limits.request_time = timeout;
    limits.data_silence = data_timeout;
    limits.min_rate = args.min_rate;
    limits.not_reading = timeout;
    limits.idle = timeout;
    limits
}

/// One line that says where, for people and for scripts that chose port 0.
fn announce(listener: &Listener) {
    let address = listener.address();
    if *address != Address::Stdio {
        crate::io::announce(format!("listening on {address}"));
    }
}
