//! What the threads of one program's call tell each other: its exit, and why it has to end.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hgrpc_std::blocking::Failure;

/// Why a program is ended before it ends by itself.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Its client has gone.
    Gone,
    /// It took too long.
    TimedOut,
    /// It wrote too much.
    TooLong,
    /// Something here failed.
    Failed(Failure),
}

/// A call's state, for all of its threads.
pub(super) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
    /// Readable when the program has exited.
    exited: PipeReader,
    exit: Mutex<Option<PipeWriter>>,
}

#[derive(Default)]
struct State {
    has_exited: bool,
    /// All that it wrote was read.
    is_read: bool,
    /// The client's input has ended.
    is_input_over: bool,
    end: Option<End>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let (exited, exit) = io::pipe()?;
        Ok(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            exited,
            exit: Mutex::new(Some(exit)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until this holds, or for so long; whether it does.
    fn wait(&self, time: Option<Duration>, until: impl Fn(&State) -> bool) -> bool {
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        let mut state = self.state();
        while !until(&state) {
            state = match deadline {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// The program has exited.
    pub(super) fn exited(&self) {
        self.change(|state| state.has_exited = true);
        drop(
            self.exit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// All that it wrote was read.
    pub(super) fn read(&self) {
        self.change(|state| state.is_read = true);
    }

    /// The client's input has ended.
    pub(super) fn input_over(&self) {
        self.change(|state| state.is_input_over = true);
    }

    /// The program has to end; the first reason counts.
    pub(super) fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// What becomes readable when the program has exited.
    pub(super) fn exit_fd(&self) -> BorrowedFd<'_> {
        self.exited.as_fd()
    }

    /// Why it has to end.
    pub(super) fn reason(&self) -> Option<End> {
        self.state().end.clone()
    }

    /// Waits until the program has ended by itself and was read, or has to end, or for so long.
    pub(super) fn wait_done(&self, time: Option<Duration>) {
        let done = |state: &State| state.has_exited && state.is_read || state.end.is_some();
        if !self.wait(time, done) {
            self.end(End::TimedOut);
        }
    }

    /// Waits until the program has exited, or for so long; whether it has.
    pub(super) fn wait_exited(&self, time: Option<Duration>) -> bool {
        self.wait(time, |state| state.has_exited)
    }

    /// Waits until the client's input has ended; `false` if the program exits before.
    pub(super) fn wait_input_over(&self) -> bool {
        let over = |state: &State| state.has_exited || state.is_input_over;
        self.wait(None, over) && !self.state().has_exited
    }
}
