//! Drives today's client and the reworked one side by side through random connections:
//! `differential_client [--connections N] [--from SEED] [--threads N]`, or `--seed SEED` to run one
//! connection with a trace.
//!
//! Both get the same calls and the same bytes. Every event, error, state, list and byte of output is
//! compared; the first difference is printed with its seed, and the exit status is 1.
//!
//! What differs by design is kept apart by how the ends are made: today's arena has as many chunks as
//! it needs, since its places are counted otherwise, and settings that do not fit a frame, as
//! redirects that are refused, end the comparison once both ends have refused them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use hgrpc::cbor::{ContentEncoding, EncodedArgs, EncodingSet};
use hgrpc::client::{Announcement, CallData, ClientAction, ClientConfig, ClientError, SendAction};
use hgrpc::next::client as next;
use hgrpc::next::output::{Output, Stream};
use hgrpc::next::store::FixedRequests;
use hgrpc::store::{Arena, FixedArena, FixedTable, Table};
use hgrpc::wire::{FrameReader, OutFrame, RequestId, StreamId};
use hgrpc::{ApiMisuse, Protocol, ProtocolError, R0003, R0005, R0006, REVISIONS, Revision};
use hgrpc_std::store::{Budgets, GrowableArena, GrowableTable};

fn main() -> ExitCode {
    let mut options = BTreeMap::new();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match args.next().map(|value| value.parse::<u64>()) {
            Some(Ok(value)) if name.starts_with("--") => options.insert(name, value),
            _ => {
                eprintln!(
                    "usage: differential_client [--connections N] [--from SEED] [--threads N] [--seed SEED]"
                );
                return ExitCode::FAILURE;
            }
        };
    }
    if let Some(seed) = options.get("--seed") {
        let mut counts = Counts::default();
        let result = connection(*seed, &mut counts, true);
        print_counts(&counts);
        return match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(difference) => {
                println!("seed {seed}: {difference}");
                ExitCode::FAILURE
            }
        };
    }
    let option = |name: &str, usual| options.get(name).copied().unwrap_or(usual);
    let (from, connections) = (option("--from", 1), option("--connections", 1_000_000));
    let threads = option("--threads", 2).max(1);
    let workers: Vec<_> = (0..threads)
        .map(|number| {
            std::thread::spawn(move || {
                let mut counts = Counts::default();
                for seed in (from..from + connections)
                    .skip(index(number))
                    .step_by(index(threads))
                {
                    let run = AssertUnwindSafe(|| connection(seed, &mut counts, false));
                    match catch_unwind(run) {
                        Ok(Ok(())) => {}
                        Ok(Err(difference)) => return Err(format!("seed {seed}: {difference}")),
                        Err(_) => return Err(format!("seed {seed}: a panic")),
                    }
                }
                Ok(counts)
            })
        })
        .collect();
    let mut sums = Counts::default();
    let mut is_good = true;
    for worker in workers {
        match worker.join() {
            Ok(Ok(counts)) => {
                for (name, count) in counts {
                    *sums.entry(name).or_default() += count;
                }
            }
            Ok(Err(difference)) => {
                println!("{difference}");
                is_good = false;
            }
            Err(_) => is_good = false,
        }
    }
    print_counts(&sums);
    if is_good {
        println!("{connections} connections, no difference");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How often what came up; names are put together when they are printed.
type Counts = BTreeMap<Name, u64>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Plain(&'static str),
    Pair(&'static str, &'static str),
    Frame(Option<u8>, &'static str),
    Made(String),
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Pair(front, back) => write!(f, "{front}{back}"),
            Self::Frame(None, _) => f.write_str("sent: no frame"),
            Self::Frame(Some(byte), how) => {
                write!(f, "sent: type {}, flags {:x}{how}", byte >> 4, byte & 15)
            }
            Self::Made(name) => f.write_str(name),
        }
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::Plain(name)
    }
}

fn print_counts(counts: &Counts) {
    for (name, count) in counts {
        println!("{count:>12}  {name}");
    }
}

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        index(self.next() % u64::try_from(end).unwrap_or(1))
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// True so many times of a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// What came to an owner, in a form that both ends share.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    what: &'static str,
    id: Option<u16>,
    /// More is expected; is the last; the stream ends.
    flags: [bool; 3],
    data: Vec<u8>,
    /// The rest, as it is printed.
    text: String,
    error: Option<ProtocolError>,
}

impl Seen {
    fn error(error: ProtocolError, id: Option<RequestId>) -> Self {
        Self {
            what: "error",
            id: id.map(RequestId::value),
            error: Some(error),
            ..Self::default()
        }
    }

    fn encoded(stream: StreamId, data: &[u8], is_last: bool, ends_stream: bool) -> Self {
        Self {
            what: "encoded",
            flags: [false, is_last, ends_stream],
            data: data.to_vec(),
            text: stream.to_string(),
            ..Self::default()
        }
    }

    fn of_action(action: Result<ClientAction<'_>, ClientError>) -> Option<Self> {
        let seen = match action {
            Ok(ClientAction::Noop) => return None,
            Ok(ClientAction::ResponseData {
                request_id,
                status,
                data,
                expect_more,
                eos,
            }) => Self {
                what: "response",
                id: Some(request_id.value()),
                flags: [expect_more, eos, false],
                data: data.to_vec(),
                text: status.map_or_else(String::new, |status| format!("{status:?}")),
                error: None,
            },
            Ok(ClientAction::ErrorResponse {
                request_id,
                message,
            }) => Self::message("failed", request_id, &message),
            Ok(ClientAction::TextOutput { request_id, atoms }) => {
                Self::message("text", request_id, &atoms)
            }
            Ok(ClientAction::Progress {
                request_id,
                progress,
            }) => Self::message("progress", request_id, &progress),
            Ok(ClientAction::MessageTooLarge { request_id, kind }) => {
                Self::message("message too large", request_id, &kind)
            }
            Ok(ClientAction::SetDecoder {
                stream_id,
                encoding,
            }) => Self::decoder(stream_id, encoding),
            Ok(_) => Self::default(),
            Err(ClientError { error, request_id }) => Self::error(error, request_id),
        };
        Some(seen)
    }

