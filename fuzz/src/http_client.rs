//! What an HTTP client makes of the answers of any server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use hgrpc_std::http::{
    Capabilities, Client, Command, CommandInfo, Config, Error, FRAMING_MEDIA_TYPE, Item, Redirects,
    Response,
};
use hgrpc_std::value::Value;

use crate::canned::{Canned, Cuts, answer, connected};
use crate::frames::frame;
use crate::input::Input;
use crate::memory;

/// What a client is asked to do, and how it is made.
#[derive(Clone, Copy)]
struct Setup {
    commands: u8,
    /// Bits, of [`config`].
    config: u8,
    framing: Framing,
    is_reversed: bool,
}

/// How the body's end is told.
#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Close,
    Length,
    /// More was announced than comes.
    Longer,
    Chunked,
    /// The last chunk does not come.
    Unfinished,
}

/// How a response is read.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Values,
    Items,
    Raw,
}

/// What was read of a response.
#[derive(Clone, Debug, PartialEq, Default)]
struct Seen {
    values: Vec<String>,
    bytes: Vec<u8>,
    /// Why there is no more; `None` at its end.
    error: Option<String>,
    /// What is left does not decode.
    is_undecodable: bool,
    /// Too much of it came while another was read.
    is_given_up: bool,
}

/// Largest value that is gathered, in bytes.
const VALUE: usize = 4096;

/// What decoders may make of one frame, in bytes.
const DECODED: u64 = 1 << 18;

fn config(bits: u8) -> Config {
    let mut config = Config::default();
    config.redirects = Redirects::Surface;
    config.limits.value_size = VALUE;
    config.limits.decoding.frame_output = DECODED;
    config.limits.decoding.stream_output = 4 * DECODED;
    if bits & 1 != 0 {
        config.limits.buffered = 64;
    }
    if bits & 2 != 0 {
        config.encodings.clear();
    }
    if bits & 4 != 0 {
        config.limits.frame_size = 128;
    }
    config
}

struct Offline {
    canned: Canned,
    client: Client,
    /// Text and progress that came.
    side: Arc<Mutex<Vec<String>>>,
}

thread_local! {
    static CLIENTS: RefCell<HashMap<u8, Rc<Offline>>> = RefCell::default();
}

fn offline(bits: u8) -> Rc<Offline> {
    CLIENTS.with(|clients| {
        let clients = &mut *clients.borrow_mut();
        Rc::clone(
            clients
                .entry(bits)
                .or_insert_with(|| Rc::new(connect(bits))),
        )
    })
}

fn connect(bits: u8) -> Offline {
    let side = Arc::new(Mutex::new(Vec::new()));
    let mut config = config(bits);
    if bits & 8 != 0 {
        let [text, progress] = [(); 2].map(|()| Arc::clone(&side));
        config.on_text = Some(Arc::new(move |atoms| {
            text.lock().unwrap().push(format!("{}", atoms.escaped()));
        }));
        config.on_progress = Some(Arc::new(move |seen| {
            progress.lock().unwrap().push(format!("{seen:?}"));
        }));
    }
    let commands = Capabilities::new([("heads", CommandInfo::pull())]);
    let (canned, client) = connected(&commands, config);
    Offline {
        canned,
        client,
        side,
    }
}

/// An answer's head and body.
fn whole_answer(framing: Framing, body: &[u8]) -> Vec<u8> {
    let mut headers = vec![("Content-Type", FRAMING_MEDIA_TYPE)];
    let length = match framing {
        Framing::Longer => body.len() + 10,
        _ => body.len(),
    }
    .to_string();
    let mut chunked = Vec::new();
    match framing {
        Framing::Close => {}
        Framing::Length | Framing::Longer => headers.push(("Content-Length", &length)),
        Framing::Chunked | Framing::Unfinished => {
            headers.push(("Transfer-Encoding", "chunked"));
            for chunk in body.chunks(100) {
                chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                chunked.extend_from_slice(chunk);
                chunked.extend_from_slice(b"\r\n");
            }
            if framing == Framing::Chunked {
                chunked.extend_from_slice(b"0\r\n\r\n");
            }
            return answer("200 OK", &headers, &chunked);
        }
    }
    answer("200 OK", &headers, body)
}

