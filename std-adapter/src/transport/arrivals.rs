//! Connections over links that have come up, for whoever waits for them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::Connection;
use super::line::{Control, Mover};
use super::signal::Signal;
use super::wake::timespec;
use crate::host::origin::Origin;

/// What became of a line.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The link is up.
    Up(Connection),
    /// The line has ended; no more comes of it.
    Gone(io::Error),
}

/// The lines of a listener, or the one of a client, and what they brought.
#[derive(Debug)]
pub(super) struct Arrivals {
    queue: Mutex<VecDeque<Arrival>>,
    lines: Mutex<Vec<(Origin, Weak<Control>)>>,
    mover: Arc<Mover>,
    signal: Signal,
}

impl Arrivals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            lines: Mutex::default(),
            mover: Arc::new(Mover::new()?),
            signal: Signal::new()?,
        })
    }

    fn lines(&self) -> MutexGuard<'_, Vec<(Origin, Weak<Control>)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines there are, and how many of them are of this origin.
    pub(super) fn count(&self, origin: Origin) -> [usize; 2] {
        let mut lines = self.lines();
        lines.retain(|(_, line)| line.strong_count() > 0);
        let own = lines.iter().filter(|(of, _)| *of == origin).count();
        [lines.len(), own]
    }

    pub(super) fn add(&self, origin: Origin, line: &Arc<Control>) {
        self.lines().push((origin, Arc::downgrade(line)));
    }

    /// What moves the lines' bytes.
    pub(super) fn mover(&self) -> &Arc<Mover> {
        &self.mover
    }

    pub(super) fn push(&self, arrival: Arrival) {
        self.queue().push_back(arrival);
        self.signal.set();
    }

    /// Waits for the next one, until then.
    pub(super) fn wait_until(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = timespec(left);
        match poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next one; when there is none, it can be polled.
    pub(super) fn pop(&self) -> Option<Arrival> {
        self.signal.clear();
        let mut queue = self.queue();
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.signal.set();
        }
        next
    }
}

impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        for line in (self.lines().iter()).filter_map(|(_, line)| line.upgrade()) {
            line.end();
        }
    }
}
