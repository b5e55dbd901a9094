//! What makes the frames of calls when their turns come.

use std::sync::Arc;

use bytes::Bytes;
use hgrpc::ApiMisuse;
use hgrpc::cbor::EncodedArgs;
use hgrpc::client::CallData;
use hgrpc::wire::OutFrame;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::exchange::{CallState, Shared};
use crate::host::config::Meter;
use crate::host::sync::lock;
use crate::tokio::CallError;
use crate::tokio::outgoing::{Made, Maker};

/// What is sent of a call, apart from data that streams.
pub(super) struct Prepared {
    pub(super) command: Vec<u8>,
    /// The encoded map.
    pub(super) args: Vec<u8>,
    pub(super) redirect: Option<Vec<u8>>,
    pub(super) data: PreparedData,
}

/// A request's data, as far as the request's own frames are concerned.
pub(super) enum PreparedData {
    None,
    /// At most a frame.
    Whole(Bytes),
    /// It comes in jobs of its own.
    Streamed,
}

/// What came of a call's beginning.
pub(super) enum Begun {
    Sent,
    /// Nothing of it was sent.
    Unsent(CallError),
}

/// What waits in a lane.
pub(super) enum Job {
    /// A call's request, which goes out in one piece: its arguments are in memory anyway.
    Start(Option<Start>),
    /// Data of a call, and whether it is the last.
    Data {
        call: Arc<CallState>,
        bytes: Bytes,
        is_last: bool,
    },
}

/// A call that begins.
pub(super) struct Start {
    pub(super) call: Arc<CallState>,
    pub(super) prepared: Arc<Prepared>,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) begun: oneshot::Sender<Begun>,
}

/// Makes the frames of one connection.
pub(super) struct Frames(pub(super) Arc<Shared>);

impl Maker for Frames {
    type Job = Job;

    fn make(&mut self, job: &mut Job, out: &mut Vec<u8>) -> Made {
        match job {
            Job::Start(start) => {
                if let Some(start) = start.take() {
                    self.start(start, out);
                }
                Made::Done
            }
            Job::Data {
                call,
                bytes,
                is_last,
            } => self.data(call, bytes, *is_last, out),
        }
    }

    fn written(&mut self, _: usize, _: usize) {}
}

impl Frames {
    fn start(&self, start: Start, out: &mut Vec<u8>) {
        // Whoever wanted it may have gone before anything was sent.
        if start.call.is_given_up() {
            return;
        }
        let result = match self.request(&start.call, &start.prepared, start.place, out) {
            Ok(()) => Begun::Sent,
            Err(error) => Begun::Unsent(error),
        };
        // Whoever waited for this gives the call up when it goes.
        let _ = start.begun.send(result);
    }

    /// Makes the reactor know the call, and its request's frames.
    fn request(
        &self,
        call: &Arc<CallState>,
        prepared: &Prepared,
        place: OwnedSemaphorePermit,
        out: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let args = EncodedArgs::from_cbor(&prepared.args).map_err(|_| ApiMisuse::InvalidMessage)?;
        let mut request = hgrpc::client::Request::new(&prepared.command, args);
        request.redirect = prepared.redirect.as_deref();
        request.data = match &prepared.data {
            PreparedData::None => CallData::None,
            PreparedData::Whole(bytes) => CallData::Bytes(bytes),
            PreparedData::Streamed => CallData::Stream,
        };
        let state = &mut *lock(&self.0.state);
        let calls = &mut state.calls;
        if let Some(error) = &calls.ended {
            return Err(call.head.lost(error));
        }
        // Calls go out at once, so there is nothing to flush.
        let (mut core, _) = calls.client.call(&mut calls.table, request)?;
        let id = core.request_id();
        call.head.set_id(id);
        calls.open.add(id, Arc::clone(call), self.0.revision);
        state.places.insert(id, place);
        while let Some(frame) = core.next_frame(&mut calls.client.output(&mut calls.table)) {
            put(&self.0.meter, &frame, out);
        }
        *lock(&call.data) = core.into_data().filter(hgrpc::client::Call::wants_data);
        // It may have been given up while it had no ID.
        if call.is_given_up() {
            calls.give_up(id);
        }
        Ok(())
    }

    /// Makes a frame of data.
    fn data(&self, call: &CallState, bytes: &mut Bytes, is_last: bool, out: &mut Vec<u8>) -> Made {
        let state = &mut *lock(&self.0.state);
        let mut data = lock(&call.data);
        let Some(core) = &mut *data else {
            return Made::Done;
        };
        let size = usize::try_from(self.0.limits.send_frame_size).unwrap_or(usize::MAX);
        let piece = bytes.split_to(bytes.len().min(size));
        let is_end = is_last && bytes.is_empty();
        let calls = &mut state.calls;
        let mut output = calls.client.output(&mut calls.table);
        if let Ok(Some(frame)) = core.data_frame(&mut output, &piece, is_end) {
            put(&self.0.meter, &frame, out);
        }
        if core.is_ended() {
            state.settle(core.request_id());
            *data = None;
            call.stop.notify_one();
            return Made::Done;
        }
        if bytes.is_empty() {
            Made::Done
        } else {
            Made::More
        }
    }
}

fn put(meter: &Meter, frame: &OutFrame<'_>, out: &mut Vec<u8>) {
    meter.frame_out(frame.header());
    for slice in frame.as_slices() {
        out.extend_from_slice(slice);
    }
}
