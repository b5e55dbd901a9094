//! `hgrpc call`: commands of a server.
//!
//! ```text
//!                    ┌ call/arguments.rs   KEY=TEXT, KEY:=LITERAL, KEY@=FILE
//!   words ─▶ Call ───┤ call/data.rs        the request's data
//!   (or a line of    └ call/output.rs      where the result goes
//!    call/batch.rs)
//!   call/session.rs    the connection, and what ends it early: signals, time
//!   call/answer.rs     one call over it: request out, response through call/print.rs
//!   call/side.rs       text output and progress
//!   call/lines.rs      results on the terminal that shows those
//!   call/failure.rs    what went wrong, in one line, and the exit code
//! ```

mod answer;
pub(crate) mod arguments;
mod batch;
mod data;
mod failure;
mod lines;
mod output;
pub(crate) mod print;
mod session;
mod side;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hgrpc::{KeyOrder, Revision};
use hgrpc_std::encoding::{ContentEncoding, DecodeLimits, SUPPORTED};
use hgrpc_std::tokio::{Config, Direction};
use hgrpc_std::transport::{Address, Options};

use crate::exit::Failure;
use crate::stray::StrayLines;
use crate::{io, revision_parser, units};
use arguments::Arguments;
use data::Data;
use lines::Output;
use output::OutputFile;
use print::Format;
use session::Session;
use side::Side;

/// What a call is, on the command line as in a line of a batch.
#[derive(Clone, Debug, clap::Args)]
struct Words {
    /// The command to call; `capabilities` lists what an hgrpc server offers.
    name: Option<OsString>,
    /// The command's arguments: KEY=TEXT, KEY:=LITERAL or KEY@=FILE.
    #[arg(value_name = "ARG")]
    args: Vec<OsString>,
    /// Send a file's bytes as the request's data, as they are read; `-` is standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    data: Option<PathBuf>,
    /// Write the result to a file.
    ///
    /// Its bytes, as with --raw, unless --json is given. The file is replaced when the result is
    /// complete; until then, and after any failure, it stays as it was.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// Call a command of a server.
///
/// Connects, calls one command (or those of --batch) and prints its result. Text that the server
/// sends meanwhile, and progress, are shown on the error output; each line of them begins with
/// "remote: ".
#[derive(Debug, clap::Args)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = long_help(),
    override_usage = "hgrpc call [OPTIONS] [ADDRESS] NAME [ARG]...\n       hgrpc call [OPTIONS] [ADDRESS] --batch FILE",
)]
pub(crate) struct Args {
    /// Where the server is: tcp://HOST:PORT, unix:///PATH, serial:///DEVICE, exec:PROGRAM ARGS or
    /// stdio:. May be left out where HGRPC_ADDRESS has it.
    ///
    /// exec: runs a program and connects to its standard input and output; stdio: takes those of
    /// this process, so that results go to the error output, or to --output. serial: is a device on
    /// a serial port; see below.
    #[arg(value_hint = ValueHint::Other)]
    address: Option<OsString>,
    #[command(flatten)]
    words: Words,
    /// Make all calls of a file, one in a line, over one connection; `-` is standard input.
    ///
    /// A line has the words that would follow ADDRESS, quoted as for a shell, with --data FILE and
    /// --output FILE too. Answers come as they are complete, each line behind the number of its
    /// call. Calls that fail do not stop the others.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["name", "args", "data", "output", "raw"])]
    batch: Option<PathBuf>,
    /// How many calls of a batch may be under way at once. Default: 16.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    jobs: Option<u32>,
    /// Print each value of the result as a line of JSON.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the result's bytes as the command wrote them.
    ///
    /// In 0006 that is what its byte strings hold; or the encoded values, if it does not begin with
    /// a byte string.
    #[arg(long)]
    raw: bool,
    /// The revision of the protocol that the server speaks.
    #[arg(long, value_parser = revision_parser(), default_value = Revision::R0006.name())]
    revision: Revision,
    /// Largest payload of a frame in bytes, received and sent.
    ///
    /// Default: 65535 received, 32768 sent.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=16_777_215))]
    max_frame: Option<u32>,
    /// Content encodings that the server may choose from (0006), joined by commas. Default: all.
    ///
    /// `identity` is no compression.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = encoding_parser())]
    accept_encoding: Option<Vec<ContentEncoding>>,
    /// How long the call may take in all: 500ms, 30s, 10m. Default: for ever.
    ///
    /// Connecting is included. With --batch this is for connecting, and again for each call.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Give up when connecting takes this long: 500ms, 10s. Default: 30s for tcp:, else as --timeout.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    connect_timeout: Option<Duration>,
    /// Give up when nothing has come back from the server's machine for this long: 10s, 2m; 0 is
    /// never.
    ///
    /// For tcp:. The machine is asked from time to time, so a command may be silent for longer, and
    /// take its time to read. A link has patience=SECONDS in its address. exec: and unix: end with
    /// the process at the other end; for ssh see its ServerAliveInterval.
    #[arg(long, value_name = "DURATION", value_parser = keepalive, default_value = KEEPALIVE)]
    keepalive: Duration,
    /// Give up a result that is larger than this, after decompression: 4096, 64K, 10M, 2G.
    ///
    /// Default: no limit. The call fails, and --output leaves no file.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    max_filesize: Option<u64>,
    /// Give up when compressed results decode to more than N times their size; 0 is no limit.
    ///
    /// Beyond the first 64 MiB: what is small does no harm.
    #[arg(long, value_name = "N", default_value_t = DecodeLimits::new().ratio)]
    max_decode_ratio: u32,
    /// Show nothing beside the result: no text of the server's, no progress. Errors are shown.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Show each frame on the error output as it goes by: -> to the server, <- from it.
    #[arg(short, long)]
    verbose: bool,
}

