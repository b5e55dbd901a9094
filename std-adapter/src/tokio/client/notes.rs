//! Text output and progress beside a response, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

pub use crate::engine::client::{Note, ProgressUpdate, TextOutput};
use crate::engine::client::{NoteQueue, NoteRoute, NoteWriter};

/// The text output and the progress of one call, as they come.
///
/// Made by [`Request::notes`](super::Request::notes). It ends with the call. At most 64 events, or
/// 64 KiB of them, wait to be read. When that is full, an update takes the place of an older one of
/// its operation; all else stops the connection, as a [response](super::Response) does that is not
/// read: read both at once. Dropped, what comes beside is ignored.
#[must_use = "what comes beside the response is ignored if this is dropped"]
pub struct NoteStream(Arc<NoteQueue>);

/// A queue for events.
pub(super) fn queue() -> (NoteRoute, NoteStream) {
    let (writer, queue) = NoteWriter::queue();
    (NoteRoute::Queued(writer), NoteStream(queue))
}

impl NoteStream {
    /// The next event; `None` at the end. Dropping the future loses nothing.
    pub async fn next_note(&mut self) -> Option<Note> {
        poll_fn(|cx| self.0.poll_event(cx)).await
    }
}

impl Stream for NoteStream {
    type Item = Note;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Note>> {
        self.0.poll_event(cx)
    }
}

impl Drop for NoteStream {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl fmt::Debug for NoteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteStream").finish_non_exhaustive()
    }
}
