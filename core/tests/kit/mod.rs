//! What the tests of the reactors share: frames in short, and reactors with their stores.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;

use hgrpc::cbor::{EncodedArgs, ErrorMessage, Status};
use hgrpc::client::{
    Call, CallData, Client, ClientAction, ClientConfig, ClientError, Request, SendAction,
};
use hgrpc::server::{
    Answer, Body, Failure, OutputStream, Responder, Server, ServerAction, ServerConfig,
};
use hgrpc::store::FixedStore;
use hgrpc::wire::{FrameHeader, FrameReader, OutFrame, RequestId, StreamId};
use hgrpc::{ApiMisuse, ProtocolError, Revision};

pub const ALL: [Revision; 3] = [Revision::R0003, Revision::R0005, Revision::R0006];

// Stream flags.
pub const BEGIN: u8 = 1;
pub const END: u8 = 2;
pub const ENCODED: u8 = 4;

// Flags of requests.
pub const NEW: u8 = 1;
pub const CONT: u8 = 2;
pub const MORE: u8 = 4;
pub const DATA: u8 = 8;

// Flags of data, responses and settings.
pub const CONTINUATION: u8 = 1;
pub const EOS: u8 = 2;

/// A frame's bytes.
pub fn frame(
    id: u16,
    stream: u8,
    stream_flags: u8,
    kind: u8,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let [l0, l1, l2, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let [i0, i1] = id.to_le_bytes();
    let mut bytes = vec![l0, l1, l2, i0, i1, stream, stream_flags, kind << 4 | flags];
    bytes.extend_from_slice(payload);
    bytes
}

/// A request frame on stream 1, which it begins if it is not open.
pub fn req(id: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(id, 1, BEGIN, 1, flags, payload)
}

/// The number of `command-data`.
pub fn data_kind(revision: Revision) -> u8 {
    if revision == Revision::R0003 { 3 } else { 2 }
}

/// The number of responses.
pub fn response_kind(revision: Revision) -> u8 {
    if revision == Revision::R0003 { 4 } else { 3 }
}

/// `{"name": "c"}`
pub const C: &[u8] = b"\xa1\x44name\x41c";

/// What a server asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    Want(&'static str),
    Run {
        id: u16,
        name: Vec<u8>,
        data: Option<Vec<u8>>,
        follows: bool,
    },
    Data {
        id: u16,
        bytes: Vec<u8>,
        last: bool,
    },
    Reject {
        id: u16,
        reason: &'static str,
        limit: u32,
    },
}

/// A command without data was run.
pub fn ran(id: u16) -> Result<Seen, ProtocolError> {
    Ok(Seen::Run {
        id,
        name: b"c".to_vec(),
        data: None,
        follows: false,
    })
}

/// The next frame is wanted.
pub fn want(state: &'static str) -> Result<Seen, ProtocolError> {
    Ok(Seen::Want(state))
}

/// A request was refused.
pub fn rejected(id: u16, reason: &'static str, limit: u32) -> Result<Seen, ProtocolError> {
    Ok(Seen::Reject { id, reason, limit })
}

/// A server, its store and an output stream.
pub struct Srv<const N: usize = 8, const B: usize = 4096> {
    pub config: ServerConfig,
    pub server: Server,
    pub store: Box<FixedStore<N, B>>,
    pub stream: OutputStream,
    pub responders: BTreeMap<u16, Responder>,
    pub rejections: Vec<hgrpc::server::Rejection>,
}

impl<const N: usize, const B: usize> Srv<N, B> {
    pub fn new(revision: Revision, config: ServerConfig) -> Self {
        let mut server = Server::new(revision, config);
        let stream = server.open_stream(&[]).unwrap();
        Self {
            config,
            server,
            store: Box::new(FixedStore::new()),
            stream,
            responders: BTreeMap::new(),
            rejections: Vec::new(),
        }
    }

    /// A server past its initial state with nothing open but stream 1.
    pub fn idle(revision: Revision, config: ServerConfig) -> Self {
        let mut srv = Self::new(revision, config);
        assert_eq!(srv.recv(&req(0xfffe, NEW, C)), ran(0xfffe));
        srv.answer(0xfffe, Body::Bytes(b""));
        srv
    }

    /// One frame, whole.
    pub fn recv(&mut self, frame: &[u8]) -> Result<Seen, ProtocolError> {
        let mut all = self.recv_cut(frame, frame.len());
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop().unwrap()
    }

