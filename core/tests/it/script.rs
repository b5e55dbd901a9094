//! Scripts of what peers may do, and what reactors make of them, in a form that does not depend on
//! how bytes are cut.

use hgrpc::cbor::{Args, ArgsWriter, EncodedArgs, RequestPieces};
use hgrpc::server::{
    Body, Failure, OutputStream, Rejection, Responder, Server, ServerAction, ServerConfig,
    ServerState,
};
use hgrpc::store::{Arena, Table};
use hgrpc::wire::{FrameHeader, FrameReader, RequestId, StreamFlags, StreamId, TypeFlags};
use hgrpc::{ApiMisuse, KeyOrder, ProtocolError, RefusalReason, Revision};

/// Cuts bytes into pieces of these sizes, over and over.
pub fn chunks<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*size).clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// A frame as a peer may send it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub id: u16,
    pub stream: u8,
    pub stream_flags: u8,
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        let header = FrameHeader::new(
            self.payload.len() as u32,
            RequestId::new(self.id),
            StreamId::new(self.stream),
            StreamFlags::from_bits(self.stream_flags),
            self.kind,
            TypeFlags::from_bits(self.flags),
        );
        [&header.emit()[..], &self.payload].concat()
    }
}

/// An encoded request.
pub fn request(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; value.len() + 32];
    let mut args = ArgsWriter::new(&mut buffer, KeyOrder::Bytewise);
    if !value.is_empty() {
        args.bytes(b"value", value).unwrap();
    }
    let args = args.finish().unwrap();
    RequestPieces::new(name, args, None, Revision::R0006)
        .unwrap()
        .slices()
        .concat()
}

/// What a server was asked to do, and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Run {
        id: RequestId,
        name: Vec<u8>,
        args: Vec<u8>,
        redirect: Option<Vec<u8>>,
        data: Option<Vec<u8>>,
        data_follows: bool,
    },
    Data {
        id: RequestId,
        bytes: Vec<u8>,
        is_last: bool,
    },
    Reject {
        id: RequestId,
        reason: RefusalReason,
        limit: u32,
    },
    Error(ProtocolError),
    /// A frame is complete.
    Frame(ServerState),
}

/// A server and its owner. Responders are kept until the script says to answer.
pub struct Owner<T: Table, A: Arena> {
    pub server: Server,
    pub table: T,
    pub arena: A,
    reader: FrameReader,
    stream: Option<OutputStream>,
    responders: Vec<Responder>,
    pub events: Vec<Event>,
    pub sent: Vec<u8>,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Bytes(usize),
    CommandFailure,
    ServerFailure,
}

pub const BODY: [u8; 300] = [0x40; 300];

impl Reply {
    pub fn body(self) -> Body<'static> {
        match self {
            Self::Bytes(len) => Body::Bytes(&BODY[..len.min(BODY.len())]),
            Self::CommandFailure => Body::Failure(Failure::command(b"no such thing")),
            Self::ServerFailure => Body::Failure(Failure::server(b"on fire")),
        }
    }
}

