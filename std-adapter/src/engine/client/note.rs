//! Text output and progress beside a response: a bounded queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hgrpc::Revision;
use hgrpc::cbor::{Atoms, Progress, Text};

use crate::host::sync::lock;

/// Most events that wait.
const EVENTS: usize = 64;

/// Most bytes of them, unless one alone has more.
const BYTES: usize = 64 * 1024;

/// What comes beside a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Text for people.
    Text(TextOutput),
    /// How far an operation is.
    Progress(ProgressUpdate),
}

/// Text output. It is the peer's: show [`Atoms::escaped`] on terminals.
#[derive(Clone, PartialEq, Eq)]
pub struct TextOutput(Vec<u8>);

impl TextOutput {
    /// The text's atoms.
    pub fn atoms(&self) -> Atoms<'_> {
        // It was made of atoms.
        Atoms::decode(&self.0).unwrap_or_default()
    }
}

/// An update of progress. Its texts are the peer's.
#[derive(Clone, PartialEq, Eq)]
pub struct ProgressUpdate(Vec<u8>);

impl ProgressUpdate {
    /// The update.
    pub fn progress(&self) -> Progress<'_> {
        // It was made of one.
        Progress::decode(&self.0).unwrap_or(Progress::new("", -1, 0))
    }

    fn topic(&self) -> Text<'_> {
        self.progress().topic
    }
}

impl fmt::Debug for TextOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.atoms().fmt(f)
    }
}

impl fmt::Debug for ProgressUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.progress().fmt(f)
    }
}

impl Note {
    /// An event of atoms.
    pub(super) fn text(atoms: &Atoms<'_>) -> Self {
        Self::Text(TextOutput(atoms.as_cbor().to_vec()))
    }

    /// An event of an update.
    pub(super) fn progress(progress: &Progress<'_>, revision: Revision) -> Self {
        let text = |text: &Text<'_>| text.as_bytes().len() + 16;
        let len = 64
            + text(&progress.topic)
            + progress.label.as_ref().map_or(0, text)
            + progress.item.as_ref().map_or(0, text);
        let mut buffer = vec![0; len];
        match progress.encode(revision, &mut buffer) {
            Ok(len) => buffer.truncate(len),
            Err(_) => buffer.clear(),
        }
        Self::Progress(ProgressUpdate(buffer))
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.0.len(),
            Self::Progress(update) => update.0.len(),
        }
    }
}

/// What becomes of what comes beside a response.
#[derive(Debug, Default)]
pub enum NoteRoute {
    /// Nothing.
    #[default]
    Ignored,
    /// The driver takes each at once: [`Connection::receive`](super::Connection::receive) gives it.
    Direct,
    /// It waits in a queue.
    Queued(NoteWriter),
}

/// The end of a queue that is written to. Dropped, no more will come.
#[derive(Debug)]
pub struct NoteWriter(Arc<NoteQueue>);

impl Drop for NoteWriter {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl NoteRoute {
    /// No more will come.
    pub(super) fn end(&self) {
        if let Self::Queued(queue) = self {
            queue.0.end();
        }
    }
}

/// What came beside one response and was not read. At most 64 events, or 64 KiB of them, wait.
#[derive(Default)]
pub struct NoteQueue(Mutex<State>);

#[derive(Default)]
struct State {
    events: VecDeque<Note>,
    bytes: usize,
    has_ended: bool,
    is_abandoned: bool,
    reader: Option<Waker>,
    /// The connection that waits for room.
    writer: Option<Waker>,
}

impl State {
    /// Puts a newer update in the place of the one of its topic that waits.
    fn replace(&mut self, event: &Note) -> bool {
        let Note::Progress(update) = event else {
            return false;
        };
        let same = self
            .events
            .iter_mut()
            .rev()
            .find_map(|waiting| match waiting {
                Note::Progress(waiting) if waiting.topic() == update.topic() => Some(waiting),
                _ => None,
            });
        match same {
            Some(waiting) => {
                self.bytes = self.bytes - waiting.0.len() + update.0.len();
                waiting.clone_from(update);
                true
            }
            None => false,
        }
    }
}

impl NoteWriter {
    /// A queue, and the end of it that is written to.
    pub fn queue() -> (Self, Arc<NoteQueue>) {
        let queue = Arc::new(NoteQueue::default());
        (Self(Arc::clone(&queue)), queue)
    }

