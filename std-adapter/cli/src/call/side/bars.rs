//! Progress as bars.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Key, MAX_TOPICS, Update};
use crate::stderr::draw_target;

/// The bars of all live topics.
pub(super) struct Bars {
    all: MultiProgress,
    topics: HashMap<Key, Bar>,
}

struct Bar {
    bar: ProgressBar,
    /// Whether the total was known, and the unit: what the bar's look depends on.
    look: Option<(bool, String)>,
}

impl Bars {
    /// Bars on the error output, drawn again a few times a second.
    pub(super) fn stderr() -> Self {
        Self::new(draw_target())
    }

    /// Bars that nobody sees.
    #[cfg(test)]
    pub(super) fn hidden() -> Self {
        Self::new(ProgressDrawTarget::hidden())
    }

    fn new(target: ProgressDrawTarget) -> Self {
        Self {
            all: MultiProgress::with_draw_target(target),
            topics: HashMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Draws an update.
    pub(super) fn update(&mut self, update: &Update) {
        let key = update.key();
        let Some(pos) = update.pos else {
            if let Some(topic) = self.topics.remove(&key) {
                self.remove(&topic);
            }
            return;
        };
        if self.topics.len() >= MAX_TOPICS && !self.topics.contains_key(&key) {
            return;
        }
        let is_new = !self.topics.contains_key(&key);
        // It is drawn only when it says something.
        let topic = self.topics.entry(key).or_insert_with(|| Bar {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            look: None,
        });
        let look = (update.total.is_some(), update.unit.clone());
        if topic.look.as_ref() != Some(&look) {
            topic.bar.set_style(style(look.0, &look.1));
            topic.bar.set_prefix(update.title());
            topic.look = Some(look);
        }
        match update.total {
            Some(total) => topic.bar.set_length(total),
            None => topic.bar.unset_length(),
        }
        topic.bar.set_message(update.item.clone());
        topic.bar.set_position(pos);
        if is_new {
            topic.bar = self.all.add(topic.bar.clone());
            topic.bar.tick();
        }
    }

    /// Takes away the bars of a call.
    pub(super) fn end(&mut self, tag: Option<&str>) {
        let ended: Vec<Bar> = self
            .topics
            .extract_if(|(of, ..), _| of.as_deref() == tag)
            .map(|(_, topic)| topic)
            .collect();
        for topic in ended {
            self.remove(&topic);
        }
    }

    /// Takes all bars away.
    pub(super) fn end_all(&mut self) {
        for (_, topic) in std::mem::take(&mut self.topics) {
            self.remove(&topic);
        }
    }

    /// Writes something above the bars.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.is_empty() {
            return write();
        }
        self.all.suspend(write)
    }

    fn remove(&self, topic: &Bar) {
        topic.bar.finish_and_clear();
        self.all.remove(&topic.bar);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // The terminal is left without them, also after an error.
        let _ = self.all.clear();
    }
}

/// How a bar looks. The unit is the peer's: what it could say to the template is taken from it.
fn style(has_total: bool, unit: &str) -> ProgressStyle {
    let unit = unit.replace(['{', '}'], "");
    let count = match (unit.as_str(), has_total) {
        ("bytes", true) => "{bytes}/{total_bytes} {bytes_per_sec} {eta}".to_owned(),
        ("bytes", false) => "{bytes} {bytes_per_sec}".to_owned(),
        (unit, true) => format!("{{human_pos}}/{{human_len}} {unit} {{eta}}"),
        (unit, false) => format!("{{human_pos}} {unit}"),
    };
    let template = if has_total {
        format!("{{prefix}} [{{bar:30}}] {count} {{wide_msg}}")
    } else {
        format!("{{prefix}} {{spinner}} {count} {{wide_msg}}")
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use hgrpc::cbor::{Progress, Text};

    use super::*;

    fn update<'a>(topic: &'a str, pos: i64, total: u64, unit: &'a str) -> Progress<'a> {
        Progress {
            label: Some(Text::new(unit)),
            ..Progress::new(topic, pos, total)
        }
    }

    #[test]
    fn several_topics_live_at_once() {
        let mut bars = Bars::hidden();
        let mut show = |tag, update: &Progress<'_>| {
            bars.update(&Update::new(tag, update));
            let mut shown: Vec<_> = bars
                .topics
                .values()
                .map(|topic| (topic.bar.prefix(), topic.bar.position(), topic.bar.length()))
                .collect();
            shown.sort();
            shown
        };
        let s = str::to_owned;
        assert_eq!(
            show(None, &update("a", 1, 9, "files")),
            [(s("remote: a"), 1, Some(9))]
        );
        assert_eq!(
            show(Some("x"), &update("a", 7, 0, "bytes")),
            [(s("remote: a"), 1, Some(9)), (s("remote: x: a"), 7, None)]
        );
        assert_eq!(
            show(None, &update("a", 2, 10, "files")),
            [(s("remote: a"), 2, Some(10)), (s("remote: x: a"), 7, None)]
        );
        assert_eq!(
            show(Some("x"), &update("a", -1, 0, "")),
            [(s("remote: a"), 2, Some(10))]
        );
        assert!(show(None, &update("a", -1, 0, "")).is_empty());
        for n in 0..100 {
            bars.update(&Update::new(None, &update(&n.to_string(), 1, 2, "")));
        }
        assert_eq!(bars.topics.len(), MAX_TOPICS);
        bars.end(Some("x"));
        assert_eq!(bars.topics.len(), MAX_TOPICS);
        bars.end(None);
        assert!(bars.is_empty());
    }

    #[test]
    fn units_say_nothing_to_the_template() {
        for unit in [
            "",
            "bytes",
            "files",
            "{eta",
            "}{",
            "{{x}}",
            "{bar:99999999999999999999}",
            "\\",
        ] {
            for has_total in [false, true] {
                let _ = style(has_total, unit);
            }
        }
    }
}
