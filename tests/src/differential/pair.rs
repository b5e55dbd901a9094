//! The two servers, made alike.

use hgrpc::next::output::{Output, Stream};
use hgrpc::next::server::Server as Second;
use hgrpc::next::store::{FixedRequests, Key, Requests, Slot};
use hgrpc::wire::RequestId;
use hgrpc::{R0003, R0005, R0006, Revision, Streaming};
use hgrpc_std::requests::{GatheredBytes, GrowableRequests};
use hgrpc_std::store::{Budgets, GrowableArena, GrowableTable};

use super::judge;
use super::judge::server::{OutputStream, Server as First};
use super::judge::store::{Arena, FixedArena, FixedTable, Table};
use super::judge::wire::FrameReader;
use super::rng::Rng;

/// How the revision is chosen, of both cores.
pub(super) trait Chosen {
    type First: judge::Protocol;
    type Second: hgrpc::Protocol;
    /// The revision cannot be another.
    const IS_TYPED: bool;

    fn first(revision: Revision) -> Self::First;
    fn second(revision: Revision) -> Self::Second;
}

macro_rules! chosen {
    ($($name:ident: $is_typed:literal, $revision:ident => $type:ty, $first:expr, $second:expr;)*) => {$(
        #[derive(Debug)]
        pub(super) struct $name;

        impl Chosen for $name {
            type First = inner::first::$name;
            type Second = $type;
            const IS_TYPED: bool = $is_typed;

            fn first($revision: Revision) -> Self::First {
                let _ = $revision;
                $first
            }

            fn second($revision: Revision) -> Self::Second {
                let _ = $revision;
                $second
            }
        }
    )*};
}

mod inner {
    pub(super) mod first {
        use super::super::judge::{R0003, R0005, R0006, Revision, Streaming};

        pub(in super::super) type ByValue = Revision;
        pub(in super::super) type Typed0003 = R0003;
        pub(in super::super) type Typed0005 = R0005;
        pub(in super::super) type Typed0006 = R0006;
        pub(in super::super) type StreamingByValue = Streaming<Revision>;
        pub(in super::super) type Streaming0003 = Streaming<R0003>;
        pub(in super::super) type Streaming0005 = Streaming<R0005>;
        pub(in super::super) type Streaming0006 = Streaming<R0006>;
    }
}

chosen! {
    ByValue: false, revision => Revision, as_first(revision), revision;
    Typed0003: true, revision => R0003, judge::R0003, R0003;
    Typed0005: true, revision => R0005, judge::R0005, R0005;
    Typed0006: true, revision => R0006, judge::R0006, R0006;
    StreamingByValue: false, revision => Streaming<Revision>,
        judge::Streaming(as_first(revision)), Streaming(revision);
    Streaming0003: true, revision => Streaming<R0003>, judge::Streaming(judge::R0003), Streaming(R0003);
    Streaming0005: true, revision => Streaming<R0005>, judge::Streaming(judge::R0005), Streaming(R0005);
    Streaming0006: true, revision => Streaming<R0006>, judge::Streaming(judge::R0006), Streaming(R0006);
}

fn as_first(revision: Revision) -> judge::Revision {
    judge::Revision::from_name(revision.name()).unwrap_or_default()
}

/// How large stores are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

/// Sizes of fixed stores.
pub(super) const REQUESTS: [usize; 3] = [1, 4, 32];
pub(super) const BYTES: [usize; 6] = [16, 64, 256, 256, 4096, 4096];

/// The store of the second server.
pub(super) trait Backing: Requests + Sized {
    fn make(size: Size) -> (Self, Box<Self::Memory>);
}

/// Fixed stores of any of the sizes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and no allocation beside what is compared"
)]
pub(super) enum Fixed {
    One(FixedRequests<1>),
    Four(FixedRequests<4>),
    Many(FixedRequests<32>),
}

impl Backing for Fixed {
    fn make(size: Size) -> (Self, Box<[u8]>) {
        let requests = match size.requests {
            1 => Self::One(FixedRequests::new()),
            4 => Self::Four(FixedRequests::new()),
            _ => Self::Many(FixedRequests::new()),
        };
        (requests, vec![0xaa; size.bytes].into())
    }
}