    pub(super) fn push(&self, event: Note, connection: &Waker) -> Option<Note> {
        self.0.push(event, connection)
    }
}

impl NoteQueue {
    /// Takes an event; gives it back if there is no room, and wakes `connection` when there is.
    fn push(&self, event: Note, connection: &Waker) -> Option<Note> {
        let mut state = lock(&self.0);
        if state.is_abandoned || state.has_ended {
            return None;
        }
        let is_full = state.events.len() >= EVENTS
            || (state.bytes + event.len() > BYTES && !state.events.is_empty());
        if is_full && state.replace(&event) {
            return None;
        }
        if is_full {
            state.writer = Some(connection.clone());
            return Some(event);
        }
        state.bytes += event.len();
        state.events.push_back(event);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        None
    }

    /// No more will come.
    fn end(&self) {
        let mut state = lock(&self.0);
        state.has_ended = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// The next event; `None` at the end.
    pub fn poll_event(&self, cx: &Context<'_>) -> Poll<Option<Note>> {
        let mut state = lock(&self.0);
        let Some(event) = state.events.pop_front() else {
            if state.has_ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= event.len();
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(event))
    }

    /// Nobody reads any more.
    pub fn abandon(&self) {
        let mut state = lock(&self.0);
        state.is_abandoned = true;
        state.events.clear();
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for NoteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteQueue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hgrpc::cbor::{Atom, encode_atoms};

    use super::*;

    fn text(text: &str) -> Note {
        let mut buffer = vec![0; text.len() + 100];
        let order = Revision::R0006.key_order();
        let len = encode_atoms(&[Atom::new(text)], order, &mut buffer).unwrap();
        Note::text(&Atoms::decode(&buffer[..len]).unwrap())
    }

    fn progress(topic: &str, pos: i64) -> Note {
        Note::progress(&Progress::new(topic, pos, 9), Revision::R0006)
    }

    /// Whether there was room.
    fn push(queue: &NoteQueue, event: Note) -> bool {
        queue.push(event, Waker::noop()).is_none()
    }

    fn next(queue: &NoteQueue) -> Poll<Option<Note>> {
        queue.poll_event(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn notes_show_their_text() {
        assert_eq!(
            format!("{:?}", text("half of it\n")),
            r#"Text([Atom { msg: b"half of it\n", args: [], labels: [] }])"#
        );
        assert_eq!(
            format!("{:?}", progress("files", 3)),
            r#"Progress(Progress { topic: "files", pos: 3, total: 9, label: None, item: None })"#
        );
    }

    #[test]
    fn text_waits_for_room_and_progress_takes_the_place_of_older() {
        let queue = NoteQueue::default();
        assert!(push(&queue, progress("a", 0)));
        for number in 0..EVENTS - 1 {
            assert!(push(&queue, text(&number.to_string())));
        }
        assert!(!push(&queue, text("too many")));
        assert!(!push(&queue, progress("b", 1)));
        for number in 0..10_000 {
            assert!(push(&queue, progress("a", number)));
        }
        assert!(push(&queue, progress("a", -1)));
        let Poll::Ready(Some(Note::Progress(update))) = next(&queue) else {
            panic!("the progress was first");
        };
        assert!(update.progress().is_finished());
        assert!(push(&queue, text("last")));
        queue.end();
        let mut texts = Vec::new();
        while let Poll::Ready(Some(Note::Text(text))) = next(&queue) {
            texts.push(text.atoms().to_string());
        }
        assert_eq!(texts.len(), EVENTS);
        assert_eq!((&*texts[0], &*texts[EVENTS - 1]), ("0", "last"));
        assert_eq!(next(&queue), Poll::Ready(None));
    }

    #[test]
    fn one_large_event_fits_and_two_do_not() {
        let queue = NoteQueue::default();
        assert!(push(&queue, text(&"x".repeat(BYTES))));
        assert!(!push(&queue, text("x")));
        queue.abandon();
        assert!(push(&queue, text("x")));
    }
}
