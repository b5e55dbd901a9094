//! What the tests of the reactors share: frames in short, and reactors with their stores.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;

use hgrpc::cbor::{EncodedArgs, ErrorMessage, Status};
use hgrpc::client::{self, Client, ClientConfig, Request, SendAction, Upload};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{self, Failure, Refusal, Reply, Server, ServerConfig};
use hgrpc::store::{FixedRequests, Requests};
use hgrpc::wire::{FrameHeader, HEADER_LEN, RequestId, StreamId};
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

/// What a frame led to at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: the next frame is wanted.
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

/// What a response consists of.
#[derive(Clone, Copy)]
pub enum Body {
    Bytes(&'static [u8]),
    /// Pieces, one after the other.
    Pieces(&'static [&'static [u8]]),
    Redirect(&'static [u8]),
    Failure(Failure<'static>),
}

/// Output with frames of this size. The buffer is never given back: tests are short.
pub fn output(stream: Stream, send_frame_size: u32) -> Output<'static> {
    // Only tests of sizes make large frames.
    let size = match send_frame_size {
        0x8000 => 1_024,
        size => size.min(0x00ff_ffff),
    };
    let buffer = vec![0; HEADER_LEN + usize::try_from(size).unwrap()];
    Output::new(stream, Box::leak(buffer.into_boxed_slice()))
}

/// A frame that was made, if one was, and whether that was all.
pub type Made = Result<(Option<Vec<u8>>, bool), ApiMisuse>;

fn made(out: &Output<'_>, is_done: bool) -> (Option<Vec<u8>>, bool) {
    let frame = out.frame();
    ((!frame.is_empty()).then(|| frame.to_vec()), is_done)
}

/// A server, its memory and an output stream.
pub struct Srv<const N: usize = 8, const B: usize = 4096> {
    pub config: ServerConfig,
    pub server: Server<Revision, FixedRequests<N>>,
    pub memory: Vec<u8>,
    pub out: Output<'static>,
    pub replies: BTreeMap<u16, Reply>,
    pub refusals: Vec<Refusal>,
}

impl<const N: usize, const B: usize> Srv<N, B> {
    pub fn new(revision: Revision, config: ServerConfig) -> Self {
        let mut server = Server::new(revision, config, FixedRequests::new());
        let stream = server.open_stream(&[]).unwrap();
        Self {
            config,
            server,
            memory: vec![0; B],
            out: output(stream, config.send_frame_size),
            replies: BTreeMap::new(),
            refusals: Vec::new(),
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

    /// One frame in parts: what they led to.
    pub fn recv_cut(&mut self, frame: &[u8], len: usize) -> Vec<Result<Seen, ProtocolError>> {
        let mut all = Vec::new();
        for piece in frame.chunks(len) {
            all.extend(self.recv_part(piece));
        }
        assert_eq!(self.server.finish(), Ok(()));
        if all.is_empty() {
            all.push(want(self.state()));
        }
        all
    }

    /// Some bytes.
    pub fn recv_part(&mut self, mut bytes: &[u8]) -> Vec<Result<Seen, ProtocolError>> {
        let mut all = Vec::new();
        while let Some(event) = self.server.next(&mut bytes, &mut self.memory) {
            all.push(see(event, &mut self.replies, &mut self.refusals));
        }
        assert!(bytes.is_empty());
        all
    }

    /// Puts another stream in the place of the output's.
    pub fn switch(&mut self, stream: Stream) -> Stream {
        let new = output(stream, self.config.send_frame_size);
        std::mem::replace(&mut self.out, new).into_stream()
    }

    /// One call that makes a frame.
    pub fn step(
        &mut self,
        call: impl FnOnce(
            &mut Server<Revision, FixedRequests<N>>,
            &mut Output<'_>,
        ) -> Result<bool, ApiMisuse>,
    ) -> Made {
        let is_done = call(&mut self.server, &mut self.out)?;
        Ok(made(&self.out, is_done))
    }

    /// Calls until all is done.
    pub fn make(
        &mut self,
        mut call: impl FnMut(
            &mut Server<Revision, FixedRequests<N>>,
            &mut Output<'_>,
        ) -> Result<bool, ApiMisuse>,
    ) -> Result<Vec<Vec<u8>>, ApiMisuse> {
        let mut frames = Vec::new();
        loop {
            let (frame, is_done) = self.step(&mut call)?;
            frames.extend(frame);
            if is_done {
                return Ok(frames);
            }
        }
    }

    /// Writes a piece of a response, or its end.
    pub fn push(
        &mut self,
        reply: &Reply,
        mut piece: &[u8],
        is_last: bool,
    ) -> Result<Vec<Vec<u8>>, ApiMisuse> {
        self.make(|server, out| server.respond(reply, &mut piece, is_last, out))
    }

    pub fn try_reply(&mut self, reply: &Reply, body: Body) -> Result<Vec<Vec<u8>>, ApiMisuse> {
        match body {
            Body::Bytes(bytes) => self.push(reply, bytes, true),
            Body::Pieces(pieces) => {
                let mut frames = Vec::new();
                for piece in pieces {
                    frames.extend(self.push(reply, piece, false)?);
                }
                frames.extend(self.push(reply, &[], true)?);
                Ok(frames)
            }
            Body::Redirect(status) => {
                let mut frames = self.make(|server, out| server.redirect(reply, status, out))?;
                frames.extend(self.push(reply, &[], true)?);
                Ok(frames)
            }
            Body::Failure(failure) => self.make(|server, out| server.fail(reply, &failure, out)),
        }
    }

    /// Answers a request; it can be answered again if that failed.
    pub fn try_answer(&mut self, id: u16, body: Body) -> Result<Vec<Vec<u8>>, ApiMisuse> {
        let reply = self.replies.remove(&id).unwrap();
        let result = self.try_reply(&reply, body);
        if result.is_err() {
            self.replies.insert(id, reply);
        }
        result
    }

    /// Answers a request and gives all frames.
    pub fn answer(&mut self, id: u16, body: Body) -> Vec<Vec<u8>> {
        self.try_answer(id, body).unwrap()
    }

    /// Answers the oldest refused request.
    pub fn reject(&mut self) -> Vec<u8> {
        let refusal = self.refusals.remove(0);
        let (frame, is_done) = self
            .step(|server, out| server.refuse(&refusal, out))
            .unwrap();
        assert!(is_done);
        frame.unwrap()
    }

    pub fn fail(&mut self, id: u16, message: &'static [u8]) -> Vec<Vec<u8>> {
        self.answer(id, Body::Failure(Failure::server(message)))
    }

    pub fn take_over(&mut self, id: u16) -> Option<Reply> {
        self.server.take_over(RequestId::new(id))
    }

    pub fn receiving(&self) -> Vec<u16> {
        self.server.receiving().map(RequestId::value).collect()
    }

    pub fn active(&self) -> Vec<u16> {
        self.server.active().map(RequestId::value).collect()
    }

    pub fn open(&self) -> Vec<u8> {
        self.server.open_streams().map(StreamId::value).collect()
    }

    pub fn state(&self) -> &'static str {
        self.server.state().name()
    }
}

fn see(
    event: server::Event<'_>,
    replies: &mut BTreeMap<u16, Reply>,
    refusals: &mut Vec<Refusal>,
) -> Result<Seen, ProtocolError> {
    Ok(match event {
        server::Event::Command(command) => {
            let id = command.reply.request_id().value();
            replies.insert(id, command.reply);
            Seen::Run {
                id,
                name: command
                    .name
                    .as_bytes()
                    .unwrap()
                    .chunks()
                    .flatten()
                    .copied()
                    .collect(),
                data: command.data.map(<[u8]>::to_vec),
                follows: command.data_follows,
            }
        }
        server::Event::Data {
            request_id,
            bytes,
            is_last,
        } => Seen::Data {
            id: request_id.value(),
            bytes: bytes.to_vec(),
            last: is_last,
        },
        server::Event::Refused(refusal) => {
            let seen = Seen::Reject {
                id: refusal.request_id().value(),
                reason: refusal.reason().name(),
                limit: refusal.limit(),
            };
            refusals.push(refusal);
            seen
        }
        server::Event::Error(error) => return Err(error),
        other => panic!("{other:?}"),
    })
}

/// A frame's header.
pub fn header(frame: &[u8]) -> FrameHeader {
    *FrameHeader::split_from(frame).unwrap().0
}

/// What a frame brought to a client.
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
    DropDecoder {
        stream: u8,
    },
    Encoded {
        stream: u8,
        last: bool,
        ends_stream: bool,
    },
}

/// An error, and the request that it is of.
pub type Wrong = (ProtocolError, Option<u16>);

/// Data of a request.
#[derive(Clone, Copy)]
pub enum CallData {
    None,
    Bytes(&'static [u8]),
    /// Handed in as it comes.
    Stream,
}

/// A request whose frames are made.
pub struct Call {
    pub upload: Upload,
    data: CallData,
    is_requested: bool,
    is_ended: bool,
}

impl Call {
    pub fn new<T: Requests>(
        client: &mut Client<Revision, T>,
        data: CallData,
    ) -> Result<(Self, SendAction), ApiMisuse> {
        let has_data = !matches!(data, CallData::None);
        let (upload, action) = client.request(has_data)?;
        let call = Self {
            upload,
            data,
            is_requested: false,
            is_ended: false,
        };
        Ok((call, action))
    }