/// Asks, and hands out the responses in the order in which they are read.
fn ask(
    setup: Setup,
    body: &[u8],
    cuts: Cuts,
    mut read: impl FnMut(Response) -> Seen,
) -> (Vec<Seen>, Vec<String>) {
    let offline = offline(setup.config);
    offline
        .canned
        .answer(whole_answer(setup.framing, body), cuts);
    let commands = vec![Command::new("heads"); usize::from(setup.commands)];
    let responses = offline.client.batch(&commands);
    let responses = responses.expect("the head says that frames come");
    let count = responses.len();
    let mut seen = vec![Seen::default(); count];
    let mut turns: Vec<_> = responses.into_iter().enumerate().collect();
    if setup.is_reversed {
        turns.reverse();
    }
    for (index, response) in turns {
        seen[index] = read(response);
    }
    offline.canned.take_sent();
    let side = std::mem::take(&mut *offline.side.lock().unwrap());
    (seen, side)
}

fn run(setup: Setup, body: &[u8], cuts: Cuts, style: Style) -> (Vec<Seen>, Vec<String>) {
    ask(setup, body, cuts, |mut response| {
        let mut seen = Seen::default();
        if let Err(error) = read(&mut response, style, &mut seen) {
            // It stays what it was.
            let again = response.next_value().unwrap_err();
            assert_eq!(again.to_string(), error.to_string());
            seen.is_undecodable = matches!(error, Error::Decode(_));
            seen.is_given_up = matches!(error, Error::NotReadInOrder);
            seen.error = Some(format!("{error:?}"));
        }
        seen
    })
}

fn read(response: &mut Response, style: Style, seen: &mut Seen) -> Result<(), Error> {
    match style {
        Style::Values => {
            while let Some(value) = response.next_value()? {
                seen.values.push(format!("{value:?}"));
            }
            assert!(matches!(response.next_value(), Ok(None)));
        }
        Style::Items => loop {
            match response.next_item()? {
                None => break,
                Some(Item::Value(value)) => seen.values.push(format!("{value:?}")),
                Some(Item::Bytes(mut string)) => {
                    let announced = string.length();
                    let start = seen.bytes.len();
                    while let Some(piece) = string.next_piece()? {
                        assert!(!piece.is_empty());
                        seen.bytes.extend_from_slice(piece);
                    }
                    let bytes = seen.bytes.split_off(start);
                    if let Some(len) = announced {
                        assert_eq!(len, u64::try_from(bytes.len()).unwrap());
                    }
                    seen.values.push(format!("{:?}", Value::Bytes(bytes)));
                }
                Some(other) => panic!("an item without a rule: {other:?}"),
            }
        },
        Style::Raw => {
            while let Some(piece) = response.raw()? {
                assert!(!piece.is_empty());
                seen.bytes.extend_from_slice(piece);
            }
        }
    }
    Ok(())
}

/// Reads everything and keeps nothing, in as much memory as [`hgrpc_std::http::Client`] says that
/// it takes.
fn run_in_little_memory(setup: Setup, body: &[u8]) {
    // The client is there, and so is the answer; some is for the request and for what ureq holds.
    drop(offline(setup.config));
    let waiting = usize::from(setup.commands) * config(setup.config).limits.buffered;
    memory::within((4 << 20) + (1 << 20) + waiting + 2 * body.len(), || {
        ask(setup, body, Cuts::Nowhere, |mut response| {
            while let Ok(Some(item)) = response.next_item() {
                drop(item);
            }
            Seen::default()
        })
    });
}

/// Where each response ends at the earliest: behind the first frame that says so.
fn ends(body: &[u8], commands: u8) -> Vec<Option<usize>> {
    let mut ends = vec![None; usize::from(commands)];
    let mut at = 0;
    while let Some(header) = body.get(at..at + 8) {
        let len =
            usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let id = u16::from_le_bytes([header[3], header[4]]);
        let (kind, flags) = (header[7] >> 4, header[7] & 0x0f);
        at += 8 + len;
        // No more than 65,535 bytes are taken, so this does not overflow.
        if at > body.len() {
            break;
        }
        let is_end = kind == 3 && flags & 2 != 0;
        if is_end
            && id % 2 == 1
            && let Some(end) = ends.get_mut(usize::from(id / 2))
        {
            end.get_or_insert(at);
        }
    }
    ends
}

/// The values of a sequence, and whether it is nothing else.
fn naive(mut bytes: &[u8]) -> (Vec<String>, bool) {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let Ok((value, len)) = Value::decode_prefix(bytes) else {
            return (values, false);
        };
        if len > VALUE {
            return (values, false);
        }
        values.push(format!("{value:?}"));
        bytes = &bytes[len..];
    }
    (values, true)
}

