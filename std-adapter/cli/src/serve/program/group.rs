//! A program and all that it starts, ended together; the program is reaped last.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};

use hgrpc_std::transport::Family;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::guard::{Guard, Guarded};

/// A running program. Its process ID stays its own, and its group's, until it is [reaped](Self::reap).
pub(super) struct Group<'a> {
    pub(super) child: Child,
    id: Pid,
    family: Family,
    guarded: Option<Guarded<'a>>,
}

impl<'a> Group<'a> {
    pub(super) fn start(command: &mut Command, guard: &'a Guard) -> io::Result<Self> {
        let mut family = Family::new();
        family.adopt(command);
        // Before it runs: there is no moment in which nobody would end it.
        let guarded = guard.watch(&family);
        let child = command.process_group(0).spawn()?;
        family.add_group(child.id());
        guarded.has_group(child.id());
        Ok(Self {
            id: Pid::from_child(&child),
            child,
            family,
            guarded: Some(guarded),
        })
    }

    pub(super) const fn id(&self) -> Pid {
        self.id
    }

    /// The program and all that it starts.
    pub(super) fn family(&self) -> Family {
        self.family.clone()
    }

    /// Ends what is left of its process group. What has left the group on purpose goes on.
    pub(super) fn kill_group(&self) {
        // It fails where nobody is left.
        let _ = kill_process_group(self.id, Signal::KILL);
    }

    /// As [`kill_group`](Self::kill_group); how the program itself ended.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill_group();
        drop(self.guarded.take());
        self.child.wait()
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // Not reaped: whoever runs it was dropped itself.
        if let Some(guarded) = self.guarded.take() {
            self.family.kill();
            drop(guarded);
        }
    }
}

/// Waits for a program's end; it is not reaped.
pub(super) fn wait_exited(id: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(id), options) {}
}