    fn of_event(event: next::Event<'_>) -> Self {
        match event {
            next::Event::Response {
                request_id,
                status,
                data,
                expects_more,
                is_last,
            } => Self {
                what: "response",
                id: Some(request_id.value()),
                flags: [expects_more, is_last, false],
                data: data.to_vec(),
                text: status.map_or_else(String::new, |status| format!("{status:?}")),
                error: None,
            },
            next::Event::Failed {
                request_id,
                message,
            } => Self::message("failed", request_id, &message),
            next::Event::Text { request_id, atoms } => Self::message("text", request_id, &atoms),
            next::Event::Progress {
                request_id,
                progress,
            } => Self::message("progress", request_id, &progress),
            next::Event::MessageTooLarge { request_id, kind } => {
                Self::message("message too large", request_id, &kind)
            }
            next::Event::SetDecoder {
                stream_id,
                encoding,
            } => Self::decoder(stream_id, encoding),
            next::Event::Encoded {
                stream_id,
                bytes,
                is_last,
                ends_stream,
            } => Self::encoded(stream_id, bytes, is_last, ends_stream),
            next::Event::Error { error, request_id } => Self::error(error, request_id),
            other => Self {
                text: format!("{other:?}"),
                ..Self::default()
            },
        }
    }

    fn message(what: &'static str, id: RequestId, message: &dyn core::fmt::Debug) -> Self {
        Self {
            what,
            id: Some(id.value()),
            text: format!("{message:?}"),
            ..Self::default()
        }
    }

    fn decoder(stream: StreamId, encoding: ContentEncoding) -> Self {
        Self {
            what: "set decoder",
            text: format!("{stream} {encoding}"),
            ..Self::default()
        }
    }

    fn name(&self) -> Name {
        let first = |text: &str| text.split(['(', ' ']).next().unwrap_or_default().to_owned();
        match self.error {
            Some(error) if self.id.is_some() => Name::Pair("error of a request: ", error.name()),
            Some(error) => Name::Pair("error: ", error.name()),
            None if self.what == "response" && !self.text.is_empty() => {
                Name::Made(format!("event: response with status {}", first(&self.text)))
            }
            None if self.what == "failed" => {
                Name::Made(format!("event: failed, {}", first(&self.text)))
            }
            None if self.what == "response" && self.flags[1] => "event: response, last".into(),
            None => Name::Pair("event: ", self.what),
        }
    }
}

/// A decoder as good as any: what comes out depends on every byte that went in.
#[derive(Clone, Copy, Debug)]
struct Decoder {
    encoding: ContentEncoding,
    seen: u8,
}

impl Decoder {
    /// Identity; without the bytes 0xf7; every third byte doubled. `None`: it refuses.
    fn decode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::new();
        for &byte in bytes {
            self.seen = self.seen.wrapping_add(1);
            match self.encoding {
                ContentEncoding::Zlib if byte == 0xf7 => {}
                ContentEncoding::Zlib if byte == 0xee => return None,
                ContentEncoding::Zstd8Mb if self.seen.is_multiple_of(16) => {
                    decoded.extend([byte, byte]);
                }
                _ => decoded.push(byte),
            }
        }
        Some(decoded)
    }
}

/// One call on both ends.
struct Call {
    old: hgrpc::client::Call<'static>,
    upload: next::Upload,
    request: next::Request<'static>,
    id: RequestId,
    data: CallData<'static>,
    /// Data that is known as a whole, or a piece of what is streamed.
    left: &'static [u8],
    /// The piece is the last one.
    is_last: bool,
    /// There is a piece.
    has_piece: bool,
    is_requested: bool,
    is_over: bool,
    /// It waits to be flushed.
    waits: bool,
}

/// Both ends and the world around them.
struct Pair<P: Protocol, const N: usize> {
    random: Random,
    is_traced: bool,
    config: ClientConfig,
    store: usize,
    bytes: usize,
    old: hgrpc::client::Client<P>,
    reader: FrameReader,
    table: Box<dyn Table>,
    arena: Box<dyn Arena>,
    new: next::Client<P, FixedRequests<N>>,
    memory: Vec<u8>,
    calls: Vec<Call>,
    ids: Vec<RequestId>,
    /// What the server still wants to say, by request, and by stream's settings.
    responses: BTreeMap<u16, Vec<u8>>,
    settings: BTreeMap<u8, Vec<u8>>,
    decoders: BTreeMap<u8, Decoder>,
    /// What the old end knows of the current frame.
    decodes: Option<bool>,
    is_dropped: bool,
    /// By a decoder.
    is_refused: bool,
    /// Nothing can be read any more.
    is_deaf: bool,
    /// The ends differ by design from now on.
    is_over: bool,
    /// Streams that ended with frames that are not encoded, by end.
    ended: [Vec<u8>; 2],
    /// A status map, or a part of one, may be held.
    holds_status: bool,
}

type Outcome = Result<(), String>;

macro_rules! trace {
    ($pair:expr, $($what:tt)*) => {
        if $pair.is_traced {
            println!($($what)*);
        }
    };
}

/// Fails if two things are not the same.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, old: &T, new: &T) -> Outcome {
    if old == new {
        return Ok(());
    }
    Err(format!("{what}\n  today    {old:x?}\n  reworked {new:x?}"))
}

fn connection(seed: u64, counts: &mut Counts, is_traced: bool) -> Outcome {
    let mut random = Random(seed);
    match random.below(8) {
        0 => run::<_, 4>(random, R0003, counts, is_traced),
        1 => run::<_, 4>(random, R0005, counts, is_traced),
        2 | 3 => run::<_, 4>(random, R0006, counts, is_traced),
        4 | 5 => {
            let revision = random.of(&REVISIONS);
            run::<_, 8>(random, revision, counts, is_traced)
        }
        _ => {
            let revision = random.of(&REVISIONS);
            run::<_, 4>(random, revision, counts, is_traced)
        }
    }
}