    /// Makes the next frame of what is known of the call.
    pub fn next<T: Requests>(
        &mut self,
        client: &mut Client<Revision, T>,
        out: &mut Output<'_>,
    ) -> Result<Option<Vec<u8>>, ApiMisuse> {
        if self.is_ended {
            return Ok(None);
        }
        if !self.is_requested {
            self.is_requested = client.send(&self.upload, &REQUEST, out)?;
            self.is_ended = self.is_requested && matches!(self.data, CallData::None);
            // One that was cancelled before its first frame gives none.
            return Ok(made(out, false).0);
        }
        let is_wanted = client.active().any(|id| id == self.upload.request_id());
        self.is_ended = match &mut self.data {
            CallData::Bytes(rest) => client.send_data(&self.upload, rest, true, out)?,
            // The end of data that is not wanted any more.
            CallData::Stream if !is_wanted => {
                client.send_data(&self.upload, &mut &[][..], false, out)?
            }
            _ => return Ok(None),
        };
        Ok(made(out, false).0)
    }

    /// Makes a frame of data that is handed in; `None`: it is not wanted any more.
    pub fn data<T: Requests>(
        &mut self,
        client: &mut Client<Revision, T>,
        mut chunk: &[u8],
        last: bool,
        out: &mut Output<'_>,
    ) -> Result<Option<Vec<u8>>, ApiMisuse> {
        let is_taken = client.send_data(&self.upload, &mut chunk, last, out)?;
        self.is_ended |= last && is_taken;
        Ok(made(out, false).0)
    }

