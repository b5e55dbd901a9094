//! A link whose buffers are the owner's, and which joins frames in packets: what a connection has
//! between itself and a raw line (link.md, "States").

use super::packet::{self, MAX_PACKET, MIN_PACKET, PACKET_OVERHEAD, PAYLOAD_AT};
use super::receive::{Chunk, PAYLOAD_START, Step};
use super::session::{Report, Session};
use super::{LinkConfig, LinkError};
use crate::bytes::copy;

/// What comes.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Incoming<'b> {
    chunk: Chunk,
    buffer: &'b mut [u8],
    /// Where the payload starts and ends that was not taken.
    start: usize,
    end: usize,
}

/// What has come.
#[derive(Debug)]
pub(crate) enum Received<'i> {
    Up,
    Lost(LinkError),
    /// The next payload is there.
    Payload,
    /// Text, or a bad packet, of so many bytes.
    Held(usize),
    Text(&'i [u8]),
}

impl<'b> Incoming<'b> {
    /// Packets of at most as many bytes as the buffer has, 32 to 256.
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            chunk: Chunk::new(),
            buffer,
            start: 0,
            end: 0,
        }
    }

    /// Takes what comes next. `None`: all of it has been taken.
    pub(crate) fn next<'i>(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        raw: &mut &'i [u8],
    ) -> Option<Received<'i>> {
        // As much as may stand between two delimiters.
        let most = limit(self.buffer.len()).saturating_sub(2);
        let room = self.buffer.get_mut(..most)?;
        let step = self.chunk.next(&mut outgoing.session, room, raw)?;
        Some(match step {
            Step::Report(Report::Up) => Received::Up,
            Step::Report(Report::Lost(error)) => Received::Lost(error),
            Step::Payload { end, .. } => {
                self.start = PAYLOAD_START;
                self.end = end;
                Received::Payload
            }
            Step::Held(end) | Step::Noise(end) => Received::Held(end),
            Step::Text(text) => Received::Text(text),
        })
    }

    /// Takes what comes up to the next payload or report, neither of which is taken.
    pub(crate) fn look(&mut self, outgoing: &mut Outgoing<'_>, raw: &mut &[u8]) {
        while !self.has_payload() && !outgoing.has_report() {
            let report = match self.next(outgoing, raw) {
                Some(Received::Up) => Report::Up,
                Some(Received::Lost(error)) => Report::Lost(error),
                Some(_) => continue,
                None => return,
            };
            outgoing.session.report = Some(report);
        }
    }

    /// Whether payload is there that was not taken.
    pub(crate) const fn has_payload(&self) -> bool {
        self.start < self.end
    }

    /// The payload that was not taken, and where to say where its rest starts.
    pub(crate) fn payload(&mut self) -> (&[u8], &mut usize, usize) {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        (bytes, &mut self.start, self.end)
    }

    /// Text that is held.
    pub(crate) fn held(&self, end: usize) -> &[u8] {
        self.buffer.get(..end).unwrap_or_default()
    }

    /// What an earlier connection has left is not wanted.
    pub(crate) const fn drop_payload(&mut self) {
        self.end = 0;
    }
}

/// What goes, and who is connected with whom.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Outgoing<'b> {
    session: Session,
    /// The packet that is made or written.
    buffer: &'b mut [u8],
    /// Payload bytes that are joined in it.
    joined: usize,
    /// A frame begins at the first of them.
    is_frame_start: bool,
    /// What is joined is to go.
    is_due: bool,
    /// Where the rest of the packet that is written starts and ends.
    start: usize,
    end: usize,
}

impl<'b> Outgoing<'b> {
    /// An end that has just started. `received`: bytes of the buffer for what comes.
    pub(crate) const fn new(config: LinkConfig, received: usize, buffer: &'b mut [u8]) -> Self {
        let [size, ..] = limit(received).wrapping_sub(1).to_le_bytes();
        Self {
            session: Session::new(config, size),
            buffer,
            joined: 0,
            is_frame_start: false,
            is_due: false,
            start: 0,
            end: 0,
        }
    }

    /// Whether a connection is there, as the owner knows it: what is still to be reported has not
    /// happened for it.
    pub(crate) const fn is_up(&self) -> bool {
        match self.session.report {
            Some(Report::Up) => false,
            Some(Report::Lost(_)) => true,
            None => self.session.is_up,
        }
    }

    /// This end's session number.
    pub(crate) const fn session(&self) -> u32 {
        self.session.own
    }

    /// The peer's session number, as far as it is known.
    pub(crate) const fn peer_session(&self) -> Option<u32> {
        match self.session.peer {
            0 => None,
            number => Some(number),
        }
    }

    /// Some time has passed. A loss is the next thing that has come.
    pub(crate) fn tick(&mut self) {
        self.session.tick();
    }

    /// Why the connection was lost, if that is to be reported.
    pub(crate) const fn lost(&self) -> Option<LinkError> {
        match self.session.report {
            Some(Report::Lost(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether something is to be reported, be there input or not.
    pub(crate) const fn has_report(&self) -> bool {
        self.session.report.is_some()
    }

    /// Gives up the connection, if there is one.
    pub(crate) fn disconnect(&mut self) {
        self.session.reset(LinkError::LinkLost);
        self.session.report = None;
    }

    /// What is joined belongs to a connection that is over.
    pub(crate) const fn drop_joined(&mut self) {
        self.joined = 0;
    }

    /// What is to be written now; takes as much of a frame as a packet holds.
    pub(crate) fn pending(&mut self, frame: &[u8], taken: &mut usize) -> &[u8] {
        if self.start >= self.end {
            self.start = 0;
            self.end = self.packet(frame, taken).unwrap_or(0);
        }
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// So many bytes of it were written.
    pub(crate) const fn wrote(&mut self, len: usize) {
        self.start = self.start.wrapping_add(len);
    }

    /// What is joined is to go, and the answer that is due.
    pub(crate) const fn flush(&mut self) {
        self.is_due = true;
    }

    /// Makes the next packet, if one is due or full; its length.
    #[inline(never)]
    fn packet(&mut self, frame: &[u8], taken: &mut usize) -> Option<usize> {
        if self.joined == 0
            && let Some(sync) = self.session.take_sync()
        {
            return packet::write_sync(self.buffer, sync);
        }
        let frame = frame.get(*taken..).unwrap_or_default();
        if !self.session.is_up {
            // It belongs to a connection that is over.
            *taken = taken.wrapping_add(frame.len());
            self.joined = 0;
        } else {
            let most = usize::from(self.session.peer_size).wrapping_add(1);
            let end = most
                .min(limit(self.buffer.len()))
                .saturating_sub(PACKET_OVERHEAD.saturating_sub(PAYLOAD_AT));
            let start = PAYLOAD_AT.wrapping_add(self.joined);
            let room = self.buffer.get_mut(start..end).unwrap_or_default();
            if self.joined == 0 {
                self.is_frame_start = *taken == 0;
            }
            let count = room.len().min(frame.len());
            copy(room, frame);
            *taken = taken.wrapping_add(count);
            self.joined = self.joined.wrapping_add(count);
            if self.joined > 0 && (self.is_due || count == room.len()) {
                let len = core::mem::take(&mut self.joined);
                let place = self.session.take_place();
                return packet::write_data(self.buffer, len, place, self.is_frame_start);
            }
        }
        self.is_due &= self.joined > 0;
        None
    }
}

/// Bytes of a packet in a buffer.
const fn limit(len: usize) -> usize {
    if len < MAX_PACKET { len } else { MAX_PACKET }
}

const _: () = assert!(MIN_PACKET > PACKET_OVERHEAD);