fn configured(random: &mut Random) -> ClientConfig {
    let mut config = ClientConfig::DEFAULT;
    if random.chance(50) {
        config = ClientConfig::FULL_DUPLEX;
    } else {
        config.multiple_sends = random.chance(80);
        config.buffer_sends = random.chance(50);
        config.takes_status = random.chance(60);
    }
    config.send_frame_size = match random.below(6) {
        0 => random.of(&[0, 1, 2, 3, 7, 8, 9]),
        1 => random.of(&[16, 20, 29, 30, 36, 51, 58]),
        2 | 3 => random.of(&[59, 64, 100, 1_000]),
        _ => random.of(&[0x8000, 0x0200_0000]),
    };
    let encodings = [
        Some(ContentEncoding::Zstd8Mb),
        Some(ContentEncoding::Zlib),
        Some(ContentEncoding::Identity),
        None,
    ];
    if config.send_frame_size < 59 || random.chance(20) {
        config.announcement = None;
    } else if random.chance(50) {
        config.announcement = Some(Announcement {
            encodings: [(); 3].map(|()| random.of(&encodings)),
            is_hgrpc: random.chance(50),
        });
    }
    if random.chance(4) {
        config.announcement = ClientConfig::DEFAULT.announcement;
    }
    if random.chance(60) {
        config.decoders = encodings
            .into_iter()
            .flatten()
            .filter(|_| random.chance(90))
            .fold(EncodingSet::EMPTY, EncodingSet::with);
    }
    config.max_frame_size = match random.below(20) {
        0 => random.of(&[0, 3, 30, 60]),
        1..4 => random.of(&[100, 1_000]),
        _ => 65_535,
    };
    config.status_size = random.of(&[0, 1, 10, 11, 12, 40, 100, 4_096, 4_096, 4_096]);
    config
}

fn tables<const N: usize>(store: usize, bytes: usize) -> (Box<dyn Table>, Box<dyn Arena>) {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = N;
    budgets.bytes = bytes;
    if store == 0 {
        return (
            Box::new(GrowableTable::new(budgets)),
            Box::new(GrowableArena::new(budgets)),
        );
    }
    let arena: Box<dyn Arena> = match bytes {
        0 => Box::new(FixedArena::<64, 0>::new()),
        12 => Box::new(FixedArena::<64, 12>::new()),
        40 => Box::new(FixedArena::<64, 40>::new()),
        150 => Box::new(FixedArena::<64, 150>::new()),
        _ => Box::new(FixedArena::<64, 2_000>::new()),
    };
    (Box::new(FixedTable::<N>::new()), arena)
}

fn run<P: Protocol + Choose, const N: usize>(
    mut random: Random,
    protocol: P,
    counts: &mut Counts,
    is_traced: bool,
) -> Outcome {
    let config = configured(&mut random);
    let store = random.below(2);
    let bytes = match store {
        0 => random.below(300),
        _ => random.of(&[0, 12, 40, 150, 2_000, 2_000]),
    };
    let (table, arena) = tables::<N>(store, bytes);
    let mut room = random.of(&[1, 2, 5, 16, 64, 64, 300, 300, 70_000]);
    if config.announcement.is_some() && random.chance(95) {
        room = room.max(64);
    }
    let frame_size = u32::try_from(room).unwrap_or(u32::MAX);
    let mut old_config = config;
    old_config.send_frame_size = config.send_frame_size.clamp(1, frame_size);
    if is_traced {
        println!("{protocol:?}, {N} requests, store {store}, {bytes} bytes, room {room}");
        println!("{config:?}");
    }
    let mut pair = Pair::<P, N> {
        random,
        is_traced,
        config,
        store,
        bytes,
        old: hgrpc::client::Client::new(protocol, old_config),
        reader: FrameReader::new(config.max_frame_size),
        table,
        arena,
        new: next::Client::new(protocol, config, FixedRequests::new()),
        memory: vec![0; bytes],
        calls: Vec::new(),
        ids: Vec::new(),
        responses: BTreeMap::new(),
        settings: BTreeMap::new(),
        decoders: BTreeMap::new(),
        decodes: None,
        is_dropped: true,
        is_refused: false,
        is_deaf: false,
        is_over: false,
        ended: [Vec::new(), Vec::new()],
        holds_status: false,
    };
    let mut buffer = vec![0; room + 8];
    loop {
        let name = Name::Made(format!("connections of {protocol:?} ({N} requests)"));
        *counts.entry(name).or_default() += 1;
        let mut out = Output::new(Stream::CLIENT, &mut buffer);
        pair.session(&mut out, counts)?;
        if pair.is_over || pair.random.chance(70) {
            return Ok(());
        }
        pair.restart(protocol)?;
    }
}

/// A protocol for the next connection.
trait Choose: Copy {
    fn choose(self, random: &mut Random) -> Self;
}

impl Choose for Revision {
    fn choose(self, random: &mut Random) -> Self {
        random.of(&REVISIONS)
    }
}

macro_rules! always {
    ($($name:ident),*) => {$(
        impl Choose for $name {
            fn choose(self, _: &mut Random) -> Self {
                self
            }
        }
    )*};
}
always!(R0003, R0005, R0006);

static DATA: [u8; 400] = {
    let mut data = [0; 400];
    let mut index = 0;
    let mut value = 7u8;
    while index < 400 {
        data[index] = value;
        value = value.wrapping_mul(5).wrapping_add(3);
        index += 1;
    }
    data
};

const NAMES: [&[u8]; 5] = [
    b"",
    b"led",
    b"heads",
    b"a-command-with-a-name-of-42-bytes-or-so-ok",
    { &[b'n'; 300] },
];
const ARGS: [&[u8]; 5] = [
    b"\xa0",
    b"\xa1\x42on\xf5",
    b"\xa2\x42on\xf5\x45level\x18\x2a",
    b"\xbf\xff",
    b"\xa1\x43key\x58\x50aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhh",
];
const REDIRECTS: [&[u8]; 6] = [
    b"",
    b"\xa0",
    b"\xa1\x47targets\x81\x44here",
    b"\xa2\x47targets\x80\x46hashes\x81\x44sha1",
    b"\x80",
    b"\xa0\xa0",
];