const SHORT_HELP: &str = "\
Examples:
  hgrpc call tcp://127.0.0.1:7070 echo msg=hello
  hgrpc call tcp://127.0.0.1:7070 digest --data photo.jpg
  HGRPC_ADDRESS=tcp://127.0.0.1:7070 hgrpc call echo msg=hello
See --help for arguments, results, batches, exit codes and more examples.";

const BATCHES: &str = r#"Batches:
  A file of
    echo msg='two words'
    digest --data photo.jpg          # paths are those of this end
    fetch path=report.pdf --output report.pdf
  prints lines such as 1: b'two words', or with --json {"line":1,"value":"two words"} and, for calls
  that fail, {"line":2,"error":"…","exit":1}. Results that go to files print nothing."#;

const EXAMPLES: &str = r#"Examples:
  hgrpc call tcp://127.0.0.1:7070 capabilities
  hgrpc call tcp://127.0.0.1:7070 echo msg=hello
  hgrpc call tcp://127.0.0.1:7070 count to:=5 --json
  hgrpc call tcp://127.0.0.1:7070 digest --data backup.tar
  tar -c . | hgrpc call unix:///run/store.sock put name=work.tar --data -
  hgrpc call unix:///run/store.sock get name=work.tar --output work.tar
  hgrpc call 'exec:ssh host hgrpc serve stdio:' echo msg=hello
  hgrpc call --batch calls.txt --json tcp://127.0.0.1:7070 | jq .
  hgrpc call 'serial:///dev/ttyUSB0?baud=921600' led on:=true"#;

/// Parameters of addresses, for all who take one.
pub(crate) const LINES: &str = "\
Serial ports and other raw lines:
  serial:///DEVICE is set to 8 data bits, no parity, 1 stop bit, and has a link over it, so that
  lost bytes and restarts of a device end calls with link-lost or peer-restarted. What a device
  prints between packets is shown on the error output. Parameters follow a ?, joined by &:
    baud=115200      bits a second
    flow=none        or hardware (RTS and CTS)
    link=cobs        or none, with which a server cannot tell a new client from the last one, and
                     nobody notices that a device has gone silent; tcp: and unix: have none unless
                     link=cobs is said (for emulators and serial servers)
    packet=256       bytes of the link's largest packets: 32, 64, 128 or 256
    patience=10      seconds of silence after which the link is lost; 0 is never
  The shell takes ? and & for itself: put quotes around the address.";

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the command failed; also: a file at this end did
  2    the call was wrong: its arguments, its address, a command that the server does not have
  3    the connection or the protocol broke, time was up, or a result was over a limit
  130  interrupted
  The exit code of a batch is the largest of its calls'.";

