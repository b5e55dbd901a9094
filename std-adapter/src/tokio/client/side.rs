//! Text output and progress beside a response, as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use hgrpc::cbor::{Atoms, Progress, Text};

use crate::host::sync::lock;

/// Most events that wait.
const EVENTS: usize = 64;

/// Most bytes of them, unless one alone has more.
const BYTES: usize = 64 * 1024;

/// What comes beside a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SideEvent {
    /// Text for people.
    Text(TextOutput),
    /// How far an operation is.
    Progress(ProgressUpdate),
}

/// Text output. It is the peer's: show [`Atoms::escaped`] on terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOutput(Vec<u8>);

impl TextOutput {
    /// The text's atoms.
    pub fn atoms(&self) -> Atoms<'_> {
        // It was made of atoms.
        Atoms::decode(&self.0).unwrap_or_default()
    }
}

/// An update of progress. Its texts are the peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl SideEvent {
    /// An event of encoded atoms.
    pub(super) const fn text(cbor: Vec<u8>) -> Self {
        Self::Text(TextOutput(cbor))
    }

    /// An event of an encoded update.
    pub(super) const fn progress(cbor: Vec<u8>) -> Self {
        Self::Progress(ProgressUpdate(cbor))
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.0.len(),
            Self::Progress(update) => update.0.len(),
        }
    }
}

#[derive(Default)]
struct State {
    events: VecDeque<SideEvent>,
    bytes: usize,
    has_ended: bool,
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// Puts a newer update in the place of the one of its topic that waits.
    fn replace(&mut self, event: &SideEvent) -> bool {
        let SideEvent::Progress(update) = event else {
            return false;
        };
        let same = self
            .events
            .iter_mut()
            .rev()
            .find_map(|waiting| match waiting {
                SideEvent::Progress(waiting) if waiting.topic() == update.topic() => Some(waiting),
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

/// The text output and the progress of one call, as they come.
///
/// Made by [`Request::side`](super::Request::side). It ends with the call. At most 64 events, or
/// 64 KiB of them, wait to be read. When that is full, an update takes the place of an older one of
/// its operation; all else stops the connection, as a [response](super::Response) does that is not
/// read: read both at once. Dropped, what comes beside is ignored.
#[must_use = "what comes beside the response is ignored if this is dropped"]
pub struct SideEvents(Arc<Mutex<State>>);

/// The end that is written to.
pub(super) struct SideSender(Arc<Mutex<State>>);

/// A queue for events.
pub(super) fn queue() -> (SideSender, SideEvents) {
    let state = Arc::new(Mutex::new(State::default()));
    (SideSender(Arc::clone(&state)), SideEvents(state))
}

impl SideSender {
    /// Hands an event over; waits for room.
    pub(super) async fn push(&self, event: SideEvent) {
        let mut event = Some(event);
        poll_fn(|cx| self.poll_push(&mut event, cx)).await;
    }

    fn poll_push(&self, event: &mut Option<SideEvent>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        let Some(next) = event.take() else {
            return Poll::Ready(());
        };
        if state.is_abandoned || state.has_ended {
            return Poll::Ready(());
        }
        let is_full = state.events.len() >= EVENTS
            || (state.bytes + next.len() > BYTES && !state.events.is_empty());
        if is_full && state.replace(&next) {
            return Poll::Ready(());
        }
        if is_full {
            *event = Some(next);
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes += next.len();
        state.events.push_back(next);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    /// No more will come.
    pub(super) fn end(&self) {
        let mut state = lock(&self.0);
        state.has_ended = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for SideSender {
    fn drop(&mut self) {
        self.end();
    }
}

impl SideEvents {
    /// The next event; `None` at the end. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Option<SideEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<SideEvent>> {
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
}

impl Stream for SideEvents {
    type Item = SideEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SideEvent>> {
        self.poll_event(cx)
    }
}

impl Drop for SideEvents {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_abandoned = true;
        state.events.clear();
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for SideEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SideEvents").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hgrpc::Revision;
    use hgrpc::cbor::{Atom, encode_atoms};

    use super::*;

    fn text(text: &str) -> SideEvent {
        let mut buffer = vec![0; text.len() + 100];
        let order = Revision::R0006.key_order();
        let len = encode_atoms(&[Atom::new(text)], order, &mut buffer).unwrap();
        buffer.truncate(len);
        SideEvent::text(buffer)
    }

    fn progress(topic: &str, pos: i64) -> SideEvent {
        let mut buffer = vec![0; 100];
        let update = Progress::new(topic, pos, 9);
        let len = update.encode(Revision::R0006, &mut buffer).unwrap();
        buffer.truncate(len);
        SideEvent::progress(buffer)
    }

    fn now<F: Future>(future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn text_waits_for_room_and_progress_takes_the_place_of_older() {
        let (sender, mut events) = queue();
        assert_eq!(now(sender.push(progress("a", 0))), Some(()));
        for number in 0..EVENTS - 1 {
            assert_eq!(now(sender.push(text(&number.to_string()))), Some(()));
        }
        assert_eq!(now(sender.push(text("too many"))), None);
        assert_eq!(now(sender.push(progress("b", 1))), None);
        for number in 0..10_000 {
            assert_eq!(now(sender.push(progress("a", number))), Some(()));
        }
        assert_eq!(now(sender.push(progress("a", -1))), Some(()));
        let Some(Some(SideEvent::Progress(update))) = now(events.next_event()) else {
            panic!("the progress was first");
        };
        assert!(update.progress().is_finished());
        assert_eq!(now(sender.push(text("last"))), Some(()));
        sender.end();
        let mut texts = Vec::new();
        while let Some(Some(SideEvent::Text(text))) = now(events.next_event()) {
            texts.push(text.atoms().to_string());
        }
        assert_eq!(texts.len(), EVENTS);
        assert_eq!((&*texts[0], &*texts[EVENTS - 1]), ("0", "last"));
        assert_eq!(now(events.next_event()), Some(None));
    }

    #[test]
    fn one_large_event_fits_and_two_do_not() {
        let (sender, events) = queue();
        let large = "x".repeat(BYTES);
        assert_eq!(now(sender.push(text(&large))), Some(()));
        assert_eq!(now(sender.push(text("x"))), None);
        drop(events);
        assert_eq!(now(sender.push(text("x"))), Some(()));
    }
}
