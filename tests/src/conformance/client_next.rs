//! Cases of the kind `client` through the reworked client.

use std::collections::{BTreeMap, VecDeque};

use hgrpc::cbor::{ContentEncoding, EncodedArgs};
use hgrpc::client::{ClientConfig, SendAction};
use hgrpc::next::client::{Client, Event, Request, Upload};
use hgrpc::next::output::{Output, Stream};
use hgrpc::next::store::FixedRequests;
use hgrpc::wire::{FrameHeader, HEADER_LEN, RequestId, StreamFlags, StreamId};
use hgrpc::{KeyOrder, ProtocolError, Revision};
use hgrpc_std::encoding::StreamDecoders;
use serde_json::{Map, Value, json};

use super::client::{Input, Spread, error_response};
use super::{StepFault, at, canonical, same};
use crate::bytes::hex;
use crate::fields::{Fault, Fields};
use crate::parts::Cut;
use crate::stores::{BYTES, REQUESTS};

/// Runs the steps of a case.
pub(super) fn check(
    revision: Revision,
    config: ClientConfig,
    cut: Cut,
    steps: &[Value],
    inputs: &[Input],
) -> Result<(), StepFault> {
    let size = usize::try_from(config.send_frame_size).unwrap_or(usize::MAX);
    let mut buffer = vec![0; HEADER_LEN + size];
    let mut run = Run {
        client: Client::new(revision, config, FixedRequests::new()),
        memory: vec![0; BYTES],
        out: Output::new(Stream::CLIENT, &mut buffer),
        cut,
        decoders: StreamDecoders::default(),
        calls: Vec::new(),
        queue: VecDeque::new(),
        handles: Vec::new(),
        requests: BTreeMap::new(),
        spread: Spread::default(),
    };
    for (number, (step, input)) in steps.iter().zip(inputs).enumerate() {
        at(number, run.step(step, input))?;
    }
    Ok(run.spread.finish()?)
}

/// Frames that are to be made later.
#[derive(Clone, Copy)]
enum Handle {
    Call(usize),
    /// Those of all calls that wait then.
    Queue,
}

/// A request that is sent.
struct Sending<'v> {
    upload: Upload,
    request: Request<'v>,
    data: Option<&'v [u8]>,
    is_requested: bool,
    is_over: bool,
}

/// A client and its owner.
struct Run<'v, 'b> {
    client: Client<Revision, FixedRequests<REQUESTS>>,
    memory: Vec<u8>,
    out: Output<'b>,
    cut: Cut,
    decoders: StreamDecoders,
    calls: Vec<Sending<'v>>,
    queue: VecDeque<usize>,
    handles: Vec<Handle>,
    /// How requests ended; the reactor forgets them. `None`: it has not.
    requests: BTreeMap<u16, Option<&'static str>>,
    spread: Spread,
}

