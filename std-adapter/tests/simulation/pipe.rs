//! One direction of the network: bytes that arrive late, in pieces, or not at all.

use std::io::IoSlice;

use crate::random::Random;

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    queue: Vec<u8>,
    /// Bytes before it have arrived.
    start: usize,
    /// Bytes that may be under way.
    capacity: usize,
    /// Most bytes that arrive at once, and most milliseconds between two arrivals.
    pub(crate) most_bytes: usize,
    pub(crate) most_delay: u64,
    /// Offset at which nothing arrives for so long.
    pub(crate) stall: Option<(u64, u64)>,
    /// Offset behind which the direction is closed.
    pub(crate) cut: Option<u64>,
    /// Bytes that are written behind the cut vanish without an error.
    pub(crate) is_silent: bool,
    is_closed: bool,
    /// Nobody reads any more.
    is_broken_off: bool,
    taken: u64,
    arrived: u64,
    ready: u64,
    /// Pieces that arrived in the middle of what was sent.
    pub(crate) pieces: u64,
}

/// What came of reading.
#[derive(Debug)]
pub(crate) enum Arrival {
    Bytes,
    /// Something arrives then.
    Later(u64),
    Nothing,
    End,
}

impl Pipe {
    pub(crate) fn new(capacity: usize, most_bytes: usize, most_delay: u64) -> Self {
        Self {
            queue: Vec::new(),
            start: 0,
            capacity,
            most_bytes,
            most_delay,
            stall: None,
            cut: None,
            is_silent: false,
            is_closed: false,
            is_broken_off: false,
            taken: 0,
            arrived: 0,
            ready: 0,
            pieces: 0,
        }
    }

    /// Takes bytes that are sent, as many as there is room for.
    ///
    /// # Errors
    /// The direction is closed.
    pub(crate) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        random: &mut Random,
    ) -> Result<usize, ()> {
        if self.is_broken_off || self.is_cut() && !self.is_silent {
            return Err(());
        }
        let mut room = self.capacity - self.len();
        if room > 1 && random.percent(30) {
            room = 1 + random.below(room);
        }
        let mut written = 0;
        for slice in slices {
            let now = &slice[..slice.len().min(room - written)];
            let left = self.cut.map(|cut| cut.saturating_sub(self.taken));
            let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap());
            self.queue.extend_from_slice(&now[..now.len().min(left)]);
            self.taken += wide(now.len());
            written += now.len();
        }
        Ok(written)
    }

    fn len(&self) -> usize {
        self.queue.len() - self.start
    }

    /// Ends the direction behind what was written.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Drops what is under way: nobody reads.
    pub(crate) fn break_off(&mut self) {
        self.start = 0;
        self.queue.clear();
        self.is_broken_off = true;
    }

    /// Returns whether the cut was reached.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some_and(|cut| self.taken >= cut)
    }

    /// Gives what has arrived to `input`.
    pub(crate) fn read(&mut self, now: u64, input: &mut Vec<u8>, random: &mut Random) -> Arrival {
        let is_ended = self.is_closed || self.is_broken_off || self.is_cut();
        if self.len() == 0 && !is_ended {
            return Arrival::Nothing;
        }
        if now < self.ready {
            return Arrival::Later(self.ready);
        }
        if self.len() == 0 {
            return Arrival::End;
        }
        let mut len = self.len().min(1 + random.below(self.most_bytes));
        if let Some((at, millis)) = self.stall
            && at < self.arrived + wide(len)
        {
            len = usize::try_from(at.saturating_sub(self.arrived)).unwrap();
            self.stall = None;
            self.ready = now + millis;
            if len == 0 {
                return Arrival::Later(self.ready);
            }
        } else {
            self.ready = now + random.millis(self.most_delay);
        }
        self.pieces += u64::from(len < self.len());
        input.extend_from_slice(&self.queue[self.start..self.start + len]);
        self.start += len;
        if self.start == self.queue.len() {
            self.start = 0;
            self.queue.clear();
        }
        self.arrived += wide(len);
        Arrival::Bytes
    }
}

pub(crate) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}