impl<P: Protocol + Choose, const N: usize> Pair<P, N> {
    fn restart(&mut self, protocol: P) -> Outcome {
        let protocol = protocol.choose(&mut self.random);
        trace!(self, "restart with {protocol:?}");
        self.old.restart(protocol);
        self.reader.restart();
        (self.table, self.arena) = tables::<N>(self.store, self.bytes);
        self.new.restart(protocol, &mut self.memory);
        self.calls.clear();
        self.responses.clear();
        self.settings.clear();
        self.decoders.clear();
        self.decodes = None;
        self.is_dropped = true;
        self.is_deaf = false;
        self.holds_status = false;
        self.compare()
    }

    fn session(&mut self, out: &mut Output<'_>, counts: &mut Counts) -> Outcome {
        let steps = 8 + self.random.below(60);
        let mut wire = Vec::new();
        for _ in 0..steps {
            match self.random.below(20) {
                0..=2 => self.call(counts)?,
                3..=7 => {
                    for _ in 0..=self.random.below(6) {
                        self.send(out, counts)?;
                    }
                }
                8 => self.flush(counts)?,
                9 if self.random.chance(40) => self.cancel(counts)?,
                _ => {
                    // Something to be answered, mostly.
                    if self.random.chance(90) {
                        for _ in 0..40 {
                            if self.old.active(&*self.table).next().is_some() {
                                break;
                            }
                            self.send(out, counts)?;
                        }
                    }
                    while wire.len() < 4 || self.random.chance(30) {
                        self.server_frame(&mut wire);
                    }
                    let len = match self.random.below(4) {
                        0 => 1,
                        1 => self.random.below(12) + 1,
                        2 => self.random.below(wire.len()) + 1,
                        _ => wire.len(),
                    };
                    let piece: Vec<u8> = wire.drain(..len.min(wire.len())).collect();
                    self.receive(&piece, counts)?;
                }
            }
            if self.is_over {
                return Ok(());
            }
            self.compare()?;
        }
        if self.random.chance(50) {
            self.end(counts)?;
        }
        Ok(())
    }

    /// The lists and states of both ends.
    fn compare(&mut self) -> Outcome {
        let active: Vec<_> = self.old.active(&*self.table).collect();
        same("active", &active, &self.new.active().collect())?;
        if self.random.chance(25) {
            let streams: Vec<_> = self.old.open_streams().collect();
            same("open streams", &streams, &self.new.open_streams().collect())?;
        }
        for id in self.ids.iter().rev().take(12) {
            same(
                "state of a request",
                &(id, self.old.request_state(&*self.table, *id)),
                &(id, self.new.request_state(*id)),
            )?;
        }
        if !self.is_deaf {
            same("finish", &self.reader.finish(), &self.new.finish())?;
        }
        Ok(())
    }

