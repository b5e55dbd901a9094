//! A child's standard input and output as a connection.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::family::{Family, Members};

use super::Connection;
use super::connection::Link;
use super::wake::Wake;

/// How long a program may take to end by itself, and again once it was asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long a program's exit may come after its output's end.
pub(crate) const EXIT_DELAY: Duration = Duration::from_millis(100);

/// Runs a program and connects to it. Its error output is this process's.
pub(super) fn connect(program: &str, args: &[String], peer: String) -> io::Result<Connection> {
    let (stdin, stdout, link) = spawn(program, args)?;
    let link = Arc::new(link);
    // Our ends only: a pipe's other end has a state of its own.
    rustix::io::ioctl_fionbio(&stdin, true)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    let reader = ExecReader {
        stdout,
        link: Arc::clone(&link),
    };
    let writer = ExecWriter {
        stdin,
        link: Arc::clone(&link),
    };
    Ok(Connection::new(reader, writer, &link, peer))
}

/// Runs a program. It is ended and reaped when the link is dropped, which comes after its pipes; so
/// is what it has started and not made a daemon.
pub(crate) fn spawn(
    program: &str,
    args: &[String],
) -> io::Result<(ChildStdin, ChildStdout, ExecLink)> {
    let wake = Wake::new()?;
    let mut family = Family::new();
    let mut command = Command::new(program);
    family.adopt(&mut command);
    // In a process group of its own it could not ask for a password on the terminal.
    let has_group = !Family::FINDS_MEMBERS && File::open("/dev/tty").is_err();
    if has_group {
        command.process_group(0);
    }
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if has_group {
        family.add_group(child.id());
    }
    let started = Members::StartedBy(Pid::from_child(&child));
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // From here on the child is ended and reaped whatever happens.
    let link = ExecLink(Arc::new(Running {
        child: Mutex::new(child),
        family,
        started,
        wake,
    }));
    match (stdin, stdout) {
        (Some(stdin), Some(stdout)) => Ok((stdin, stdout, link)),
        _ => Err(io::Error::other(
            "the program has no standard input and output",
        )),
    }
}

/// A child that is ended and reaped when the connection is dropped.
#[derive(Debug)]
pub(crate) struct ExecLink(Arc<Running>);

/// A child, also after its end.
#[derive(Debug)]
pub(crate) struct Running {
    child: Mutex<Child>,
    family: Family,
    /// What ends with the child.
    started: Members,
    wake: Wake,
}

impl Running {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the child's end. It is not held meanwhile.
    fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        const LONGEST: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// How the child ended, if it has.
    #[cfg(feature = "tokio")]
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Ends the child: asks it to, and kills it if it does not.
    pub(crate) fn end(self: &Arc<Self>) {
        self.wake.wake();
        self.terminate();
        // What does not end is killed, even if the halves are kept.
        let running = Arc::clone(self);
        let _ = thread::Builder::new().spawn(move || running.kill());
    }

    /// Asks the child to end, if it has not.
    fn terminate(&self) {
        let mut child = self.child();
        // A child that is not reaped keeps its number: no other process is meant.
        if let Ok(None) = child.try_wait() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        }
    }

    /// Ends the child that was asked to, and what it has started.
    fn kill(&self) {
        if self.wait(GRACE).is_some() {
            return self.end_started();
        }
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        self.family.kill_those(self.started);
    }

    /// Ends what the child has left behind.
    fn end_started(&self) {
        self.family.end_those(self.started, GRACE);
    }
}

impl ExecLink {
    /// The child, for as long as its state is of interest.
    #[cfg(feature = "tokio")]
    pub(crate) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.0)
    }
}

impl Link for ExecLink {
    fn close(&self) {
        self.0.end();
    }

    fn exit_status(&self) -> Option<ExitStatus> {
        self.0.wait(EXIT_DELAY)
    }
}

impl Drop for ExecLink {
    fn drop(&mut self) {
        // By now its input and output are closed, which most programs take as their end.
        if self.0.wake.is_woken() || self.0.wait(GRACE).is_none() {
            self.0.terminate();
            self.0.kill();
        } else {
            self.0.end_started();
        }
    }
}

// The pipes come first: they are closed before the link waits for the child.

struct ExecReader {
    stdout: ChildStdout,
    link: Arc<ExecLink>,
}

impl Read for ExecReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.link.0.wake.wait_readable(&self.stdout)? {
                return Ok(0);
            }
            match self.stdout.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

struct ExecWriter {
    stdin: ChildStdin,
    link: Arc<ExecLink>,
}

impl Write for ExecWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wake = &self.link.0.wake;
        if wake.is_woken() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        loop {
            match self.stdin.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !wake.wait_writable(&self.stdin)? {
                        return Err(ErrorKind::BrokenPipe.into());
                    }
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
