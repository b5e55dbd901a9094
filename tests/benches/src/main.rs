//! Instructions and allocations of hgrpc on a host, beside floors and peers: see README.md.

mod by_hand;
mod figures;
mod floor;
mod measure;
mod record;
mod table;
mod today;

use std::path::PathBuf;
use std::process::ExitCode;

use hgrpc_bench::{Row, child};
use measure::{Measured, Program};

/// The rows of hgrpc: a name for the column, and the rows, whose names begin with it.
const SURFACES: &[(&str, &[Row])] = &[("today", today::ROWS)];

const HELP: &str = "\
Counts instructions and allocations of hgrpc on a host, beside floors and peers.

usage: cargo counts [OPTION…]

  --no-peers      leave out the peers, which take minutes to build
  --only TEXT     only the rows whose names contain TEXT
  --time          measure wall time too
  --record FILE   write the counts of hgrpc's rows to FILE
  --compare FILE  fail if a row of hgrpc's needs more than was recorded in FILE; leaves out the peers
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    has_no_peers: bool,
    only: String,
    time: bool,
    record: Option<PathBuf>,
    compare: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--no-peers" => options.has_no_peers = true,
                "--time" => options.time = true,
                "--only" => options.only = value()?.clone(),
                "--record" => options.record = Some(value()?.into()),
                "--compare" => options.compare = Some(value()?.into()),
                other => return Err(format!("unexpected argument '{other}'; see --help")),
            }
        }
        if options.compare.is_some() {
            options.has_no_peers = true;
        }
        if !options.only.is_empty() && (options.record.is_some() || options.compare.is_some()) {
            return Err(
                "--only leaves rows out: it goes with neither --record nor --compare".into(),
            );
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows: Vec<Row> = rows().collect();
    if let Some(code) = child(&arguments, &rows) {
        return code;
    }
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Options::parse(&arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The rows of this program.
fn rows() -> impl Iterator<Item = Row> {
    let ours = SURFACES.iter().flat_map(|(_, rows)| rows.iter());
    floor::ROWS.iter().chain(by_hand::ROWS).chain(ours).copied()
}

fn run(options: &Options) -> Result<(), String> {
    let mut programs = vec![Program::this()?];
    if !options.has_no_peers {
        programs.push(Program::peers()?);
    }
    let measured = measure::count(&programs, &options.only)?;
    print!("{}", table::counts(&measured));
    if !options.has_no_peers {
        println!("\n{}", table::versions(&measured));
    }
    if options.time {
        let times = measure::time(&programs, &options.only)?;
        print!("\n{}", table::times(&times));
    }
    let ours: Vec<&Measured> = measured.iter().filter(|m| is_ours(m.who())).collect();
    if let Some(path) = &options.record {
        record::write(path, &ours)?;
    }
    if let Some(path) = &options.compare {
        record::compare(path, &ours)?;
    }
    Ok(())
}

fn is_ours(who: &str) -> bool {
    SURFACES.iter().any(|(name, _)| *name == who)
}
