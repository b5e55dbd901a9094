//! One call of a program, from its start to its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use hgrpc_std::tokio::{Call, Data, Failure, Reply};
use rustix::process::Pid;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::group::{self, Group};
use super::guard::Guard;
use super::input::Input;
use super::output::Output;
use super::watch::{End, Watch};
use super::{Program, environment};
use crate::serve::{client, command, log};

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Where a program finds its progress file.
const PROGRESS_FD: i32 = 3;

/// Runs the program for this call.
pub(super) async fn run(
    program: &Program,
    guard: &Guard,
    call: &Call,
    data: Data,
    mut reply: Reply,
    abandoned: &CancellationToken,
) -> Result<Reply, Failure> {
    let args = ArgsFile::new(guard.file(), call)?;
    let (progress, progress_end) = io::pipe()?;
    let mut command = prepared(program, call, data.is_announced(), &args);
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
    let peer = call.peer().to_string();
    let watch = Arc::new(Watch::default());
    let status = {
        let input = Input {
            data: Some(data),
            stdin: sender(group.child.stdin.take(), &watch),
            side: reply.notes(),
            gone: call.gone(),
            abandoned,
            watch: &watch,
        };
        let output = Output {
            name: &program.name,
            peer: &peer,
            stdout: receiver(group.child.stdout.take(), &watch),
            stderr: receiver(group.child.stderr.take(), &watch),
            progress: receiver(Some(progress), &watch),
            left: program.limit.output.unwrap_or(u64::MAX),
            watch: &watch,
        };
        watch_exit(group.id(), &watch);
        let both = async {
            let ending = end(group, &watch, program.limit.time);
            let (status, ()) = tokio::join!(ending, output.run(&mut reply));
            status
        };
        tokio::select! {
            status = both => status,
            never = input.run() => match never {},
        }
    };
    drop(args);
    let outcome = outcome(program, &peer, watch.reason(), status);
    if outcome.is_err() {
        // What it wrote before it failed is part of the answer, too.
        let _ = reply.flush().await;
    }
    outcome.map(|()| reply)
}

/// Waits for the program's end, or ends it; how it ended.
async fn end(group: Group<'_>, watch: &Watch, time: Option<Duration>) -> io::Result<ExitStatus> {
    watch.wait_done(time).await;
    if watch.reason().is_some() {
        // Looking for all that it has started takes its time.
        let family = group.family();
        let _ = spawn_blocking(move || family.terminate()).await;
        let _ = timeout(GRACE, watch.wait_exited()).await;
        let family = group.family();
        let _ = spawn_blocking(move || family.kill()).await;
    }
    group.kill_group();
    // Then reaping it takes no time.
    let _ = timeout(GRACE, watch.wait_exited()).await;
    let status = group.reap();
    // The others see it by now, except where a thread could not be started.
    watch.exited();
    status
}

/// Tells when the program has exited.
fn watch_exit(id: Pid, watch: &Arc<Watch>) {
    let exiting = Arc::clone(watch);
    let started = thread::Builder::new().name("exit".into()).spawn(move || {
        group::wait_exited(id);
        exiting.exited();
    });
    if let Err(error) = started {
        watch.end(End::Failed(error.into()));
    }
}

/// A pipe's end, as tokio has it. Where that fails the program is ended.
fn receiver(pipe: Option<impl Into<OwnedFd>>, watch: &Watch) -> Option<pipe::Receiver> {
    opened(
        pipe.map(|pipe| pipe::Receiver::from_owned_fd(pipe.into())),
        watch,
    )
}

/// The same for what is written.
fn sender(pipe: Option<impl Into<OwnedFd>>, watch: &Watch) -> Option<pipe::Sender> {
    opened(
        pipe.map(|pipe| pipe::Sender::from_owned_fd(pipe.into())),
        watch,
    )
}

fn opened<T>(pipe: Option<io::Result<T>>, watch: &Watch) -> Option<T> {
    pipe?
        .map_err(|error| watch.end(End::Failed(error.into())))
        .ok()
}

fn prepared(program: &Program, call: &Call, has_data: bool, args: &ArgsFile) -> Command {
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
        .stdin(if has_data {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the client is told.
fn outcome(
    program: &Program,
    peer: &str,
    end: Option<End>,
    status: io::Result<ExitStatus>,
) -> Result<(), Failure> {
    let Program { name, limit, .. } = program;
    let over = |what: String| {
        log::about(peer, &what);
        Err(Failure::command(what))
    };
    match end {
        None => exited(name, status?),
        Some(End::Gone) => {
            log::about(peer, format_args!("{name} was ended: its client has gone"));
            Err(client::has_gone())
        }
        Some(End::TimedOut) => {
            let time = limit.time.unwrap_or_default();
            Err(command::took_too_long(name, time, peer))
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
