//! hgrpc as it is.

use std::hint::black_box;

use hgrpc::cbor::{ArgsWriter, ByteString, Status};
use hgrpc::client::{self, Client, ClientConfig, Request};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Command, Event, Server, ServerConfig};
use hgrpc::store::{FixedRequests, Requests};
use hgrpc::wire::FrameReader;
use hgrpc::{Limits, Protocol, R0005, Revision};
use hgrpc_bench::Row;
use hgrpc_bench::messages::*;
use hgrpc_std::requests::Budgets;
use hgrpc_std::requests::{GatheredBytes, GrowableRequests};

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

fn parse_frame(count: u32) {
    let frame = frame(1, true, NEW_REQUEST, REQUEST);
    let mut reader = FrameReader::new(Limits::DEFAULT.max_frame_size);
    for _ in 0..count {
        let mut input: &[u8] = black_box(&frame);
        let part = reader.next(&mut input).unwrap().unwrap();
        black_box(&part);
    }
}

fn growable(requests: usize) -> (GrowableRequests, GatheredBytes) {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = requests;
    let memory = GatheredBytes::new(budgets.bytes);
    (GrowableRequests::new(budgets), memory)
}

fn data_fixed(count: u32) {
    data(
        R0005,
        FixedRequests::<4>::new(),
        &mut [0; 256][..],
        1,
        count,
    );
}

fn data_growable(open: u16, count: u32) {
    let (requests, mut memory) = growable(usize::from(open));
    data(R0005, requests, &mut memory, open, count);
}

/// Frames of data of `open` requests in turn.
fn data<P: Protocol, T: Requests>(
    protocol: P,
    requests: T,
    memory: &mut T::Memory,
    open: u16,
    count: u32,
) {
    let mut server = Server::new(protocol, ServerConfig::STREAMING, requests);
    for index in 0..open {
        let frame = frame(2 * index + 1, index == 0, NEW_REQUEST_WITH_DATA, REQUEST);
        let event = server.next(&mut &frame[..], memory);
        assert!(matches!(event, Some(Event::Command(_))));
    }
    let mut frame = data_frame(1);
    let mut index = 0u16;
    let mut received = 0u64;
    for _ in 0..count {
        frame[3..5].copy_from_slice(&(2 * index + 1).to_le_bytes());
        index = if index + 1 < open { index + 1 } else { 0 };
        let mut input: &[u8] = black_box(&frame);
        match server.next(&mut input, memory) {
            Some(Event::Data {
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

/// What a command does, and the body of its response.
type Handler = fn(&Command<'_>) -> &'static [u8];

fn echo(command: &Command<'_>) -> &'static [u8] {
    assert!(command.name.is_bytes(NAME));
    let args = Echo::from_args(&command.args).unwrap();
    black_box(args.value);
    BODY
}

fn rated_echo(command: &Command<'_>) -> &'static [u8] {
    assert!(command.name.is_bytes(NAME));
    let args = RatedEcho::from_args(&command.args).unwrap();
    black_box((args.value, args.rate));
    BODY
}

fn request_fixed(request: &[u8], handler: Handler, count: u32) {
    let requests = FixedRequests::<4>::new();
    answer_all(R0005, requests, &mut [0; 256][..], request, handler, count);
}

fn request_growable(request: &[u8], handler: Handler, count: u32) {
    let (requests, mut memory) = growable(Budgets::DEFAULT.requests);
    let protocol = black_box(Revision::R0006);
    answer_all(protocol, requests, &mut memory, request, handler, count);
}

/// Takes a request that lies whole in `input`, and makes its whole answer, frame by frame; bytes of
/// all of them.
fn step<P: Protocol, T: Requests>(
    server: &mut Server<P, T>,
    memory: &mut T::Memory,
    handler: Handler,
    mut input: &[u8],
    out: &mut Output<'_>,
) -> usize {
    let command = match server.next(&mut input, memory) {
        Some(Event::Command(command)) => command,
        other => panic!("{other:?}"),
    };
    let mut body = handler(&command);
    let mut len = 0;
    loop {
        let is_done = server
            .respond(&command.reply, &mut body, true, out)
            .unwrap();
        len += black_box(out.frame()).len();
        if is_done {
            return len;
        }
    }
}

fn answer_all<P: Protocol, T: Requests>(
    protocol: P,
    requests: T,
    memory: &mut T::Memory,
    request: &[u8],
    handler: Handler,
    count: u32,
) {
    let mut server = Server::new(protocol, ServerConfig::STREAMING, requests);
    let frame = frame(1, true, NEW_REQUEST, request);
    let mut buffer = [0; 128];
    let mut out = Output::new(server.open_stream(&[]).unwrap(), &mut buffer);
    for _ in 0..count {
        let len = step(&mut server, memory, handler, black_box(&frame), &mut out);
        assert!(len >= 40);
    }
}

fn round_trip(count: u32) {
    let requests = || FixedRequests::<4>::new();
    let mut server = Server::new(R0005, ServerConfig::STREAMING, requests());
    let mut client = Client::new(R0005, ClientConfig::FULL_DUPLEX, requests());
    let (mut here, mut there) = ([0; 256], [0; 256]);
    let (mut up, mut down) = ([0; 128], [0; 128]);
    let mut up = Output::new(Stream::CLIENT, &mut up);
    let mut down = Output::new(server.open_stream(&[]).unwrap(), &mut down);
    for _ in 0..count {
        let mut memory = [0; 32];
        let mut args = ArgsWriter::new(&mut memory, client.revision().key_order());
        args.bytes(b"value", black_box(VALUE)).unwrap();
        let request = Request::new(black_box(NAME), args.finish().unwrap());
        let (upload, _) = client.request(false).unwrap();
        // One frame holds it.
        assert!(client.send(&upload, &request, &mut up).unwrap());
        let input = black_box(up.frame());
        step(&mut server, &mut there[..], echo, input, &mut down);
        let mut input: &[u8] = black_box(down.frame());
        match client.next(&mut input, &mut here[..]) {
            Some(client::Event::Response {
                request_id,
                status,
                data,
                is_last,
                ..
            }) => {
                assert!(request_id == upload.request_id() && status == Some(Status::Ok) && is_last);
                assert!(black_box(data).len() == BODY.len());
            }
            other => panic!("{other:?}"),
        }
    }
}
