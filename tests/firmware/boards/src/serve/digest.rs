//! `digest`: the SHA-256 of data of any size, which is never held.

use hgrpc::server::{Failure, Reply};
use hgrpc::wire::RequestId;

use super::{Done, Replies};
use crate::hash::{self, Hash};
use crate::uart::Uart;

/// The digests that are being taken: two at once.
#[derive(Debug)]
pub(super) struct Digests([Option<Digest>; 2]);

#[derive(Debug)]
struct Digest {
    reply: Reply,
    hash: Hash,
}

impl Digests {
    pub(super) const fn new() -> Self {
        Self([None, None])
    }

    /// A call whose data will come.
    pub(super) fn begin<U: Uart>(&mut self, reply: Reply, replies: &mut Replies<'_, U>) -> Done {
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                let hash = Hash::new();
                *slot = Some(Digest { reply, hash });
                Ok(())
            }
            None => {
                let failure = Failure::command(b"two digests are being taken");
                replies.send(reply.fail(failure))
            }
        }
    }

    /// Some of the data.
    pub(super) fn take_data<U: Uart>(
        &mut self,
        id: RequestId,
        bytes: &[u8],
        is_last: bool,
        replies: &mut Replies<'_, U>,
    ) -> Done {
        let is_of =
            |slot: &&mut Option<Digest>| slot.as_ref().is_some_and(|d| d.reply.request_id() == id);
        let Some(slot) = self.0.iter_mut().find(is_of) else {
            return Ok(());
        };
        if let Some(digest) = slot {
            digest.hash.update(bytes);
        }
        if is_last && let Some(digest) = slot.take() {
            return answer(digest.hash, digest.reply, replies);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: RequestId) {
        for slot in &mut self.0 {
            if slot.as_ref().is_some_and(|d| d.reply.request_id() == id) {
                *slot = None;
            }
        }
    }
}

/// A call without data.
pub(super) fn of_nothing<U: Uart>(reply: Reply, replies: &mut Replies<'_, U>) -> Done {
    answer(Hash::new(), reply, replies)
}

/// The digest as text.
fn answer<U: Uart>(hash: Hash, reply: Reply, replies: &mut Replies<'_, U>) -> Done {
    let text = hash::text(hash.finish());
    replies.send(reply.ok(core::str::from_utf8(&text).unwrap_or_default()))
}