    /// One frame in parts: what every part led to, but for nothing.
    pub fn recv_cut(&mut self, frame: &[u8], len: usize) -> Vec<Result<Seen, ProtocolError>> {
        let mut reader = FrameReader::new(0x00ff_ffff);
        let mut all = Vec::new();
        for mut piece in frame.chunks(len) {
            while let Some(part) = reader.next(&mut piece).unwrap() {
                let (table, arena) = self.store.split();
                let seen = match self.server.handle(part, table, arena) {
                    Ok(action) => see(action, &mut self.responders, &mut self.rejections),
                    Err(error) => {
                        all.push(Err(error));
                        continue;
                    }
                };
                if seen != Seen::Nothing {
                    all.push(Ok(seen));
                }
            }
        }
        assert_eq!(reader.finish(), Ok(()));
        all
    }

    pub fn begin(&mut self, id: u16, body: Body<'static>) -> Result<Answer<'static>, ApiMisuse> {
        let responder = self
            .responders
            .remove(&id)
            .ok_or(ApiMisuse::RequestNotActive)?;
        self.server.respond(self.store.split().0, responder, body)
    }

    /// Takes the next frame of an answer.
    pub fn next(&mut self, answer: &mut Answer<'_>) -> Result<Option<Vec<u8>>, ApiMisuse> {
        let mut scratch = [0; 64];
        let mut out = self.server.output(self.store.split().0, &mut self.stream);
        Ok(answer
            .next_frame(&mut out, &mut scratch)?
            .map(|f| bytes(&f)))
    }

    /// Answers a request and takes all frames.
    pub fn answer(&mut self, id: u16, body: Body<'static>) -> Vec<Vec<u8>> {
        let mut answer = self.begin(id, body).unwrap();
        self.take(&mut answer)
    }

    pub fn take(&mut self, answer: &mut Answer<'_>) -> Vec<Vec<u8>> {
        let mut scratch = vec![0; 0x8000];
        let mut frames = Vec::new();
        loop {
            let mut out = self.server.output(self.store.split().0, &mut self.stream);
            match answer.next_frame(&mut out, &mut scratch).unwrap() {
                Some(frame) => frames.push(bytes(&frame)),
                None => return frames,
            }
        }
    }

    /// Answers the oldest refused request.
    pub fn reject(&mut self) -> Vec<u8> {
        let mut answer = self.server.reject(self.rejections.remove(0));
        let mut out = self.server.output(self.store.split().0, &mut self.stream);
        let frame = bytes(&answer.next_frame(&mut out).unwrap().unwrap());
        assert!(answer.is_ended());
        assert!(answer.next_frame(&mut out).unwrap().is_none());
        frame
    }

    pub fn fail(&mut self, id: u16, message: &'static [u8]) -> Vec<Vec<u8>> {
        self.answer(id, Body::Failure(Failure::server(message)))
    }

    pub fn receiving(&mut self) -> Vec<u16> {
        let table = self.store.split().0;
        self.server.receiving(table).map(RequestId::value).collect()
    }

    pub fn active(&mut self) -> Vec<u16> {
        let table = self.store.split().0;
        self.server.active(table).map(RequestId::value).collect()
    }

    pub fn open(&self) -> Vec<u8> {
        self.server.open_streams().map(StreamId::value).collect()
    }

    pub fn state(&self) -> &'static str {
        self.server.state().name()
    }
}

fn see(
    action: ServerAction<'_>,
    responders: &mut BTreeMap<u16, Responder>,
    rejections: &mut Vec<hgrpc::server::Rejection>,
) -> Seen {
    match action {
        ServerAction::Noop => Seen::Nothing,
        ServerAction::WantFrame(state) => Seen::Want(state.name()),
        ServerAction::RunCommand(command) => {
            let id = command.request_id().value();
            responders.insert(id, command.responder);
            Seen::Run {
                id,
                name: command.name.chunks().flatten().copied().collect(),
                data: command.data.map(<[u8]>::to_vec),
                follows: command.data_follows,
            }
        }
        ServerAction::CommandData {
            request_id,
            bytes,
            is_last,
        } => Seen::Data {
            id: request_id.value(),
            bytes: bytes.to_vec(),
            last: is_last,
        },
        ServerAction::RejectRequest(rejection) => {
            let seen = Seen::Reject {
                id: rejection.request_id().value(),
                reason: rejection.reason().name(),
                limit: rejection.limit(),
            };
            rejections.push(rejection);
            seen
        }
        other => panic!("{other:?}"),
    }
}

pub fn bytes(frame: &OutFrame<'_>) -> Vec<u8> {
    frame.as_slices().concat()
}

/// A frame's header.
pub fn header(frame: &[u8]) -> FrameHeader {
    *FrameHeader::split_from(frame).unwrap().0
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Noop,
    Data {
        id: u16,
        status: Option<&'static str>,
        data: Vec<u8>,
        more: bool,
        eos: bool,
    },
    Error {
        id: u16,
        text: String,
    },
    Text {
        id: u16,
        text: String,
    },
    Progress {
        id: u16,
        pos: i64,
    },
    TooLarge {
        id: u16,
    },
    Decoder {
        stream: u8,
        name: &'static str,
    },
}

