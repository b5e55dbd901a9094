//! Text output and progress beside a response.

use std::fmt;
use std::sync::Arc;

use hgrpc::cbor::{Atom, Progress};

use super::ConnectionError;
use super::conn::Conn;
use crate::engine::Key;
use crate::engine::server::{Connection, Locked as _, Written};
use crate::host::text;

/// Sends text output and progress beside one response, from any thread.
///
/// What comes after the response's end is dropped, and so is everything to a peer that does not
/// take it (Mercurial's in 0006): both are hints for people, not results.
#[derive(Clone)]
pub struct Notes {
    pub(super) conn: Arc<Conn>,
    pub(super) key: Key,
}

impl Notes {
    /// Whether the peer takes text output and progress: any in 0003 and 0005; in 0006 one that has
    /// said that it is an hgrpc client. To others they are not sent.
    pub fn is_taken(&self) -> bool {
        self.conn.with(|connection| connection.takes_notes())
    }

    /// Text for people. It reaches them escaped.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn text(&self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.labelled(text, &[])
    }

    /// Text with labels, names of styles such as `ui.warning` (ASCII).
    ///
    /// # Errors
    /// The connection has ended.
    pub fn labelled(&self, text: impl AsRef<str>, labels: &[&str]) -> Result<(), ConnectionError> {
        let labels: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
        let frame_size = self.conn.shared.config().limits.send_frame_size;
        for piece in text::pieces(text.as_ref(), frame_size) {
            self.atoms(&[Atom {
                msg: b"%s",
                args: &[piece.as_bytes()],
                labels: &labels,
            }])?;
        }
        Ok(())
    }

    /// Text as atoms: formats that are filled in where they are shown. Atoms that are not ASCII,
    /// or that do not fit a frame, are dropped.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn atoms(&self, atoms: &[Atom<'_>]) -> Result<(), ConnectionError> {
        self.send(|connection, key| connection.text(key, atoms))
    }

    /// How far an operation is.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn progress(&self, progress: &Progress<'_>) -> Result<(), ConnectionError> {
        self.send(|connection, key| connection.progress_note(key, progress))
    }

    fn send(&self, send: impl Fn(&mut Connection, Key) -> Written) -> Result<(), ConnectionError> {
        self.conn
            .block(|guarded, waker| guarded.poll_noted(self.key, waker, &send))
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}
