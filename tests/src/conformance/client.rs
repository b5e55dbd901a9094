//! Cases of the kind `client`.

use std::collections::BTreeMap;

use hgrpc::cbor::{ContentEncoding, EncodedArgs, EncodingSet, ErrorMessage};
use hgrpc::client::{
    Announcement, Call, CallData, CallQueue, Client, ClientAction, ClientConfig, ClientError,
    Request, SendAction,
};
use hgrpc::server::Verdict;
use hgrpc::wire::{FrameReader, Part, RequestId, StreamId};
use hgrpc::{KeyOrder, ProtocolError, Revision};
use hgrpc_std::encoding::{SUPPORTED, StreamDecoders};
use serde_json::{Map, Value, json};

use super::server_output::wire;
use super::{Config, StepFault, at, canonical, case_fields, client_next, same};
use crate::bytes::hex;
use crate::fields::{Fault, Fields};
use crate::parts::{self, Cut};
use crate::stores::Store;

pub(super) fn check<S: Store>(
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
    if config.reworked {
        return client_next::check(revision, client_config, config.cut, steps, &inputs);
    }
    let mut run = Run::<S>::new(revision, client_config, config.cut);
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
pub(super) enum Input {
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

    fn request(&self) -> Result<Request<'_>, Fault> {
        let Self::Call {
            name,
            args,
            data,
            redirect,
        } = self
        else {
            return Err(Fault::schema("not a call"));
        };
        let args = EncodedArgs::from_cbor(args)
            .map_err(|error| Fault::schema(format!("`args`: {error:?}")))?;
        let data = data.as_deref().map_or(CallData::None, CallData::Bytes);
        Ok(Request {
            redirect: redirect.as_deref(),
            ..Request::new(name, args).with_data(data)
        })
    }
}

/// Frames that are to be taken later.
enum Handle<'v> {
    Call(Box<Call<'v>>),
    /// Those of all calls that wait then.
    Queue,
}

/// A client and its owner.
struct Run<'v, S> {
    client: Client<Revision>,
    store: S,
    reader: FrameReader,
    cut: Cut,
    decoders: StreamDecoders,
    queue: Box<CallQueue<'v, 64>>,
    handles: Vec<Handle<'v>>,
    /// How requests ended; the reactor forgets them. `None`: it has not.
    requests: BTreeMap<u16, Option<&'static str>>,
    spread: Spread,
}

