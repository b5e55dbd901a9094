//! Whom a change concerns.

use std::task::Waker;

/// Wakers that have a place of their own.
const FIRST: usize = 8;

/// Whom a change concerns; told once nothing is locked.
#[derive(Debug, Default)]
#[must_use = "somebody waits for ever"]
pub struct Wakes {
    first: [Option<Waker>; FIRST],
    count: usize,
    more: Vec<Waker>,
    /// Reading can go on with what is there.
    pub input: bool,
    /// There are bytes to be written again.
    pub output: bool,
    /// So many places for calls have become free.
    pub freed: usize,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        match self.first.get_mut(self.count) {
            _ if waker.is_none() => {}
            Some(place) => {
                *place = waker;
                self.count += 1;
            }
            None => self.more.extend(waker),
        }
    }

    /// Wakes those who waited for something of a call.
    pub fn wake(self) {
        let first = self.first.into_iter().take(self.count).flatten();
        first.chain(self.more).for_each(Waker::wake);
    }
}
