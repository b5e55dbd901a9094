//! A request's data on its way to a program's standard input; then, whether the client is there.

use std::io::{BufRead, ErrorKind, Write};
use std::process::ChildStdin;
use std::time::Duration;

use hgrpc_std::blocking::{Data, Side};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::watch::{End, Watch};
use crate::serve::builtin::is_there;

/// How long a program may leave its input alone before the client is asked whether it is still
/// there; and again. A client that is gone is noticed at the second time.
///
/// That is needed because the server cannot read on while data waits for the program, and so does
/// not read the connection's end.
const PROBE: Duration = Duration::from_millis(400);

/// The thread of a program's input.
pub(super) struct Input<'a> {
    pub(super) data: Data,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) side: Side,
    pub(super) watch: &'a Watch,
}

/// How feeding ended.
enum Fed {
    /// The program has all of it, or wants no more.
    Done,
    /// The program has exited, or is being ended. Its input stays open until then, so that it does
    /// not take what it has for all.
    Ended,
}

impl Input<'_> {
    pub(super) fn run(mut self) {
        let stdin = self.stdin.take();
        let fed = stdin.map_or(Fed::Done, |stdin| self.feed(stdin));
        if matches!(fed, Fed::Done) {
            // What still comes is swallowed.
            drop(self.data);
            watch_client(self.watch, &self.side);
        }
    }

    fn feed(&mut self, mut stdin: ChildStdin) -> Fed {
        if let Err(error) = rustix::io::ioctl_fionbio(&stdin, true) {
            self.watch
                .end(End::Failed(std::io::Error::from(error).into()));
            return Fed::Ended;
        }
        loop {
            let bytes = match self.data.fill_buf() {
                Ok([]) => return Fed::Done,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Fed::Ended,
                Err(_) => {
                    self.watch.end(End::Gone);
                    self.watch.wait_exited(None);
                    return Fed::Ended;
                }
            };
            match stdin.write(bytes) {
                Ok(len) => self.data.consume(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.wait_writable(&stdin) {
                        self.watch.wait_exited(None);
                        return Fed::Ended;
                    }
                }
                // It reads no more.
                Err(_) => return Fed::Done,
            }
        }
    }

    /// Waits for the program to read; `false` if nothing comes of it.
    fn wait_writable(&self, stdin: &ChildStdin) -> bool {
        loop {
            let mut files = [
                PollFd::new(stdin, PollFlags::OUT),
                PollFd::from_borrowed_fd(self.watch.exit_fd(), PollFlags::IN),
            ];
            let time = Timespec::try_from(PROBE).ok();
            let count = poll(&mut files, time.as_ref()).unwrap_or(1);
            let [stdin, exited] = &files;
            if !exited.revents().is_empty() {
                return false;
            }
            if !stdin.revents().is_empty() {
                return true;
            }
            // One that takes no text is not asked; time limits are left.
            if count == 0 && self.side.is_taken() && !is_there(&self.side) {
                self.watch.end(End::Gone);
                return false;
            }
        }
    }
}

/// Ends the program when its client goes away. One that has only closed its sending half still
/// gets its answer.
fn watch_client(watch: &Watch, side: &Side) {
    if !watch.wait_input_over() {
        return;
    }
    while is_there(side) {
        if watch.wait_exited(Some(PROBE)) {
            return;
        }
    }
    watch.end(End::Gone);
}
