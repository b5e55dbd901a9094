//! Places that all peers share, of which none may take more than its part.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hgrpc_std::tokio::Origin;

/// So many places for all, so many for each.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// By who has any.
    each: HashMap<Origin, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    origin: Origin,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// This peer has its part.
    Each,
}

/// Returns a peer's part where nothing is said: a quarter, at least one.
pub(super) fn part(all: usize) -> usize {
    (all / 4).max(1)
}

impl Places {
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one for this peer.
    pub(super) fn take(self: &Arc<Self>, origin: Origin) -> Result<Place, Full> {
        let mut taken = self.taken();
        let own = taken.each.get(&origin).copied().unwrap_or(0);
        if taken.all >= self.all {
            return Err(Full::All);
        }
        if own >= self.each {
            return Err(Full::Each);
        }
        taken.all += 1;
        taken.each.insert(origin, own + 1);
        Ok(Place {
            places: Arc::clone(self),
            origin,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Entry::Occupied(mut own) = taken.each.entry(self.origin) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hgrpc_std::tokio::Peer;

    use super::*;

    #[test]
    fn no_peer_takes_more_than_its_part() {
        let origin = |text: &str| Peer::tcp(text.parse().unwrap()).origin();
        let (a, b) = (origin("192.0.2.1:1"), origin("192.0.2.2:1"));
        let places = Places::new(3, 2);
        let mut held = vec![places.take(a).unwrap(), places.take(a).unwrap()];
        assert_eq!(places.take(a).err(), Some(Full::Each));
        held.push(places.take(b).unwrap());
        assert_eq!(places.take(b).err(), Some(Full::All));
        held.clear();
        assert!(places.taken().each.is_empty());
        assert_eq!([1, 2, 7, 8, 64].map(part), [1, 1, 1, 2, 16]);
    }
}
