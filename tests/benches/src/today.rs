//! hgrpc as it is.

use std::hint::black_box;

use hgrpc::cbor::{ArgsWriter, ByteString, Status};
use hgrpc::client::{Client, ClientAction, ClientConfig, Request};
use hgrpc::server::{Body, Command, OutputStream, Server, ServerAction, ServerConfig};
use hgrpc::store::{Arena, FixedStore, Table};
use hgrpc::wire::FrameReader;
use hgrpc::{Limits, Protocol, R0005, Revision};
use hgrpc_bench::Row;
use hgrpc_bench::messages::*;
use hgrpc_std::store::{Budgets, GrowableStore};

/// All rows.
pub(crate) const ROWS: &[Row] = &[
    Row::new("today/parse-frame", parse_frame),
    Row::new("today/data-fixed", data_fixed),
    Row::new("today/data-growable", |count| data_growable(1, count)),
    Row::new("today/data-growable-64", |count| data_growable(64, count)),
    Row::new("today/data-growable-4096", |count| {
        data_growable(4_096, count)
    }),
    Row::new("today/request-fixed", |count| {
        request_fixed(REQUEST, echo, count)
    }),
    Row::new("today/request-growable", |count| {
        request_growable(REQUEST, echo, count)
    }),
    Row::new("today/longer-request-fixed", |count| {
        request_fixed(LONGER_REQUEST, echo, count)
    }),
    Row::new("today/longer-request-growable", |count| {
        request_growable(LONGER_REQUEST, echo, count)
    }),
    Row::new("today/rated-request-fixed", |count| {
        request_fixed(LONGER_REQUEST, rated_echo, count)
    }),
    Row::new("today/round-trip", round_trip),
];

type Fixed = FixedStore<4, 256>;

fn reader() -> FrameReader {
    FrameReader::new(Limits::DEFAULT.max_frame_size)
}

fn parse_frame(count: u32) {
    let frame = frame(1, true, NEW_REQUEST, REQUEST);
    let mut reader = reader();
    for _ in 0..count {
        let mut input: &[u8] = black_box(&frame);
        let part = reader.next(&mut input).unwrap().unwrap();
        black_box(&part);
    }
}

fn data_fixed(count: u32) {
    let mut store = Fixed::new();
    let (table, arena) = store.split();
    data(R0005, table, arena, 1, count);
}

fn data_growable(open: u16, count: u32) {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = usize::from(open);
    let mut store = GrowableStore::new(budgets);
    let (table, arena) = store.split();
    data(R0005, table, arena, open, count);
}

/// Frames of data of `open` requests in turn.
fn data<P: Protocol, T: Table, A: Arena>(
    protocol: P,
    table: &mut T,
    arena: &mut A,
    open: u16,
    count: u32,
) {
    let mut server = Server::new(protocol, ServerConfig::STREAMING);
    let mut reader = reader();
    for index in 0..open {
        let frame = frame(2 * index + 1, index == 0, NEW_REQUEST_WITH_DATA, REQUEST);
        let part = reader.next(&mut &frame[..]).unwrap().unwrap();
        let action = server.handle(part, table, arena).unwrap();
        assert!(matches!(action, ServerAction::RunCommand(_)));
    }
    let mut frame = data_frame(1);
    let mut index = 0u16;
    let mut received = 0u64;
    for _ in 0..count {
        frame[3..5].copy_from_slice(&(2 * index + 1).to_le_bytes());
        index = if index + 1 < open { index + 1 } else { 0 };
        let mut input: &[u8] = black_box(&frame);
        let part = reader.next(&mut input).unwrap().unwrap();
        match server.handle(part, table, arena) {
            Ok(ServerAction::CommandData {
                request_id, bytes, ..
            }) => {
                black_box(request_id);
                received += black_box(bytes).len() as u64;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, u64::from(count) * DATA_LEN as u64);
}

hgrpc::args! {
    struct Echo<'a> {
        value: ByteString<'a>,
    }
}

hgrpc::args! {
    struct RatedEcho<'a> {
        value: ByteString<'a>,
        rate: u32,
    }
}

