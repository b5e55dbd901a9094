//! How many lines a second others can cause.

use std::fmt;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Who causes a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Whoever connects: eight bytes make a line of a hundred.
    Connections,
    /// A program, or a device that prints between packets, which may print a page at once.
    Programs,
}

impl Source {
    /// Lines a second.
    pub(crate) const fn most(self) -> u32 {
        match self {
            Self::Connections => 20,
            Self::Programs => 200,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "about connections",
            Self::Programs => "from programs and devices",
        })
    }
}

/// How many lines there were.
#[derive(Debug, Default)]
pub(super) struct Limits {
    connections: Count,
    programs: Count,
}

/// Lines of one source, in its current second.
#[derive(Debug, Default)]
struct Count {
    began: Option<Instant>,
    shown: u32,
    left_out: u64,
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        self.began
            .is_none_or(|began| now.saturating_duration_since(began) >= SECOND)
    }
}

impl Limits {
    fn count(&mut self, source: Source) -> &mut Count {
        match source {
            Source::Connections => &mut self.connections,
            Source::Programs => &mut self.programs,
        }
    }

    /// Whether there may be another line; counted either way. What was left out in a second that is
    /// over was asked for before.
    pub(super) fn allow(&mut self, source: Source, now: Instant) -> bool {
        let count = self.count(source);
        if count.is_over(now) {
            count.began = Some(now);
            count.shown = 0;
        }
        let is_allowed = count.shown < source.most();
        if is_allowed {
            count.shown += 1;
        } else {
            count.left_out += 1;
        }
        is_allowed
    }

    /// How many lines of a source were left out in a second that is over; said once.
    pub(super) fn left_out(&mut self, now: Instant) -> Option<(Source, u64)> {
        [Source::Connections, Source::Programs]
            .into_iter()
            .find_map(|source| {
                let count = self.count(source);
                if count.left_out == 0 || !count.is_over(now) {
                    return None;
                }
                Some((source, std::mem::take(&mut count.left_out)))
            })
    }

    /// How long until there is something to say, if nothing else happens.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        [&self.connections, &self.programs]
            .into_iter()
            .filter(|count| count.left_out > 0)
            .map(|count| {
                let since = |began| now.saturating_duration_since(began);
                SECOND.saturating_sub(count.began.map_or(SECOND, since))
            })
            .min()
    }

    /// Ends all seconds at once.
    pub(super) fn end(&mut self) {
        self.connections.began = None;
        self.programs.began = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines() {
        let mut limits = Limits::default();
        let start = Instant::now();
        let mut shown = 0;
        for millis in 0..3000 {
            let now = start + Duration::from_millis(millis);
            if millis % 1000 == 0 && millis > 0 {
                assert_eq!(
                    limits.next(now - Duration::from_millis(1)),
                    Some(Duration::from_millis(1))
                );
                assert_eq!(limits.left_out(now), Some((Source::Connections, 980)));
            }
            assert_eq!(limits.left_out(now), None);
            shown += u32::from(limits.allow(Source::Connections, now));
        }
        assert_eq!(shown, 3 * Source::Connections.most());
        assert_eq!(limits.next(start + Duration::from_secs(2)), Some(SECOND));
        limits.end();
        assert_eq!(limits.left_out(start), Some((Source::Connections, 980)));
        assert_eq!(limits.next(start), None);
    }
}
