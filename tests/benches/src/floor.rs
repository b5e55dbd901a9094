//! Straight-line code that does as little as the bytes allow, for messages whose every offset is
//! known beforehand. It is no protocol: it shows what the machine needs.

use std::hint::black_box;

use hgrpc_bench::Row;
use hgrpc_bench::messages::*;

/// All rows.
pub(crate) const ROWS: &[Row] = &[
    Row::new("floor/parse-frame", parse_frame),
    Row::new("floor/data-fixed", |count| data(1, count)),
    Row::new("floor/data-growable", |count| data(1, count)),
    Row::new("floor/data-growable-64", |count| data(64, count)),
    Row::new("floor/data-growable-4096", |count| data(4_096, count)),
    Row::new("floor/request-fixed", |count| {
        requests(REQUEST, echo, count)
    }),
    Row::new("floor/longer-request-fixed", |count| {
        requests(LONGER_REQUEST, echo_of_two, count)
    }),
    Row::new("floor/rated-request-fixed", |count| {
        requests(LONGER_REQUEST, echo_of_two, count)
    }),
    Row::new("floor/round-trip", round_trip),
];

const MAX_FRAME_SIZE: usize = 0x8000;

pub(crate) struct Frame<'a> {
    pub(crate) request_id: u16,
    pub(crate) stream: u8,
    pub(crate) stream_flags: u8,
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
    pub(crate) rest: &'a [u8],
}

pub(crate) fn parse(input: &[u8]) -> Option<Frame<'_>> {
    let (header, rest) = input.split_first_chunk::<8>()?;
    let &[a, b, c, d, e, stream, stream_flags, kind] = header;
    let length = u32::from_le_bytes([a, b, c, 0]) as usize;
    if length > MAX_FRAME_SIZE {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    let request_id = u16::from_le_bytes([d, e]);
    Some(Frame {
        request_id,
        stream,
        stream_flags,
        kind,
        payload,
        rest,
    })
}

pub(crate) fn header(
    length: usize,
    request_id: u16,
    stream: u8,
    stream_flags: u8,
    kind: u8,
) -> [u8; 8] {
    let [a, b, c, ..] = length.to_le_bytes();
    let [d, e] = request_id.to_le_bytes();
    [a, b, c, d, e, stream, stream_flags, kind]
}

fn parse_frame(count: u32) {
    let frame = frame(1, true, NEW_REQUEST, REQUEST);
    for _ in 0..count {
        let part = parse(black_box(&frame)).unwrap();
        black_box(&part);
    }
}

/// State of a request, by half its ID.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    Vacant,
    Active,
    Streaming,
}

fn data(open: u16, count: u32) {
    let mut states = vec![State::Vacant; 0x8000];
    states[..usize::from(open)].fill(State::Streaming);
    let mut frame = data_frame(1);
    let mut index = 0u16;
    let mut received = 0u64;
    for _ in 0..count {
        frame[3..5].copy_from_slice(&(2 * index + 1).to_le_bytes());
        index = if index + 1 < open { index + 1 } else { 0 };
        let frame = parse(black_box(&frame)).unwrap();
        assert!(frame.stream == 1 && frame.stream_flags == 0 && frame.rest.is_empty());
        assert!(frame.kind == DATA);
        assert!(states[usize::from(frame.request_id >> 1)] == State::Streaming);
        black_box(frame.request_id);
        received += black_box(frame.payload).len() as u64;
    }
    assert_eq!(received, u64::from(count) * DATA_LEN as u64);
}

type Handler = fn(&[u8]) -> Option<&'static [u8; 21]>;

fn echo(payload: &[u8]) -> Option<&'static [u8; 21]> {
    let payload: &[u8; 32] = payload.try_into().ok()?;
    let (start, rest) = payload.split_first_chunk::<14>()?;
    let (value, name) = rest.split_first_chunk::<8>()?;
    if start != b"\xa2Dargs\xa1EvalueH" || name != b"DnameDecho" {
        return None;
    }
    black_box(value);
    Some(BODY)
}

fn echo_of_two(payload: &[u8]) -> Option<&'static [u8; 21]> {
    let payload: &[u8; 42] = payload.try_into().ok()?;
    let (start, rest) = payload.split_first_chunk::<13>()?;
    let (rate, rest) = rest.split_first_chunk::<4>()?;
    let (middle, rest) = rest.split_first_chunk::<7>()?;
    let (value, name) = rest.split_first_chunk::<8>()?;
    if start != b"\xa2Dargs\xa2Drate\x1a" || middle != b"EvalueH" || name != b"DnameDecho" {
        return None;
    }
    black_box((value, u32::from_be_bytes(*rate)));
    Some(BODY)
}

/// A request that lies whole in `input`, to its whole answer in `output`; its length.
fn step(
    states: &mut [State; 4],
    handler: Handler,
    input: &[u8],
    output: &mut [u8; 128],
) -> Option<usize> {
    let frame = parse(input)?;
    if frame.kind != NEW_REQUEST || frame.stream != 1 || frame.stream_flags > 1 {
        return None;
    }
    let state = &mut states[usize::from(frame.request_id >> 1) & 3];
    if *state != State::Vacant {
        return None;
    }
    *state = black_box(State::Active);
    let body = handler(frame.payload)?;
    let (head, rest) = output.split_first_chunk_mut::<8>()?;
    let (status, rest) = rest.split_first_chunk_mut::<11>()?;
    let (answer, _) = rest.split_first_chunk_mut::<21>()?;
    *head = header(32, frame.request_id, 2, 0, WHOLE_RESPONSE);
    *status = *STATUS;
    *answer = *body;
    states[usize::from(frame.request_id >> 1) & 3] = State::Vacant;
    Some(40)
}

fn requests(request: &[u8], handler: Handler, count: u32) {
    let mut states = [State::Vacant; 4];
    let frame = frame(1, true, NEW_REQUEST, request);
    let mut output = [0; 128];
    let handler = black_box(handler);
    for _ in 0..count {
        let len = step(&mut states, handler, black_box(&frame), &mut output).unwrap();
        assert!(black_box(&output[..len]).len() >= 40);
    }
}

fn round_trip(count: u32) {
    let (mut here, mut there) = ([State::Vacant; 4], [State::Vacant; 4]);
    let (mut up, mut down) = ([0; 128], [0; 128]);
    let mut id = 1u16;
    for _ in 0..count {
        here[usize::from(id >> 1) & 3] = black_box(State::Active);
        up[..8].copy_from_slice(&header(32, id, 1, 0, NEW_REQUEST));
        up[8..22].copy_from_slice(b"\xa2Dargs\xa1EvalueH");
        up[22..30].copy_from_slice(black_box(VALUE));
        up[30..36].copy_from_slice(b"DnameD");
        up[36..40].copy_from_slice(black_box(NAME));
        let len = step(&mut there, echo, black_box(&up[..40]), &mut down).unwrap();
        let response = parse(black_box(&down[..len])).unwrap();
        assert!(
            response.kind == WHOLE_RESPONSE && response.stream == 2 && response.stream_flags == 0
        );
        let state = &mut here[usize::from(response.request_id >> 1) & 3];
        assert!(response.request_id == id && *state == State::Active);
        let (status, data) = response.payload.split_first_chunk::<11>().unwrap();
        assert!(status == STATUS && black_box(data).len() == BODY.len());
        *state = State::Vacant;
        id = id.wrapping_add(2);
    }
}