impl<'v, S: Store> Run<'v, S> {
    fn new(revision: Revision, config: ClientConfig, cut: Cut) -> Self {
        Self {
            client: Client::new(revision, config),
            store: S::new(),
            reader: FrameReader::new(config.max_frame_size),
            cut,
            decoders: StreamDecoders::default(),
            queue: Box::new(CallQueue::new()),
            handles: Vec::new(),
            requests: BTreeMap::new(),
            spread: Spread::default(),
        }
    }

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
        let table = self.store.table();
        let mut active: Vec<_> = self.client.active(table).map(RequestId::value).collect();
        active.sort_unstable();
        let streams = self.client.open_streams().map(StreamId::value);
        let mut states = Map::new();
        for (id, ended) in &self.requests {
            let state = self.client.request_state(table, RequestId::new(*id));
            let name = match (state, ended) {
                (Some(state), None) => state.name(),
                (None, Some(ended)) => ended,
                other => return format!("request {id} is {other:?}").into(),
            };
            states.insert(id.to_string(), name.into());
        }
        json!({
            "active": active,
            "open_streams": streams.collect::<Vec<_>>(),
            "request_states": states,
        })
    }

    fn call(&mut self, input: &'v Input) -> Result<Value, Fault> {
        let request = input.request()?;
        let table = self.store.table();
        let (call, action) = match self.client.call(table, request) {
            Ok(called) => called,
            Err(error) => return Ok(json!({"action": "error", "kind": error.name()})),
        };
        let id = call.request_id();
        self.requests.insert(id.value(), None);
        let mut result = match action {
            SendAction::Noop => {
                if self.queue.push(call).is_err() {
                    return Err(Fault::schema("more calls than the queue holds"));
                }
                json!({"action": "noop"})
            }
            SendAction::SendFrames => self.send(Handle::Call(Box::new(call)))?,
        };
        result["request_id"] = id.value().into();
        if !self.client.revision().has_settings() {
            let state = self.client.request_state(self.store.table(), id);
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

    /// Before 0006 the frames are taken now; in 0006 they get a handle.
    fn send(&mut self, handle: Handle<'v>) -> Result<Value, Fault> {
        self.handles.push(handle);
        let number = self.handles.len();
        if self.client.revision().has_settings() {
            return Ok(json!({"action": "send_frames", "handle": number}));
        }
        let frames = self.take(number - 1)?;
        Ok(json!({"action": "send_frames", "frames": frames}))
    }

    fn drain(&mut self, handle: u64) -> Result<Vec<String>, Fault> {
        let index = handle.checked_sub(1).and_then(|i| usize::try_from(i).ok());
        match index.filter(|index| *index < self.handles.len()) {
            Some(index) => self.take(index),
            None => Err(Fault::schema("an unknown handle")),
        }
    }

    fn take(&mut self, index: usize) -> Result<Vec<String>, Fault> {
        let mut frames = Vec::new();
        loop {
            let mut out = self.client.output(self.store.split().0);
            let frame = match &mut self.handles[index] {
                Handle::Call(call) => call.next_frame(&mut out),
                Handle::Queue => self.queue.next_frame(&mut out),
            };
            match frame {
                Some(frame) => frames.push(wire(&frame)?),
                None => return Ok(frames),
            }
        }
    }

    /// The action of a frame, and whether its payload was compressed.
    fn receive(&mut self, frame: &[u8]) -> Result<(Value, bool), Fault> {
        let Self {
            client,
            store,
            reader,
            cut,
            decoders,
            requests,
            ..
        } = self;
        let mut arrival = Arrival {
            client,
            store,
            decoders,
            requests,
            is_whole: *cut == Cut::Whole,
            stream: None,
            verdict: None,
            result: None,
            data: Vec::new(),
            new_decoder: None,
        };
        let mut ends = 0;
        let mut is_compressed = false;
        let read = parts::read(reader, *cut, frame, |part| {
            ends += usize::from(part.is_last);
            is_compressed |= arrival.decodes(&part);
            arrival.part(&part)
        });
        read.map_err(|Stop(fault)| fault)?;
        let result = arrival.finish();
        if ends != 1 || reader.finish().is_err() {
            return Err(Fault::schema("`frame` is not one whole frame"));
        }
        Ok((result, is_compressed))
    }
}

/// Lets reading a frame stop.
struct Stop(Fault);

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self(Fault::new("a frame".into(), error.name().into()))
    }
}

/// A frame that arrives, and what its parts have led to.
struct Arrival<'r, S> {
    client: &'r mut Client<Revision>,
    store: &'r mut S,
    decoders: &'r mut StreamDecoders,
    requests: &'r mut BTreeMap<u16, Option<&'static str>>,
    is_whole: bool,
    stream: Option<StreamId>,
    /// How the frame was judged; `None` after an error.
    verdict: Option<hgrpc::client::ClientVerdict>,
    result: Option<Value>,
    /// Response data of the parts so far.
    data: Vec<u8>,
    new_decoder: Option<(StreamId, ContentEncoding)>,
}

