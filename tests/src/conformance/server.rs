//! Cases of the kind `server`.

use core::borrow::BorrowMut;
use std::collections::BTreeMap;

use hgrpc::server::{Command, DataMode, Event, Reply, Server, ServerConfig};
use hgrpc::wire::{CommandRequestFlags, FrameHeader, FrameKind, RequestId, StreamId};
use hgrpc::{ProtocolError, Revision};
use hgrpc_std::encoding::SUPPORTED;
use serde_json::{Value, json};

use super::plain::PlainResponses;
use super::server_output::{Lane, Outbox};
use super::server_steps::{Content, Input};
use super::{Config, StepFault, at, canonical, case_fields, same};
use crate::bytes::hex;
use crate::fields::{Fault, Fields};
use crate::stores::Store;

pub(super) fn check<T: Store>(
    revision: Revision,
    case: &Value,
    config: Config,
) -> Result<(), StepFault> {
    let fields = case_fields(case)?;
    let defer_output = fields.flag("defer_output")?;
    let plain_responses = match revision.has_settings() {
        true => fields.optional("plain_responses"),
        false => None,
    };
    let steps = fields.array("steps")?;
    fields.finish()?;
    if steps.is_empty() {
        return Err(Fault::schema("no steps").into());
    }
    let mut inputs = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        inputs.push(at(number, Input::parse(revision, step))?);
    }
    let mut run = Run::<T>::new(revision, config, defer_output, plain_responses.is_some())?;
    for (number, (step, input)) in steps.iter().zip(&inputs).enumerate() {
        let goes_on = at(number, run.step(step, input, &steps[number + 1..]))?;
        if !goes_on {
            // A request that would not decode ended the case before its data did.
            return Ok(());
        }
    }
    match (plain_responses, &run.plain) {
        (Some(expected), Some(plain)) => Ok(plain.finish(expected)?),
        _ => Ok(()),
    }
}

/// A server and its owner.
struct Run<'v, T: Store> {
    server: Server<Revision, T>,
    memory: T::Held,
    config: Config,
    defer_output: bool,
    replies: BTreeMap<u16, Reply>,
    /// Commands whose data is still being gathered by the owner (streaming).
    gathering: BTreeMap<u16, Gathering>,
    lanes: BTreeMap<u8, Lane>,
    deferred: Outbox<'v>,
    /// What was handed out to be made later, by handle less one.
    handles: Vec<Outbox<'v>>,
    plain: Option<PlainResponses>,
}

/// A command and what has come of its data.
struct Gathering {
    command: Value,
    data: Vec<u8>,
}

/// What a frame led to.
enum Outcome {
    /// More is to come.
    Waits,
    Action(Value),
    Error(ProtocolError),
}

/// The output stream of 0003 and 0005.
const STREAM: u8 = 2;

impl<'v, T: Store> Run<'v, T> {
    fn new(
        revision: Revision,
        config: Config,
        defer_output: bool,
        has_plain_responses: bool,
    ) -> Result<Self, Fault> {
        let mut server_config = ServerConfig::DEFAULT;
        if config.streaming {
            server_config.data_mode = DataMode::Stream;
        }
        let (requests, memory) = T::empty();
        let mut run = Self {
            server: Server::new(revision, server_config, requests),
            memory,
            config,
            defer_output,
            replies: BTreeMap::new(),
            gathering: BTreeMap::new(),
            lanes: BTreeMap::new(),
            deferred: Outbox::default(),
            handles: Vec::new(),
            plain: has_plain_responses.then(PlainResponses::default),
        };
        if !revision.has_settings() {
            let opened = run.output_stream()?;
            same(&json!({"stream_id": STREAM, "encoder": "identity"}), opened)?;
        }
        Ok(run)
    }

    /// Runs a step; `false` if the case ends with it.
    fn step(&mut self, step: &Value, input: &'v Input, later: &[Value]) -> Result<bool, Fault> {
        let fields = Fields::new(step)?;
        let expected = fields.value("expect")?;
        let result = match input {
            Input::Recv(frame) => {
                let outcome = self.receive(frame)?;
                if self.ends_early(frame, expected, &outcome, later) {
                    return Ok(false);
                }
                self.render(outcome)
            }
            Input::OutputStream => self.output_stream()?,
            Input::Answer {
                request_id,
                stream_id,
                content,
            } => {
                let stream_id = stream_id.unwrap_or(STREAM);
                self.answer(*request_id, stream_id, content)?
            }
            Input::Eof => {
                let deferred = std::mem::take(&mut self.deferred);
                if deferred.is_empty() {
                    json!({"action": "noop"})
                } else {
                    self.send(deferred)?
                }
            }
            Input::Drain(handle) => {
                let frames = self.drain(*handle)?;
                if let Some(plain) = &mut self.plain {
                    let expected = Fields::new(expected)?;
                    let comparison = plain.compare(expected.value("frames")?, &frames);
                    expected.finish()?;
                    comparison?;
                    return self.after(&fields).map(|()| true);
                }
                json!({"frames": frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>()})
            }
        };
        same(expected, result)?;
        self.after(&fields).map(|()| true)
    }

