//! Text output and progress beside a response.

use std::fmt;
use std::sync::Arc;

use hgrpc::cbor::{Atom, Progress};

use super::super::outgoing::Lane;
use super::conn::Conn;
use super::jobs::{Job, OwnedAtom, OwnedProgress};
use crate::host::{ConnectionError, text};

/// Sends text output and progress beside one response, from any task.
///
/// What comes after the response's end is dropped, and so is everything to a peer that does not
/// take it (Mercurial's in 0006): both are hints for people, not results. Sending waits for its
/// turn; dropped meanwhile, it sends nothing.
#[derive(Clone)]
pub struct Side {
    pub(super) conn: Arc<Conn>,
    pub(super) lane: Arc<Lane<Job>>,
    pub(super) number: u64,
}

impl Side {
    /// Whether the peer takes text output and progress: any in 0003 and 0005; in 0006 one that has
    /// said that it is an hgrpc client. To others they are not sent.
    pub fn is_taken(&self) -> bool {
        self.conn.reactor().server.peer_takes_side_frames()
    }

    /// Text for people. It reaches them escaped.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn text(&self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.labelled(text, &[]).await
    }

    /// Text with labels, names of styles such as `ui.warning` (ASCII).
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn labelled(
        &self,
        text: impl AsRef<str>,
        labels: &[&str],
    ) -> Result<(), ConnectionError> {
        let labels: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
        for piece in text::pieces(
            text.as_ref(),
            self.conn.shared.config.limits.send_frame_size,
        ) {
            self.atoms(&[Atom {
                msg: b"%s",
                args: &[piece.as_bytes()],
                labels: &labels,
            }])
            .await?;
        }
        Ok(())
    }

    /// Text as atoms: formats that are filled in where they are shown. Atoms that are not ASCII,
    /// or that do not fit a frame, are dropped.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn atoms(&self, atoms: &[Atom<'_>]) -> Result<(), ConnectionError> {
        let owned = |parts: &[&[u8]]| parts.iter().map(|part| part.to_vec()).collect();
        let atoms = atoms
            .iter()
            .map(|atom| OwnedAtom {
                msg: atom.msg.to_vec(),
                args: owned(atom.args),
                labels: owned(atom.labels),
            })
            .collect();
        let number = self.number;
        self.send(Job::Text { number, atoms }).await
    }

    /// How far an operation is.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn progress(&self, progress: &Progress<'_>) -> Result<(), ConnectionError> {
        let owned = Box::new(OwnedProgress {
            topic: progress.topic.to_string(),
            pos: progress.pos,
            total: progress.total,
            label: progress.label.map(|text| text.to_string()),
            item: progress.item.map(|text| text.to_string()),
        });
        let number = self.number;
        self.send(Job::Progress {
            number,
            progress: owned,
        })
        .await
    }

    async fn send(&self, job: Job) -> Result<(), ConnectionError> {
        if !self.is_taken() {
            return Ok(());
        }
        self.lane.ready().await?;
        self.lane.push(job)
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").finish_non_exhaustive()
    }
}
