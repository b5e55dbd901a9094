//! Text output and progress beside a response (messages.md, "Text output" and "Progress").

use super::output::Draft;
use super::{Output, Responder, Server};
use crate::cbor::{Atom, Progress, encode_atoms};
use crate::revision::number;
use crate::store::Table;
use crate::wire::{OutFrame, RequestId, TypeFlags};
use crate::{ApiMisuse, Protocol};

/// A frame of text output or progress, encoded in memory that the caller lent.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a frame that is not taken is never sent"]
pub struct SideFrame<'a> {
    request_id: RequestId,
    order: u32,
    number: u8,
    payload: &'a [u8],
    is_taken: bool,
}

impl<P: Protocol> Server<P> {
    /// Text for people, beside the response to `responder`'s request.
    ///
    /// # Errors
    /// [`ApiMisuse::PeerTakesNoSideFrames`]: see [`peer_takes_side_frames`](Self::peer_takes_side_frames).
    /// [`ApiMisuse::TooLarge`]: it does not fit `buffer`, or one frame.
    /// [`ApiMisuse::InvalidMessage`]: a `msg` or a label is not ASCII.
    pub fn text_output<'b>(
        &self,
        responder: &Responder,
        atoms: &[Atom<'_>],
        buffer: &'b mut [u8],
    ) -> Result<SideFrame<'b>, ApiMisuse> {
        let len = encode_atoms(atoms, self.revision().key_order(), buffer)?;
        self.side_frame(responder, number::TEXT_OUTPUT, buffer, len)
    }

    /// One update of one operation, beside the response to `responder`'s request.
    ///
    /// # Errors
    /// As for [`text_output`](Self::text_output).
    pub fn progress<'b>(
        &self,
        responder: &Responder,
        progress: &Progress<'_>,
        buffer: &'b mut [u8],
    ) -> Result<SideFrame<'b>, ApiMisuse> {
        let len = progress.encode(self.revision(), buffer)?;
        self.side_frame(responder, number::PROGRESS, buffer, len)
    }

    fn side_frame<'b>(
        &self,
        responder: &Responder,
        number: u8,
        buffer: &'b [u8],
        len: usize,
    ) -> Result<SideFrame<'b>, ApiMisuse> {
        if !self.peer_takes_side_frames() {
            return Err(ApiMisuse::PeerTakesNoSideFrames);
        }
        if len > self.frame_size() {
            return Err(ApiMisuse::TooLarge);
        }
        let payload = buffer.get(..len).ok_or(ApiMisuse::TooLarge)?;
        let (request_id, order) = (responder.request_id(), responder.order());
        Ok(SideFrame {
            request_id,
            order,
            number,
            payload,
            is_taken: false,
        })
    }
}

impl<'a> SideFrame<'a> {
    /// Whether the frame has been taken.
    pub const fn is_ended(&self) -> bool {
        self.is_taken
    }

    /// Whether its request may still be written for.
    pub(super) fn check<T: Table + ?Sized, P: Protocol>(
        &self,
        out: &Output<'_, T, P>,
    ) -> Result<(), ApiMisuse> {
        out.check(&Responder::new(self.request_id, self.order))
    }

    /// Takes the frame; `None` if it was taken.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: the response has ended; nothing follows its end.
    pub fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'a>>, ApiMisuse> {
        if self.is_taken {
            return Ok(None);
        }
        self.check(out)?;
        self.is_taken = true;
        let draft = Draft::aside(self.number, TypeFlags::NONE);
        let payload = [self.payload, &[], &[], &[], &[], &[]];
        Ok(Some(out.seal(self.request_id, draft, payload)))
    }
}