    fn call(&mut self, counts: &mut Counts) -> Outcome {
        let random = &mut self.random;
        let data = match random.below(3) {
            0 => CallData::None,
            1 => CallData::Bytes(&DATA[..random.below(40) * random.below(10)]),
            _ => CallData::Stream,
        };
        let mut request = next::Request::new(random.of(&NAMES), {
            EncodedArgs::from_cbor(random.of(&ARGS)).unwrap_or(EncodedArgs::EMPTY)
        });
        if random.chance(if self.old.revision() == Revision::R0006 {
            40
        } else {
            4
        }) {
            request.redirect = Some(random.of(&REDIRECTS));
            if !random.chance(20) {
                request.redirect = Some(REDIRECTS[random.below(4)]);
            }
        }
        let mut old_request = hgrpc::client::Request::new(request.name, request.args);
        old_request = old_request.with_data(data);
        old_request.redirect = request.redirect;
        let old = self.old.call(&mut *self.table, old_request);
        let new = self.new.request(!matches!(data, CallData::None));
        trace!(
            self,
            "call {} {data:?} {:x?}: {:?}",
            request.name.len(),
            request.redirect,
            old.as_ref()
                .map(|(call, action)| (call.request_id(), *action))
        );
        match (old, new) {
            (Ok((old, action)), Ok((upload, new_action))) => {
                let id = old.request_id();
                same("the ID", &id, &upload.request_id())?;
                same("the action", &action, &new_action)?;
                *counts.entry("request".into()).or_default() += 1;
                let left: &'static [u8] = match data {
                    CallData::Bytes(bytes) => bytes,
                    _ => &[],
                };
                if !self.ids.contains(&id) {
                    self.ids.push(id);
                }
                self.responses.remove(&id.value());
                self.calls.push(Call {
                    old,
                    upload,
                    request,
                    id,
                    data,
                    left,
                    is_last: true,
                    has_piece: matches!(data, CallData::Bytes(_)),
                    is_requested: false,
                    is_over: false,
                    waits: action == SendAction::Noop,
                });
                Ok(())
            }
            (Err(error), Ok((upload, _)))
                if matches!(
                    error,
                    ApiMisuse::TooLarge | ApiMisuse::NotInThisRevision | ApiMisuse::InvalidMessage
                ) =>
            {
                // Refused by the frames, not by the call: each end goes its own way from here.
                let mut buffer = vec![0; 0x8000];
                if error == ApiMisuse::TooLarge {
                    let size = index(self.old.config().send_frame_size.into());
                    buffer.truncate(size + 8);
                }
                let mut out = Output::new(Stream::CLIENT, &mut buffer);
                let mut result = self.new.send(&upload, &request, &mut out);
                if result == Ok(false) && error != ApiMisuse::TooLarge {
                    // The settings.
                    result = self.new.send(&upload, &request, &mut out);
                }
                self.is_over = true;
                *counts
                    .entry(Name::Made(format!("misuse: {error}, by `send`")))
                    .or_default() += 1;
                same("refusal", &Err(error), &result)
            }
            (Err(old), Err(new)) => {
                // What today's call refuses first is refused by `send` now; nothing changed in either.
                let by_send = [
                    ApiMisuse::TooLarge,
                    ApiMisuse::NotInThisRevision,
                    ApiMisuse::InvalidMessage,
                ];
                if by_send.contains(&old) && new == ApiMisuse::RequestIdsExhausted {
                    return Ok(());
                }
                *counts
                    .entry(Name::Pair("misuse: ", old.name()))
                    .or_default() += 1;
                same("call", &old, &new)
            }
            (old, new) => Err(format!("call: {:?} and {:?}", old.err(), new.err())),
        }
    }

    fn flush(&mut self, counts: &mut Counts) -> Outcome {
        let old = self.old.flush();
        trace!(self, "flush: {old:?}");
        if old == Ok(SendAction::SendFrames) {
            for call in &mut self.calls {
                call.waits = false;
            }
        }
        let name = match old {
            Ok(SendAction::Noop) => "flush: nothing".into(),
            Ok(SendAction::SendFrames) => "flush: frames".into(),
            Err(error) => Name::Pair("misuse: ", error.name()),
        };
        *counts.entry(name).or_default() += 1;
        same("flush", &old, &self.new.flush())
    }

    fn cancel(&mut self, counts: &mut Counts) -> Outcome {
        let id = match self.ids.len() {
            0 => RequestId::new(1),
            _ if self.random.chance(4) => RequestId::new(self.random.byte().into()),
            // Of late more often than of old.
            len => self.ids[len - 1 - self.random.below(len.min(6))],
        };
        let state = self.old.request_state(&*self.table, id);
        let old = self.old.cancel(&mut *self.table, &mut *self.arena, id);
        let new = self.new.cancel(id, &mut self.memory);
        trace!(self, "cancel {id}: {old:?}");
        let name = match old {
            Ok(()) => Name::Pair("cancel: ", state.map_or("?", |state| state.name())),
            Err(error) => Name::Pair("misuse: ", error.name()),
        };
        *counts.entry(name).or_default() += 1;
        same("cancel", &old, &new)
    }

    /// Makes a frame of one of the calls.
    fn send(&mut self, out: &mut Output<'_>, counts: &mut Counts) -> Outcome {
        let may: Vec<_> = (0..self.calls.len())
            .filter(|at| !self.calls[*at].waits || self.random.chance(3))
            .collect();
        if may.is_empty() {
            return Ok(());
        }
        // In the order of the calls, mostly.
        let at = match self.random.chance(70) {
            true => may[0],
            false => self.random.of(&may),
        };
        let mut call = self.calls.remove(at);
        let result = self.send_of(&mut call, out, counts);
        if !call.is_over || self.random.chance(20) {
            self.calls.insert(at, call);
        }
        result
    }

    fn send_of(&mut self, call: &mut Call, out: &mut Output<'_>, counts: &mut Counts) -> Outcome {
        let size = index(self.old.config().send_frame_size.into());
        let mut old_out = self.old.output(&mut *self.table);
        let wants_data = call.old.wants_data();
        if !call.is_requested {
            let is_early = self.random.chance(10)
                && self.new.send_data(&call.upload, &mut &DATA[..3], true, out)
                    == Err(ApiMisuse::OutOfOrder);
            if is_early {
                // Before the request's own frames; the other end agrees, whatever the call is.
                let old = call.old.data_frame(&mut old_out, &DATA[..1], true);
                same("early data", &Some(ApiMisuse::OutOfOrder), &old.err())?;
                *counts.entry("misuse: out-of-order".into()).or_default() += 1;
            }
            let old = bytes_of(call.old.next_frame(&mut old_out));
            let new = self.new.send(&call.upload, &call.request, out);
            trace!(self, "send {}: {:x?}, {new:?}", call.id, old);
            same("a frame of a request", &old, &out.frame().to_vec())?;
            call.is_requested = new.map_err(|error| format!("send: {error}"))?;
            *counts.entry(frame_name(out.frame(), "")).or_default() += 1;
        } else if matches!(call.data, CallData::Bytes(_)) {
            let old = bytes_of(call.old.next_frame(&mut old_out));
            let new = self.new.send_data(&call.upload, &mut call.left, true, out);
            trace!(self, "data {}: {:x?}, {new:?}", call.id, old);
            same("a frame of data", &old, &out.frame().to_vec())?;
            call.is_over = new.map_err(|error| format!("data: {error}"))?;
            *counts.entry(frame_name(out.frame(), "")).or_default() += 1;
            return same("an end", &call.old.is_ended(), &call.is_over);
        } else if !wants_data {
            let old = bytes_of(call.old.next_frame(&mut old_out));
            same("no frame", &old, &Vec::new())?;
            let old = call.old.data_frame(&mut old_out, &DATA[..1], true);
            let new = self.new.data_header(&call.upload, 1, true, out);
            same(
                "no data",
                &old.map(|frame| frame.is_some()),
                &new.map(|header| header.is_some()),
            )?;
            let new = self.new.send(&call.upload, &call.request, out);
            same("no frames", &(Ok(true), &[][..]), &(new, out.frame()))?;
            let mut more = &DATA[..2];
            let new = self.new.send_data(&call.upload, &mut more, true, out);
            same(
                "nothing",
                &(Ok(true), &[][..], &[][..]),
                &(new, out.frame(), more),
            )?;
            call.is_over = true;
        } else if !call.has_piece && self.random.chance(40) {
            // A header, and the payload where it lies.
            let len = match self.random.below(10) {
                0 => index(self.config.send_frame_size.into()) + 1,
                1 => 0,
                2 => size.min(400),
                _ => self.random.below(40).min(size),
            };
            let Some(piece) = DATA.get(..len) else {
                return Ok(());
            };
            if len > size && index(self.config.send_frame_size.into()) >= len {
                return Ok(());
            }
            let is_last = self.random.chance(20);
            let old = call.old.data_frame(&mut old_out, piece, is_last);
            let new = self.new.data_header(&call.upload, len, is_last, out);
            trace!(
                self,
                "header {} {len} {is_last}: {old:x?}, {new:?}", call.id
            );
            let (old, new) = match (old, new) {
                (Err(old), Err(new)) => {
                    *counts
                        .entry(Name::Pair("misuse: ", old.name()))
                        .or_default() += 1;
                    return same("misuse", &old, &new);
                }
                (Ok(old), Ok(new)) => (bytes_of(old), new),
                (old, new) => return Err(format!("{old:?} and {new:?}")),
            };
            let new = match new {
                Some(header) => [header.emit(), piece].concat(),
                None => {
                    let result = self.new.send_data(&call.upload, &mut &[][..], true, out);
                    same("the end", &Ok(true), &result)?;
                    out.frame().to_vec()
                }
            };
            same("a frame of data", &old, &new)?;
            *counts.entry(frame_name(&new, ", by header")).or_default() += 1;
        } else {
            if !call.has_piece {
                call.has_piece = true;
                let most = if size > 300 { 300 } else { size * 3 };
                call.left = &DATA[..self.random.below(most + 2).min(DATA.len())];
                if self.random.chance(10) && size * 2 < DATA.len() {
                    call.left = &DATA[..size * self.random.below(3)];
                }
                call.is_last = self.random.chance(25);
            }
            let left = call.left;
            let new = self
                .new
                .send_data(&call.upload, &mut call.left, call.is_last, out);
            let chunk = left.get(..size).unwrap_or(left);
            let is_end = call.is_last && chunk.len() < size;
            let old = if chunk.is_empty() && !is_end && !out.frame().is_empty() {
                // An empty piece is not sent, but says that the data is over if it is.
                bytes_of(
                    call.old
                        .data_frame(&mut old_out, &[], true)
                        .unwrap_or_default(),
                )
            } else if chunk.is_empty() && !is_end {
                Vec::new()
            } else {
                let old = call.old.data_frame(&mut old_out, chunk, is_end);
                bytes_of(old.map_err(|error| format!("data frame: {error}"))?)
            };
            trace!(self, "piece {}: {old:x?}, {new:?}", call.id);
            same("a frame of data", &old, &out.frame().to_vec())?;
            call.has_piece = !new.map_err(|error| format!("piece: {error}"))?;
            *counts.entry(frame_name(out.frame(), "")).or_default() += 1;
        }
        if call.old.is_ended() && call.is_requested && matches!(call.data, CallData::None) {
            // Frames that come now are none.
            call.is_over = self.random.chance(80);
        }
        Ok(())
    }

    fn end(&mut self, counts: &mut Counts) -> Outcome {
        if !self.is_deaf {
            let old = self.reader.finish();
            same("finish", &old, &self.new.finish())?;
            if let Err(error) = old {
                *counts
                    .entry(Name::Pair("error at the end: ", error.name()))
                    .or_default() += 1;
            }
        }
        loop {
            let old = self.old.handle_eof(&mut *self.table);
            let new = self.new.handle_eof(&mut self.memory);
            trace!(self, "end of input: {old:?}");
            same("unanswered", &old, &new)?;
            if old.is_none() {
                return self.compare();
            }
            *counts.entry("event: unanswered".into()).or_default() += 1;
            if self.random.chance(30) {
                self.compare()?;
            }
        }
    }
}

