//! A call's life: from its request to the end of its response and of its data.

use std::task::{Poll, Waker};

use bytes::Bytes;
use hgrpc::client::Upload;
use hgrpc::wire::RequestId;

use super::{Connection, NoteRoute, lost};
use crate::engine::Key;
use crate::engine::faults::{Fault, is_planted};
use crate::engine::inbound::Inbound;
use crate::host::sequence::Sequence;
use crate::host::{AnswerError, CallError};

/// A call that is to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The command's name.
    pub command: Vec<u8>,
    /// Its arguments, an encoded map.
    pub args: Vec<u8>,
    /// 0006: where the client would let itself be redirected to, an encoded map.
    pub redirect: Option<Vec<u8>>,
    /// Its data.
    pub data: Data,
    /// What becomes of what comes beside the response.
    pub notes: NoteRoute,
}

/// A request's data.
#[derive(Clone, Debug)]
pub enum Data {
    /// There is none.
    None,
    /// All of it, sent with the request.
    Whole(Bytes),
    /// It is handed in piece by piece: [`Connection::upload`].
    Streamed,
}

/// A call of which nothing was sent.
#[derive(Debug)]
pub struct Unsent {
    /// Why.
    pub error: CallError,
    /// The call, if that is the connection's fault: another connection may do.
    pub outgoing: Option<Outgoing>,
}

/// What is known of a call, in bits.
pub(super) mod has {
    /// Somebody has the call: waits for it to be sent, or reads its response.
    pub(in super::super) const READER: u16 = 0x01;
    /// Its request was sent.
    pub(in super::super) const SENT: u16 = 0x02;
    /// Its response has begun.
    pub(in super::super) const OPENED: u16 = 0x04;
    /// Nothing more of its response concerns anybody: all has come, or it was given up.
    pub(in super::super) const COMPLETE: u16 = 0x08;
    /// The end of its data is still to be sent.
    pub(in super::super) const STREAMING: u16 = 0x10;
    /// What waits of its data is the rest of it.
    pub(in super::super) const FINISHING: u16 = 0x20;
    /// Its data was known as a whole.
    pub(in super::super) const WHOLE: u16 = 0x40;
    /// Somebody has its data, to hand it in.
    pub(in super::super) const SOURCE: u16 = 0x80;
    /// It waits for its turn.
    pub(in super::super) const QUEUED: u16 = 0x100;
}

/// A call that somebody has, or whose data is not sent.
pub(super) struct Call {
    pub(super) has: u16,
    /// Who waits for the call, and for room for its data.
    pub(super) caller: Option<Waker>,
    pub(super) uploader: Option<Waker>,
    pub(super) id: RequestId,
    pub(super) command: Vec<u8>,
    /// What is to be sent, until it is its turn.
    pub(super) start: Option<Outgoing>,
    /// Why nothing was sent of it.
    pub(super) unsent: Option<CallError>,
    /// What makes the frames of its data.
    pub(super) token: Option<Upload>,
    /// Data that waits.
    pub(super) data: Bytes,
    /// Bytes that it has sent, as turns count them.
    pub(super) sent: u64,
    pub(super) body: Inbound<CallError, ()>,
    /// How its response ends, behind bytes that wait for room.
    pub(super) end: Option<Result<(), CallError>>,
    /// The values of its response.
    pub(super) values: Option<Sequence>,
    /// Bytes of its response that have come.
    pub(super) received: u64,
    /// An encoded status map that names another place (0006).
    pub(super) redirect: Option<Vec<u8>>,
    pub(super) notes: NoteRoute,
}

impl Call {
    /// Whether something waits for a turn.
    pub(super) const fn has_job(&self) -> bool {
        self.start.is_some()
            || self.token.is_some() && (self.has & has::FINISHING != 0 || !self.data.is_empty())
    }

    /// Whether its data goes on.
    const fn wants_data(&self) -> bool {
        self.has & has::STREAMING != 0 && self.has & has::FINISHING == 0
    }

    /// Nothing of its data is sent any more.
    pub(super) fn drop_data(&mut self) {
        self.has &= !(has::STREAMING | has::FINISHING);
        self.token = None;
        self.data = Bytes::new();
    }

    /// Whether nobody can do anything with it any more.
    const fn is_over(&self) -> bool {
        self.has & (has::READER | has::SOURCE | has::STREAMING) == 0
    }
}

