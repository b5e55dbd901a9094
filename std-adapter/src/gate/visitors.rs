//! Who is connected, and how much each of them has under way.

use std::collections::HashMap;
use std::time::Duration;

use super::ServerLimits;
use crate::host::ConnectionLimit;
use crate::host::origin::Origin;

/// Connections and requests of a server, by their peers. Times are milliseconds since the server
/// began.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    open: usize,
    #[cfg(feature = "http-server")]
    requests: usize,
    peers: HashMap<Origin, Visits>,
    /// When `peers` was tidied up last.
    tidied: u64,
}

/// What one address, or user, does.
#[derive(Debug, Default)]
struct Visits {
    open: usize,
    requests: usize,
    accepts: u32,
    /// When the accepts were counted from.
    since: u64,
}

impl Visits {
    /// Whether nothing of it has to be known any more.
    fn is_over(&self, now: u64, window: Duration) -> bool {
        let has_none = (self.open, self.requests) == (0, 0);
        has_none && now.saturating_sub(self.since) >= millis(window)
    }
}

impl Visitors {
    /// Lets a connection in, or says over which limit it is.
    pub(crate) fn enter(
        &mut self,
        origin: Origin,
        now: u64,
        limits: &ServerLimits,
    ) -> Result<(), ConnectionLimit> {
        if self.open >= limits.connections {
            return Err(ConnectionLimit::ServerFull);
        }
        self.tidy(now, limits.accept_window);
        let visits = self.peers.entry(origin).or_insert(Visits {
            since: now,
            ..Visits::default()
        });
        if now.saturating_sub(visits.since) >= millis(limits.accept_window) {
            visits.since = now;
            visits.accepts = 0;
        }
        if visits.accepts >= limits.peer_accepts {
            return Err(ConnectionLimit::PeerRate);
        }
        visits.accepts += 1;
        if visits.open >= limits.peer_connections {
            return Err(ConnectionLimit::PeerFull);
        }
        visits.open += 1;
        self.open += 1;
        Ok(())
    }

    /// A connection that was let in has ended.
    pub(crate) fn leave(&mut self, origin: Origin, now: u64, limits: &ServerLimits) {
        self.open = self.open.saturating_sub(1);
        self.change(origin, now, limits, |visits| {
            visits.open = visits.open.saturating_sub(1);
        });
    }

    /// Lets a peer's request run; `false`, if that were one too many of all or of this peer.
    #[cfg(feature = "http-server")]
    pub(crate) fn begin_request(&mut self, origin: Origin, limits: &ServerLimits) -> bool {
        let visits = self.peers.entry(origin).or_default();
        let may = self.requests < limits.requests && visits.requests < limits.peer_requests;
        if may {
            visits.requests += 1;
            self.requests += 1;
        }
        may
    }

    /// A request that was let run has ended.
    #[cfg(feature = "http-server")]
    pub(crate) fn end_request(&mut self, origin: Origin, now: u64, limits: &ServerLimits) {
        self.requests = self.requests.saturating_sub(1);
        self.change(origin, now, limits, |visits| {
            visits.requests = visits.requests.saturating_sub(1);
        });
    }

    fn change(
        &mut self,
        origin: Origin,
        now: u64,
        limits: &ServerLimits,
        change: impl FnOnce(&mut Visits),
    ) {
        if let Some(visits) = self.peers.get_mut(&origin) {
            change(visits);
            if visits.is_over(now, limits.accept_window) {
                self.peers.remove(&origin);
            }
        }
    }

    /// Forgets who has not come for a while.
    fn tidy(&mut self, now: u64, window: Duration) {
        if self.peers.len() < 1024 || now.saturating_sub(self.tidied) < 1000 {
            return;
        }
        self.tidied = now;
        self.peers.retain(|_, visits| !visits.is_over(now, window));
    }
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, feature = "http-server"))]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_is_forgotten() {
        let mut limits = ServerLimits::DEFAULT;
        (limits.connections, limits.peer_connections) = (3, 2);
        (limits.requests, limits.peer_requests) = (3, 2);
        limits.accept_window = Duration::from_millis(10);
        let [a, b, c] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|address| Origin::of(address.parse().unwrap()));
        let mut visitors = Visitors::default();
        let mut enter = |origin| visitors.enter(origin, 1, &limits);
        assert_eq!([a, a].map(&mut enter), [Ok(()); 2]);
        assert_eq!(enter(a), Err(ConnectionLimit::PeerFull));
        assert_eq!(enter(b), Ok(()));
        assert_eq!(enter(c), Err(ConnectionLimit::ServerFull));
        let mut begin = |origin| visitors.begin_request(origin, &limits);
        assert_eq!([a, a, a].map(&mut begin), [true, true, false]);
        assert_eq!([b, b].map(&mut begin), [true, false]);
        visitors.end_request(a, 5, &limits);
        assert!(visitors.begin_request(a, &limits));
        for origin in [a, a, b] {
            visitors.leave(origin, 5, &limits);
        }
        for origin in [a, a, b] {
            visitors.end_request(origin, 11, &limits);
        }
        assert_eq!((visitors.open, visitors.requests), (0, 0));
        assert!(visitors.peers.is_empty());
        limits.peer_accepts = 1;
        assert_eq!(visitors.enter(a, 20, &limits), Ok(()));
        assert_eq!(
            visitors.enter(a, 29, &limits),
            Err(ConnectionLimit::PeerRate)
        );
        assert_eq!(visitors.enter(a, 30, &limits), Ok(()));
    }
}