fn bytes_of(frame: Option<OutFrame<'_>>) -> Vec<u8> {
    let Some(frame) = frame else {
        return Vec::new();
    };
    let mut bytes = vec![0; frame.wire_len()];
    let _ = frame.copy_to(&mut bytes);
    bytes
}

fn frame_name(frame: &[u8], how: &'static str) -> Name {
    Name::Frame(frame.get(7).copied(), how)
}

impl<P: Protocol + Choose, const N: usize> Pair<P, N> {
    /// Gives a piece of input to both ends, an event at a time.
    fn receive(&mut self, piece: &[u8], counts: &mut Counts) -> Outcome {
        if self.is_deaf {
            return Ok(());
        }
        trace!(self, "input {piece:x?}");
        let [mut old_input, mut new_input] = [piece; 2];
        loop {
            let old = self.old_next(&mut old_input);
            let new = loop {
                match self.new.next(&mut new_input, &mut self.memory) {
                    Some(next::Event::DropDecoder { stream_id }) => {
                        self.ended[1].push(stream_id.value());
                    }
                    event => break event.map(Seen::of_event),
                }
            };
            trace!(self, "  {old:x?}");
            same("an event", &old, &new)?;
            let [old_ended, new_ended] = std::mem::take(&mut self.ended);
            same("streams that ended", &old_ended, &new_ended)?;
            for stream in old_ended {
                self.decoders.remove(&stream);
                *counts.entry("event: drop decoder".into()).or_default() += 1;
            }
            let Some(seen) = old else {
                return Ok(());
            };
            *counts.entry(seen.name()).or_default() += 1;
            if seen.error == Some(ProtocolError::FrameTooLarge) {
                self.is_deaf = true;
                return Ok(());
            }
            same("input left", &old_input.len(), &new_input.len())?;
            self.note(&seen);
            if seen.what == "encoded" {
                self.decode(&seen, counts)?;
            }
            if self.is_over {
                return Ok(());
            }
            if self.random.chance(4) {
                self.cancel(counts)?;
            }
            if self.random.chance(20) {
                self.compare()?;
            }
        }
    }

    /// What an owner does with an event, beside decoding.
    fn note(&mut self, seen: &Seen) {
        if let Some((stream, encoding)) = seen.text.split_once(' ')
            && seen.what == "set decoder"
            && let (Ok(stream), Some(encoding)) = (
                stream.parse(),
                ContentEncoding::from_name(encoding.as_bytes()),
            )
        {
            self.decoders.insert(stream, Decoder { encoding, seen: 0 });
        }
        if seen.what == "message too large" && self.holds_status && seen.text == "ErrorResponse" {
            // Today's end keeps what came of the status map of a request that ended so.
            self.is_over = true;
        }
    }

