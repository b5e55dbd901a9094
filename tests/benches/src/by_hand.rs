//! What somebody would write by hand for these messages alone: short heads of CBOR, maps walked as
//! pairs, lengths as they come. More than the floor, which knows every offset; less than a protocol:
//! one frame a message, no limits, no state but which requests are active.

use std::hint::black_box;

use hgrpc_bench::Row;
use hgrpc_bench::messages::*;

use crate::floor::{State, header, parse};

/// All rows.
pub(crate) const ROWS: &[Row] = &[
    Row::new("by-hand/request-fixed", |count| requests(REQUEST, count)),
    Row::new("by-hand/longer-request-fixed", |count| {
        requests(LONGER_REQUEST, count)
    }),
    Row::new("by-hand/rated-request-fixed", |count| {
        requests(LONGER_REQUEST, count)
    }),
    Row::new("by-hand/round-trip", round_trip),
];

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const MAP: u8 = 5;

/// The major type and the number of an item's head.
fn head(input: &mut &[u8]) -> Option<(u8, usize)> {
    let (&initial, rest) = input.split_first()?;
    *input = rest;
    let number = match initial & 0x1f {
        short @ ..24 => usize::from(short),
        24 => usize::from(number::<1>(input)?[0]),
        25 => usize::from(u16::from_be_bytes(number(input)?)),
        26 => u32::from_be_bytes(number(input)?) as usize,
        _ => return None,
    };
    Some((initial >> 5, number))
}

fn number<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (number, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*number)
}

fn expect(input: &mut &[u8], major: u8) -> Option<usize> {
    head(input)
        .filter(|(found, _)| *found == major)
        .map(|(_, number)| number)
}

fn bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = expect(input, BYTES)?;
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

/// Takes the command's name, and its arguments `value` and `rate`.
fn read<'a>(input: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8], Option<usize>)> {
    let (mut name, mut value, mut rate) = (None, None, None);
    for _ in 0..expect(input, MAP)? {
        match bytes(input)? {
            b"name" => name = Some(bytes(input)?),
            b"args" => {
                for _ in 0..expect(input, MAP)? {
                    match bytes(input)? {
                        b"value" => value = Some(bytes(input)?),
                        b"rate" => rate = Some(expect(input, UNSIGNED)?),
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
    }
    Some((name?, value?, rate))
}

/// Puts bytes behind those that are there.
fn put(output: &mut [u8; 128], len: &mut usize, bytes: &[u8]) -> Option<()> {
    let end = *len + bytes.len();
    output.get_mut(*len..end)?.copy_from_slice(bytes);
    *len = end;
    Some(())
}

fn put_string(output: &mut [u8; 128], len: &mut usize, string: &[u8]) -> Option<()> {
    let count = u8::try_from(string.len()).ok()?;
    if count < 24 {
        put(output, len, &[BYTES << 5 | count])?;
    } else {
        put(output, len, &[BYTES << 5 | 24, count])?;
    }
    put(output, len, string)
}

fn step(states: &mut [State; 4], input: &[u8], output: &mut [u8; 128]) -> Option<usize> {
    let frame = parse(input)?;
    if frame.kind != NEW_REQUEST || frame.stream != 1 || frame.stream_flags > 1 {
        return None;
    }
    let state = &mut states[usize::from(frame.request_id >> 1) & 3];
    if *state != State::Vacant {
        return None;
    }
    *state = black_box(State::Active);
    let mut payload = frame.payload;
    let (name, value, rate) = read(&mut payload)?;
    if !payload.is_empty() || name != NAME {
        return None;
    }
    black_box((value, rate));
    let mut len = 8;
    put(output, &mut len, STATUS)?;
    put(output, &mut len, black_box(&BODY[..]))?;
    output[..8].copy_from_slice(&header(len - 8, frame.request_id, 2, 0, WHOLE_RESPONSE));
    states[usize::from(frame.request_id >> 1) & 3] = State::Vacant;
    Some(len)
}

fn requests(request: &[u8], count: u32) {
    let mut states = [State::Vacant; 4];
    let frame = frame(1, true, NEW_REQUEST, request);
    let mut output = [0; 128];
    for _ in 0..count {
        let len = step(&mut states, black_box(&frame), &mut output).unwrap();
        assert!(black_box(&output[..len]).len() >= 40);
    }
}

/// Writes a request.
fn write(output: &mut [u8; 128], id: u16, name: &[u8], value: &[u8]) -> Option<usize> {
    let mut len = 8;
    put(output, &mut len, b"\xa2Dargs\xa1Evalue")?;
    put_string(output, &mut len, value)?;
    put(output, &mut len, b"Dname")?;
    put_string(output, &mut len, name)?;
    output[..8].copy_from_slice(&header(len - 8, id, 1, 0, NEW_REQUEST));
    Some(len)
}

/// Takes the status map off a response.
fn read_status(payload: &[u8]) -> Option<&[u8]> {
    let mut rest = payload;
    let mut is_ok = false;
    for _ in 0..expect(&mut rest, MAP)? {
        match bytes(&mut rest)? {
            b"status" => is_ok = bytes(&mut rest)? == b"ok",
            _ => return None,
        }
    }
    is_ok.then_some(rest)
}

fn round_trip(count: u32) {
    let (mut here, mut there) = ([State::Vacant; 4], [State::Vacant; 4]);
    let (mut up, mut down) = ([0; 128], [0; 128]);
    let mut id = 1u16;
    for _ in 0..count {
        here[usize::from(id >> 1) & 3] = black_box(State::Active);
        let len = write(&mut up, id, black_box(NAME), black_box(VALUE)).unwrap();
        let len = step(&mut there, black_box(&up[..len]), &mut down).unwrap();
        let response = parse(black_box(&down[..len])).unwrap();
        assert!(response.kind == WHOLE_RESPONSE && response.stream == 2);
        let state = &mut here[usize::from(response.request_id >> 1) & 3];
        assert!(response.request_id == id && *state == State::Active);
        let data = read_status(response.payload).unwrap();
        assert!(black_box(data).len() == BODY.len());
        *state = State::Vacant;
        id = id.wrapping_add(2);
    }
}
