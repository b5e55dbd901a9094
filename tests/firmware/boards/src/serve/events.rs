//! `events`: responses that stay open and say what happens.

use hgrpc::cbor::ArgsWriter;
use hgrpc::server::{Failure, Reply};
use hgrpc::wire::RequestId;

use super::{Done, Replies};
use crate::uart::Uart;

/// The open responses: two at once.
#[derive(Debug)]
pub(super) struct Events([Option<Subscriber>; 2]);

#[derive(Debug)]
struct Subscriber {
    reply: Reply,
    /// Events that it still wants.
    wants: u16,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self([const { None }; 2])
    }

    /// `events`: keeps the response open for so many.
    pub(super) fn open<U: Uart>(
        &mut self,
        most: u16,
        reply: Reply,
        replies: &mut Replies<'_, U>,
    ) -> Done {
        let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) else {
            let failure = Failure::command(b"two responses are open");
            return replies.send(reply.fail(failure));
        };
        if most == 0 {
            return replies.send(reply.end());
        }
        // The host hears that it is open, before anything happens.
        replies.send(reply.piece(&[]))?;
        *slot = Some(Subscriber { reply, wants: most });
        Ok(())
    }

    /// Something happened: all that are open are told.
    pub(super) fn report<U: Uart>(
        &mut self,
        what: &str,
        value: u32,
        replies: &mut Replies<'_, U>,
    ) -> Done {
        if self.0.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut memory = [0; 16];
        let mut event = ArgsWriter::new(&mut memory, replies.end().revision().key_order());
        event.value(what.as_bytes(), &value)?;
        let event = event.finish()?;
        for slot in &mut self.0 {
            let Some(subscriber) = slot else { continue };
            replies.send(subscriber.reply.item(event))?;
            subscriber.wants = subscriber.wants.saturating_sub(1);
            if subscriber.wants == 0
                && let Some(Subscriber { reply, .. }) = slot.take()
            {
                replies.send(reply.end())?;
            }
        }
        Ok(())
    }

    /// `stop`: ends them all.
    pub(super) fn stop<U: Uart>(&mut self, replies: &mut Replies<'_, U>) -> Done {
        for slot in &mut self.0 {
            if let Some(Subscriber { reply, .. }) = slot.take() {
                replies.send(reply.end())?;
            }
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: RequestId) {
        for slot in &mut self.0 {
            if slot.as_ref().is_some_and(|s| s.reply.request_id() == id) {
                *slot = None;
            }
        }
    }
}