    /// The next event of today's end.
    fn old_next(&mut self, input: &mut &[u8]) -> Option<Seen> {
        loop {
            let part = match self.reader.next(input) {
                Ok(Some(part)) => part,
                Ok(None) => return None,
                Err(error) => return Some(Seen::error(error, None)),
            };
            if part.is_first {
                self.decodes = None;
                self.is_dropped = false;
                self.is_refused = false;
                match self.old.begin_frame(&part.header, &mut *self.table) {
                    Ok(verdict) => {
                        if verdict.decoder.is_some()
                            && self.config.decoders != EncodingSet::IDENTITY
                        {
                            self.decodes = Some(verdict.ends_stream);
                        } else if verdict.ends_stream
                            && self.old.revision() == Revision::R0006
                            && self.config.decoders != EncodingSet::IDENTITY
                        {
                            self.ended[0].push(part.header.stream_id().value());
                        }
                    }
                    Err(ClientError { error, request_id }) => {
                        self.is_dropped = true;
                        return Some(Seen::error(error, request_id));
                    }
                }
            }
            if self.is_dropped {
                if self.is_refused && part.is_last {
                    // The end of a frame whose bytes a decoder refused.
                    let table = &mut *self.table;
                    let _ = self.old.handle_part(&[], true, table, &mut *self.arena);
                }
                continue;
            }
            if let Some(ends_stream) = self.decodes {
                let stream = part.header.stream_id();
                return Some(Seen::encoded(stream, part.bytes, part.is_last, ends_stream));
            }
            if part.header.kind(self.old.revision()) == self.old.revision().response_kind() {
                self.holds_status = self.config.takes_status;
            }
            let action =
                self.old
                    .handle_part(part.bytes, part.is_last, &mut *self.table, &mut *self.arena);
            if let Some(seen) = Seen::of_action(action) {
                return Some(seen);
            }
        }
    }

