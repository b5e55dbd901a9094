//! Scripts of what peers may do, and what reactors make of them, in a form that does not depend on
//! how bytes are cut.

use core::borrow::BorrowMut;

use hgrpc::cbor::{Args, ArgsWriter, EncodedArgs, RequestPieces};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{self, Failure, Refusal, Server, ServerConfig, ServerState};
use hgrpc::store::Requests;
use hgrpc::wire::{FrameHeader, RequestId, StreamFlags, StreamId, TypeFlags};
use hgrpc::{ApiMisuse, KeyOrder, ProtocolError, RefusalReason, Revision};

use crate::kit::output;

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
    /// All of the bytes were taken.
    Frame(ServerState),
}

/// A server and its owner. Tokens are kept until the script says to answer.
pub struct Owner<T: Requests, M> {
    pub server: Server<Revision, T>,
    pub memory: M,
    out: Output<'static>,
    replies: Vec<server::Reply>,
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

/// Answers a request.
///
/// # Errors
/// The token is stale, or nothing fits.
pub fn answer<T: Requests>(
    server: &mut Server<Revision, T>,
    reply: &server::Reply,
    how: Reply,
    out: &mut Output<'_>,
    sent: &mut Vec<u8>,
) -> Result<(), ApiMisuse> {
    let mut body = match how {
        Reply::Bytes(len) => &BODY[..len.min(BODY.len())],
        _ => &[],
    };
    loop {
        let is_done = match how {
            Reply::Bytes(_) => server.respond(reply, &mut body, true, out),
            Reply::CommandFailure => server.fail(reply, &Failure::command(b"no such thing"), out),
            Reply::ServerFailure => server.fail(reply, &Failure::server(b"on fire"), out),
        }?;
        sent.extend_from_slice(out.frame());
        if is_done {
            return Ok(());
        }
    }
}

impl<T: Requests, M: BorrowMut<T::Memory>> Owner<T, M> {
    pub fn new(revision: Revision, config: ServerConfig, (requests, memory): (T, M)) -> Self {
        Self {
            server: Server::new(revision, config, requests),
            memory,
            out: output(Stream::ONLY, config.send_frame_size),
            replies: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Feeds a frame in pieces of these sizes. Refusals are answered at once.
    pub fn feed(&mut self, frame: &[u8], sizes: &[usize]) {
        for mut piece in chunks(frame, sizes) {
            while let Some(event) = self.server.next(&mut piece, self.memory.borrow_mut()) {
                let refusal = note(event, &mut self.events, &mut self.replies);
                if let Some(refusal) = refusal {
                    self.refuse(&refusal);
                }
            }
        }
        self.events.push(Event::Frame(self.server.state()));
        assert_eq!(self.server.finish(), Ok(()), "a script's frames are whole");
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let id = refusal.request_id();
        if let Some(at) = self.replies.iter().position(|r| r.request_id() == id) {
            // It was running already and its data went on for too many frames.
            let reply = self.replies.remove(at);
            let stale = self
                .server
                .respond(&reply, &mut &[][..], true, &mut self.out);
            assert_eq!(stale, Err(ApiMisuse::RequestNotActive));
        }
        assert_eq!(self.server.refuse(refusal, &mut self.out), Ok(true));
        self.sent.extend_from_slice(self.out.frame());
    }

    /// Answers one of the requests that wait for it, if there is one. The ID it had.
    pub fn answer(&mut self, which: usize, how: Reply) -> Option<RequestId> {
        if self.replies.is_empty() {
            return None;
        }
        let reply = self.replies.remove(which % self.replies.len());
        let (out, sent) = (&mut self.out, &mut self.sent);
        answer(&mut self.server, &reply, how, out, sent).expect("a token is good for one answer");
        Some(reply.request_id())
    }

    /// What must hold after any frame and any answer.
    pub fn check(&self) {
        let receiving: Vec<_> = self.server.receiving().collect();
        let active: Vec<_> = self.server.active().collect();
        match self.server.state() {
            ServerState::CommandReceiving => assert!(!receiving.is_empty()),
            ServerState::Idle => assert!(receiving.is_empty()),
            _ => {}
        }
        assert!(receiving.len() <= self.server.requests().capacity());
        let mut waiting: Vec<_> = self.replies.iter().map(server::Reply::request_id).collect();
        let mut listed = active;
        waiting.sort_unstable();
        listed.sort_unstable();
        assert_eq!(waiting, listed, "the active ones are those to be answered");
    }
}

/// Notes an event; pieces of data that follow each other are one.
pub fn note(
    event: server::Event<'_>,
    events: &mut Vec<Event>,
    replies: &mut Vec<server::Reply>,
) -> Option<Refusal> {
    match event {
        server::Event::Command(command) => {
            assert!(Args::from_cbor(command.args.as_cbor()).is_ok());
            let name = command.name.as_bytes().expect("names are byte strings");
            events.push(Event::Run {
                id: command.reply.request_id(),
                name: name.chunks().flatten().copied().collect(),
                args: command.args.as_cbor().to_vec(),
                redirect: command.redirect.map(|r| r.as_cbor().to_vec()),
                data: command.data.map(<[u8]>::to_vec),
                data_follows: command.data_follows,
            });
            replies.push(command.reply);
        }
        server::Event::Data {
            request_id,
            bytes,
            is_last,
        } => match events.last_mut() {
            Some(Event::Data {
                id,
                bytes: before,
                is_last: last,
            }) if *id == request_id => {
                before.extend_from_slice(bytes);
                *last = is_last;
            }
            _ => events.push(Event::Data {
                id: request_id,
                bytes: bytes.to_vec(),
                is_last,
            }),
        },
        server::Event::Refused(refusal) => {
            events.push(Event::Reject {
                id: refusal.request_id(),
                reason: refusal.reason(),
                limit: refusal.limit(),
            });
            return Some(refusal);
        }
        server::Event::Error(error) => events.push(Event::Error(error)),
        other => panic!("unknown event {other:?}"),
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