    fn after(&mut self, fields: &Fields<'_>) -> Result<(), Fault> {
        let Some(expected) = fields.optional("after") else {
            return Ok(());
        };
        let sorted = |mut ids: Vec<u16>| {
            ids.sort_unstable();
            ids
        };
        let receiving = self.server.receiving().map(RequestId::value).collect();
        // A command whose data the owner gathers has not been run yet.
        let active = self.server.active().map(RequestId::value);
        let active = active
            .filter(|id| !self.gathering.contains_key(id))
            .collect();
        let streams = self.server.open_streams().map(StreamId::value);
        let result = json!({
            "state": self.server.state().name(),
            "receiving": sorted(receiving),
            "active": sorted(active),
            "open_streams": streams.collect::<Vec<_>>(),
        });
        same(expected, result)
    }

    fn receive(&mut self, frame: &[u8]) -> Result<Outcome, Fault> {
        let whole = FrameHeader::split_from(frame)
            .filter(|(header, rest)| u32::try_from(rest.len()) == Ok(header.length()));
        if whole.is_none() {
            return Err(Fault::schema("`frame` is not one whole frame"));
        }
        let mut owner = Owner {
            revision: self.server.revision(),
            gathering: &mut self.gathering,
            replies: &mut self.replies,
        };
        let mut outcome = Outcome::Waits;
        for mut piece in self.config.cut.pieces(frame) {
            while let Some(event) = self.server.next(&mut piece, self.memory.borrow_mut()) {
                match (&outcome, owner.act(event)?) {
                    (_, Outcome::Waits) => {}
                    (Outcome::Waits, next) => outcome = next,
                    (_, Outcome::Action(second)) => {
                        return Err(Fault::new("one action".into(), second));
                    }
                    (_, Outcome::Error(error)) => {
                        return Err(Fault::new("one action".into(), error.name().into()));
                    }
                }
            }
        }
        self.server
            .finish()
            .map_err(|error| Fault::new("a whole frame".into(), error.name().into()))?;
        Ok(outcome)
    }

    fn render(&self, outcome: Outcome) -> Value {
        match outcome {
            Outcome::Waits => json!({"action": "want_frame", "state": self.server.state().name()}),
            Outcome::Action(action) => action,
            Outcome::Error(error) => json!({"action": "error", "kind": error.name()}),
        }
    }

    /// Streaming: a request that does not decode is noticed at its last request frame, before its
    /// data, and the case ends there (README). It is no request that later runs.
    fn ends_early(
        &self,
        frame: &[u8],
        expected: &Value,
        outcome: &Outcome,
        later: &[Value],
    ) -> bool {
        let Some((header, _)) = FrameHeader::split_from(frame) else {
            return false;
        };
        let flags = CommandRequestFlags::from(header.flags());
        let is_last_with_data = header.kind(self.server.revision()) == FrameKind::CommandRequest
            && flags.contains(CommandRequestFlags::HAVE_DATA)
            && !flags.contains(CommandRequestFlags::MORE);
        let is_undecodable = matches!(
            outcome,
            Outcome::Error(ProtocolError::MalformedRequest | ProtocolError::MissingName)
        );
        let id = json!(header.request_id().value());
        let runs_later = later.iter().any(|step| {
            step["expect"]["action"] == "run_command" && step["expect"]["request_id"] == id
        });
        self.config.streaming
            && is_last_with_data
            && is_undecodable
            && expected["action"] == "want_frame"
            && !runs_later
    }

    fn output_stream(&mut self) -> Result<Value, Fault> {
        let send_frame_size = ServerConfig::DEFAULT.send_frame_size;
        let stream = match self.server.open_stream(SUPPORTED) {
            Ok(stream) => stream,
            Err(error) => return Ok(json!({"action": "error", "kind": error.name()})),
        };
        let id = stream.id().value();
        let encoder = stream.encoding().name();
        self.lanes.insert(id, Lane::new(stream, send_frame_size)?);
        Ok(json!({"stream_id": id, "encoder": encoder}))
    }