/// Frames that nearly make sense, or any bytes.
fn body(input: &mut Input<'_>) -> Vec<u8> {
    if input.byte() & 1 == 0 {
        return input.rest().to_vec();
    }
    let mut body = Vec::new();
    while !input.is_empty() {
        match input.byte() {
            op @ 0..192 => {
                let request = 2 * u16::from(op & 3) + 1;
                let status: &[u8] = if op & 4 == 0 { b"" } else { STATUS };
                let len = usize::from(input.byte());
                let payload = [status, input.bytes(len)].concat();
                let stream_flags = u8::from(body.is_empty());
                body.extend(frame(request, 2, stream_flags, 3, op >> 3 & 3, &payload));
            }
            192..248 => body.extend(input.frame()),
            _ => {
                let len = usize::from(input.byte());
                body.extend_from_slice(input.bytes(len));
            }
        }
    }
    body
}

/// The map that a response begins with.
const STATUS: &[u8] = b"\xa1\x46status\x42ok";

/// The same body gives the same values or the same error however it is cut and read, in bounded
/// memory; and a body that is cut short gives an error and nothing but what comes before.
pub fn http_client(data: &[u8]) {
    let mut input = Input::new(data);
    let (first, second, third) = (input.byte(), input.byte(), input.byte());
    let setup = Setup {
        commands: 1 + first % 3,
        config: first >> 4,
        framing: [
            Framing::Close,
            Framing::Length,
            Framing::Longer,
            Framing::Chunked,
            Framing::Unfinished,
        ][usize::from(second & 7) % 5],
        is_reversed: first & 8 != 0,
    };
    let style = [Style::Values, Style::Items, Style::Raw][usize::from(second >> 3) % 3];
    let body = body(&mut input);
    run_in_little_memory(setup, &body);

    let whole = run(setup, &body, Cuts::Nowhere, style);
    let has_failed = whole.0.iter().any(|seen| seen.error.is_some());
    for cuts in [Cuts::After(1), Cuts::Anywhere(third)] {
        let parts = run(setup, &body, cuts, style);
        if has_failed && has_encoded(&body) {
            compare_encoded(&whole.0, &parts.0);
        } else {
            assert_eq!(parts, whole, "{cuts:?}");
        }
    }

    // Values are those that the bytes are, however they are read.
    let raw = run(setup, &body, Cuts::Nowhere, Style::Raw).0;
    let values = run(setup, &body, Cuts::Nowhere, Style::Values).0;
    let items = run(setup, &body, Cuts::Nowhere, Style::Items).0;
    for ((raw, values), items) in raw.iter().zip(&values).zip(&items) {
        let (expected, is_all) = naive(&raw.bytes);
        // A response before this one that ends at a fault keeps this one waiting for less.
        if raw.is_undecodable || raw.is_given_up {
            continue;
        }
        assert_eq!(values.values, expected);
        assert_eq!(values.error.is_none(), is_all && raw.error.is_none());
        // Strings may be longer than values that are gathered.
        assert!(items.values.starts_with(&expected));
        assert!(raw.error.is_none() || items.error.is_some());
    }

    let cut = body.len() * usize::from(third) / 256;
    let short = run(setup, &body[..cut], Cuts::Nowhere, Style::Raw).0;
    for ((short, raw), end) in short.iter().zip(&raw).zip(ends(&body, setup.commands)) {
        if short.error.is_none() {
            assert!(end.is_some_and(|end| end <= cut), "a short answer");
            assert_eq!(short, raw);
        } else {
            assert!(raw.bytes.starts_with(&short.bytes) || raw.error.is_some());
        }
    }
}

/// Whether any frame is encoded.
fn has_encoded(mut body: &[u8]) -> bool {
    while let Some((header, rest)) = body.split_first_chunk::<8>() {
        if header[6] & 4 != 0 {
            return true;
        }
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        body = rest
            .get(usize::try_from(len).unwrap()..)
            .unwrap_or_default();
    }
    false
}

/// How much a decoder hands out of a frame that does not come whole, or does not decode, depends on
/// how it is cut; that there is an error does not.
fn compare_encoded(whole: &[Seen], parts: &[Seen]) {
    for (whole, parts) in whole.iter().zip(parts) {
        assert_eq!(whole.error.is_none(), parts.error.is_none());
        let is_prefix = |a: &Seen, b: &Seen| a.values.starts_with(&b.values);
        assert!(is_prefix(whole, parts) || is_prefix(parts, whole));
        if whole.error.is_none() {
            assert_eq!(whole, parts);
        }
    }
}
