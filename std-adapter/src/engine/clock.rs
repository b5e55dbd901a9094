//! When what happened on a connection, for limits of time. All times are milliseconds since the
//! server began; 0 is none.

use std::time::Duration;

use super::faults::{Fault, is_planted};
use crate::gate::ServerLimits;
use crate::host::ConnectionLimit;

#[derive(Debug)]
pub(super) struct Clock {
    opened: u64,
    has_frame: bool,
    /// Bytes have come last.
    last_in: u64,
    /// A frame has come in part, since when and how much of it.
    partial_since: u64,
    partial_bytes: u64,
    /// The oldest request that is not complete has begun.
    begun: u64,
    /// Data of a request is still to come, and more of it until then: what has come buys time.
    data_until: u64,
    /// This end does not read: what comes late is not the peer's fault.
    is_paused: bool,
    /// The peer has taken no byte since.
    blocked_since: u64,
}

impl Clock {
    pub(super) fn new(now: u64) -> Self {
        Self {
            opened: now,
            has_frame: false,
            last_in: now,
            partial_since: 0,
            partial_bytes: 0,
            begun: 0,
            data_until: 0,
            is_paused: false,
            blocked_since: 0,
        }
    }

    /// Bytes have come and were handled: whether any frame has ended with them, and whether the
    /// last one goes on.
    pub(super) fn received(&mut self, now: u64, bytes: u64, has_ended: bool, is_partial: bool) {
        self.last_in = now;
        if has_ended {
            self.has_frame = true;
        }
        if !is_partial {
            self.partial_since = 0;
        } else if has_ended || self.partial_since == 0 {
            self.partial_bytes = 0;
            self.partial_since = now;
        } else {
            self.partial_bytes += bytes;
        }
    }

    /// Requests that are not complete: when the oldest has begun.
    pub(super) fn unfinished(&mut self, begun: u64) {
        self.begun = begun;
    }

    /// So many bytes have come; whether data of a request is still to come. At the least rate they
    /// buy just the time that they took.
    pub(super) fn data(&mut self, now: u64, bytes: u64, has_uploads: bool, limits: &ServerLimits) {
        let until = match limits.data_silence.filter(|_| has_uploads) {
            None => 0,
            Some(silence) => {
                let latest = now.saturating_add(millis(silence));
                let bought = match u64::from(limits.min_rate) {
                    0 => u64::MAX,
                    rate => bytes.saturating_mul(1000) / rate,
                };
                match self.data_until {
                    0 => latest,
                    until => latest.min(until.saturating_add(bought)),
                }
            }
        };
        self.data_until = until;
    }

    /// This end stops reading for now.
    pub(super) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// It reads again: the peer's time begins anew.
    pub(super) fn resume(&mut self, now: u64, limits: &ServerLimits) {
        if std::mem::take(&mut self.is_paused) {
            self.last_in = now;
            let has_uploads = std::mem::take(&mut self.data_until) != 0;
            self.data(now, 0, has_uploads, limits);
            for since in [&mut self.partial_since, &mut self.begun] {
                if *since != 0 {
                    *since = now;
                }
            }
            self.partial_bytes = 0;
        }
    }

    /// The peer has taken bytes, or is about to; so many are left.
    pub(super) fn written(&mut self, now: u64, left: usize) {
        let is_taken = left == 0 || is_planted(Fault::NotReadingUnnoticed);
        let since = if is_taken { 0 } else { now };
        self.blocked_since = since;
    }

    /// Whether frames were made that the peer has not taken.
    pub(super) const fn is_writing(&self) -> bool {
        self.blocked_since != 0
    }

    /// The first limit that is passed.
    pub(super) fn check(
        &self,
        now: u64,
        limits: &ServerLimits,
        is_idle: impl FnOnce() -> bool,
    ) -> Option<ConnectionLimit> {
        let is_over = |since: u64, limit: Option<Duration>| {
            since != 0 && limit.is_some_and(|limit| millis(limit) <= now.saturating_sub(since))
        };
        if is_over(self.blocked_since, limits.not_reading) {
            return Some(ConnectionLimit::NotReading);
        }
        if self.is_paused {
            return None;
        }
        if !self.has_frame && is_over(self.opened, limits.first_frame) {
            return Some(ConnectionLimit::FirstFrame);
        }
        let partial = self.partial_since;
        if is_over(partial, limits.slow_frame) {
            let wanted = now.saturating_sub(partial) * u64::from(limits.min_rate) / 1000;
            if self.partial_bytes < wanted {
                return Some(ConnectionLimit::SlowFrame);
            }
        }
        if is_over(self.begun, limits.request_time) {
            return Some(ConnectionLimit::Unfinished);
        }
        let silent = self.last_in;
        let until = self.data_until;
        if until != 0 && until <= now {
            return Some(match is_over(silent, limits.data_silence) {
                true => ConnectionLimit::Unfinished,
                false => ConnectionLimit::SlowData,
            });
        }
        (is_over(silent, limits.idle) && is_idle()).then_some(ConnectionLimit::Idle)
    }
}

/// Milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    fn check(clock: &Clock, now: u64) -> Option<ConnectionLimit> {
        clock.check(now * SECOND, &ServerLimits::DEFAULT, || true)
    }

    #[test]
    fn the_first_frame_has_a_limit_and_so_has_silence() {
        let mut clock = Clock::new(SECOND);
        assert_eq!(check(&clock, 10), None);
        assert_eq!(check(&clock, 11), Some(ConnectionLimit::FirstFrame));
        clock.received(11 * SECOND, 8, true, false);
        assert_eq!(check(&clock, 900), None);
        assert_eq!(check(&clock, 911), Some(ConnectionLimit::Idle));
        let limits = &ServerLimits::DEFAULT;
        assert_eq!(clock.check(999 * SECOND, limits, || false), None);
    }

    #[test]
    fn a_frame_must_come_at_some_rate() {
        let mut clock = Clock::new(SECOND);
        clock.received(SECOND, 100, true, true);
        for now in 2..20 {
            clock.received(now * SECOND, 200, false, true);
        }
        assert_eq!(check(&clock, 20), None);
        for now in 20..40 {
            clock.received(now * SECOND, 1, false, true);
        }
        assert_eq!(check(&clock, 40), Some(ConnectionLimit::SlowFrame));
        // Not where this end does not read.
        clock.pause();
        assert_eq!(check(&clock, 40), None);
        clock.resume(41 * SECOND, &ServerLimits::DEFAULT);
        assert_eq!(check(&clock, 42), None);
        assert_eq!(check(&clock, 52), Some(ConnectionLimit::SlowFrame));
    }

    #[test]
    fn requests_and_reading_have_limits() {
        let mut clock = Clock::new(SECOND);
        clock.received(SECOND, 100, true, false);
        clock.unfinished(SECOND);
        assert_eq!(check(&clock, 61), Some(ConnectionLimit::Unfinished));
        clock.unfinished(0);
        clock.data(SECOND, 100, true, &ServerLimits::DEFAULT);
        assert_eq!(check(&clock, 300), None);
        assert_eq!(check(&clock, 301), Some(ConnectionLimit::Unfinished));
        clock.data(301 * SECOND, 0, false, &ServerLimits::DEFAULT);
        clock.written(SECOND, 7);
        assert_eq!(check(&clock, 61), Some(ConnectionLimit::NotReading));
        clock.written(61 * SECOND, 0);
        assert_eq!(check(&clock, 300), None);
    }

    #[test]
    fn data_must_come_at_some_rate() {
        let limits = &ServerLimits::DEFAULT;
        let come = |clock: &mut Clock, now: u64, bytes| {
            clock.received(now * SECOND, bytes, true, false);
            clock.data(now * SECOND, bytes, true, limits);
        };
        // At the least rate for ever; in bursts, too.
        for (step, bytes) in [(1, 128), (250, 250 * 128)] {
            let mut clock = Clock::new(SECOND);
            for turn in 0..100 {
                let now = 1 + turn * step;
                assert_eq!(check(&clock, now), None, "{now}");
                come(&mut clock, now, bytes);
            }
        }
        // A frame of a byte every two seconds.
        let mut clock = Clock::new(SECOND);
        let over = (1..).step_by(2).find(|&now| {
            let limit = check(&clock, now);
            come(&mut clock, now, 9);
            limit == Some(ConnectionLimit::SlowData)
        });
        assert!(
            over.is_some_and(|now| (300..330).contains(&now)),
            "{over:?}"
        );
        // Time stands still where this end does not read.
        let mut clock = Clock::new(SECOND);
        come(&mut clock, 1, 9);
        clock.pause();
        clock.resume(1000 * SECOND, limits);
        assert_eq!(check(&clock, 1299), None);
        assert_eq!(check(&clock, 1300), Some(ConnectionLimit::Unfinished));
    }
}
