//! `digest`: the SHA-256 of data of any size, which is never held.

use embedded_io::Write;
use hgrpc::cbor::CborWriter;
use hgrpc::server::{Body, Failure, Responder};
use hgrpc::wire::RequestId;

use super::{Replies, Sent};
use crate::hash::{self, Hash};

/// The digests that are being taken: two at once.
#[derive(Debug)]
pub(super) struct Digests([Option<Digest>; 2]);

#[derive(Debug)]
struct Digest {
    responder: Responder,
    hash: Hash,
}

impl Digests {
    pub(super) const fn new() -> Self {
        Self([None, None])
    }

    /// A call whose data will come.
    pub(super) fn begin<W: Write>(
        &mut self,
        responder: Responder,
        replies: &mut Replies<W>,
    ) -> Sent<W> {
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                let hash = Hash::new();
                *slot = Some(Digest { responder, hash });
                Ok(())
            }
            None => {
                let failure = Failure::command(b"two digests are being taken");
                replies.respond(responder, Body::Failure(failure))
            }
        }
    }

    /// Some of the data.
    pub(super) fn take_data<W: Write>(
        &mut self,
        id: RequestId,
        bytes: &[u8],
        is_last: bool,
        replies: &mut Replies<W>,
    ) -> Sent<W> {
        let is_of = |slot: &&mut Option<Digest>| {
            slot.as_ref()
                .is_some_and(|d| d.responder.request_id() == id)
        };
        let Some(slot) = self.0.iter_mut().find(is_of) else {
            return Ok(());
        };
        if let Some(digest) = slot {
            digest.hash.update(bytes);
        }
        if is_last && let Some(digest) = slot.take() {
            return answer(digest.hash, digest.responder, replies);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: RequestId) {
        for slot in &mut self.0 {
            if slot
                .as_ref()
                .is_some_and(|d| d.responder.request_id() == id)
            {
                *slot = None;
            }
        }
    }
}

/// A call without data.
pub(super) fn of_nothing<W: Write>(responder: Responder, replies: &mut Replies<W>) -> Sent<W> {
    answer(Hash::new(), responder, replies)
}

/// The digest as text.
fn answer<W: Write>(hash: Hash, responder: Responder, replies: &mut Replies<W>) -> Sent<W> {
    let mut memory = [0; 66];
    let mut value = CborWriter::new(&mut memory);
    value.head(3, 64)?;
    value.raw(&hash::text(hash.finish()))?;
    replies.respond(responder, Body::Cbor(value.finish()))
}