/// What a command does.
type Handler = fn(&Command<'_>) -> Body<'static>;

fn echo(command: &Command<'_>) -> Body<'static> {
    assert!(command.name == *NAME);
    let args = Echo::from_args(&command.args).unwrap();
    black_box(args.value);
    Body::Cbor(BODY)
}

fn rated_echo(command: &Command<'_>) -> Body<'static> {
    assert!(command.name == *NAME);
    let args = RatedEcho::from_args(&command.args).unwrap();
    black_box((args.value, args.rate));
    Body::Cbor(BODY)
}

fn request_fixed(request: &[u8], handler: Handler, count: u32) {
    let mut store = Fixed::new();
    let (table, arena) = store.split();
    requests(R0005, table, arena, request, handler, count);
}

fn request_growable(request: &[u8], handler: Handler, count: u32) {
    let mut store = GrowableStore::default();
    let (table, arena) = store.split();
    requests(
        black_box(Revision::R0006),
        table,
        arena,
        request,
        handler,
        count,
    );
}

/// A server with what it needs beside it.
struct End<'s, P: Protocol, T: Table, A: Arena> {
    server: Server<P>,
    reader: FrameReader,
    stream: OutputStream,
    table: &'s mut T,
    arena: &'s mut A,
}

impl<'s, P: Protocol, T: Table, A: Arena> End<'s, P, T, A> {
    fn new(protocol: P, table: &'s mut T, arena: &'s mut A) -> Self {
        let mut server = Server::new(protocol, ServerConfig::STREAMING);
        let stream = server.open_stream(&[]).unwrap();
        Self {
            server,
            reader: reader(),
            stream,
            table,
            arena,
        }
    }

    /// A request that lies whole in `input`, to its whole answer in `output`; its length.
    fn step(&mut self, handler: Handler, mut input: &[u8], output: &mut [u8]) -> usize {
        let part = self.reader.next(&mut input).unwrap().unwrap();
        let command = match self.server.handle(part, self.table, self.arena) {
            Ok(ServerAction::RunCommand(command)) => command,
            other => panic!("{other:?}"),
        };
        let body = handler(&command);
        let mut answer = self
            .server
            .respond(self.table, command.responder, body)
            .unwrap();
        let mut out = self.server.output(self.table, &mut self.stream);
        let mut scratch = [0; 64];
        let mut len = 0;
        while let Some(frame) = answer.next_frame(&mut out, &mut scratch).unwrap() {
            len += frame.copy_to(&mut output[len..]).unwrap();
        }
        len
    }
}

fn requests<P: Protocol, T: Table, A: Arena>(
    protocol: P,
    table: &mut T,
    arena: &mut A,
    request: &[u8],
    handler: Handler,
    count: u32,
) {
    let mut end = End::new(protocol, table, arena);
    let frame = frame(1, true, NEW_REQUEST, request);
    let mut output = [0; 128];
    for _ in 0..count {
        let len = end.step(handler, black_box(&frame), &mut output);
        assert!(black_box(&output[..len]).len() >= 40);
    }
}

fn round_trip(count: u32) {
    let (mut here, mut there) = (Fixed::new(), Fixed::new());
    let (table, arena) = there.split();
    let mut end = End::new(R0005, table, arena);
    let (table, arena) = here.split();
    let mut client = Client::new(R0005, ClientConfig::FULL_DUPLEX);
    let mut reader = reader();
    let (mut up, mut down) = ([0; 128], [0; 128]);
    for _ in 0..count {
        let mut memory = [0; 32];
        let mut args = ArgsWriter::new(&mut memory, client.revision().key_order());
        args.bytes(b"value", black_box(VALUE)).unwrap();
        let request = Request::new(black_box(NAME), args.finish().unwrap());
        let (mut call, _) = client.call(table, request).unwrap();
        let mut out = client.output(table);
        let mut len = 0;
        while let Some(frame) = call.next_frame(&mut out) {
            len += frame.copy_to(&mut up[len..]).unwrap();
        }
        let len = end.step(echo, black_box(&up[..len]), &mut down);
        let mut input: &[u8] = black_box(&down[..len]);
        let part = reader.next(&mut input).unwrap().unwrap();
        match client.handle(part, table, arena) {
            Ok(ClientAction::ResponseData {
                request_id,
                status,
                data,
                eos,
                ..
            }) => {
                assert!(request_id == call.request_id() && status == Some(Status::Ok) && eos);
                assert!(black_box(data).len() == BODY.len());
            }
            other => panic!("{other:?}"),
        }
    }
}
