//! Text output and progress beside a response, as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::engine::client::{NoteQueue, NoteWriter, Notes};
pub use crate::engine::client::{ProgressUpdate, SideEvent, TextOutput};

/// The text output and the progress of one call, as they come.
///
/// Made by [`Request::side`](super::Request::side). It ends with the call. At most 64 events, or
/// 64 KiB of them, wait to be read. When that is full, an update takes the place of an older one of
/// its operation; all else stops the connection, as a [response](super::Response) does that is not
/// read: read both at once. Dropped, what comes beside is ignored.
#[must_use = "what comes beside the response is ignored if this is dropped"]
pub struct SideEvents(Arc<NoteQueue>);

/// A queue for events.
pub(super) fn queue() -> (Notes, SideEvents) {
    let (writer, queue) = NoteWriter::queue();
    (Notes::Queued(writer), SideEvents(queue))
}

impl SideEvents {
    /// The next event; `None` at the end. Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Option<SideEvent> {
        poll_fn(|cx| self.0.poll_event(cx)).await
    }
}

impl Stream for SideEvents {
    type Item = SideEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SideEvent>> {
        self.0.poll_event(cx)
    }
}

impl Drop for SideEvents {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl fmt::Debug for SideEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SideEvents").finish_non_exhaustive()
    }
}
