//! The threads that run a connection's commands.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::sync::{lock, wait};

/// How long a thread stays for another command, so that many small calls do not start many threads.
const LINGER: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that are started as they are needed.
pub(super) struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    job: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    /// Jobs that wait or run.
    busy: usize,
    is_closing: bool,
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                job: Condvar::new(),
                done: Condvar::new(),
            }),
        }
    }

    /// Runs this in a thread of its own.
    ///
    /// # Errors
    /// The system has no thread left; the job is dropped.
    pub(super) fn run(&self, job: Job) -> io::Result<()> {
        let mut state = lock(&self.shared.state);
        state.busy += 1;
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            drop(state);
            self.shared.job.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new()
            .name("hgrpc-command".into())
            .spawn(move || shared.work());
        if let Err(error) = started {
            state.busy -= 1;
            let job = state.jobs.pop_back();
            drop(state);
            drop(job);
            return Err(error);
        }
        Ok(())
    }

    /// Waits until no job is left.
    pub(super) fn wait(&self) {
        let mut state = lock(&self.shared.state);
        while state.busy > 0 {
            match wait(&self.shared.done, state, None) {
                Some(guard) => state = guard,
                None => return,
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.state).is_closing = true;
        self.shared.job.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            // The job's own guards have answered when it unwinds; the thread goes on.
            let _ = catch_unwind(AssertUnwindSafe(job));
            lock(&self.state).busy -= 1;
            self.done.notify_all();
        }
    }

    fn next(&self) -> Option<Job> {
        let deadline = Instant::now() + LINGER;
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.is_closing {
                return None;
            }
            state.idle += 1;
            let guard = wait(&self.job, state, Some(deadline));
            state = match guard {
                Some(guard) => guard,
                None => {
                    // A job may have come for this thread just now.
                    let mut state = lock(&self.state);
                    state.idle -= 1;
                    return state.jobs.pop_front();
                }
            };
            state.idle -= 1;
        }
    }
}
