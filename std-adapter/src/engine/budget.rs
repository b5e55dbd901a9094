//! Bytes that may be held: so many by each connection for itself, and beyond that so many by all
//! connections of a server together.
//!
//! ```text
//!   connection A  [own ████░░]──┐
//!   connection B  [own ██████]──┼─▶ [shared ███████░░░░░░░░]
//!   connection C  [own ░░░░░░]──┘
//! ```
//! A connection within its own part never waits for others. Connections that wait for the shared
//! part get it in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::faults::{Fault, is_planted};
use crate::host::sync::lock;

/// Bytes that all connections of a server share.
#[derive(Debug)]
pub struct Pool {
    shared: Mutex<Shared>,
    held: AtomicUsize,
    most_held: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    free: usize,
    /// The connections that wait, oldest first, by number.
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
}

impl Pool {
    /// A pool of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            shared: Mutex::new(Shared {
                free: bytes,
                waiting: VecDeque::new(),
                next: 0,
            }),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
        })
    }

    /// Bytes that all connections hold now, their own parts included.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The most that [`held`](Self::held) ever was.
    pub fn most_held(&self) -> usize {
        self.most_held.load(Ordering::Relaxed)
    }
}

/// Bytes that one connection may hold. The connection takes, one call at a time; anybody gives back.
#[derive(Debug)]
pub(crate) struct Budget {
    pool: Arc<Pool>,
    number: u64,
    /// Free bytes of all that it may hold.
    most: AtomicUsize,
    /// Free bytes of the part that is not taken from the pool.
    own: AtomicUsize,
    limit: usize,
    is_waiting: AtomicBool,
    waker: Waker,
}

impl Budget {
    /// At most `most` bytes, of which `own` are not taken from the pool. `waker` is woken when bytes
    /// may be free that were not before.
    pub(crate) fn new(pool: Arc<Pool>, most: usize, own: usize, waker: Waker) -> Arc<Self> {
        let number = {
            let mut shared = lock(&pool.shared);
            shared.next += 1;
            shared.next
        };
        Arc::new(Self {
            pool,
            number,
            most: AtomicUsize::new(most),
            own: AtomicUsize::new(own),
            limit: most,
            is_waiting: AtomicBool::new(false),
            waker,
        })
    }

    /// Takes so many bytes; more than the whole budget counts as the whole. `None`: they are not
    /// free, and the waker is woken when they may be.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let bytes = bytes.min(self.limit);
        if let Some(charge) = self.try_take(bytes) {
            // Bytes of its own part leave its place in line to those behind.
            self.stop_waiting();
            return Some(charge);
        }
        // Bytes that are given back from here on wake.
        self.is_waiting.store(true, Ordering::SeqCst);
        let charge = self.try_take(bytes)?;
        self.stop_waiting();
        Some(charge)
    }

    fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        if self.most.load(Ordering::SeqCst) < bytes {
            return None;
        }
        let own = self.own.load(Ordering::SeqCst).min(bytes);
        let shared = bytes - own;
        if shared > 0 && !self.take_shared(shared) {
            return None;
        }
        self.most.fetch_sub(bytes, Ordering::SeqCst);
        self.own.fetch_sub(own, Ordering::SeqCst);
        let held = self.pool.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.pool.most_held.fetch_max(held, Ordering::Relaxed);
        Some(Charge {
            budget: Arc::clone(self),
            own,
            shared,
        })
    }

    /// Takes bytes of the pool, or has this connection wait behind the others.
    fn take_shared(&self, bytes: usize) -> bool {
        let mut pool = lock(&self.pool.shared);
        let place = pool.waiting.iter().position(|(n, _)| *n == self.number);
        let is_next = place.unwrap_or(pool.waiting.len()) == 0;
        if !is_next || pool.free < bytes {
            if place.is_none() {
                pool.waiting.push_back((self.number, self.waker.clone()));
            }
            return false;
        }
        pool.free -= bytes;
        if place.is_some() {
            pool.waiting.pop_front();
        }
        let next = pool.next_waker();
        drop(pool);
        if place.is_some() {
            next.into_iter().for_each(Waker::wake);
        }
        true
    }

    /// Stops waiting: those behind may have their turn.
    pub(crate) fn stop_waiting(&self) {
        if !self.is_waiting.load(Ordering::SeqCst) {
            return;
        }
        self.is_waiting.store(false, Ordering::SeqCst);
        let mut pool = lock(&self.pool.shared);
        let before = pool.waiting.len();
        pool.waiting.retain(|(number, _)| *number != self.number);
        let next = pool.next_waker().filter(|_| pool.waiting.len() < before);
        drop(pool);
        next.into_iter().for_each(Waker::wake);
    }

    fn give_back(&self, own: usize, shared: usize) {
        self.pool.held.fetch_sub(own + shared, Ordering::Relaxed);
        self.own.fetch_add(own, Ordering::SeqCst);
        self.most.fetch_add(own + shared, Ordering::SeqCst);
        if shared > 0 && !is_planted(Fault::BudgetKept) {
            let mut pool = lock(&self.pool.shared);
            pool.free += shared;
            let next = pool.next_waker();
            drop(pool);
            let next = next.filter(|_| !is_planted(Fault::BudgetNotWoken));
            next.into_iter().for_each(Waker::wake);
        }
        if self.is_waiting.load(Ordering::SeqCst) {
            self.waker.wake_by_ref();
        }
    }
}

