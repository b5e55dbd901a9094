//! Spans and events, as a subscriber sees them: one line each, with the spans around it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Spans by number: what they are called, with the span around them. What happened in which.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Recorded>);

#[derive(Default)]
struct Recorded {
    next: AtomicU64,
    spans: Mutex<HashMap<u64, String>>,
    lines: Mutex<Vec<String>>,
}

thread_local! {
    static ENTERED: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Recorder {
    /// The one recorder of what the whole process does: the tests in it go by their peers' names.
    pub(crate) fn global() -> Self {
        static GLOBAL: OnceLock<Recorder> = OnceLock::new();
        let recorder = GLOBAL.get_or_init(|| {
            let recorder = Self::default();
            tracing::subscriber::set_global_default(recorder.clone()).unwrap();
            recorder
        });
        recorder.clone()
    }

    /// Whether a span or an event begins and ends so.
    pub(crate) fn assert_has(&self, start: &str, end: &str) {
        let lines = self.0.lines.lock().unwrap();
        let mut found = lines.iter();
        assert!(
            found.any(|line| line.starts_with(start) && line.ends_with(end)),
            "{start} … {end}: {lines:#?}"
        );
    }

    fn around(&self) -> String {
        let around = ENTERED.with_borrow(|entered| entered.last().copied());
        let spans = self.0.spans.lock().unwrap();
        around
            .and_then(|id| spans.get(&id).map(|name| format!("{name}: ")))
            .unwrap_or_default()
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("hgrpc_std")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut name = self.around() + attributes.metadata().name();
        attributes.record(&mut Text(&mut name));
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.lines.lock().unwrap().push(name.clone());
        self.0.spans.lock().unwrap().insert(id, name);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = self.around() + event.metadata().level().as_str();
        event.record(&mut Text(&mut line));
        self.0.lines.lock().unwrap().push(line);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.pop());
    }
}
