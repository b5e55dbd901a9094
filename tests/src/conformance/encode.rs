//! Cases of the kind `encode`: what a fresh stream sends.

use hgrpc::cbor::{Atom, EncodedArgs};
use hgrpc::client::{CallData, Client, ClientConfig, Request};
use hgrpc::server::{Body, Failure, OutputStream, Responder, Server, ServerAction, ServerConfig};
use hgrpc::wire::{ErrorFlags, FrameReader, OutFrame, RequestId};
use hgrpc::{ApiMisuse, Revision};
use serde_json::{Value, json};

use super::server_output::wire;
use super::{Config, same};
use crate::bytes;
use crate::fields::{Fault, Fields};
use crate::parts::Cut;
use crate::stores::Store;

/// The most that a frame holds unless the peers agreed on more.
const MAX_FRAME: u64 = 65_535;

pub(super) fn check<S: Store>(
    revision: Revision,
    case: &Value,
    config: Config,
) -> Result<(), Fault> {
    let fields = Fields::new(case)?;
    let expected = fields.value("frames")?;
    let op = fields.text("op")?;
    let ids = (fields.request_id("request_id")?, fields.byte("stream_id")?);
    let frames = match op {
        "command" => command::<S>(revision, fields, ids, config)?,
        "response" if !revision.has_settings() => response::<S>(revision, fields, ids)?,
        "error" if !revision.has_settings() => error::<S>(revision, fields, ids)?,
        "text_output" => text_output::<S>(revision, fields, ids)?,
        op => return Err(Fault::schema(format!("unknown op `{op}`"))),
    };
    same(expected, frames)
}

/// What could not be made, as a result.
fn misuse(error: ApiMisuse) -> Fault {
    Fault::new("frames".into(), error.name().into())
}