    fn answer(
        &mut self,
        request_id: u16,
        stream_id: u8,
        content: &'v Content,
    ) -> Result<Value, Fault> {
        let refused = |kind: &str| Ok(json!({"action": "error", "kind": kind}));
        if stream_id % 2 == 1 {
            return refused("output-stream-parity");
        }
        if !self.lanes.contains_key(&stream_id) {
            return Err(Fault::schema("an unknown stream"));
        }
        let reply = self.replies.remove(&request_id);
        let is_active = self.server.active().any(|id| id.value() == request_id);
        let Some(reply) = reply.filter(|_| is_active) else {
            return refused("request-not-active");
        };
        if self.defer_output {
            self.deferred.push(stream_id, reply, content);
            return Ok(json!({"action": "noop"}));
        }
        let mut outbox = Outbox::default();
        outbox.push(stream_id, reply, content);
        self.send(outbox)
    }

    /// 0003 and 0005: the frames are made now; 0006: they get a handle.
    fn send(&mut self, mut outbox: Outbox<'v>) -> Result<Value, Fault> {
        if self.server.revision().has_settings() {
            self.handles.push(outbox);
            return Ok(json!({"action": "send_frames", "handle": self.handles.len()}));
        }
        let frames = outbox.take(&mut self.server, &mut self.lanes)?;
        let frames: Vec<_> = frames.iter().map(|frame| hex(frame)).collect();
        Ok(json!({"action": "send_frames", "frames": frames}))
    }

    fn drain(&mut self, handle: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let index = handle.checked_sub(1).and_then(|i| usize::try_from(i).ok());
        let outbox = index
            .and_then(|index| self.handles.get_mut(index))
            .ok_or_else(|| Fault::schema("an unknown handle"))?;
        outbox.take(&mut self.server, &mut self.lanes)
    }
}

/// What the owner keeps while a frame arrives.
struct Owner<'r> {
    revision: Revision,
    gathering: &'r mut BTreeMap<u16, Gathering>,
    replies: &'r mut BTreeMap<u16, Reply>,
}

impl Owner<'_> {
    fn act(&mut self, event: Event<'_>) -> Result<Outcome, Fault> {
        Ok(match event {
            Event::Command(command) => self.run(command),
            Event::Data {
                request_id,
                bytes,
                is_last,
            } => {
                let id = request_id.value();
                let Some(gathering) = self.gathering.get_mut(&id) else {
                    let result = format!("data of {id}").into();
                    return Err(Fault::new("data of a running command".into(), result));
                };
                gathering.data.extend_from_slice(bytes);
                if !is_last {
                    return Ok(Outcome::Waits);
                }
                let mut command = std::mem::take(&mut gathering.command);
                command["data"] = hex(&gathering.data).into();
                self.gathering.remove(&id);
                Outcome::Action(command)
            }
            Event::Refused(refusal) => Outcome::Action(json!({
                "action": "reject_request",
                "request_id": refusal.request_id().value(),
                "reason": refusal.reason().name(),
                "limit": refusal.limit(),
            })),
            Event::Error(error) => Outcome::Error(error),
            other => {
                let result = format!("{other:?}").into();
                return Err(Fault::new("a known event".into(), result));
            }
        })
    }

    fn run(&mut self, command: Command<'_>) -> Outcome {
        let id = command.reply.request_id().value();
        let order = self.revision.key_order();
        let name = command.name.as_bytes().map(|name| {
            let mut bytes = vec![0; name.len()];
            name.copy_to(&mut bytes);
            bytes
        });
        let mut action = json!({
            "action": "run_command",
            "request_id": id,
            "name": name.as_deref().map(hex),
            "args": canonical(command.args.as_cbor(), order),
            "data": command.data.map(hex),
        });
        if self.revision.has_settings() {
            let redirect = command.redirect.map(|map| canonical(map.as_cbor(), order));
            action["redirect"] = redirect.into();
        }
        self.replies.insert(id, command.reply);
        if !command.data_follows {
            return Outcome::Action(action);
        }
        let gathering = Gathering {
            command: action,
            data: Vec::new(),
        };
        self.gathering.insert(id, gathering);
        Outcome::Waits
    }
}
