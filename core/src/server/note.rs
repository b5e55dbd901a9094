//! Text output and progress beside a response (messages.md, "Text output" and "Progress").

use super::{Reply, Server};
use crate::cbor::{Atom, Progress, encode_atoms};
use crate::output::{Head, Output};
use crate::revision::number;
use crate::store::Requests;
use crate::wire::TypeFlags;
use crate::{ApiMisuse, Protocol};

impl<P: Protocol, T: Requests> Server<P, T> {
    /// Writes text for people, beside the response. Call again while the answer is `false`: what is
    /// joined goes out first.
    ///
    /// # Errors
    /// [`ApiMisuse::PeerTakesNoSideFrames`]: see [`peer_takes_notes`](Self::peer_takes_notes).
    /// [`ApiMisuse::TooLarge`]: it does not fit one frame. [`ApiMisuse::InvalidMessage`]: a `msg` or a
    /// label is not ASCII. [`ApiMisuse::RequestNotActive`]: the response has ended; nothing follows
    /// its end.
    pub fn text(
        &mut self,
        reply: &Reply,
        atoms: &[Atom<'_>],
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        let order = self.revision().key_order();
        self.note(reply, number::TEXT_OUTPUT, out, |payload| {
            encode_atoms(atoms, order, payload)
        })
    }

    /// Writes one update of one operation, beside the response. Call again while the answer is
    /// `false`.
    ///
    /// # Errors
    /// As for [`text`](Self::text).
    pub fn progress(
        &mut self,
        reply: &Reply,
        progress: &Progress<'_>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        let revision = self.revision();
        self.note(reply, number::PROGRESS, out, |payload| {
            progress.encode(revision, payload)
        })
    }

    fn note(
        &mut self,
        reply: &Reply,
        number: u8,
        out: &mut Output<'_>,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, ApiMisuse>,
    ) -> Result<bool, ApiMisuse> {
        out.len = 0;
        if !self.peer_takes_notes() {
            return Err(ApiMisuse::PeerTakesNoSideFrames);
        }
        if self.begin(reply, out) == 0 {
            return Err(out.misuse());
        }
        if self.revision().has_settings() && out.is_joining() {
            self.send_joined(out);
            return Ok(false);
        }
        let count = encode(out.payload())?;
        let head = Head::new(reply.request_id(), number, TypeFlags::NONE);
        out.seal(head, count);
        Ok(true)
    }
}