fn max_frame_size(fields: &Fields<'_>) -> Result<u32, Fault> {
    let size = fields.number("max_frame_size", MAX_FRAME)?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

fn command<S: Store>(
    revision: Revision,
    fields: Fields<'_>,
    (request_id, stream_id): (u16, u8),
    config: Config,
) -> Result<Value, Fault> {
    let name = fields.bytes("name")?;
    let args = fields.bytes("args")?;
    let data = fields.bytes_or_null("data")?;
    let redirect = match revision.has_settings() {
        true => fields.bytes_or_null("redirect")?,
        false => None,
    };
    let send_frame_size = max_frame_size(&fields)?;
    fields.finish()?;
    if stream_id != 1 {
        return Err(Fault::schema("clients write on stream 1"));
    }
    let mut store = S::new();
    let mut client = Client::new(revision, client_config(send_frame_size));
    let args = EncodedArgs::from_cbor(&args)
        .map_err(|error| Fault::schema(format!("`args`: {error:?}")))?;
    let source = match &data {
        None => CallData::None,
        // The same bytes must come out whether all is there or it is read from a source.
        Some(_) if config.cut == Cut::Every(64) => CallData::Stream,
        Some(data) => CallData::Bytes(data),
    };
    let request = Request {
        redirect: redirect.as_deref(),
        ..Request::new(&name, args).with_data(source)
    };
    let mut call = loop {
        let (call, _) = client.call(store.table(), request).map_err(misuse)?;
        if call.request_id().value() == request_id {
            break call;
        }
        // IDs are given in order: those before the wanted one are given up.
        let (table, arena) = store.split();
        client
            .cancel(table, arena, call.request_id())
            .map_err(misuse)?;
        if call.request_id().value() == u16::MAX {
            return Err(Fault::schema("clients make odd request IDs"));
        }
    };
    let mut frames = Vec::new();
    let mut rest = data.as_deref().unwrap_or_default();
    loop {
        let mut out = client.output(store.table());
        if call.wants_data() {
            let size = usize::try_from(send_frame_size).unwrap_or(usize::MAX);
            let (chunk, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            let is_last = chunk.len() < size;
            match call.data_frame(&mut out, chunk, is_last).map_err(misuse)? {
                Some(frame) => frames.push(wire(&frame)?),
                None => break,
            }
        } else {
            match call.next_frame(&mut out) {
                Some(frame) => frames.push(wire(&frame)?),
                None => break,
            }
        }
    }
    Ok(json!(frames))
}

fn client_config(send_frame_size: u32) -> ClientConfig {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.send_frame_size = send_frame_size;
    config.announcement = None;
    config
}

/// A server with one active request and a fresh stream, with these IDs.
struct Answering<S> {
    server: Server<Revision>,
    store: S,
    stream: OutputStream,
    responder: Responder,
}

impl<S: Store> Answering<S> {
    fn new(
        revision: Revision,
        (request_id, stream_id): (u16, u8),
        send_frame_size: u32,
    ) -> Result<Self, Fault> {
        let mut config = ServerConfig::DEFAULT;
        config.send_frame_size = send_frame_size;
        config.always_side_frames = true;
        let mut server = Server::new(revision, config);
        let mut store = S::new();
        let stream = loop {
            let stream = server.open_stream(&[]).map_err(misuse)?;
            if stream.id().value() == stream_id {
                break stream;
            }
        };
        let [low, high] = RequestId::new(request_id).value().to_le_bytes();
        let mut frame = vec![8, 0, 0, low, high, 1, 0x01, 0x11];
        frame.extend_from_slice(b"\xa1\x44name\x41c");
        let mut reader = FrameReader::new(config.limits.max_frame_size);
        let mut input = frame.as_slice();
        let part = reader.next(&mut input).ok().flatten();
        let (table, arena) = store.split();
        let action = part.map(|part| server.handle(part, table, arena));
        let Some(Ok(ServerAction::RunCommand(command))) = action else {
            return Err(Fault::new(
                "a command to run".into(),
                format!("{action:?}").into(),
            ));
        };
        let responder = command.responder;
        Ok(Self {
            server,
            store,
            stream,
            responder,
        })
    }

    fn respond(mut self, body: Body<'_>) -> Result<Value, Fault> {
        let table = self.store.table();
        let mut answer = self
            .server
            .respond(table, self.responder, body)
            .map_err(misuse)?;
        let mut frames = Vec::new();
        let mut scratch = vec![0; 0x8000];
        loop {
            let mut out = self.server.output(table, &mut self.stream);
            match answer.next_frame(&mut out, &mut scratch).map_err(misuse)? {
                Some(frame) => frames.push(wire(&frame)?),
                None => return Ok(json!(frames)),
            }
        }
    }
}

fn response<S: Store>(
    revision: Revision,
    fields: Fields<'_>,
    ids: (u16, u8),
) -> Result<Value, Fault> {
    let data = fields.bytes("data")?;
    let size = max_frame_size(&fields)?;
    fields.finish()?;
    Answering::<S>::new(revision, ids, size)?.respond(Body::Bytes(&data))
}

fn error<S: Store>(revision: Revision, fields: Fields<'_>, ids: (u16, u8)) -> Result<Value, Fault> {
    let message = fields.bytes("message")?;
    let flags = ErrorFlags::NONE
        .with(ErrorFlags::PROTOCOL, fields.flag("protocol")?)
        .with(ErrorFlags::APPLICATION, fields.flag("application")?);
    fields.finish()?;
    let size = ServerConfig::DEFAULT.send_frame_size;
    let body = Body::Failure(Failure::raw(&message, flags));
    Answering::<S>::new(revision, ids, size)?.respond(body)
}

fn text_output<S: Store>(
    revision: Revision,
    fields: Fields<'_>,
    ids: (u16, u8),
) -> Result<Value, Fault> {
    let atoms = fields
        .array("atoms")?
        .iter()
        .map(OwnedAtom::parse)
        .collect::<Result<Vec<_>, _>>()?;
    fields.finish()?;
    let lists: Vec<_> = atoms
        .iter()
        .map(|atom| (slices(&atom.args), slices(&atom.labels)))
        .collect();
    let atoms: Vec<_> = atoms
        .iter()
        .zip(&lists)
        .map(|(atom, (args, labels))| Atom {
            msg: &atom.msg,
            args,
            labels,
        })
        .collect();
    let size = ServerConfig::DEFAULT.send_frame_size;
    let mut answering = Answering::<S>::new(revision, ids, size)?;
    let mut buffer = vec![0; 0x8000];
    let mut side = answering
        .server
        .text_output(&answering.responder, &atoms, &mut buffer)
        .map_err(misuse)?;
    let mut frames = Vec::new();
    loop {
        let table = answering.store.table();
        let mut out = answering.server.output(table, &mut answering.stream);
        match side.next_frame(&mut out).map_err(misuse)? {
            Some(frame) => frames.push(wire(&frame as &OutFrame<'_>)?),
            None => return Ok(json!(frames)),
        }
    }
}

struct OwnedAtom {
    msg: Vec<u8>,
    args: Vec<Vec<u8>>,
    labels: Vec<Vec<u8>>,
}

impl OwnedAtom {
    fn parse(value: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(value)?;
        let list = |name| -> Result<Vec<_>, Fault> {
            fields.array(name)?.iter().map(bytes::parse).collect()
        };
        let atom = Self {
            msg: fields.bytes("msg")?,
            args: list("args")?,
            labels: list("labels")?,
        };
        fields.finish()?;
        Ok(atom)
    }
}

fn slices(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}