    pub fn request_id(&self) -> RequestId {
        self.upload.request_id()
    }

    /// Its data is handed in, and goes on.
    pub fn wants_data(&self) -> bool {
        self.is_requested && !self.is_ended && matches!(self.data, CallData::Stream)
    }

    pub fn is_ended(&self) -> bool {
        self.is_ended
    }
}

/// What is called.
pub const REQUEST: Request<'static> = Request::new(b"c", EncodedArgs::EMPTY);

/// A client and its memory.
pub struct Cli<const N: usize = 8, const B: usize = 4096> {
    pub client: Client<Revision, FixedRequests<N>>,
    pub memory: Vec<u8>,
    pub out: Output<'static>,
}

impl<const N: usize, const B: usize> Cli<N, B> {
    pub fn new(revision: Revision, mut config: ClientConfig) -> Self {
        config.announcement = None;
        Self::announcing(revision, config)
    }

    pub fn announcing(revision: Revision, config: ClientConfig) -> Self {
        Self {
            client: Client::new(revision, config, FixedRequests::new()),
            memory: vec![0; B],
            out: output(Stream::CLIENT, config.send_frame_size),
        }
    }

    pub fn call(&mut self, data: CallData) -> Result<(Call, SendAction), ApiMisuse> {
        Call::new(&mut self.client, data)
    }

    /// Makes the next frame of what is known of a call.
    pub fn try_next(&mut self, call: &mut Call) -> Result<Option<Vec<u8>>, ApiMisuse> {
        call.next(&mut self.client, &mut self.out)
    }

    pub fn next(&mut self, call: &mut Call) -> Option<Vec<u8>> {
        self.try_next(call).unwrap()
    }

