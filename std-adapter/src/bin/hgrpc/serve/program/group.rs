//! A program and all that it starts, as a process group: ended together, reaped last.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::guard::{Guard, Guarded};

/// A running program. Its process ID stays its own, and its group's, until it is [reaped](Self::reap).
pub(super) struct Group<'a> {
    pub(super) child: Child,
    id: Pid,
    guarded: Option<Guarded<'a>>,
}

impl<'a> Group<'a> {
    pub(super) fn start(command: &mut Command, guard: &'a Guard) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let id = Pid::from_child(&child);
        Ok(Self {
            child,
            id,
            guarded: Some(guard.watch(id)),
        })
    }

    pub(super) const fn id(&self) -> Pid {
        self.id
    }

    /// Asks all of it to end.
    pub(super) fn terminate(&self) {
        // It fails where nobody is left.
        let _ = kill_process_group(self.id, Signal::TERM);
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.id, Signal::KILL);
    }

    /// Ends what is left of it; how the program itself ended.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        drop(self.guarded.take());
        self.child.wait()
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // Not reaped: whoever runs it was dropped itself.
        if let Some(guarded) = self.guarded.take() {
            self.kill();
            drop(guarded);
        }
    }
}

/// Waits for a program's end; it is not reaped.
pub(super) fn wait_exited(id: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(id), options) {}
}
