//! `events`: responses that stay open and say what happens.

use embedded_io::Write;
use hgrpc::cbor::{ArgsWriter, EncodedArgs};
use hgrpc::server::{Body, Failure, Responder, ResponseWriter};
use hgrpc::wire::RequestId;

use super::{Replies, Sent};

/// The open responses: two at once.
#[derive(Debug)]
pub(super) struct Events([Option<Subscriber>; 2]);

#[derive(Debug)]
struct Subscriber {
    writer: ResponseWriter,
    /// Events that it still wants.
    wants: u16,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self([const { None }; 2])
    }

    /// `events`: keeps the response open for so many.
    pub(super) fn open<W: Write>(
        &mut self,
        most: u16,
        responder: Responder,
        replies: &mut Replies<W>,
    ) -> Sent<W> {
        let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) else {
            let failure = Failure::command(b"two responses are open");
            return replies.respond(responder, Body::Failure(failure));
        };
        if most == 0 {
            return replies.respond(responder, Body::Cbor(&[]));
        }
        let writer = replies.begin(responder)?;
        *slot = Some(Subscriber {
            writer,
            wants: most,
        });
        Ok(())
    }

    /// Something happened: all that are open are told.
    pub(super) fn report<W: Write>(
        &mut self,
        what: &str,
        value: u32,
        replies: &mut Replies<W>,
    ) -> Sent<W> {
        if self.0.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut memory = [0; 16];
        let mut event = ArgsWriter::new(&mut memory, replies.server().revision().key_order());
        event.value(what.as_bytes(), &value)?;
        let event: EncodedArgs<'_> = event.finish()?;
        for slot in &mut self.0 {
            let Some(subscriber) = slot else { continue };
            replies.write(&mut subscriber.writer, event.as_cbor())?;
            subscriber.wants = subscriber.wants.saturating_sub(1);
            if subscriber.wants == 0
                && let Some(Subscriber { writer, .. }) = slot.take()
            {
                replies.finish(writer)?;
            }
        }
        Ok(())
    }

    /// `stop`: ends them all.
    pub(super) fn stop<W: Write>(&mut self, replies: &mut Replies<W>) -> Sent<W> {
        for slot in &mut self.0 {
            if let Some(Subscriber { writer, .. }) = slot.take() {
                replies.finish(writer)?;
            }
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, id: RequestId) {
        for slot in &mut self.0 {
            if slot.as_ref().is_some_and(|s| s.writer.request_id() == id) {
                *slot = None;
            }
        }
    }
}