impl<T: Table, A: Arena> Owner<T, A> {
    pub fn new(revision: Revision, config: ServerConfig, table: T, arena: A) -> Self {
        Self {
            server: Server::new(revision, config),
            table,
            arena,
            reader: FrameReader::new(0x00ff_ffff),
            stream: None,
            responders: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Feeds a frame in pieces of these sizes. Refusals are answered at once.
    pub fn feed(&mut self, frame: &[u8], sizes: &[usize]) {
        for mut piece in chunks(frame, sizes) {
            while let Some(part) = self.reader.next(&mut piece).unwrap() {
                let is_last = part.is_last;
                let action = self.server.handle(part, &mut self.table, &mut self.arena);
                let rejection = note(action, &mut self.events, &mut self.responders);
                if is_last {
                    self.events.push(Event::Frame(self.server.state()));
                }
                if let Some(rejection) = rejection {
                    self.reject(rejection);
                }
            }
        }
        assert_eq!(self.reader.finish(), Ok(()), "a script's frames are whole");
    }

    fn reject(&mut self, rejection: Rejection) {
        let id = rejection.request_id();
        if let Some(at) = self.responders.iter().position(|r| r.request_id() == id) {
            // It was running already and its data went on for too many frames.
            let stale = self
                .server
                .begin_response(&self.table, self.responders.remove(at));
            assert_eq!(stale.unwrap_err(), ApiMisuse::RequestNotActive);
        }
        let mut answer = self.server.reject(rejection);
        let mut out = output(&mut self.server, &mut self.table, &mut self.stream);
        while let Some(frame) = answer.next_frame(&mut out).unwrap() {
            self.sent.extend(frame.as_slices().concat());
        }
    }

    /// Answers one of the requests that wait for it, if there is one. The ID it had.
    pub fn answer(&mut self, which: usize, reply: Reply) -> Option<RequestId> {
        if self.responders.is_empty() {
            return None;
        }
        let responder = self.responders.remove(which % self.responders.len());
        let id = responder.request_id();
        let mut answer = self
            .server
            .respond(&self.table, responder, reply.body())
            .expect("a responder is good for one answer");
        let mut out = output(&mut self.server, &mut self.table, &mut self.stream);
        while let Some(frame) = answer.next_frame(&mut out, &mut []).unwrap() {
            self.sent.extend(frame.as_slices().concat());
        }
        Some(id)
    }

    /// What must hold after any frame and any answer.
    pub fn check(&self) {
        let receiving: Vec<_> = self.server.receiving(&self.table).collect();
        let active: Vec<_> = self.server.active(&self.table).collect();
        match self.server.state() {
            ServerState::CommandReceiving => assert!(!receiving.is_empty()),
            ServerState::Idle => assert!(receiving.is_empty()),
            _ => {}
        }
        assert!(receiving.len() <= self.table.capacity());
        let mut waiting: Vec<_> = self.responders.iter().map(Responder::request_id).collect();
        let mut listed = active;
        waiting.sort_unstable();
        listed.sort_unstable();
        assert_eq!(waiting, listed, "the active ones are those to be answered");
    }
}

/// Where frames are made; the stream is opened at its first use.
pub fn output<'o, T: Table>(
    server: &'o mut Server,
    table: &'o mut T,
    stream: &'o mut Option<OutputStream>,
) -> hgrpc::server::Output<'o, T, Revision> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(server.open_stream(&[]).unwrap()),
    };
    server.output(table, stream)
}

/// Notes an action; pieces of one frame's data are one event.
pub fn note(
    action: Result<ServerAction<'_>, ProtocolError>,
    events: &mut Vec<Event>,
    responders: &mut Vec<Responder>,
) -> Option<Rejection> {
    match action {
        Ok(ServerAction::Noop | ServerAction::WantFrame(_)) => {}
        Ok(ServerAction::RunCommand(command)) => {
            assert!(Args::from_cbor(command.args.as_cbor()).is_ok());
            events.push(Event::Run {
                id: command.request_id(),
                name: command.name.chunks().flatten().copied().collect(),
                args: command.args.as_cbor().to_vec(),
                redirect: command.redirect.map(|r| r.as_cbor().to_vec()),
                data: command.data.map(<[u8]>::to_vec),
                data_follows: command.data_follows,
            });
            responders.push(command.responder);
        }
        Ok(ServerAction::CommandData {
            request_id,
            bytes,
            is_last,
        }) => match events.last_mut() {
            Some(Event::Data {
                bytes: before,
                is_last: last,
                ..
            }) => {
                before.extend_from_slice(bytes);
                *last = is_last;
            }
            _ => events.push(Event::Data {
                id: request_id,
                bytes: bytes.to_vec(),
                is_last,
            }),
        },
        Ok(ServerAction::RejectRequest(rejection)) => {
            events.push(Event::Reject {
                id: rejection.request_id(),
                reason: rejection.reason(),
                limit: rejection.limit(),
            });
            return Some(rejection);
        }
        Ok(other) => panic!("unknown action {other:?}"),
        Err(error) => events.push(Event::Error(error)),
    }
    None
}

/// An encoded argument map `{"value": value}`.
pub fn args(value: &[u8], buffer: &mut Vec<u8>) {
    buffer.resize(value.len() + 32, 0);
    let mut writer = ArgsWriter::new(buffer, KeyOrder::Bytewise);
    writer.bytes(b"value", value).unwrap();
    let len = writer.finish().unwrap().as_cbor().len();
    buffer.truncate(len);
}

pub fn encoded(bytes: &[u8]) -> EncodedArgs<'_> {
    EncodedArgs::from_cbor(bytes).unwrap()
}