impl Backing for GrowableRequests {
    fn make(size: Size) -> (Self, Box<GatheredBytes>) {
        let memory = GatheredBytes::new(size.bytes);
        (Self::new(budgets(size)), Box::new(memory))
    }
}

fn budgets(size: Size) -> Budgets {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = size.requests;
    budgets.refused = size.requests;
    budgets.bytes = size.bytes;
    budgets
}

macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::One($store) => $call,
            Self::Four($store) => $call,
            Self::Many($store) => $call,
        }
    };
}

impl Requests for Fixed {
    type Memory = [u8];

    fn capacity(&self) -> usize {
        each!(self, store => store.capacity())
    }

    fn find(&mut self, key: Key) -> Option<&mut Slot> {
        each!(self, store => store.find(key))
    }

    fn open(&mut self, key: Key, order: u32, bits: u16) -> bool {
        each!(self, store => store.open(key, order, bits))
    }

    fn remove(&mut self, key: Key) {
        each!(self, store => store.remove(key));
    }

    fn next_after(&self, order: Option<u32>) -> Option<(RequestId, Slot)> {
        each!(self, store => store.next_after(order))
    }

    fn room(&self, memory: &[u8]) -> usize {
        each!(self, store => store.room(memory))
    }

    fn append(&mut self, key: Key, bytes: &[u8], memory: &mut [u8]) -> bool {
        each!(self, store => store.append(key, bytes, memory))
    }

    fn gathered<'m>(&self, key: Key, memory: &'m [u8]) -> &'m [u8] {
        each!(self, store => store.gathered(key, memory))
    }

    fn take(&mut self, key: Key, memory: &mut [u8]) {
        each!(self, store => store.take(key, memory));
    }

    fn taken<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        each!(self, store => store.taken(memory))
    }

    fn release(&mut self, memory: &mut [u8]) {
        each!(self, store => store.release(memory));
    }

    fn clear(&mut self, memory: &mut [u8]) {
        each!(self, store => store.clear(memory));
    }
}

/// The first server's store of this size, fixed or growable.
pub(super) fn table_and_arena(size: Size, is_growable: bool) -> (Box<dyn Table>, Box<dyn Arena>) {
    if is_growable {
        return (
            Box::new(GrowableTable::new(budgets(size))),
            Box::new(GrowableArena::new(budgets(size))),
        );
    }
    let table: Box<dyn Table> = match size.requests {
        1 => Box::new(FixedTable::<1>::new()),
        4 => Box::new(FixedTable::<4>::new()),
        _ => Box::new(FixedTable::<32>::new()),
    };
    macro_rules! arena {
        ($($requests:literal, $bytes:literal;)*) => {
            match (size.requests, size.bytes) {
                $(($requests, $bytes) => Box::new(FixedArena::<$requests, $bytes>::new()),)*
                _ => Box::new(FixedArena::<32, 4096>::new()),
            }
        };
    }
    let arena: Box<dyn Arena> = arena! {
        1, 16; 1, 64; 1, 256; 1, 4096;
        4, 16; 4, 64; 4, 256; 4, 4096;
        32, 16; 32, 64; 32, 256;
    };
    (table, arena)
}

/// Limits and modes, for both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) size: Size,
    pub(super) is_growable: bool,
    max_frame_size: u32,
    request_size: u32,
    data_size: u32,
    request_frames: u16,
    settings_size: u32,
    settings_frames: u16,
    /// As the second server has it.
    send_frame_size: u32,
    /// Bytes of payload that fit the buffer of a frame.
    pub(super) room: usize,
    is_streaming: bool,
    first_order: u32,
    always_notes: bool,
}