/// A client and its store.
pub struct Cli<const N: usize = 8, const B: usize = 4096> {
    pub client: Client,
    pub store: Box<FixedStore<N, B>>,
}

impl<const N: usize, const B: usize> Cli<N, B> {
    pub fn new(revision: Revision, mut config: ClientConfig) -> Self {
        config.announcement = None;
        Self {
            client: Client::new(revision, config),
            store: Box::new(FixedStore::new()),
        }
    }

    pub fn call(
        &mut self,
        data: CallData<'static>,
    ) -> Result<(Call<'static>, SendAction), ApiMisuse> {
        let request = Request::new(b"c", EncodedArgs::EMPTY).with_data(data);
        self.client.call(self.store.split().0, request)
    }

    pub fn next(&mut self, call: &mut Call<'_>) -> Option<Vec<u8>> {
        let mut out = self.client.output(self.store.split().0);
        call.next_frame(&mut out).map(|frame| bytes(&frame))
    }

    /// A call whose frames were all taken.
    pub fn sent(&mut self) -> u16 {
        let (mut call, _) = self.call(CallData::None).unwrap();
        while self.next(&mut call).is_some() {}
        call.request_id().value()
    }

    /// One frame, whole.
    pub fn recv(&mut self, frame: &[u8]) -> Result<Got, ClientError> {
        let mut all = self.recv_cut(frame, frame.len());
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop().unwrap()
    }

    /// One frame in parts: what every part led to.
    pub fn recv_cut(&mut self, frame: &[u8], len: usize) -> Vec<Result<Got, ClientError>> {
        let mut reader = FrameReader::new(0x00ff_ffff);
        let mut all = Vec::new();
        for mut piece in frame.chunks(len) {
            while let Some(part) = reader.next(&mut piece).unwrap() {
                let (table, arena) = self.store.split();
                all.push(
                    self.client
                        .handle(part, table, arena)
                        .map(|action| got(&action)),
                );
            }
        }
        assert_eq!(reader.finish(), Ok(()));
        all
    }

    pub fn cancel(&mut self, id: u16) -> Result<(), ApiMisuse> {
        let (table, arena) = self.store.split();
        self.client.cancel(table, arena, RequestId::new(id))
    }

    pub fn state(&mut self, id: u16) -> Option<&'static str> {
        let table = self.store.split().0;
        self.client
            .request_state(table, RequestId::new(id))
            .map(|state| state.name())
    }

    pub fn active(&mut self) -> Vec<u16> {
        let table = self.store.split().0;
        self.client.active(table).map(RequestId::value).collect()
    }

    pub fn open(&self) -> Vec<u8> {
        self.client.open_streams().map(StreamId::value).collect()
    }
}

pub fn got(action: &ClientAction<'_>) -> Got {
    match action {
        ClientAction::Noop => Got::Noop,
        ClientAction::ResponseData {
            request_id,
            status,
            data,
            expect_more,
            eos,
        } => Got::Data {
            id: request_id.value(),
            status: status.as_ref().map(|status| match status {
                Status::Ok => "ok",
                Status::Error(_) => "error",
                Status::Redirect(_) => "redirect",
                _ => "?",
            }),
            data: data.to_vec(),
            more: *expect_more,
            eos: *eos,
        },
        ClientAction::ErrorResponse {
            request_id,
            message,
        } => Got::Error {
            id: request_id.value(),
            text: match message {
                ErrorMessage::Raw {
                    protocol,
                    application,
                    ..
                } => {
                    format!("{message} {protocol} {application}")
                }
                message => message.to_string(),
            },
        },
        ClientAction::TextOutput { request_id, atoms } => Got::Text {
            id: request_id.value(),
            text: atoms.to_string(),
        },
        ClientAction::Progress {
            request_id,
            progress,
        } => Got::Progress {
            id: request_id.value(),
            pos: progress.progress().pos,
        },
        ClientAction::MessageTooLarge { request_id, .. } => Got::TooLarge {
            id: request_id.value(),
        },
        ClientAction::SetDecoder {
            stream_id,
            encoding,
        } => Got::Decoder {
            stream: stream_id.value(),
            name: encoding.name(),
        },
        other => panic!("{other:?}"),
    }
}

/// An error of the connection.
pub fn fatal(error: ProtocolError) -> Result<Got, ClientError> {
    Err(ClientError {
        error,
        request_id: None,
    })
}

/// An error of a request.
pub fn failed(id: u16, error: ProtocolError) -> Result<Got, ClientError> {
    Err(ClientError {
        error,
        request_id: Some(RequestId::new(id)),
    })
}
