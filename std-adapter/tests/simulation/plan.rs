//! Everything that a seed decides before the first byte: settings, network, calls and their handlers.

use std::time::Duration;

use hgrpc::{REVISIONS, Revision};
use hgrpc_std::blocking::Config;
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::engine::server::ServerLimits;

use crate::pipe::Pipe;
use crate::random::Random;

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: every call ends as its handler says, or as its own caller does.
    Gentle,
    /// Nothing, but connections wait for each other's bytes. Requests have no data.
    Tight,
    /// Everything.
    Harsh,
}

/// What all connections of a seed share.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) revision: Revision,
    pub(crate) client: Config,
    pub(crate) server: Config,
    pub(crate) limits: ServerLimits,
    /// Connections at once.
    pub(crate) slots: usize,
    /// Most bytes of anything.
    pub(crate) most: usize,
    /// Connections that may follow one that has ended.
    pub(crate) restarts: usize,
    capacity: usize,
    most_bytes: usize,
    most_delay: u64,
    /// Answers are large, and the network is slow: more waits than is made at once.
    pub(crate) is_bulk: bool,
    /// Both ends hand in more bytes behind those that wait.
    pub(crate) reads_on: bool,
}

/// One call, and what runs it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) slot: usize,
    pub(crate) start: u64,
    pub(crate) name: &'static str,
    /// Bytes of an argument that is not used.
    pub(crate) padding: usize,
    pub(crate) data: DataPlan,
    pub(crate) reader: ReaderPlan,
    pub(crate) notes: NotesPlan,
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
    /// The response is read as it came.
    pub(crate) is_raw: bool,
    /// What a handler has written goes out whenever it waits.
    pub(crate) flushes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataPlan {
    None,
    Whole(usize),
    /// So many bytes in pieces of at most so many, with such pauses, until this.
    Streamed(usize, usize, u64, UploadEnd),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadEnd {
    Complete,
    Fails,
    /// Nothing more is said.
    Hangs,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderPlan {
    /// The most milliseconds between two reads.
    pub(crate) pause: u64,
    /// The call is dropped when so many bytes were read.
    pub(crate) drop_after: Option<usize>,
    /// It is dropped before it is known to be sent.
    pub(crate) drop_at_once: bool,
    /// From so many bytes on nothing is read.
    pub(crate) hangs_after: Option<usize>,
    /// It is waited for the answer's beginning first.
    pub(crate) waits_for_opening: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotesPlan {
    Ignored,
    Direct,
    /// They are read with such pauses.
    Read(u64),
    /// So many are read, and then no more.
    Abandoned(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(usize),
    /// A byte string whose length is known.
    Known(usize),
    Values(usize),
    Flush,
    Text,
    Progress,
    Sleep(u64),
    /// Reads data, at least so many bytes or to its end.
    Read(usize),
    /// Reads data and keeps its bytes.
    Collect(usize),
    Echo,
    DropData,
    /// The handler returns; somebody else has its reply.
    Detach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Finish,
    /// Finishes, and runs on for so long.
    Linger(u64),
    Answer(usize),
    /// Fails; is it the command's own failure?
    Fail(bool),
    /// Returns a failure.
    Return(bool),
    /// Returns without having answered.
    Nothing,
    Panic,
    Redirect,
}

impl Setup {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mode = match random.below(100) {
            0..40 => Mode::Gentle,
            40..55 => Mode::Tight,
            _ => Mode::Harsh,
        };
        let revision = random.pick(&REVISIONS);
        let most_bytes = random.pick(&[1, 3, 9, 40, 700, 5000, 200_000]);
        let (mut client, server) = (Config::new(revision), Config::new(revision));
        let mut limits = ServerLimits::DEFAULT;
        let mut setup_buffers = |limits: &mut hgrpc_std::blocking::Limits| {
            limits.send_frame_size = random.pick(&[256, 300, 1000, 32_768]);
            limits.buffer = random.pick(&[1, 10, 300, 5000, 262_144]);
            limits.calls = random.pick(&[1, 2, 5, 128]);
            limits.stall = None;
        };
        setup_buffers(&mut client.limits);
        setup_buffers(&mut limits.per_connection);
        // Handlers may run on when they have answered.
        limits.per_connection.calls = 128;
        limits.first_frame = None;
        limits.slow_frame = None;
        limits.request_time = None;
        limits.data_silence = None;
        limits.not_reading = None;
        limits.idle = None;
        let buffer = client.limits.buffer.min(limits.per_connection.buffer);
        let is_slow = most_bytes < 50 || buffer < 100;
        let most = if is_slow { 100 } else { 100_000 };
        let mut setup = Self {
            mode,
            revision,
            client,
            server,
            limits,
            slots: 1 + random.below(2),
            most,
            restarts: random.below(3),
            capacity: random.pick(&[20, 50, 3000, 100_000]).max(most_bytes / 10),
            most_bytes,
            most_delay: random.pick(&[0, 0, 3, 20]),
            is_bulk: buffer >= 5000 && !is_slow && random.percent(20),
            reads_on: random.percent(50),
        };
        if random.percent(15) {
            setup.server.encodes = vec![ContentEncoding::Zlib, ContentEncoding::Identity];
            setup.limits.per_connection.compressed_streams = random.below(3);
        }
        if setup.is_bulk {
            setup.capacity = random.pick(&[5000, 50_000]);
            setup.most_bytes = 30_000;
        }
        match mode {
            Mode::Gentle => {}
            Mode::Tight => setup.tighten(random),
            Mode::Harsh => {
                if random.percent(50) {
                    setup.tighten(random);
                }
                setup.harden(random);
            }
        }
        setup
    }

    /// Has connections share few bytes.
    fn tighten(&mut self, random: &mut Random) {
        self.limits.own_bytes = random.pick(&[0, 0, 100, 500]);
        self.limits.per_connection.request_size = random.pick(&[900, 2000]);
        self.limits.connection_bytes = 0;
        self.limits.shared_bytes = 0;
        // Each request takes what it needs at once, or two could wait for each other for ever.
        self.client.limits.send_frame_size = self.client.limits.send_frame_size.max(3000);
        self.slots += random.below(3);
    }

    /// Has limits of time, and small numbers.
    fn harden(&mut self, random: &mut Random) {
        let some = |random: &mut Random, most| {
            let is_some = random.percent(60);
            let millis = 200 + random.millis(most);
            is_some.then(|| Duration::from_millis(millis))
        };
        let limits = &mut self.limits;
        limits.per_connection.stall = Some(Duration::from_millis(50 + random.millis(3000)));
        self.client.limits.stall = some(random, 3000);
        limits.first_frame = some(random, 3000);
        limits.slow_frame = some(random, 3000);
        limits.request_time = some(random, 6000);
        limits.data_silence = some(random, 6000);
        limits.not_reading = Some(Duration::from_millis(300 + random.millis(6000)));
        limits.idle = some(random, 9000);
        limits.min_rate = random.pick(&[0, 1, 128, 1000]);
        if random.percent(20) {
            limits.requests = 1 + random.below(3);
            limits.per_connection.calls = 1 + random.below(3);
        }
        if random.percent(20) {
            limits.per_connection.request_size = limits.per_connection.request_size.min(900);
            limits.per_connection.gathered = random.pick(&[300, 3000]);
        }
        if random.percent(10) {
            limits.refusals = random.below(3);
        }
        if random.percent(15) {
            self.client.limits.response_size = u64::try_from(random.below(3000)).unwrap();
        }
    }

    pub(crate) fn is_harsh(&self) -> bool {
        self.mode == Mode::Harsh
    }

    /// Returns how often limits of time are looked at.
    pub(crate) fn tick(&self) -> u64 {
        let limits = &self.limits;
        let all = [
            limits.first_frame,
            limits.slow_frame,
            limits.request_time,
            limits.data_silence,
            limits.not_reading,
            limits.idle,
        ];
        let least = all.into_iter().flatten().min();
        millis(least.map_or(Duration::from_secs(1), |least| least / 4)).max(10)
    }

    /// Makes one direction of a connection.
    pub(crate) fn pipe(&self, random: &mut Random) -> Pipe {
        let mut pipe = Pipe::new(self.capacity, self.most_bytes, self.most_delay);
        if !self.is_harsh() {
            return pipe;
        }
        if random.percent(15) {
            pipe.cut = Some(u64::try_from(random.size(self.most)).unwrap());
            pipe.is_silent = random.percent(30);
        }
        if random.percent(20) {
            let at = u64::try_from(random.size(self.most)).unwrap();
            let millis = random.pick(&[50, 1000, 5000, 30_000]);
            pipe.stall = Some((at, millis));
        }
        if random.percent(10) {
            // A line that is slower than any limit of the rate.
            pipe.most_bytes = if self.most > 100 { 300 } else { 3 };
            pipe.most_delay = 400;
        }
        pipe
    }

    /// Plans one call.
    pub(crate) fn plan(&self, random: &mut Random) -> Plan {
        let is_harsh = self.is_harsh();
        let mut most = self.most;
        if self.mode == Mode::Tight {
            most = most.min(5000);
        }
        let data = self.data(random, most);
        let is_raw = random.percent(15);
        let (steps, ending) = self.handler(random, most, data != DataPlan::None, is_raw);
        let request_size = usize::try_from(self.limits.per_connection.request_size).unwrap();
        let padding = match random.below(10) {
            0 if is_harsh => random.below(request_size.min(20_000) * 2),
            // Together they are more than there is.
            _ if request_size < 10_000 => random.below(request_size * 3 / 4),
            _ => random.size(most),
        };
        let latest = match self.mode {
            Mode::Tight => 5,
            _ => random.pick(&[0, 0, 5, 300]),
        };
        Plan {
            slot: random.below(self.slots),
            start: 1 + random.millis(latest),
            name: if random.percent(4) { "unknown" } else { "work" },
            padding,
            data,
            reader: ReaderPlan {
                pause: match random.below(20) {
                    0 if is_harsh => 4000,
                    1..4 => 50,
                    4..8 => 2,
                    _ => 0,
                },
                drop_after: random.percent(12).then(|| random.size(most)),
                drop_at_once: random.percent(4),
                hangs_after: (self.client.limits.stall.is_some() && random.percent(12))
                    .then(|| random.size(most)),
                waits_for_opening: random.percent(60),
            },
            notes: match random.below(10) {
                0..4 => NotesPlan::Ignored,
                4..6 => NotesPlan::Direct,
                6..8 => NotesPlan::Read(random.pick(&[0, 0, 30])),
                _ => NotesPlan::Abandoned(random.below(4)),
            },
            steps,
            ending,
            is_raw,
            flushes: random.percent(70),
        }
    }

    fn data(&self, random: &mut Random, most: usize) -> DataPlan {
        if self.mode == Mode::Tight {
            return DataPlan::None;
        }
        match random.below(10) {
            0..5 => DataPlan::None,
            5..7 => DataPlan::Whole(random.size(most)),
            _ => {
                let len = random.size(most);
                let piece = 1 + random.size(most.min(len + 1));
                let piece = piece.max(len / 50);
                let end = match random.below(12) {
                    0 => UploadEnd::Fails,
                    // Somebody must notice.
                    1 if self.is_harsh() && self.limits.data_silence.is_some() => UploadEnd::Hangs,
                    _ => UploadEnd::Complete,
                };
                DataPlan::Streamed(len, piece, random.pick(&[0, 0, 5, 40]), end)
            }
        }
    }

    fn handler(
        &self,
        random: &mut Random,
        most: usize,
        has_data: bool,
        is_raw: bool,
    ) -> (Vec<Step>, Ending) {
        let mut steps = Vec::new();
        if has_data && random.percent(15) {
            steps.push(Step::DropData);
        }
        if self.mode == Mode::Tight {
            // Its request is held meanwhile.
            steps.push(Step::Sleep(random.pick(&[10, 100])));
        }
        for _ in 0..random.below(7) {
            let step = match random.below(100) {
                0..35 if is_raw => Step::Values(1 + random.below(5)),
                0..35 if self.is_bulk => Step::Write(random.below(80_000)),
                0..35 => Step::Write(random.size(most)),
                35..42 if !is_raw => Step::Known(random.size(most)),
                42..50 => Step::Flush,
                50..60 => Step::Text,
                60..66 => Step::Progress,
                66..80 => Step::Sleep(random.pick(&[0, 1, 10, 100])),
                80..90 if has_data => Step::Read(random.size(most)),
                90..93 if has_data && self.is_harsh() => Step::Collect(random.size(most)),
                93..98 if has_data && !is_raw => Step::Echo,
                98..99 => Step::Detach,
                _ => Step::Sleep(0),
            };
            steps.push(step);
            // Many notes fill a queue.
            if matches!(step, Step::Text) && random.percent(5) {
                steps.extend([Step::Text; 100]);
            }
        }
        if has_data && random.percent(60) {
            steps.push(match random.percent(50) && !is_raw {
                true => Step::Echo,
                false => Step::Read(usize::MAX),
            });
        }
        let ending = match random.below(100) {
            0..55 => Ending::Finish,
            55..62 => Ending::Linger(random.millis(100)),
            62..72 if !is_raw => Ending::Answer(random.size(most)),
            72..78 => Ending::Fail(random.percent(50)),
            78..84 => Ending::Return(random.percent(50)),
            84..88 => Ending::Nothing,
            88..92 => Ending::Panic,
            92..96 if self.revision == Revision::R0006 => Ending::Redirect,
            _ => Ending::Finish,
        };
        (steps, ending)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