/// Sets whom to wake.
fn set(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(place) => place.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

impl Connection {
    /// Begins a call: its request is sent now, or waits for its turn ([`poll_sent`](Self::poll_sent)). It takes
    /// a place until its response, and its data, have ended.
    ///
    /// # Errors
    /// The call is wrong, there is no place, or the connection has ended; nothing was sent.
    pub fn call(&mut self, mut outgoing: Outgoing) -> Result<Key, Box<Unsent>> {
        if let Some(error) = self.ended.as_ref().or(self.output_ended.as_ref()) {
            return Err(Box::new(Unsent {
                error: lost(&outgoing.command, 0, error),
                outgoing: Some(outgoing),
            }));
        }
        self.count_places();
        if self.places >= self.limits.calls {
            return Err(Box::new(hgrpc::ApiMisuse::RequestIdsExhausted.into()));
        }
        let is_streamed = matches!(outgoing.data, Data::Streamed);
        let notes = std::mem::take(&mut outgoing.notes);
        let source = if is_streamed { has::SOURCE } else { 0 };
        let key = self.calls.slab.insert(Call {
            has: has::READER | source,
            caller: None,
            uploader: None,
            id: RequestId::default(),
            command: Vec::new(),
            start: Some(outgoing),
            unsent: None,
            token: None,
            data: Bytes::new(),
            sent: 0,
            body: Inbound::new(self.limits.buffer),
            end: None,
            values: Sequence::of_response(self.core.revision()),
            received: 0,
            redirect: None,
            notes,
        });
        self.starts += 1;
        self.queue(key);
        self.places = self.core.requests().len() + self.starts;
        if self
            .calls
            .get_mut(key)
            .is_some_and(|call| call.unsent.is_some())
            && let Some(unsent) = self.take_unsent(key)
        {
            return Err(Box::new(unsent));
        }
        Ok(key)
    }

    /// Waits until a call's request was sent.
    ///
    /// # Errors
    /// It was not, and will not be; its key finds nothing any more.
    pub fn poll_sent(&mut self, key: Key, waker: &Waker) -> Poll<Result<RequestId, Box<Unsent>>> {
        match self.calls.get_mut(key) {
            Some(call) if call.unsent.is_none() => {
                if call.has & has::SENT != 0 {
                    return Poll::Ready(Ok(call.id));
                }
                set(&mut call.caller, waker);
            }
            _ => {
                if let Some(unsent) = self.take_unsent(key) {
                    return Poll::Ready(Err(Box::new(unsent)));
                }
            }
        }
        Poll::Pending
    }

    /// Takes a call away that was not sent.
    fn take_unsent(&mut self, key: Key) -> Option<Unsent> {
        let call = self.calls.slab.remove(key)?;
        let error = call.unsent?;
        let outgoing = call.start.map(|mut outgoing| {
            outgoing.notes = call.notes;
            outgoing
        });
        Some(Unsent { error, outgoing })
    }

    /// Waits until the command has begun to answer: gives where the answer is instead, if it is (an
    /// encoded status map, 0006).
    ///
    /// # Errors
    /// The call has failed.
    pub fn poll_opened(
        &mut self,
        key: Key,
        waker: &Waker,
    ) -> Poll<Result<Option<&[u8]>, CallError>> {
        let Some(call) = self.calls.get_mut(key) else {
            return Poll::Pending;
        };
        if call.has & has::OPENED == 0 && call.body.held() == 0 {
            match call.body.ended() {
                None => {
                    set(&mut call.caller, waker);
                    return Poll::Pending;
                }
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                Some(Ok(())) => {}
            }
        }
        Poll::Ready(Ok(call.redirect.as_deref()))
    }

    /// The next bytes of a response, never empty; `None` at its end.
    ///
    /// # Errors
    /// The call has failed, or its answer is elsewhere.
    pub fn poll_read(&mut self, key: Key, waker: &Waker) -> Poll<Result<Option<Bytes>, CallError>> {
        let Some(call) = self.calls.get_mut(key) else {
            return Poll::Pending;
        };
        if call.redirect.is_some() {
            return Poll::Ready(Err(CallError::Answer(AnswerError::Redirected)));
        }
        let read = call.body.read();
        if read.is_none() {
            set(&mut call.caller, waker);
        }
        let has_room = call.body.has_room();
        let is_woken = has_room && !is_planted(Fault::InputNotWoken);
        self.calls.wakes.input |= is_woken && self.waits_for(key);
        match read {
            None => Poll::Pending,
            Some(read) => Poll::Ready(read.map(|read| read.map(|(bytes, ())| bytes))),
        }
    }

    /// Whether nothing is received until somebody does something about this call.
    fn waits_for(&self, key: Key) -> bool {
        self.stuck.as_ref().is_some_and(|stuck| stuck.is_for(key))
    }

    /// Whoever had the call has gone: if its response has not ended, it is given up. What still comes
    /// of it is swallowed, and what was not sent of its data is cut short.
    pub fn call_dropped(&mut self, key: Key) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.has &= !has::READER;
        call.body.abandon();
        if call.start.take().is_some() {
            // There is nothing to give up.
            if call.unsent.is_none() {
                self.starts -= 1;
            }
            call.notes.end();
            call.has &= !has::SOURCE;
        } else {
            self.cancel(key);
        }
        self.calls.wakes.input |= self.waits_for(key);
        self.settle(key);
    }

    /// Whether more of a call's data is wanted: waits for room for a piece. The waker is woken, too,
    /// when none is wanted any more.
    pub fn poll_wants_data(&mut self, key: Key, waker: &Waker) -> Poll<bool> {
        let Some(call) = self.calls.get_mut(key) else {
            return Poll::Ready(false);
        };
        // Its request may wait for its turn.
        let is_waiting = call.start.is_some() && call.unsent.is_none();
        if !is_waiting && !call.wants_data() {
            return Poll::Ready(false);
        }
        set(&mut call.uploader, waker);
        match is_waiting || !call.data.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(true),
        }
    }

    /// Sends a piece of a call's data, if that [is wanted](Self::poll_wants_data) and there is room.
    pub fn upload(&mut self, key: Key, bytes: Bytes) {
        if let Some(call) = self.calls.get_mut(key)
            && call.wants_data()
            && call.data.is_empty()
        {
            call.data = bytes;
            self.queue(key);
        }
    }

    /// A call's data is complete, or nobody has it any more: what was handed in is the rest.
    pub fn upload_ended(&mut self, key: Key) {
        if let Some(call) = self.calls.get_mut(key) {
            call.has &= !has::SOURCE;
        }
        self.finish_data(key);
        self.settle(key);
    }

    /// A call's data cannot be read: the call has failed. (The server must not wait for what never
    /// comes: it sees shorter data.)
    pub fn upload_failed(&mut self, key: Key, error: CallError) {
        self.end_call(key, Err(error));
        self.cancel(key);
        self.upload_ended(key);
    }

    /// What the end of the output means to a call whose request was sent when it came.
    pub fn output_lost(&mut self, key: Key) -> Option<CallError> {
        let error = self.output_ended.as_ref()?;
        let call = self.calls.get_mut(key)?;
        Some(lost(&call.command, call.received, error))
    }

    /// Nobody sends this call's data any more, for the output has ended: unless it was answered all the
    /// same, it is lost.
    pub fn upload_lost(&mut self, key: Key) {
        if let Some(error) = self.output_lost(key) {
            self.end_call(key, Err(error));
        }
    }

    /// Whether a call's response has ended, with all of it here.
    pub fn is_answered(&mut self, key: Key) -> bool {
        let call = self.calls.get_mut(key);
        call.is_none_or(|call| call.body.is_closed())
    }

    /// What waits of a call's data is all that is sent of it.
    pub(super) fn finish_data(&mut self, key: Key) {
        if let Some(call) = self.calls.get_mut(key)
            && call.wants_data()
        {
            call.has |= has::FINISHING;
            self.queue(key);
        }
    }

    /// The response has ended; the first end counts. No more of the data is wanted.
    pub(super) fn end_call(&mut self, key: Key, result: Result<(), CallError>) {
        self.calls.end(key, result);
        self.calls.wakes.input |= self.waits_for(key);
        self.cut_data(key);
    }

    /// What was not sent of a call's data is not sent any more.
    pub(super) fn cut_data(&mut self, key: Key) {
        if let Some(call) = self.calls.get_mut(key)
            && call.has & has::STREAMING != 0
        {
            call.data = Bytes::new();
            self.finish_data(key);
            self.calls.wake_upload(key);
        }
    }

    /// What still comes of a call is swallowed.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if call.has & has::SENT == 0 {
            return;
        }
        let id = call.id;
        call.notes.end();
        if call.has & has::COMPLETE == 0 {
            call.has |= has::COMPLETE;
            // It may have ended already.
            let _ = self.core.cancel(id, &mut self.memory);
        }
        self.cut_data(key);
    }

    /// Something of a call has ended: it goes when all of it has.
    pub(super) fn settle(&mut self, key: Key) {
        if self.calls.get_mut(key).is_some_and(|call| call.is_over()) {
            self.calls.slab.remove(key);
        }
    }
}