impl<'v> Run<'v, '_> {
    fn step(&mut self, step: &Value, input: &'v Input) -> Result<(), Fault> {
        let fields = Fields::new(step)?;
        let expected = fields.value("expect")?;
        match input {
            Input::Recv(frame) => {
                let (result, is_compressed) = self.receive(frame)?;
                if is_compressed {
                    self.spread.compare(expected, result)?;
                } else {
                    same(expected, result)?;
                }
            }
            Input::Call { .. } => same(expected, self.call(input)?)?,
            Input::Flush => same(expected, self.flush()?)?,
            Input::Drain(handle) => same(expected, json!({"frames": self.drain(*handle)?}))?,
        }
        match fields.optional("after") {
            Some(expected) => same(expected, self.after()),
            None => Ok(()),
        }
    }

    fn after(&mut self) -> Value {
        let mut active: Vec<_> = self.client.active().map(RequestId::value).collect();
        active.sort_unstable();
        let streams: Vec<_> = self.client.open_streams().map(StreamId::value).collect();
        let mut states = Map::new();
        for (id, ended) in &self.requests {
            let state = self.client.request_state(RequestId::new(*id));
            let name = match (state, ended) {
                (Some(state), None) => state.name(),
                (None, Some(ended)) => ended,
                other => return format!("request {id} is {other:?}").into(),
            };
            states.insert(id.to_string(), name.into());
        }
        json!({"active": active, "open_streams": streams, "request_states": states})
    }

    fn call(&mut self, input: &'v Input) -> Result<Value, Fault> {
        let Input::Call {
            name,
            args,
            data,
            redirect,
        } = input
        else {
            return Err(Fault::schema("not a call"));
        };
        let args = EncodedArgs::from_cbor(args)
            .map_err(|error| Fault::schema(format!("`args`: {error:?}")))?;
        let mut request = Request::new(name, args);
        request.redirect = redirect.as_deref();
        let (upload, action) = match self.client.request(data.is_some()) {
            Ok(called) => called,
            Err(error) => return Ok(json!({"action": "error", "kind": error.name()})),
        };
        let id = upload.request_id();
        self.requests.insert(id.value(), None);
        let index = self.calls.len();
        self.calls.push(Sending {
            upload,
            request,
            data: data.as_deref(),
            is_requested: false,
            is_over: false,
        });
        let mut result = match action {
            SendAction::Noop => {
                self.queue.push_back(index);
                json!({"action": "noop"})
            }
            SendAction::SendFrames => self.send(Handle::Call(index))?,
        };
        result["request_id"] = id.value().into();
        if !self.client.revision().has_settings() {
            let state = self.client.request_state(id);
            result["request_state"] = state.map(|state| state.name()).into();
        }
        Ok(result)
    }

    fn flush(&mut self) -> Result<Value, Fault> {
        match self.client.flush() {
            Ok(SendAction::Noop) => Ok(json!({"action": "noop"})),
            Ok(SendAction::SendFrames) => self.send(Handle::Queue),
            Err(error) => Ok(json!({"action": "error", "kind": error.name()})),
        }
    }

    /// Before 0006 the frames are made now; in 0006 they get a handle.
    fn send(&mut self, handle: Handle) -> Result<Value, Fault> {
        self.handles.push(handle);
        if self.client.revision().has_settings() {
            let number = self.handles.len();
            return Ok(json!({"action": "send_frames", "handle": number}));
        }
        let frames = self.take(handle)?;
        Ok(json!({"action": "send_frames", "frames": frames}))
    }

    fn drain(&mut self, handle: u64) -> Result<Vec<String>, Fault> {
        let index = handle.checked_sub(1).and_then(|i| usize::try_from(i).ok());
        match index.and_then(|index| self.handles.get(index)) {
            Some(handle) => self.take(*handle),
            None => Err(Fault::schema("an unknown handle")),
        }
    }

    fn take(&mut self, handle: Handle) -> Result<Vec<String>, Fault> {
        let mut frames = Vec::new();
        match handle {
            Handle::Call(index) => self.take_call(index, &mut frames)?,
            Handle::Queue => {
                while let Some(index) = self.queue.pop_front() {
                    self.take_call(index, &mut frames)?;
                }
            }
        }
        Ok(frames)
    }

    /// Makes the frames of a request and of its data.
    fn take_call(&mut self, index: usize, frames: &mut Vec<String>) -> Result<(), Fault> {
        let call = &mut self.calls[index];
        while !call.is_over {
            let Sending {
                upload, request, ..
            } = call;
            let made = match &mut call.data {
                _ if !call.is_requested => self.client.send(upload, request, &mut self.out),
                Some(data) => self.client.send_data(upload, data, true, &mut self.out),
                None => {
                    call.is_over = true;
                    break;
                }
            };
            let is_done =
                made.map_err(|error| Fault::new("a frame".into(), error.name().into()))?;
            if !self.out.frame().is_empty() {
                frames.push(hex(self.out.frame()));
            }
            call.is_over = is_done && call.is_requested;
            call.is_requested |= is_done;
        }
        Ok(())
    }

    /// The action of a frame, and whether its payload was compressed.
    fn receive(&mut self, frame: &[u8]) -> Result<(Value, bool), Fault> {
        let whole = FrameHeader::split_from(frame)
            .filter(|(header, rest)| u32::try_from(rest.len()) == Ok(header.length()));
        let Some((header, _)) = whole else {
            return Err(Fault::schema("`frame` is not one whole frame"));
        };
        let is_compressed = header.stream_flags().contains(StreamFlags::ENCODED)
            && self.decoders.has_decoder(header.stream_id());
        let Self {
            client,
            memory,
            decoders,
            requests,
            ..
        } = self;
        let mut arrival = Arrival {
            client,
            memory,
            decoders,
            requests,
            is_whole: self.cut == Cut::Whole,
            result: None,
            data: Vec::new(),
            new_decoder: None,
            ended_stream: None,
        };
        let len = match self.cut {
            Cut::Whole => frame.len(),
            Cut::Every(len) => len,
        };
        for piece in frame.chunks(len) {
            arrival.piece(piece)?;
        }
        let result = arrival.finish();
        self.client
            .finish()
            .map_err(|error| Fault::new("a whole frame".into(), error.name().into()))?;
        Ok((result, is_compressed))
    }
}

/// A frame that arrives, and what its parts have led to.
struct Arrival<'r> {
    client: &'r mut Client<Revision, FixedRequests<REQUESTS>>,
    memory: &'r mut Vec<u8>,
    decoders: &'r mut StreamDecoders,
    requests: &'r mut BTreeMap<u16, Option<&'static str>>,
    is_whole: bool,
    result: Option<Value>,
    /// Response data of the parts so far.
    data: Vec<u8>,
    new_decoder: Option<(StreamId, ContentEncoding)>,
    ended_stream: Option<StreamId>,
}

/// What came out of a decoder.
enum Decoded {
    Piece(Vec<u8>, bool),
    Failed(ProtocolError),
}