impl<S: Store> Arrival<'_, S> {
    /// Whether the part's payload goes through a decoder that is not `identity`.
    fn decodes(&self, part: &Part<'_>) -> bool {
        let flags = part.header.stream_flags();
        flags.contains(hgrpc::wire::StreamFlags::ENCODED)
            && self.decoders.has_decoder(part.header.stream_id())
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), Stop> {
        if part.is_first {
            self.stream = Some(part.header.stream_id());
            match self.client.begin_frame(&part.header, self.store.table()) {
                Ok(verdict) => self.verdict = Some(verdict),
                Err(error) => self.error(error)?,
            }
        }
        let Some(verdict) = self.verdict else {
            return Ok(());
        };
        let Some(stream) = verdict.decoder else {
            if verdict.verdict == Verdict::Skip && !self.is_whole {
                // What is not wanted may be dropped before the reactor sees it.
                return if part.is_last {
                    self.handle(&[], true)
                } else {
                    Ok(())
                };
            }
            return self.handle(part.bytes, part.is_last);
        };
        // The decoder sees all bytes, wanted or not. Whole frames are handed on whole, others as
        // the decoder cuts them.
        let mut pieces = Vec::new();
        let mut failed = None;
        let mut decoded = self.decoders.decode(stream, part.bytes, part.is_last);
        loop {
            match decoded.next_piece() {
                Ok(Some(piece)) if self.is_whole && !pieces.is_empty() => {
                    let whole: &mut Vec<u8> = &mut pieces[0];
                    whole.extend_from_slice(piece);
                }
                Ok(Some(piece)) => pieces.push(piece.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(decoded);
        if let (true, None) = (self.is_whole, failed) {
            let whole = pieces.pop().unwrap_or_default();
            return self.handle(&whole, part.is_last);
        }
        if failed.is_none() || !self.is_whole {
            for piece in pieces {
                self.handle(&piece, false)?;
            }
        }
        match failed {
            Some(error) => {
                let error = error
                    .protocol_error()
                    .unwrap_or(ProtocolError::DecodeFailed);
                let error = self.client.handle_decode_error(error);
                self.verdict = None;
                self.result = None;
                self.error(error)
            }
            None if part.is_last => self.handle(&[], true),
            None => Ok(()),
        }
    }

    fn handle(&mut self, bytes: &[u8], is_last: bool) -> Result<(), Stop> {
        let (table, arena) = self.store.split();
        match self.client.handle_part(bytes, is_last, table, arena) {
            Ok(ClientAction::Noop) => Ok(()),
            Ok(ClientAction::SetDecoder {
                stream_id,
                encoding,
            }) => {
                self.new_decoder = Some((stream_id, encoding));
                Ok(())
            }
            Ok(ClientAction::ResponseData {
                request_id,
                status: None,
                data,
                expect_more,
                eos,
            }) => {
                self.data.extend_from_slice(data);
                if eos {
                    self.requests.insert(request_id.value(), Some("received"));
                }
                // The action of the whole frame is that of its last part.
                self.result = Some(json!({
                    "action": "response_data",
                    "request_id": request_id.value(),
                    "expect_more": expect_more,
                    "eos": eos,
                    "data": hex(&self.data),
                }));
                Ok(())
            }
            Ok(ClientAction::ErrorResponse {
                request_id,
                message,
            }) => {
                self.requests.insert(request_id.value(), Some("errored"));
                let order = self.client.revision().key_order();
                let action = error_response(request_id.value(), &message, order);
                self.only(action)
            }
            Ok(ClientAction::TextOutput { request_id, atoms }) => {
                let order = self.client.revision().key_order();
                let atoms = canonical(atoms.as_cbor(), order);
                let id = request_id.value();
                self.only(json!({"action": "text_output", "request_id": id, "atoms": atoms}))
            }
            Ok(other) => {
                let result = format!("{other:?}").into();
                self.only(result)
            }
            Err(error) => self.error(error),
        }
    }

    /// One frame gives one action.
    fn only(&mut self, action: Value) -> Result<(), Stop> {
        match &self.result {
            None => {
                self.result = Some(action);
                Ok(())
            }
            Some(_) => Err(Stop(Fault::new("one action".into(), action))),
        }
    }

    fn error(&mut self, error: ClientError) -> Result<(), Stop> {
        if let Some(id) = error.request_id
            && self.client.request_state(self.store.table(), id).is_none()
        {
            self.requests.insert(id.value(), Some("errored"));
        }
        self.only(json!({"action": "error", "kind": error.error.name()}))
    }

    fn finish(self) -> Value {
        if let Some((stream, encoding)) = self.new_decoder {
            self.decoders.install(stream, encoding);
        }
        if self.verdict.is_some_and(|verdict| verdict.ends_stream)
            && let Some(stream) = self.stream
        {
            self.decoders.end(stream);
        }
        self.result.unwrap_or_else(|| json!({"action": "noop"}))
    }
}

pub(super) fn error_response(
    request_id: u16,
    message: &ErrorMessage<'_>,
    order: KeyOrder,
) -> Value {
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
pub(super) struct Spread(BTreeMap<u64, [String; 2]>);

impl Spread {
    pub(super) fn compare(&mut self, expected: &Value, mut result: Value) -> Result<(), Fault> {
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

    pub(super) fn finish(&self) -> Result<(), Fault> {
        for (id, [expected, result]) in &self.0 {
            same(
                &json!({"request_id": id, "data": expected}),
                json!({"request_id": id, "data": result}),
            )?;
        }
        Ok(())
    }
}
