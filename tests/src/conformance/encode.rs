//! Cases of the kind `encode`: what a fresh stream sends.

use core::borrow::BorrowMut;

use hgrpc::cbor::{Atom, EncodedArgs};
use hgrpc::client::{Client, ClientConfig, Request};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Event, Failure, Reply, Server, ServerConfig};
use hgrpc::wire::ErrorFlags;
use hgrpc::{ApiMisuse, Revision};
use serde_json::Value;

use super::server_output::{frame_buffer, make};
use super::{Config, same};
use crate::bytes;
use crate::fields::{Fault, Fields};
use crate::parts::Cut;
use crate::stores::Store;

/// The most that a frame holds unless the peers agreed on more.
const MAX_FRAME: u64 = 65_535;

pub(super) fn check<T: Store>(
    revision: Revision,
    case: &Value,
    config: Config,
) -> Result<(), Fault> {
    let fields = Fields::new(case)?;
    let expected = fields.value("frames")?;
    let op = fields.text("op")?;
    let ids = (fields.request_id("request_id")?, fields.byte("stream_id")?);
    let frames = match op {
        "command" => command::<T>(revision, fields, ids, config)?,
        "response" if !revision.has_settings() => response::<T>(revision, fields, ids)?,
        "error" if !revision.has_settings() => error::<T>(revision, fields, ids)?,
        "text_output" => text_output::<T>(revision, fields, ids)?,
        op => return Err(Fault::schema(format!("unknown op `{op}`"))),
    };
    same(expected, frames)
}

/// Frames, as vectors have them.
fn shown(frames: &[Vec<u8>]) -> Value {
    let frames = frames.iter().map(|frame| bytes::hex(frame));
    frames.collect::<Vec<_>>().into()
}

/// What could not be made, as a result.
fn misuse(error: ApiMisuse) -> Fault {
    Fault::new("frames".into(), error.name().into())
}

fn max_frame_size(fields: &Fields<'_>) -> Result<u32, Fault> {
    let size = fields.number("max_frame_size", MAX_FRAME)?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

fn command<T: Store>(
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
    let (requests, mut memory) = T::empty();
    let mut client = Client::new(revision, client_config(send_frame_size), requests);
    let args = EncodedArgs::from_cbor(&args)
        .map_err(|error| Fault::schema(format!("`args`: {error:?}")))?;
    let mut request = Request::new(&name, args);
    request.redirect = redirect.as_deref();
    let upload = loop {
        let (upload, _) = client.request(data.is_some()).map_err(misuse)?;
        let id = upload.request_id();
        if id.value() == request_id {
            break upload;
        }
        // IDs are given in order: those before the wanted one are given up.
        client.cancel(id, memory.borrow_mut()).map_err(misuse)?;
        if id.value() == u16::MAX {
            return Err(Fault::schema("clients make odd request IDs"));
        }
    };
    let mut buffer = frame_buffer(send_frame_size);
    let mut out = Output::new(Stream::CLIENT, &mut buffer);
    let mut frames = Vec::new();
    make(&mut out, &mut frames, |out| {
        client.send(&upload, &request, out)
    })
    .map_err(misuse)?;
    let Some(data) = &data else {
        return Ok(shown(&frames));
    };
    // The same bytes must come out whether all is there or it is read from a source.
    let size = match config.cut {
        Cut::Every(64) => usize::try_from(send_frame_size).unwrap_or(usize::MAX),
        _ => data.len() + 1,
    };
    let mut rest = data.as_slice();
    loop {
        let (mut piece, later) = rest.split_at(size.min(rest.len()));
        let is_last = piece.len() < size;
        make(&mut out, &mut frames, |out| {
            client.send_data(&upload, &mut piece, is_last, out)
        })
        .map_err(misuse)?;
        if is_last {
            return Ok(shown(&frames));
        }
        rest = later;
    }
}

fn client_config(send_frame_size: u32) -> ClientConfig {
    let mut config = ClientConfig::FULL_DUPLEX;
    config.send_frame_size = send_frame_size;
    config.announcement = None;
    config
}

/// A server with one active request and a fresh stream, with these IDs.
struct Answering<T: Store> {
    server: Server<Revision, T>,
    reply: Reply,
    stream: Stream,
    buffer: Vec<u8>,
}

impl<T: Store> Answering<T> {
    fn new(
        revision: Revision,
        (request_id, stream_id): (u16, u8),
        send_frame_size: u32,
    ) -> Result<Self, Fault> {
        let mut config = ServerConfig::DEFAULT;
        config.send_frame_size = send_frame_size;
        config.always_side_frames = true;
        let (requests, mut memory) = T::empty();
        let mut server = Server::new(revision, config, requests);
        let stream = loop {
            let stream = server.open_stream(&[]).map_err(misuse)?;
            if stream.id().value() == stream_id {
                break stream;
            }
        };
        let [low, high] = request_id.to_le_bytes();
        let mut frame = vec![8, 0, 0, low, high, 1, 0x01, 0x11];
        frame.extend_from_slice(b"\xa1\x44name\x41c");
        let reply = match server.next(&mut frame.as_slice(), memory.borrow_mut()) {
            Some(Event::Command(command)) => command.reply,
            event => {
                let result = format!("{event:?}").into();
                return Err(Fault::new("a command to run".into(), result));
            }
        };
        Ok(Self {
            server,
            reply,
            stream,
            buffer: frame_buffer(send_frame_size),
        })
    }

    /// The frames of an answer, made one by one.
    fn frames(
        mut self,
        mut answer: impl FnMut(
            &mut Server<Revision, T>,
            &Reply,
            &mut Output<'_>,
        ) -> Result<bool, ApiMisuse>,
    ) -> Result<Value, Fault> {
        let mut out = Output::new(self.stream, &mut self.buffer);
        let mut frames = Vec::new();
        make(&mut out, &mut frames, |out| {
            answer(&mut self.server, &self.reply, out)
        })
        .map_err(misuse)?;
        Ok(shown(&frames))
    }
}

fn response<T: Store>(
    revision: Revision,
    fields: Fields<'_>,
    ids: (u16, u8),
) -> Result<Value, Fault> {
    let data = fields.bytes("data")?;
    let size = max_frame_size(&fields)?;
    fields.finish()?;
    let mut rest = data.as_slice();
    Answering::<T>::new(revision, ids, size)?
        .frames(|server, reply, out| server.respond(reply, &mut rest, true, out))
}

fn error<T: Store>(revision: Revision, fields: Fields<'_>, ids: (u16, u8)) -> Result<Value, Fault> {
    let message = fields.bytes("message")?;
    let flags = ErrorFlags::NONE
        .with(ErrorFlags::PROTOCOL, fields.flag("protocol")?)
        .with(ErrorFlags::APPLICATION, fields.flag("application")?);
    fields.finish()?;
    let size = ServerConfig::DEFAULT.send_frame_size;
    let failure = Failure::raw(&message, flags);
    Answering::<T>::new(revision, ids, size)?
        .frames(|server, reply, out| server.fail(reply, &failure, out))
}

fn text_output<T: Store>(
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
    Answering::<T>::new(revision, ids, size)?
        .frames(|server, reply, out| server.text(reply, &atoms, out))
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
