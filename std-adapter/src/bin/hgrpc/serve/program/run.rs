//! One call of a program, from its start to its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, Scope};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use hgrpc_std::blocking::{Call, Failure, Reply};

use super::group::{self, Group};
use super::guard::Guard;
use super::input::Input;
use super::output::Output;
use super::watch::{End, Watch};
use super::{Program, environment};
use crate::serve::log;
use crate::serve::peer::Peer;
use crate::units::Shown;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Where a program finds its progress file.
const PROGRESS_FD: i32 = 3;

/// Runs the program for this call.
pub(super) fn run(
    program: &Program,
    guard: &Guard,
    peer: &Peer,
    call: &mut Call,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let args = ArgsFile::new(guard.file(), call)?;
    let (progress, progress_end) = io::pipe()?;
    let watch = std::sync::Arc::new(Watch::new()?);
    let mut command = command(program, call, &args);
    let mapping = FdMapping {
        parent_fd: OwnedFd::from(progress_end),
        child_fd: PROGRESS_FD,
    };
    command
        .fd_mappings(vec![mapping])
        .map_err(io::Error::other)?;
    let mut group = Group::start(&mut command, guard).map_err(|error| {
        Failure::server(format_args!("{} cannot be started: {error}", program.name))
    })?;
    // It holds the writing end of the progress file.
    drop(command);
    let watched = std::sync::Arc::clone(&watch);
    let _on_gone = call.gone().on_gone(move || watched.input_over());
    let data = call.take_data();
    let give_up = data.give_up();
    let input = Input {
        data,
        stdin: group.child.stdin.take(),
        side: reply.side(),
        watch: &watch,
    };
    let output = Output {
        name: &program.name,
        peer: &peer.name,
        stdout: group.child.stdout.take(),
        stderr: group.child.stderr.take(),
        progress: Some(progress),
        left: program.limit.output.unwrap_or(u64::MAX),
        watch: &watch,
    };
    let status = thread::scope(|scope| {
        let id = group.id();
        let exiting = &watch;
        let started = spawn(scope, "exit", move || {
            group::wait_exited(id);
            exiting.exited();
        })
        .and_then(|()| spawn(scope, "input", || input.run()))
        .and_then(|()| spawn(scope, "output", || output.run(reply)));
        if let Err(error) = started {
            watch.end(End::Failed(error.into()));
        }
        watch.wait_done(program.limit.time);
        if watch.reason().is_some() {
            group.terminate();
            watch.wait_exited(Some(GRACE));
        }
        let status = group.reap();
        // The others see it by now, except where a thread could not be started.
        watch.exited();
        give_up.give_up();
        status
    });
    drop(args);
    let outcome = outcome(program, peer, watch.reason(), status);
    if outcome.is_err() {
        // What it wrote before it failed is part of the answer, too.
        let _ = reply.flush();
    }
    outcome
}

fn command(program: &Program, call: &Call, args: &ArgsFile) -> Command {
    let (first, rest) = program.words.split_first().unwrap_or((&program.name, &[]));
    let mut command = Command::new(first);
    for name in environment::foreign() {
        command.env_remove(name);
    }
    command
        .args(rest)
        .envs(environment::variables(call.args()))
        .env("HGRPC_ARGS_FILE", &args.0)
        .env("HGRPC_COMMAND", &program.name)
        .stdin(if call.has_data() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map(drop)
}

/// What the client is told.
fn outcome(
    program: &Program,
    peer: &Peer,
    end: Option<End>,
    status: io::Result<ExitStatus>,
) -> Result<(), Failure> {
    let Program { name, limit, .. } = program;
    let over = |what: String| {
        log::about(&peer.name, &what);
        Err(Failure::command(what))
    };
    match end {
        None => exited(name, status?),
        Some(End::Gone) => {
            log::about(
                &peer.name,
                format_args!("{name} was ended: its client has gone"),
            );
            Err(Failure::server("the client has gone"))
        }
        Some(End::TimedOut) => {
            let time = Shown(limit.time.unwrap_or_default());
            over(format!("{name} took longer than {time} and was ended"))
        }
        Some(End::TooLong) => {
            let output = limit.output.unwrap_or_default();
            over(format!(
                "{name} wrote more than {output} bytes and was ended"
            ))
        }
        Some(End::Failed(failure)) => Err(failure),
    }
}

fn exited(name: &str, status: ExitStatus) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt;
    if status.success() {
        return Ok(());
    }
    Err(Failure::command(match (status.code(), status.signal()) {
        (Some(code), _) => format!("{name} failed with exit status {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(signal) => format!("{name} was ended by {signal}"),
            None => format!("{name} was ended by signal {signal}"),
        },
        (None, None) => format!("{name} failed: {status}"),
    }))
}

/// The file of a call's arguments, removed at the end.
struct ArgsFile(PathBuf);

impl ArgsFile {
    fn new(path: PathBuf, call: &Call) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file: File = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let this = Self(path);
        file.write_all(call.args().as_cbor())?;
        Ok(this)
    }
}

impl Drop for ArgsFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
