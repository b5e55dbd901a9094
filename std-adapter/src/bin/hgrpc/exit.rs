//! How a run ends: the exit codes and what goes to the error output, in one place.

use std::io;
use std::process::ExitCode;

/// The exit codes, as `--help` tells them.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 input or output failed, 2 bad input or bad arguments, 3 the connection broke.";

/// Why a run did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is malformed.
    BadInput(String),
    /// A file or pipe failed.
    Io(String),
    /// The connection broke, or cannot be made.
    Connection(String),
    /// Whoever read the output has enough, as `head` does: not an error.
    OutputClosed,
}

impl Failure {
    /// What a failure to write the output means.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Io(format!("cannot write the output: {error}")),
        }
    }
}

/// Reports a failure; the exit code of the run.
pub(crate) fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Io(message)) => report(&message, 1),
        Err(Failure::BadInput(message)) => report(&message, 2),
        Err(Failure::Connection(message)) => report(&message, 3),
    }
}

fn report(message: &str, code: u8) -> ExitCode {
    // Not `eprintln!`, which panics where the error output is closed.
    let _ = io::Write::write_all(&mut io::stderr(), format!("hgrpc: {message}\n").as_bytes());
    ExitCode::from(code)
}
