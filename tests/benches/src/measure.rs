//! Runs programs with rows, under callgrind or by themselves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// Iterations of a row whose instructions are counted; once more as many, so that what is set up
/// drops out. No fewer than the requests that a row has open.
const COUNTED: u32 = 4_096;

/// Iterations, and repetitions, of a row that is timed.
const TIMED: u32 = 100_000;
const ROUNDS: u32 = 9;

/// A program that has rows.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    rows: Vec<String>,
}

/// What an iteration of a row costs.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The row's name.
    pub(crate) name: String,
    /// Instructions, or nanoseconds.
    pub(crate) cost: f64,
    /// Allocations, where they were counted.
    pub(crate) allocations: f64,
}

impl Measured {
    /// Whose row it is.
    pub(crate) fn who(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

impl Program {
    /// This program.
    pub(crate) fn this() -> Result<Self, String> {
        let path =
            std::env::current_exe().map_err(|error| format!("no path of this program: {error}"))?;
        Self::at(path)
    }

    /// The program with the peers, which is built beside this one.
    pub(crate) fn peers() -> Result<Self, String> {
        let this =
            std::env::current_exe().map_err(|error| format!("no path of this program: {error}"))?;
        let folder = this.parent().unwrap_or(Path::new("."));
        let target = folder.parent().unwrap_or(Path::new("."));
        eprintln!("building the peers (--no-peers leaves them out)");
        let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([
                "build",
                "--release",
                "--quiet",
                "--locked",
                "--package",
                "hgrpc-bench-peers",
            ])
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .arg("--target-dir")
            .arg(target)
            .status()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !built.success() {
            return Err("the peers do not build; --no-peers leaves them out".into());
        }
        Self::at(folder.join("hgrpc-bench-peers"))
    }

    fn at(path: PathBuf) -> Result<Self, String> {
        let list = output(Command::new(&path).arg("list"))?.0;
        let rows = list.lines().map(String::from).collect();
        Ok(Self { path, rows })
    }

    /// A number that the program prints.
    fn number(&self, arguments: &[&str]) -> Result<f64, String> {
        let printed = output(Command::new(&self.path).args(arguments))?.0;
        printed
            .trim()
            .parse()
            .map_err(|_| format!("{arguments:?}: not a number: {printed}"))
    }

    /// Instructions of so many iterations, and of what the program does besides.
    fn instructions(&self, row: &str, iterations: u32) -> Result<f64, String> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command
            .arg(&self.path)
            .args(["run", row, &iterations.to_string()]);
        let (_, log) = output(&mut command)?;
        let count = log.lines().find_map(|line| line.split_once("Collected : "));
        let count = count.and_then(|(_, count)| count.trim().parse().ok());
        count.ok_or(format!("{row}: callgrind gave no count:\n{log}"))
    }

    fn count(&self, row: &str) -> Result<Measured, String> {
        let once = self.instructions(row, COUNTED)?;
        let twice = self.instructions(row, 2 * COUNTED)?;
        Ok(Measured {
            name: row.into(),
            cost: (twice - once) / f64::from(COUNTED),
            allocations: self.number(&["allocations", row, &COUNTED.to_string()])?,
        })
    }

    fn time(&self, row: &str) -> Result<Measured, String> {
        let (iterations, rounds) = (TIMED.to_string(), ROUNDS.to_string());
        Ok(Measured {
            name: row.into(),
            cost: self.number(&["time", row, &iterations, &rounds])?,
            allocations: 0.0,
        })
    }
}

/// What a command printed, on its two outputs.
fn output(command: &mut Command) -> Result<(String, String), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{program} is not installed"),
        _ => format!("cannot run {program}: {error}"),
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok((text(&output.stdout), text(&output.stderr)))
    } else {
        Err(format!(
            "{command:?}: {}\n{}",
            output.status,
            text(&output.stderr)
        ))
    }
}

/// The rows that are asked for.
fn rows<'p>(programs: &'p [Program], only: &str) -> Vec<(&'p Program, &'p str)> {
    let all = programs
        .iter()
        .flat_map(|program| program.rows.iter().map(move |row| (program, row.as_str())));
    all.filter(|(_, row)| row.contains(only)).collect()
}

/// Counts instructions and allocations, on all processors at once.
pub(crate) fn count(programs: &[Program], only: &str) -> Result<Vec<Measured>, String> {
    let rows = rows(programs, only);
    let next = Mutex::new(rows.iter().enumerate());
    let work = || {
        let mut done = Vec::new();
        loop {
            let taken = next.lock().expect("no thread panics").next();
            let Some((index, (program, row))) = taken else {
                return Ok::<_, String>(done);
            };
            done.push((index, program.count(row)?));
        }
    };
    let mut measured = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("no thread panics")?);
        }
        Ok::<_, String>(all)
    })?;
    measured.sort_by_key(|(index, _)| *index);
    Ok(measured.into_iter().map(|(_, measured)| measured).collect())
}

/// Measures wall time, one row after another.
pub(crate) fn time(programs: &[Program], only: &str) -> Result<Vec<Measured>, String> {
    rows(programs, only)
        .into_iter()
        .map(|(program, row)| program.time(row))
        .collect()
}
