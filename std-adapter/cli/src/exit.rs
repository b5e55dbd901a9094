//! How a run ends: the exit codes and what goes to the error output, in one place.

use std::io;
use std::process::ExitCode;

use crate::stderr::queue;

/// The exit codes, as `--help` tells them.
pub(crate) const HELP: &str = "\
Exit codes: 0 done, 1 input or output or the called command failed, 2 bad input or bad arguments, \
3 the protocol or the connection broke, 130 interrupted.";

/// Why a run did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is malformed.
    BadInput(String),
    /// A file or pipe failed.
    Io(String),
    /// The command that was called has failed.
    Command(String),
    /// There is no connection, it broke, or the peer broke the protocol.
    Connection(String),
    /// A signal, by its number, ended the run.
    Interrupted(i32),
    /// What went wrong was reported, and this is the exit code.
    Reported(u8),
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
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(message) = failure.message() {
        report(message);
    }
    ExitCode::from(failure.code())
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Io(_) | Self::Command(_) => 1,
            Self::BadInput(_) => 2,
            Self::Connection(_) => 3,
            // As shells have it.
            Self::Interrupted(signal) => u8::try_from(signal + 128).unwrap_or(1),
            Self::Reported(code) => *code,
        }
    }

    /// What people are told, if they are told anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::OutputClosed | Self::Reported(_) => None,
            Self::Interrupted(_) => Some("interrupted"),
            Self::Io(message)
            | Self::Command(message)
            | Self::BadInput(message)
            | Self::Connection(message) => Some(message),
        }
    }
}

/// Shows one line on the error output.
pub(crate) fn report(message: &str) {
    queue().line(&format!("hgrpc: {message}"));
}

/// Shows what is wrong with the command line, in one line; or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            if !error.use_stderr() {
                // Nobody has to read it.
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            let text = error.render();
            let text = match anstream::AutoStream::choice(&io::stderr()) {
                anstream::ColorChoice::Never => text.to_string(),
                _ => text.ansi().to_string(),
            };
            queue().line(text.trim_end());
            ExitCode::from(2)
        }
        _ => {
            report(&one_line(error));
            ExitCode::from(2)
        }
    }
}

/// A complaint about arguments without the usage after it.
///
/// It comes as `error: …`, maybe indented lines that list what is missing, tips, and the rest.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        let (separator, part) = match part.strip_prefix("tip: ") {
            Some(tip) => ("; ", tip),
            None => (" ", part.strip_prefix("error: ").unwrap_or(part)),
        };
        if !line.is_empty() {
            line.push_str(separator);
        }
        line.push_str(part);
    }
    line + "; see --help"
}