impl Setup {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let limits = hgrpc::Limits::DEFAULT;
        let is_small = rng.chance(40);
        let mut small = |usual: u32, all: &[u32]| match is_small && rng.chance(30) {
            true => rng.pick(all),
            false => usual,
        };
        let max_frame_size = small(limits.max_frame_size, &[40, 99, 0]);
        let request_size = small(limits.request_size, &[0, 12, 20, 40]);
        let data_size = small(limits.data_size, &[0, 5, 20, 50]);
        let settings_size = small(limits.settings_size, &[0, 20, 40]);
        let request_frames = small(limits.request_frames.into(), &[0, 1, 2, 3]);
        let settings_frames = small(limits.settings_frames.into(), &[0, 1, 2]);
        let room = rng.pick(&[1, 9, 11, 12, 24, 56, 56, 64, 120, 120, 300, 300]);
        let send_frame_size = rng.pick(&[
            0,
            10,
            20,
            56,
            60,
            300,
            0x8000,
            0x8000,
            0x8000,
            0x8000,
            0x8000,
            0x8000,
            0x8000,
            u32::MAX,
        ]);
        Self {
            size: Size {
                requests: rng.pick(&REQUESTS),
                bytes: rng.pick(&BYTES),
            },
            is_growable: rng.chance(30),
            max_frame_size,
            request_size,
            data_size,
            request_frames: u16::try_from(request_frames).unwrap_or(u16::MAX),
            settings_size,
            settings_frames: u16::try_from(settings_frames).unwrap_or(u16::MAX),
            send_frame_size,
            room,
            is_streaming: rng.chance(50),
            first_order: rng.pick(&[0, 1, 65_530, 0x0001_0000, u32::MAX - 3]),
            always_notes: rng.chance(30),
        }
    }

    /// Most payload of a frame, in both.
    pub(super) fn frame(&self) -> usize {
        let send = usize::try_from(self.send_frame_size).unwrap_or(usize::MAX);
        send.clamp(1, self.room)
    }
}

/// The configuration of one of the two cores.
macro_rules! config {
    ($self:ident, $core:ident, $send_frame_size:expr) => {{
        let mut config = $core::server::ServerConfig::DEFAULT;
        config.limits.max_frame_size = $self.max_frame_size;
        config.limits.request_size = $self.request_size;
        config.limits.data_size = $self.data_size;
        config.limits.request_frames = $self.request_frames;
        config.limits.settings_size = $self.settings_size;
        config.limits.settings_frames = $self.settings_frames;
        config.send_frame_size = $send_frame_size;
        if $self.is_streaming {
            config.data_mode = $core::server::DataMode::Stream;
        }
        config.first_order = $self.first_order;
        config.always_side_frames = $self.always_notes;
        config
    }};
}

/// Both servers, and where they write.
pub(super) struct Pair<'b, C: Chosen, T: Backing> {
    pub(super) setup: Setup,
    pub(super) first: First<C::First>,
    pub(super) reader: FrameReader,
    pub(super) table: Box<dyn Table>,
    pub(super) second: Second<C::Second, T>,
    pub(super) lanes: Vec<Lane<'b>>,
    pub(super) spare: Vec<&'b mut [u8]>,
    /// A stream was opened on this connection.
    pub(super) has_opened: bool,
    /// It is [`Stream::ONLY`].
    pub(super) has_only: bool,
}

/// An output stream of both.
pub(super) struct Lane<'b> {
    pub(super) first: OutputStream,
    pub(super) second: Output<'b>,
    /// 0006: the response whose pieces are joined there.
    pub(super) joined: Option<u16>,
    /// 0006: something is joined there for a response that came to nothing.
    pub(super) is_stale: bool,
    pub(super) is_ended: bool,
}

