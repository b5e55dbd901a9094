//! Cases of the kind `client`.

use core::borrow::BorrowMut;
use std::collections::{BTreeMap, VecDeque};

use hgrpc::cbor::{ContentEncoding, EncodedArgs, EncodingSet, ErrorMessage};
use hgrpc::client::{Announcement, Client, ClientConfig, Event, Request, SendAction, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::wire::{FrameHeader, HEADER_LEN, RequestId, StreamFlags, StreamId};
use hgrpc::{KeyOrder, ProtocolError, Revision};
use hgrpc_std::encoding::{SUPPORTED, StreamDecoders};
use serde_json::{Map, Value, json};

use super::{Config, StepFault, at, canonical, case_fields, same};
use crate::bytes::hex;
use crate::fields::{Fault, Fields};
use crate::parts::Cut;
use crate::stores::Store;

pub(super) fn check<T: Store>(
    revision: Revision,
    case: &Value,
    config: Config,
) -> Result<(), StepFault> {
    let fields = case_fields(case)?;
    let mut client_config = ClientConfig::DEFAULT;
    client_config.multiple_sends = fields.flag("multiple_sends")?;
    client_config.buffer_sends = fields.flag("buffer_sends")?;
    client_config.announcement = match revision.has_settings() {
        true => announcement(fields.value("content_encodings")?)?,
        false => None,
    };
    client_config.decoders = SUPPORTED
        .iter()
        .fold(EncodingSet::EMPTY, |set, encoding| set.with(*encoding));
    let steps = fields.array("steps")?;
    fields.finish()?;
    if steps.is_empty() {
        return Err(Fault::schema("no steps").into());
    }
    let mut inputs = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        inputs.push(at(number, Input::parse(revision, step))?);
    }
    let size = usize::try_from(client_config.send_frame_size).unwrap_or(usize::MAX);
    let mut buffer = vec![0; HEADER_LEN + size];
    let (requests, memory) = T::empty();
    let mut run = Run {
        client: Client::new(revision, client_config, requests),
        memory,
        out: Output::new(Stream::CLIENT, &mut buffer),
        cut: config.cut,
        decoders: StreamDecoders::default(),
        calls: Vec::new(),
        queue: VecDeque::new(),
        handles: Vec::new(),
        requests: BTreeMap::new(),
        spread: Spread::default(),
    };
    for (number, (step, input)) in steps.iter().zip(&inputs).enumerate() {
        at(number, run.step(step, input))?;
    }
    Ok(run.spread.finish()?)
}

/// The encodings that a client says it decodes; nothing is sent without any.
fn announcement(names: &Value) -> Result<Option<Announcement>, Fault> {
    let names = match names {
        Value::Null => return Ok(None),
        Value::Array(names) if names.is_empty() => return Ok(None),
        Value::Array(names) => names,
        _ => return Err(Fault::schema("`content_encodings` is not an array")),
    };
    let mut encodings = [None; 3];
    if names.len() > encodings.len() {
        return Err(Fault::schema("more encodings than there are"));
    }
    for (slot, name) in encodings.iter_mut().zip(names) {
        let encoding = name
            .as_str()
            .and_then(|name| ContentEncoding::from_name(name.as_bytes()));
        *slot = Some(encoding.ok_or_else(|| Fault::schema(format!("unknown encoding {name}")))?);
    }
    Ok(Some(Announcement {
        encodings,
        is_hgrpc: false,
    }))
}

/// A step's input.
#[derive(Debug)]
enum Input {
    Recv(Vec<u8>),
    Call {
        name: Vec<u8>,
        args: Vec<u8>,
        data: Option<Vec<u8>>,
        redirect: Option<Vec<u8>>,
    },
    Flush,
    Drain(u64),
}

impl Input {
    fn parse(revision: Revision, step: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(step)?;
        fields.optional("expect");
        fields.optional("after");
        let input = match fields.text("op")? {
            "recv" => Self::Recv(fields.bytes("frame")?),
            "call" => Self::Call {
                name: fields.bytes("name")?,
                args: fields.bytes("args")?,
                data: fields.bytes_or_null("data")?,
                redirect: match revision.has_settings() {
                    true => fields.bytes_or_null("redirect")?,
                    false => None,
                },
            },
            "flush" => Self::Flush,
            "drain" if revision.has_settings() => Self::Drain(fields.number("handle", u64::MAX)?),
            op => return Err(Fault::schema(format!("unknown op `{op}`"))),
        };
        fields.finish()?;
        Ok(input)
    }
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
struct Run<'v, 'b, T: Store> {
    client: Client<Revision, T>,
    memory: T::Held,
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

impl<'v, T: Store> Run<'v, '_, T> {
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
        for piece in self.cut.pieces(frame) {
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
struct Arrival<'r, T: Store> {
    client: &'r mut Client<Revision, T>,
    memory: &'r mut T::Held,
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

impl<T: Store> Arrival<'_, T> {
    fn piece(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        let order = self.client.revision().key_order();
        loop {
            let mut decoded = Vec::new();
            match self.client.next(&mut input, self.memory.borrow_mut()) {
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
                        self.client
                            .decoded(bytes, *is_last, self.memory.borrow_mut())
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

fn error_response(request_id: u16, message: &ErrorMessage<'_>, order: KeyOrder) -> Value {
    match message {
        ErrorMessage::Structured { kind, message } => {
            let mut name = vec![0; kind.len()];
            kind.copy_to(&mut name);
            let kind = hgrpc_std::value::Value::Bytes(name).encode(order);
            json!({
                "action": "error_response",
                "request_id": request_id,
                "type": hex(&kind.unwrap_or_default()),
                "message": canonical(message.as_cbor(), order),
            })
        }
        // 0003 and 0005: raw bytes; which kind of error it is has no name in the schema.
        ErrorMessage::Raw { message, .. } => json!({
            "action": "error_response",
            "request_id": request_id,
            "type": null,
            "message": hex(message),
        }),
        other => format!("{other:?}").into(),
    }
}

/// Response data that came through a decoder. Where a compressed frame does not end at a flush
/// point, how decoded bytes spread over frames depends on the library: per step the data may lag
/// behind or run ahead, at the end all of a request's must be the same.
#[derive(Debug, Default)]
struct Spread(BTreeMap<u64, [String; 2]>);

impl Spread {
    fn compare(&mut self, expected: &Value, mut result: Value) -> Result<(), Fault> {
        let data = |value: &Value| match (value["action"].as_str(), value["data"].is_null()) {
            (Some("response_data"), false) => crate::bytes::parse(&value["data"]).ok(),
            _ => None,
        };
        let (Some(expected_data), Some(result_data)) = (data(expected), data(&result)) else {
            return same(expected, result);
        };
        let id = result["request_id"].as_u64().unwrap_or_default();
        let sums = self.0.entry(id).or_default();
        sums[0].push_str(&hex(&expected_data));
        sums[1].push_str(&hex(&result_data));
        let [ours, theirs] = [&sums[1], &sums[0]];
        if ours.starts_with(theirs.as_str()) || theirs.starts_with(ours.as_str()) {
            // Everything but the data must be the same now.
            result["data"] = expected["data"].clone();
            if *expected == result {
                return Ok(());
            }
        }
        result["data"] = hex(&result_data).into();
        Err(Fault::new(expected.clone(), result))
    }

    fn finish(&self) -> Result<(), Fault> {
        for (id, [expected, result]) in &self.0 {
            same(
                &json!({"request_id": id, "data": expected}),
                json!({"request_id": id, "data": result}),
            )?;
        }
        Ok(())
    }
}