    /// Makes a frame of data that is handed in; `None`: it is not wanted any more.
    pub fn data(
        &mut self,
        call: &mut Call,
        chunk: &[u8],
        last: bool,
    ) -> Result<Option<Vec<u8>>, ApiMisuse> {
        call.data(&mut self.client, chunk, last, &mut self.out)
    }

    /// Makes all frames of some calls that are known as a whole.
    pub fn take(&mut self, calls: &mut [Call]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for call in calls {
            while let Some(frame) = self.next(call) {
                frames.push(frame);
            }
        }
        frames
    }

    /// A call whose frames were all made.
    pub fn sent(&mut self) -> u16 {
        let (mut call, _) = self.call(CallData::None).unwrap();
        while self.next(&mut call).is_some() {}
        call.request_id().value()
    }

    /// One frame, whole.
    pub fn recv(&mut self, frame: &[u8]) -> Result<Got, Wrong> {
        let mut all = self.recv_cut(frame, frame.len());
        if all.len() > 1 {
            // A stream's decoder goes before the frame's own event.
            all.retain(|got| !matches!(got, Ok(Got::DropDecoder { .. })));
        }
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop().unwrap()
    }

    /// One frame in parts: what they brought.
    pub fn recv_cut(&mut self, frame: &[u8], len: usize) -> Vec<Result<Got, Wrong>> {
        let mut all = Vec::new();
        for piece in frame.chunks(len) {
            all.extend(self.recv_part(piece));
        }
        assert_eq!(self.client.finish(), Ok(()));
        if all.is_empty() {
            all.push(Ok(Got::Noop));
        }
        all
    }

    /// Some bytes.
    pub fn recv_part(&mut self, mut bytes: &[u8]) -> Vec<Result<Got, Wrong>> {
        let mut all = Vec::new();
        while let Some(event) = self.client.next(&mut bytes, &mut self.memory) {
            all.push(got(&event));
        }
        assert!(bytes.is_empty());
        all
    }

    pub fn cancel(&mut self, id: u16) -> Result<(), ApiMisuse> {
        self.client.cancel(RequestId::new(id), &mut self.memory)
    }

    pub fn state(&mut self, id: u16) -> Option<&'static str> {
        let state = self.client.request_state(RequestId::new(id));
        state.map(|state| state.name())
    }

    pub fn active(&self) -> Vec<u16> {
        self.client.active().map(RequestId::value).collect()
    }

    pub fn open(&self) -> Vec<u8> {
        self.client.open_streams().map(StreamId::value).collect()
    }
}

pub fn got(event: &client::Event<'_>) -> Result<Got, Wrong> {
    use client::Event;
    Ok(match event {
        Event::Response {
            request_id,
            status,
            data,
            expects_more,
            is_last,
        } => Got::Data {
            id: request_id.value(),
            status: status.as_ref().map(|status| match status {
                Status::Ok => "ok",
                Status::Error(_) => "error",
                Status::Redirect(_) => "redirect",
                _ => "?",
            }),
            data: data.to_vec(),
            more: *expects_more,
            eos: *is_last,
        },
        Event::Failed {
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
        Event::Text { request_id, atoms } => Got::Text {
            id: request_id.value(),
            text: atoms.to_string(),
        },
        Event::Progress {
            request_id,
            progress,
        } => Got::Progress {
            id: request_id.value(),
            pos: progress.progress().pos,
        },
        Event::MessageTooLarge { request_id, .. } => Got::TooLarge {
            id: request_id.value(),
        },
        Event::SetDecoder {
            stream_id,
            encoding,
        } => Got::Decoder {
            stream: stream_id.value(),
            name: encoding.name(),
        },
        Event::DropDecoder { stream_id } => Got::DropDecoder {
            stream: stream_id.value(),
        },
        Event::Encoded {
            stream_id,
            is_last,
            ends_stream,
            ..
        } => Got::Encoded {
            stream: stream_id.value(),
            last: *is_last,
            ends_stream: *ends_stream,
        },
        Event::Error { error, request_id } => {
            return Err((*error, request_id.map(RequestId::value)));
        }
        other => panic!("{other:?}"),
    })
}

/// An error of the connection.
pub fn fatal(error: ProtocolError) -> Result<Got, Wrong> {
    Err((error, None))
}

/// An error of a request.
pub fn failed(id: u16, error: ProtocolError) -> Result<Got, Wrong> {
    Err((error, Some(id)))
}