impl Shared {
    fn next_waker(&self) -> Option<Waker> {
        self.waiting.front().map(|(_, waker)| waker.clone())
    }
}

/// Bytes that are held; given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    own: usize,
    shared: usize,
}

impl Charge {
    /// Bytes that it stands for.
    pub const fn bytes(&self) -> usize {
        self.own + self.shared
    }

    /// Takes another charge of the same connection in.
    pub fn absorb(&mut self, mut other: Self) {
        self.own += std::mem::take(&mut other.own);
        self.shared += std::mem::take(&mut other.shared);
    }

    /// Splits a part off, for something that outlives the rest; `None` if it has less.
    pub(super) fn split(&mut self, bytes: usize) -> Option<Self> {
        let shared = bytes.min(self.shared);
        let own = bytes - shared;
        self.own = self.own.checked_sub(own)?;
        self.shared -= shared;
        Some(Self {
            budget: Arc::clone(&self.budget),
            own,
            shared,
        })
    }

    /// Gives back all but so many bytes; shared ones first.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let surplus = self.bytes().saturating_sub(bytes);
        let shared = surplus.min(self.shared);
        let own = surplus - shared;
        self.shared -= shared;
        self.own -= own;
        self.budget.give_back(own, shared);
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

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl std::task::Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn budget(pool: &Arc<Pool>, most: usize, own: usize) -> (Arc<Budget>, Arc<Bell>) {
        let bell = Arc::new(Bell::default());
        let waker = Arc::clone(&bell).into();
        (Budget::new(Arc::clone(pool), most, own, waker), bell)
    }

    #[test]
    fn its_own_part_is_never_taken_by_others() {
        let pool = Pool::new(100);
        let (greedy, greedy_bell) = budget(&pool, 1000, 10);
        let (modest, _) = budget(&pool, 1000, 10);
        let all = greedy.take(110).unwrap();
        assert!(greedy.take(1).is_none());
        let own = modest.take(10).unwrap();
        assert!(modest.take(1).is_none());
        assert_eq!(pool.held(), 120);
        drop(all);
        assert!(greedy_bell.0.load(Ordering::SeqCst) > 0);
        // The greedy one waits first.
        assert!(modest.take(100).is_none());
        greedy.stop_waiting();
        assert!(modest.take(100).is_some());
        drop(own);
        assert_eq!((pool.held(), pool.most_held()), (0, 120));
        let mut charge = modest.take(15).unwrap();
        charge.absorb(modest.take(5).unwrap());
        charge.keep(7);
        assert_eq!((charge.bytes(), pool.held()), (7, 7));
        assert!(charge.split(8).is_none());
        let part = charge.split(6).unwrap();
        drop(charge);
        assert_eq!((part.bytes(), pool.held()), (6, 6));
        drop(part);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn who_takes_its_own_part_leaves_the_line() {
        let pool = Pool::new(100);
        let budgets: Vec<_> = [0, 10, 0].map(|own| budget(&pool, 1000, own)).into();
        let all = budgets[0].0.take(100).unwrap();
        assert!(budgets[1].0.take(50).is_none());
        assert!(budgets[2].0.take(50).is_none());
        let own = budgets[1].0.take(10).unwrap();
        drop(all);
        assert!(budgets[2].1.0.load(Ordering::SeqCst) > 0);
        assert!(budgets[2].0.take(50).is_some());
        drop(own);
    }

    #[test]
    fn who_waits_first_is_served_first_and_everybody_is_woken() {
        let pool = Pool::new(100);
        let budgets: Vec<_> = (0..3).map(|_| budget(&pool, 1000, 0)).collect();
        let all = budgets[0].0.take(100).unwrap();
        assert!(budgets[1].0.take(60).is_none());
        assert!(budgets[2].0.take(10).is_none());
        drop(all);
        assert!(budgets[2].0.take(10).is_none());
        assert_eq!(budgets[1].1.0.load(Ordering::SeqCst), 1);
        let held = budgets[1].0.take(60).unwrap();
        assert!(budgets[2].1.0.load(Ordering::SeqCst) > 0);
        assert!(budgets[2].0.take(10).is_some());
        drop(held);
        // More than there can ever be is taken as all there is.
        assert!(budget(&pool, 20, 0).0.take(1000).is_some());
        assert_eq!(pool.held(), 0);
    }
}