impl Arrival<'_> {
    fn piece(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        let order = self.client.revision().key_order();
        loop {
            let mut decoded = Vec::new();
            match self.client.next(&mut input, self.memory) {
                None => return Ok(()),
                Some(Event::Encoded {
                    stream_id,
                    bytes,
                    is_last,
                    ends_stream,
                }) => {
                    self.ended_stream = ends_stream.then_some(stream_id);
                    decode(self.decoders, stream_id, bytes, is_last, &mut decoded);
                }
                Some(Event::DropDecoder { stream_id }) => self.ended_stream = Some(stream_id),
                Some(event) => {
                    let seen = seen(event, order);
                    self.handle(seen)?;
                }
            }
            if self.is_whole && !matches!(decoded.last(), None | Some(Decoded::Failed(_))) {
                // Whole frames are handed on whole.
                let pieces = decoded.iter().flat_map(|piece| match piece {
                    Decoded::Piece(bytes, _) => bytes.as_slice(),
                    Decoded::Failed(_) => &[],
                });
                decoded = vec![Decoded::Piece(pieces.copied().collect(), true)];
            } else if self.is_whole {
                decoded.retain(|piece| matches!(piece, Decoded::Failed(_)));
            }
            for piece in decoded {
                let event = match &piece {
                    Decoded::Piece(bytes, is_last) => {
                        self.client.decoded(bytes, *is_last, self.memory)
                    }
                    Decoded::Failed(error) => Some(self.client.handle_decode_error(*error)),
                };
                if let Some(event) = event {
                    let seen = seen(event, order);
                    self.handle(seen)?;
                }
            }
        }
    }

    fn handle(&mut self, seen: Seen) -> Result<(), Fault> {
        match seen {
            Seen::Data {
                id,
                data,
                expects_more,
                is_last,
            } => {
                self.data.extend_from_slice(&data);
                if is_last {
                    self.requests.insert(id, Some("received"));
                }
                // The action of the whole frame is that of its last part.
                self.result = Some(json!({
                    "action": "response_data",
                    "request_id": id,
                    "expect_more": expects_more,
                    "eos": is_last,
                    "data": hex(&self.data),
                }));
                Ok(())
            }
            Seen::Decoder(stream, encoding) => {
                self.new_decoder = Some((stream, encoding));
                Ok(())
            }
            Seen::Failed(id, action) => {
                self.requests.insert(id, Some("errored"));
                self.only(action)
            }
            Seen::Text(id, atoms) => {
                let atoms = canonical(&atoms, self.client.revision().key_order());
                self.only(json!({"action": "text_output", "request_id": id, "atoms": atoms}))
            }
            Seen::Error(error, id) => {
                if let Some(id) = id
                    && self.client.request_state(id).is_none()
                {
                    self.requests.insert(id.value(), Some("errored"));
                }
                self.only(json!({"action": "error", "kind": error.name()}))
            }
            Seen::Other(text) => self.only(text.into()),
        }
    }

    /// One frame gives one action.
    fn only(&mut self, action: Value) -> Result<(), Fault> {
        match &self.result {
            None => {
                self.result = Some(action);
                Ok(())
            }
            Some(_) => Err(Fault::new("one action".into(), action)),
        }
    }

    fn finish(self) -> Value {
        if let Some((stream, encoding)) = self.new_decoder {
            self.decoders.install(stream, encoding);
        }
        if let Some(stream) = self.ended_stream {
            self.decoders.end(stream);
        }
        self.result.unwrap_or_else(|| json!({"action": "noop"}))
    }
}

/// Puts bytes through a stream's decoder.
fn decode(
    decoders: &mut StreamDecoders,
    stream: StreamId,
    bytes: &[u8],
    is_last: bool,
    pieces: &mut Vec<Decoded>,
) {
    let mut decoded = decoders.decode(stream, bytes, is_last);
    loop {
        match decoded.next_piece() {
            Ok(Some(piece)) => pieces.push(Decoded::Piece(piece.to_vec(), false)),
            Ok(None) => break,
            Err(error) => {
                let error = error
                    .protocol_error()
                    .unwrap_or(ProtocolError::DecodeFailed);
                pieces.push(Decoded::Failed(error));
                return;
            }
        }
    }
    if is_last {
        pieces.push(Decoded::Piece(Vec::new(), true));
    }
}

/// An event without what it borrows.
enum Seen {
    Data {
        id: u16,
        data: Vec<u8>,
        expects_more: bool,
        is_last: bool,
    },
    Failed(u16, Value),
    Text(u16, Vec<u8>),
    Decoder(StreamId, ContentEncoding),
    Error(ProtocolError, Option<RequestId>),
    Other(String),
}

fn seen(event: Event<'_>, order: KeyOrder) -> Seen {
    match event {
        Event::Response {
            request_id,
            status: None,
            data,
            expects_more,
            is_last,
        } => Seen::Data {
            id: request_id.value(),
            data: data.to_vec(),
            expects_more,
            is_last,
        },
        Event::Failed {
            request_id,
            message,
        } => {
            let id = request_id.value();
            Seen::Failed(id, error_response(id, &message, order))
        }
        Event::Text { request_id, atoms } => {
            Seen::Text(request_id.value(), atoms.as_cbor().to_vec())
        }
        Event::SetDecoder {
            stream_id,
            encoding,
        } => Seen::Decoder(stream_id, encoding),
        Event::Error { error, request_id } => Seen::Error(error, request_id),
        other => Seen::Other(format!("{other:?}")),
    }
}
