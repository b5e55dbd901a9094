//! Tells a handler that its client has gone.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::host::sync::{lock, wait};

type Callback = Box<dyn FnOnce() + Send>;

/// Whether the client has gone: its input has ended, or the connection broke.
///
/// A client that only closes its sending half looks the same; what is answered then still reaches
/// it. So this is a hint for commands that would otherwise run on for nobody.
#[derive(Clone, Default)]
pub struct Gone(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    signal: Condvar,
}

#[derive(Default)]
struct State {
    is_gone: bool,
    callbacks: Vec<(u64, Callback)>,
    next: u64,
}

/// Keeps a callback of [`Gone::on_gone`]; dropped, it is not called any more.
#[must_use = "the callback goes when this is dropped"]
pub struct OnGone {
    gone: Gone,
    number: u64,
}

impl Gone {
    /// Whether it has.
    pub fn is_gone(&self) -> bool {
        lock(&self.0.state).is_gone
    }

    /// Waits until it has, at most so long; whether it has.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.0.state);
        while !state.is_gone {
            match wait(&self.0.signal, state, Some(deadline)) {
                Some(guard) => state = guard,
                None => return false,
            }
        }
        true
    }

    /// Has this called when it has, or at once if it has already. It is called by the thread that
    /// reads the connection and must not block.
    pub fn on_gone(&self, callback: impl FnOnce() + Send + 'static) -> OnGone {
        let mut state = lock(&self.0.state);
        let number = state.next;
        state.next += 1;
        if state.is_gone {
            drop(state);
            callback();
        } else {
            state.callbacks.push((number, Box::new(callback)));
        }
        OnGone {
            gone: self.clone(),
            number,
        }
    }

    pub(crate) fn signal(&self) {
        let mut state = lock(&self.0.state);
        state.is_gone = true;
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        self.0.signal.notify_all();
        for (_, callback) in callbacks {
            callback();
        }
    }
}

impl Drop for OnGone {
    fn drop(&mut self) {
        lock(&self.gone.0.state)
            .callbacks
            .retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gone").field(&self.is_gone()).finish()
    }
}

impl fmt::Debug for OnGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnGone").finish_non_exhaustive()
    }
}
