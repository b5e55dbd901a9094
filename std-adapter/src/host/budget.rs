//! Bytes that may be held: so many by each connection for itself, and beyond that so many by all
//! connections of a server together.
//!
//! ```text
//!   connection A  [own ████░░]──┐
//!   connection B  [own ██████]──┼─▶ [shared ███████░░░░░░░░]
//!   connection C  [own ░░░░░░]──┘
//! ```
//! Who stays within its own part never waits for what others hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Semaphore,
    held: AtomicUsize,
    most_held: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            shared: Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
        })
    }

    /// Bytes that all connections hold now, their own parts included.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The most that [`held`](Self::held) ever was.
    pub(crate) fn most_held(&self) -> usize {
        self.most_held.load(Ordering::Relaxed)
    }
}

/// What one connection may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    pool: Arc<Pool>,
    /// All that it may hold.
    most: Semaphore,
    /// The part of it that is not taken from the pool.
    own: Semaphore,
    limit: u32,
}

impl Budget {
    /// At most `most` bytes, of which `own` are not taken from the pool.
    pub(crate) fn new(pool: Arc<Pool>, most: usize, own: usize) -> Arc<Self> {
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        Arc::new(Self {
            pool,
            most: Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX)),
            own: Semaphore::new(own.min(Semaphore::MAX_PERMITS)),
            limit,
        })
    }

    /// Waits until so many bytes may be held. More than the whole budget counts as the whole.
    ///
    /// Dropping the future takes nothing. One task of a connection takes; any gives back.
    pub(crate) async fn take(self: &Arc<Self>, bytes: usize) -> Charge {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.limit);
        // The semaphores are never closed.
        let most = self.most.acquire_many(bytes).await.ok();
        let own = u32::try_from(self.own.available_permits())
            .unwrap_or(u32::MAX)
            .min(bytes);
        let own_part = self.own.try_acquire_many(own).ok();
        let own = own_part.as_ref().map_or(0, |_| own);
        let shared = bytes - own;
        let shared_part = self.pool.shared.acquire_many(shared).await.ok();
        if let Some(permit) = most {
            permit.forget();
        }
        if let Some(permit) = own_part {
            permit.forget();
        }
        if let Some(permit) = shared_part {
            permit.forget();
        }
        let count = count(bytes);
        let held = self.pool.held.fetch_add(count, Ordering::Relaxed) + count;
        self.pool.most_held.fetch_max(held, Ordering::Relaxed);
        Charge {
            budget: Arc::clone(self),
            own,
            shared,
        }
    }
}

/// Bytes that are held; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    own: u32,
    shared: u32,
}

impl Charge {
    /// Bytes that it stands for.
    pub(crate) fn bytes(&self) -> usize {
        count(self.own) + count(self.shared)
    }

    /// Takes another charge of the same budget in.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.own += std::mem::take(&mut other.own);
        self.shared += std::mem::take(&mut other.shared);
    }

    /// Gives back all but so many bytes; what is shared first.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let surplus = self.bytes().saturating_sub(bytes);
        let surplus = u32::try_from(surplus).unwrap_or(u32::MAX);
        let shared = surplus.min(self.shared);
        let own = surplus - shared;
        self.shared -= shared;
        self.own -= own;
        self.budget.give_back(own, shared);
    }
}

fn count(permits: u32) -> usize {
    usize::try_from(permits).unwrap_or(usize::MAX)
}

impl Budget {
    fn give_back(&self, own: u32, shared: u32) {
        let (own, shared) = (count(own), count(shared));
        self.pool.held.fetch_sub(own + shared, Ordering::Relaxed);
        self.own.add_permits(own);
        self.pool.shared.add_permits(shared);
        self.most.add_permits(own + shared);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.own, self.shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<F: Future>(future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn its_own_part_is_never_taken_by_others() {
        let pool = Pool::new(100);
        let greedy = Budget::new(Arc::clone(&pool), 1000, 10);
        let modest = Budget::new(Arc::clone(&pool), 1000, 10);
        let all = now(greedy.take(110)).unwrap();
        assert!(now(greedy.take(1)).is_none());
        let own = now(modest.take(10)).unwrap();
        assert!(now(modest.take(1)).is_none());
        assert_eq!(pool.held(), 120);
        drop(all);
        assert!(now(modest.take(100)).is_some());
        drop(own);
        assert_eq!((pool.held(), pool.most_held()), (0, 120));
        let mut charge = now(modest.take(15)).unwrap();
        charge.absorb(now(modest.take(5)).unwrap());
        charge.keep(7);
        assert_eq!((charge.bytes(), pool.held()), (7, 7));
        drop(charge);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn a_wait_that_is_dropped_takes_nothing() {
        let pool = Pool::new(10);
        let budget = Budget::new(Arc::clone(&pool), 100, 5);
        let first = now(budget.take(12)).unwrap();
        assert!(now(budget.take(9)).is_none());
        drop(first);
        assert!(now(budget.take(15)).is_some());
        assert_eq!(pool.held(), 0);
        // More than there can ever be is taken as all there is.
        let small = Budget::new(Pool::new(100), 20, 0);
        assert!(now(small.take(1000)).is_some());
    }
}
