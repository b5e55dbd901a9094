//! Locks that a panic does not close.

use std::cell::OnceCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Locks; what a panicking thread left behind is taken as it is. (Every section under these locks
/// leaves its data whole at each step.)
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a signal, or until the deadline; `None` once that has passed.
pub(crate) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> Option<MutexGuard<'a, T>> {
    let Some(deadline) = deadline else {
        return Some(condvar.wait(guard).unwrap_or_else(PoisonError::into_inner));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return None;
    }
    let (guard, _) = condvar
        .wait_timeout(guard, left)
        .unwrap_or_else(PoisonError::into_inner);
    Some(guard)
}

/// Wakes a thread that has parked itself.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: OnceCell<Waker> = const { OnceCell::new() };
}

/// What wakes this thread when it is parked.
fn waker() -> Waker {
    let new = || Waker::from(Arc::new(Unpark(thread::current())));
    let kept = WAKER.try_with(|waker| waker.get_or_init(new).clone());
    // A thread that is about to end has nothing to keep it in.
    kept.unwrap_or_else(|_| new())
}

/// Waits until this is ready, which wakes the thread then.
pub(crate) fn block<R>(mut poll: impl FnMut(&Waker) -> Poll<R>) -> R {
    loop {
        // Without a deadline there is always one.
        if let Some(result) = block_until(None, &mut poll) {
            return result;
        }
    }
}

/// [`block`], or until the deadline; `None` once that has passed.
pub(crate) fn block_until<R>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&Waker) -> Poll<R>,
) -> Option<R> {
    let waker = waker();
    loop {
        if let Poll::Ready(result) = poll(&waker) {
            return Some(result);
        }
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}