impl<'b, C: Chosen, T: Backing> Pair<'b, C, T> {
    pub(super) fn new(
        setup: Setup,
        revision: Revision,
        requests: T,
        table: Box<dyn Table>,
        spare: Vec<&'b mut [u8]>,
    ) -> Self {
        let send = u32::try_from(setup.frame()).unwrap_or(u32::MAX);
        Self {
            setup,
            first: First::new(C::first(revision), config!(setup, judge, send)),
            reader: FrameReader::new(setup.max_frame_size),
            table,
            second: Second::new(
                C::second(revision),
                config!(setup, hgrpc, setup.send_frame_size),
                requests,
            ),
            lanes: Vec::new(),
            spare,
            has_opened: false,
            has_only: false,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.second.revision()
    }

    /// Begins anew.
    pub(super) fn restart(
        &mut self,
        revision: Revision,
        table: Box<dyn Table>,
        memory: &mut T::Memory,
    ) {
        self.first.restart(C::first(revision));
        self.reader.restart();
        self.table = table;
        self.second.restart(C::second(revision), memory);
        self.lanes.clear();
        (self.has_opened, self.has_only) = (false, false);
    }

    /// Opens a stream on both; `encodings` are the wanted ones by name.
    pub(super) fn open_stream(&mut self, encodings: &[&str]) -> Result<(), String> {
        let Some(buffer) = self.spare.pop() else {
            return Ok(());
        };
        let names = encodings.iter().map(|name| name.as_bytes());
        let firsts: Vec<_> = names
            .clone()
            .filter_map(judge::cbor::ContentEncoding::from_name)
            .collect();
        let seconds: Vec<_> = names
            .filter_map(hgrpc::cbor::ContentEncoding::from_name)
            .collect();
        let first = self.first.open_stream(&firsts);
        let second = self.second.open_stream(&seconds);
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (first, second) => return Err(format!("open_stream: {first:?}, {second:?}")),
        };
        let alike = first.id().value() == second.id().value()
            && first.encoding().name() == second.encoding().name();
        if !alike {
            return Err(format!("open_stream: {first:?}, {second:?}"));
        }
        self.push_lane(first, second, buffer);
        Ok(())
    }

    /// Opens the first stream, of which the second server needs to know nothing.
    pub(super) fn open_only_stream(&mut self) -> Result<(), String> {
        let first = self.first.open_stream(&[]);
        let first = first.map_err(|error| format!("open_stream: {error}"))?;
        if let Some(buffer) = self.spare.pop() {
            self.push_lane(first, Stream::ONLY, buffer);
            self.has_only = true;
        }
        Ok(())
    }

    fn push_lane(&mut self, first: OutputStream, second: Stream, buffer: &'b mut [u8]) {
        self.lanes.push(Lane {
            first,
            second: Output::new(second, buffer),
            joined: None,
            is_stale: false,
            is_ended: false,
        });
    }

    /// Closes a stream on both, if they agree that it may be.
    pub(super) fn close_stream(&mut self, index: usize) -> Result<(), String> {
        let lane = self.lanes.swap_remove(index);
        let first = self.first.close_stream(lane.first);
        let second = self.second.close_stream(lane.second.into_stream());
        match (first, second) {
            (Ok(()), Ok(())) => Ok(()),
            // The buffer went with the output: the stream stays open and unused.
            (Err(_), Err(_)) => Ok(()),
            (first, second) => Err(format!("close_stream: {first:?}, {second:?}")),
        }
    }

    /// Whether everything that can be asked of both has the same answer.
    pub(super) fn compare_state(&self) -> Result<(), String> {
        let table = &*self.table;
        let ids = |ids: &mut dyn Iterator<Item = u16>| ids.collect::<Vec<_>>();
        let first = (
            self.first.state().name(),
            ids(&mut self.first.receiving(table).map(|id| id.value())),
            ids(&mut self.first.active(table).map(|id| id.value())),
            self.first
                .open_streams()
                .map(|id| id.value())
                .collect::<Vec<_>>(),
            (self.reader.received(), self.reader.missing()),
            self.reader.finish().map_err(|error| error.name()),
            self.first.peer_takes_side_frames(),
            judge::cbor::ContentEncoding::ALL
                .iter()
                .map(|encoding| self.first.peer_encodings().contains(*encoding))
                .collect::<Vec<_>>(),
        );
        let second = (
            self.second.state().name(),
            ids(&mut self.second.receiving().map(RequestId::value)),
            ids(&mut self.second.active().map(RequestId::value)),
            self.second
                .open_streams()
                .map(|id| id.value())
                .collect::<Vec<_>>(),
            (self.second.received(), self.second.missing()),
            self.second.finish().map_err(|error| error.name()),
            self.second.peer_takes_notes(),
            hgrpc::cbor::ContentEncoding::ALL
                .iter()
                .map(|encoding| self.second.peer_encodings().contains(*encoding))
                .collect::<Vec<_>>(),
        );
        if first == second {
            Ok(())
        } else {
            Err(format!("state:\n  first  {first:?}\n  second {second:?}"))
        }
    }
}
