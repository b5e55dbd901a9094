//! Progress as plain lines.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::{Key, MAX_TOPICS, Update};

/// A topic's lines are at least this far apart; its first and its end are always shown.
const INTERVAL: Duration = Duration::from_secs(1);

/// The topics that are live, and when each was shown.
pub(super) struct Lines(HashMap<Key, Instant>);

impl Lines {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The line of an update that is to be shown; the tag of its call is not in it.
    pub(super) fn update(&mut self, update: &Update, now: Instant) -> Option<String> {
        let key = update.key();
        if update.pos.is_none() {
            self.0.remove(&key)?;
            return Some(format!("{}: done\n", update.topic));
        }
        let is_full = self.0.len() >= MAX_TOPICS;
        match self.0.get_mut(&key) {
            Some(shown) if now.duration_since(*shown) < INTERVAL => return None,
            Some(shown) => *shown = now,
            None if is_full => return None,
            None => {
                self.0.insert(key, now);
            }
        }
        Some(line(update))
    }

    /// Forgets the topics of a call.
    pub(super) fn end(&mut self, tag: Option<&str>) {
        self.0.retain(|(of, ..), _| of.as_deref() != tag);
    }
}

fn line(update: &Update) -> String {
    let mut line = format!("{}: {}", update.topic, update.pos.unwrap_or(0));
    // Writing to a string does not fail.
    if let Some(total) = update.total {
        let _ = write!(line, "/{total}");
    }
    if !update.unit.is_empty() {
        let _ = write!(line, " {}", update.unit);
    }
    if !update.item.is_empty() {
        let _ = write!(line, " ({})", update.item);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use hgrpc::cbor::{Progress, Text};

    use super::*;

    #[test]
    fn a_topic_has_a_line_a_second() {
        let mut lines = Lines::new();
        let start = Instant::now();
        let mut at = |milliseconds, tag, update: &Progress<'_>| {
            let now = start + Duration::from_millis(milliseconds);
            lines
                .update(&Update::new(tag, update), now)
                .unwrap_or_default()
        };
        let update = |pos| Progress {
            label: Some(Text::new("files")),
            item: Some(Text::new("a\x1bb")),
            ..Progress::new("adding", pos, 10)
        };
        assert_eq!(at(0, None, &update(1)), "adding: 1/10 files (a\\x1bb)\n");
        assert_eq!(
            at(10, Some("x"), &Progress::new("adding", -5, 0)),
            "adding: 0\n"
        );
        assert_eq!(at(999, None, &update(2)), "");
        assert_eq!(at(1000, None, &update(3)), "adding: 3/10 files (a\\x1bb)\n");
        assert_eq!(at(1001, None, &update(-1)), "adding: done\n");
        assert_eq!(at(1002, None, &update(-1)), "");
        assert_eq!(at(1003, None, &update(1)), "adding: 1/10 files (a\\x1bb)\n");
    }

    #[test]
    fn topics_are_bounded() {
        let mut lines = Lines::new();
        let now = Instant::now();
        for n in 0..1000 {
            let topic = n.to_string();
            let shown = lines.update(&Update::new(None, &Progress::new(&topic, 1, 2)), now);
            assert_eq!(shown.is_some(), n < MAX_TOPICS);
        }
        lines.end(Some("x"));
        assert_eq!(lines.0.len(), MAX_TOPICS);
        lines.end(None);
        assert!(lines.0.is_empty());
    }
}