fn long_help() -> String {
    let lines = LINES;
    [
        EXAMPLES,
        arguments::HELP,
        print::HELP,
        BATCHES,
        lines,
        EXIT_CODES,
    ]
    .join("\n\n")
}

pub(crate) fn encoding_parser() -> impl TypedValueParser<Value = ContentEncoding> {
    PossibleValuesParser::new(SUPPORTED.iter().map(|encoding| encoding.name())).map(|name| {
        ContentEncoding::from_name(name.as_bytes()).unwrap_or(ContentEncoding::Identity)
    })
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        Duration::ZERO => Err("no time is too little".to_owned()),
        timeout => Ok(timeout),
    }
}

/// The default of `--keepalive`, for all who have it.
pub(crate) const KEEPALIVE: &str = "45s";

/// What `--keepalive` takes.
pub(crate) fn keepalive(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        keepalive if keepalive.is_zero() || keepalive >= Duration::from_secs(1) => Ok(keepalive),
        _ => Err("it is 1s at least, or 0 for never".to_owned()),
    }
}

/// What is shown on the error output, from all threads.
type SharedSide = Arc<Mutex<Side>>;

fn with_side<T>(side: &SharedSide, show: impl FnOnce(&mut Side) -> T) -> T {
    show(&mut side.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A call that is ready to be sent: all that can be wrong with it at this end has been looked at.
struct Call {
    name: Vec<u8>,
    arguments: Arguments,
    data: Option<Data>,
    output: Option<OutputFile>,
}

impl Call {
    /// Looks at the words of a call.
    fn parse(words: &Words, order: KeyOrder) -> Result<Self, Failure> {
        use std::os::unix::ffi::OsStrExt;
        let name = match &words.name {
            Some(name) if !name.is_empty() => name.as_bytes().to_vec(),
            Some(_) => return Err(Failure::BadInput("the command's name is empty".to_owned())),
            None => {
                return Err(Failure::BadInput(
                    "the command's name is missing: ADDRESS NAME [ARG]...; see --help".to_owned(),
                ));
            }
        };
        if name.contains(&b'=') {
            let message = format!(
                "{:?} is an argument; the command's name comes before it",
                words.name.as_deref().unwrap_or_default()
            );
            return Err(Failure::BadInput(message));
        }
        Ok(Self {
            name,
            arguments: Arguments::parse(&words.args, order)?,
            data: words.data.as_deref().map(Data::open).transpose()?,
            output: words
                .output
                .as_deref()
                .map(OutputFile::create)
                .transpose()?,
        })
    }
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let began = Instant::now();
    let (address, words) = address_and_words(args, std::env::var_os(ADDRESS))?;
    let format = match (args.json, args.raw || args.words.output.is_some()) {
        (true, _) => Format::Json,
        (false, true) => Format::Raw,
        (false, false) => Format::Notation,
    };
    if args.accept_encoding.is_some() && !args.revision.has_settings() {
        let message = "--accept-encoding is for revision 0006: there is no compression before";
        return Err(Failure::BadInput(message.to_owned()));
    }
    let side = Arc::new(Mutex::new(match args.quiet {
        true => Side::quiet(),
        false => Side::stderr(),
    }));
    let config = config(args, &side);
    let stray = stray(&side);
    let mut options = Options::default();
    options.timeout = connect_timeout(args, &address);
    options.console = Some(stray.console());
    options.keepalive = Some(args.keepalive).filter(|keepalive| !keepalive.is_zero());
    if let Some(batch) = &args.batch {
        let lines = batch::Lines::open(batch, &address)?;
        let session = Session::connect(&address, &config, &options)?;
        let jobs = usize::try_from(args.jobs.unwrap_or(16)).unwrap_or(1);
        return batch::run(session, lines, jobs, format, args.timeout, &side);
    }
    if args.jobs.is_some() {
        let message = "--jobs is for --batch: this is one call";
        return Err(Failure::BadInput(message.to_owned()));
    }
    let takes_stdin = words.data.as_deref().is_some_and(data::is_stdin);
    if takes_stdin && address == Address::Stdio {
        let message = "--data -: standard input is the connection to stdio:";
        return Err(Failure::BadInput(message.to_owned()));
    }
    let mut call = Call::parse(&words, args.revision.key_order())?;
    let session = Session::connect(&address, &config, &options)?;
    if let Some(timeout) = args.timeout {
        session.end_at(began + timeout, timeout);
    }
    let result = match call.output.take() {
        None => {
            let mut out = Output::new(io::output(), &side);
            answer::run(&session, call, &side, None, None, format, &mut out)
                .and_then(|()| out.end().map_err(Failure::output))
        }
        Some(mut file) => {
            session.remove_if_cut(file.temporary());
            answer::run(&session, call, &side, None, None, format, &mut file)
                .and_then(|()| file.finish())
        }
    };
    stray.flush();
    with_side(&side, Side::finish);
    session.close();
    result
}

/// Holds the address where the command line has none.
const ADDRESS: &str = "HGRPC_ADDRESS";

/// Where the server is, and the words of the call: the first one is the address unless it cannot be
/// one and the environment has one.
fn address_and_words(
    args: &Args,
    environment: Option<OsString>,
) -> Result<(Address, Words), Failure> {
    let parse = |text: &OsString| match text.to_str() {
        Some(text) => text.parse::<Address>().map_err(|error| error.to_string()),
        None => Err(format!("{text:?} is no address: it is not UTF-8")),
    };
    let mut words = args.words.clone();
    let Some(first) = &args.address else {
        let Some(address) = environment else {
            let message = format!("the address is missing, and {ADDRESS} is not set; see --help");
            return Err(Failure::BadInput(message));
        };
        let address = parse(&address);
        let address = address.map_err(|error| Failure::BadInput(format!("{ADDRESS}: {error}")))?;
        return Ok((address, words));
    };
    match (parse(first), environment) {
        (Ok(address), _) => Ok((address, words)),
        // What looks like an address is meant to be one.
        (Err(_), Some(address)) if !first.as_encoded_bytes().contains(&b':') => {
            let address = parse(&address);
            let address =
                address.map_err(|error| Failure::BadInput(format!("{ADDRESS}: {error}")))?;
            words.args.splice(0..0, words.name.replace(first.clone()));
            Ok((address, words))
        }
        (Err(error), _) => Err(Failure::BadInput(error)),
    }
}

/// How long connecting may take.
fn connect_timeout(args: &Args, address: &Address) -> Option<Duration> {
    // The system would ask a machine that is not there for two minutes.
    let default = matches!(address, Address::Tcp { .. }).then_some(Duration::from_secs(30));
    let limits = [args.timeout, args.connect_timeout.or(default)];
    limits.into_iter().flatten().min()
}

/// What shows text on a raw line.
fn stray(side: &SharedSide) -> Arc<StrayLines> {
    let side = Arc::clone(side);
    StrayLines::new(move |line| with_side(&side, |side| side.device(line)))
}

/// What the connection is told.
fn config(args: &Args, side: &SharedSide) -> Config {
    let mut config = Config::new(args.revision);
    if let Some(max_frame) = args.max_frame {
        config.limits.frame_size = max_frame;
        config.limits.send_frame_size = max_frame;
    }
    if let Some(max_filesize) = args.max_filesize {
        config.limits.response_size = max_filesize;
    }
    config.limits.decoding.ratio = match args.max_decode_ratio {
        0 => u32::MAX,
        ratio => ratio,
    };
    if let Some(encodings) = &args.accept_encoding {
        config.decodes.clone_from(encodings);
    }
    if args.verbose {
        let (side, revision) = (Arc::clone(side), args.revision);
        config.observer = Some(Arc::new(move |direction, header| {
            let arrow = match direction {
                Direction::Out => "->",
                Direction::In => "<-",
            };
            let shown = header.display(revision);
            with_side(&side, |side| side.line(format_args!("{arrow} {shown}")));
        }));
    }
    config
}
