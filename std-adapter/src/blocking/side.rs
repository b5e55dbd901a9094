//! Text output and progress beside a response.

use std::fmt;
use std::sync::Arc;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Atom, Progress};
use hgrpc::server::{Responder, Server, SideFrame};

use super::ConnectionError;
use super::conn::Conn;
use crate::host::text;

/// Sends text output and progress beside one response, from any thread.
///
/// What comes after the response's end is dropped, and so is everything to a peer that does not
/// take it (Mercurial's in 0006): both are hints for people, not results.
#[derive(Clone)]
pub struct Side {
    pub(super) conn: Arc<Conn>,
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
    pub fn text(&self, text: impl AsRef<str>) -> Result<(), ConnectionError> {
        self.labelled(text, &[])
    }

    /// Text with labels, names of styles such as `ui.warning` (ASCII).
    ///
    /// # Errors
    /// The connection has ended.
    pub fn labelled(&self, text: impl AsRef<str>, labels: &[&str]) -> Result<(), ConnectionError> {
        let labels: Vec<&[u8]> = labels.iter().map(|label| label.as_bytes()).collect();
        for piece in text::pieces(text.as_ref(), self.conn.config.limits.send_frame_size) {
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
        self.send(|server, responder, buffer| server.text_output(responder, atoms, buffer))
    }

    /// How far an operation is.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn progress(&self, progress: &Progress<'_>) -> Result<(), ConnectionError> {
        self.send(|server, responder, buffer| server.progress(responder, progress, buffer))
    }

    fn send(
        &self,
        make: impl for<'b> Fn(&Server, &Responder, &'b mut [u8]) -> Result<SideFrame<'b>, ApiMisuse>,
    ) -> Result<(), ConnectionError> {
        let size = usize::try_from(self.conn.config.limits.send_frame_size).unwrap_or(usize::MAX);
        let mut len = size.min(1024);
        let mut buffer = vec![0; len];
        let mut turn = self.conn.out.turn();
        loop {
            let mut reactor = self.conn.reactor();
            let Some(responder) = reactor.responder(self.number) else {
                return Ok(());
            };
            let made = make(&reactor.server, responder, &mut buffer);
            let mut side = match made {
                Ok(side) => side,
                Err(ApiMisuse::TooLarge) if len < size => {
                    len = size.min(len * 8);
                    buffer = vec![0; len];
                    continue;
                }
                Err(_) => return Ok(()),
            };
            let Ok(Some(frame)) = side.next_frame(&mut reactor.frames()) else {
                return Ok(());
            };
            drop(reactor);
            return turn
                .write(&[frame])
                .inspect_err(|error| self.conn.fail(error));
        }
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").finish_non_exhaustive()
    }
}