    /// Decodes bytes and gives what comes out to both ends.
    fn decode(&mut self, encoded: &Seen, counts: &mut Counts) -> Outcome {
        self.holds_status = self.config.takes_status;
        let [_, is_last, ends_stream] = encoded.flags;
        let stream: u8 = encoded.text.parse().unwrap_or_default();
        let error = ProtocolError::EncodingUnusable;
        let decoded = match self.decoders.get_mut(&stream) {
            None => Err(error),
            Some(decoder) => decoder
                .decode(&encoded.data)
                .ok_or(ProtocolError::DecodeFailed),
        };
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                let ClientError { error, request_id } = self.old.handle_decode_error(error);
                let old = Seen::error(error, request_id);
                self.is_dropped = true;
                self.is_refused = true;
                let new = Seen::of_event(self.new.handle_decode_error(error));
                *counts.entry(old.name()).or_default() += 1;
                trace!(self, "  decoder: {error}");
                if is_last && ends_stream {
                    self.decoders.remove(&stream);
                }
                return same("a decoder's error", &old, &new);
            }
        };
        let mut pieces = Vec::new();
        let mut rest = &decoded[..];
        while !rest.is_empty() && self.random.chance(60) {
            let (piece, behind) = rest.split_at(self.random.below(rest.len()) + 1);
            pieces.push((piece, false));
            rest = behind;
        }
        // All of it, with its end or before it.
        if self.random.chance(50) || !is_last {
            pieces.push((rest, is_last));
        } else {
            pieces.push((rest, false));
            pieces.push((&[], true));
        }
        for (piece, is_last) in pieces {
            let old = self
                .old
                .handle_part(piece, is_last, &mut *self.table, &mut *self.arena);
            let old = Seen::of_action(old);
            let new = self.new.decoded(piece, is_last, &mut self.memory);
            let new = new.map(Seen::of_event);
            trace!(self, "  decoded {piece:x?} {is_last}: {old:x?}");
            same("an event of decoded bytes", &old, &new)?;
            if let Some(seen) = old {
                *counts.entry(seen.name()).or_default() += 1;
                *counts.entry("events of decoded bytes".into()).or_default() += 1;
                self.note(&seen);
            }
            if self.is_over {
                return Ok(());
            }
            if self.random.chance(3) {
                self.cancel(counts)?;
            }
        }
        if is_last && ends_stream {
            self.decoders.remove(&stream);
        }
        Ok(())
    }

    /// Adds a frame of the server's to what is on the wire.
    fn server_frame(&mut self, wire: &mut Vec<u8>) {
        let revision = self.old.revision();
        let open: Vec<u8> = self.old.open_streams().map(StreamId::value).collect();
        let mut stream = self.random.of(&[0u8, 2, 2, 2, 2, 2, 2, 254]);
        let mut stream_flags = 0;
        if !open.contains(&stream) && self.random.chance(97) || self.random.chance(3) {
            stream_flags |= 1;
        }
        if self.random.chance(3) {
            stream_flags |= 2;
        }
        if self.random.chance(1) {
            stream = self.random.byte();
        }
        let is_encoded = self.decoders.contains_key(&stream) && self.random.chance(70);
        if is_encoded || self.random.below(200) == 0 {
            stream_flags |= 4;
        }
        let states: Vec<_> = self
            .ids
            .iter()
            .filter(|id| self.old.request_state(&*self.table, **id).is_some())
            .copied()
            .collect();
        let active: Vec<_> = self.old.active(&*self.table).collect();
        let id = if states.is_empty() || self.random.chance(6) {
            match self.ids.len() {
                0 => 1,
                _ if self.random.chance(20) => self.random.below(20).try_into().unwrap_or(0),
                len => self.ids[self.random.below(len)].value(),
            }
        } else if active.is_empty() || self.random.chance(15) {
            self.random.of(&states).value()
        } else {
            self.random.of(&active).value()
        };
        let settings_kind = if revision == Revision::R0006 { 9 } else { 8 };
        let response_kind = if revision == Revision::R0003 { 4 } else { 3 };
        let choice = self.random.below(100);
        let (kind, flags, payload) = match choice {
            0..=59 => {
                let (flags, payload) = self.response(id);
                (response_kind, flags, payload)
            }
            60..=69 => (5, self.random.of(&[0, 0, 0, 1, 2, 3, 15]), self.error()),
            70..=76 => (6, 0, self.text()),
            77..=83 => (7, 0, self.progress()),
            84..=96 => {
                let (flags, payload) = self.stream_settings(stream);
                (settings_kind, flags, payload)
            }
            _ => {
                let len = self.random.below(30);
                let kind = self.random.byte() & 15;
                (kind, self.random.byte() & 15, DATA[..len].to_vec())
            }
        };
        let mut payload = payload;
        if is_encoded && self.random.chance(50) {
            // What the dropping decoder drops; rarely what it refuses.
            for _ in 0..self.random.below(4) {
                let at = self.random.below(payload.len() + 1);
                payload.insert(at, if self.random.chance(3) { 0xee } else { 0xf7 });
            }
        }
        let mut len = payload.len();
        if self.random.below(1_000) == 0 {
            len += 70_000;
        }
        let [a, b, c, _] = u32::try_from(len).unwrap_or(0).to_le_bytes();
        let [low, high] = id.to_le_bytes();
        wire.extend([a, b, c, low, high, stream, stream_flags, kind << 4 | flags]);
        wire.extend(payload);
    }

    /// Flags and payload of the next frame of a response.
    fn response(&mut self, id: u16) -> (u8, Vec<u8>) {
        let random = &mut self.random;
        let rest = self.responses.entry(id).or_insert_with(|| {
            let mut all = STATUSES[random.below(STATUSES.len())].to_vec();
            if random.chance(40) {
                all = STATUSES[random.below(2)].to_vec();
            }
            if random.chance(10) {
                let len = random.below(all.len() + 1);
                all.truncate(len);
            } else if random.chance(10) && !all.is_empty() {
                let at = random.below(all.len());
                all[at] = random.byte();
            }
            all.extend(&DATA[..random.below(40)]);
            all
        });
        let len = match random.below(5) {
            0 => random.below(3).min(rest.len()),
            1 => random.below(12).min(rest.len()),
            2 => random.below(rest.len() + 1),
            _ => rest.len(),
        };
        let mut payload: Vec<u8> = rest.drain(..len).collect();
        if random.chance(3) {
            payload.extend(&DATA[..random.below(400)]);
        }
        let flags = if rest.is_empty() {
            random.of(&[2, 2, 2, 1, 0, 3, 6, 14])
        } else {
            random.of(&[1, 1, 1, 1, 1, 1, 0, 2, 3, 4, 13])
        };
        if flags & 2 != 0 {
            self.responses.remove(&id);
        }
        (flags, payload)
    }

    fn spoiled(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.random.chance(8) && !bytes.is_empty() {
            let at = self.random.below(bytes.len());
            bytes[at] = self.random.byte();
        }
        if self.random.chance(5) {
            bytes.truncate(self.random.below(bytes.len() + 1));
        }
        if self.random.chance(3) {
            bytes.push(self.random.byte());
        }
        bytes
    }

    fn error(&mut self) -> Vec<u8> {
        let bytes = self.random.of(&[
            &b"\xa2\x44type\x46server\x47message\x81\xa1\x43msg\x44oops"[..],
            b"\xa2\x44type\x47command\x47message\x81\xa2\x43msg\x46oops%s\x44args\x81\x41a",
            b"\xbf\x47message\x41a\x44type\x5f\x42pr\x42ot\xff\xff",
            b"\xa2\x44type\x65textu\x47message\x80",
            b"\xa1\x44type\x46server",
            b"oops",
            b"",
        ]);
        self.spoiled(bytes.to_vec())
    }

    fn text(&mut self) -> Vec<u8> {
        let bytes = self.random.of(&[
            &b"\x81\xa1\x43msg\x45hello"[..],
            b"\x82\xa2\x43msg\x43a%s\x44args\x81\x41b\xa2\x43msg\x41c\x46labels\x81\x45label",
            b"\x9f\xa1\x43msg\x44abcd\xff",
            b"\x80",
            b"\x81\xa0",
            b"\x45hello",
        ]);
        self.spoiled(bytes.to_vec())
    }

    fn progress(&mut self) -> Vec<u8> {
        let bytes = self.random.of(&[
            &b"\xa3\x45topic\x44work\x43pos\x05\x45total\x0a"[..],
            b"\xa5\x45topic\x44work\x43pos\x05\x45total\x0a\x45label\x41l\x44item\x41i",
            b"\xa3\x45topic\x64work\x43pos\x20\x45total\x00",
            b"\xa1\x45topic\x44work",
            b"\xa0",
        ]);
        self.spoiled(bytes.to_vec())
    }

    /// Flags and payload of the next frame of a stream's settings.
    fn stream_settings(&mut self, stream: u8) -> (u8, Vec<u8>) {
        let random = &mut self.random;
        let rest = self.settings.entry(stream).or_insert_with(|| {
            let mut all = match random.below(16) {
                0 => b"\x44gzip".to_vec(),
                1 => b"\x64zlib".to_vec(),
                2 => b"\x48identity\x41x".to_vec(),
                3 => b"\x81\x44zlib".to_vec(),
                4 => Vec::new(),
                5 => b"\x5f\x44zlib\xff".to_vec(),
                6 => [b"\x58\x50".as_slice(), &DATA[..80]].concat(),
                _ => random.of(&ContentEncoding::ALL).stream_settings().to_vec(),
            };
            if random.chance(8) && !all.is_empty() {
                let at = random.below(all.len());
                all[at] = random.byte();
            }
            all
        });
        let len = match random.below(3) {
            0 => random.below(rest.len() + 1),
            _ => rest.len(),
        };
        let payload: Vec<u8> = rest.drain(..len).collect();
        let is_end = rest.is_empty() && random.chance(90);
        if is_end {
            self.settings.remove(&stream);
        }
        let flags = match (is_end, random.chance(95)) {
            (true, true) => 2,
            (false, true) => 1,
            _ => random.byte() & 15,
        };
        (flags, payload)
    }
}

const STATUSES: [&[u8]; 9] = [
    b"\xa1\x46status\x42ok",
    b"\xa1\x46status\x42ok",
    b"\xa2\x46status\x42ok\x45extra\x83\x01\x02\x03",
    b"\xa2\x46status\x45error\x45error\xa1\x47message\x81\xa1\x43msg\x44oops",
    b"\xa2\x46status\x45error\x45error\xa2\x47message\x44oops\x44args\x80",
    b"\xa2\x46status\x48redirect\x48location\xa2\x43url\x41u\x49mediatype\x41m",
    b"\xbf\x46status\x5f\x41o\x41k\xff\xff",
    b"\xa1\x46status\x44what",
    b"\x80",
];

/// Prints what an owner sees, for a trace.
impl core::fmt::Display for Seen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = String::new();
        write!(text, "{self:?}")?;
        f.write_str(&text)
    }
}
