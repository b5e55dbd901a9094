//! The link: a reliable-or-reset byte stream over a raw line, such as a UART.
//!
//! Specification: link.md; "Terms" first, and "What a receiver may rely on".
//!
//! ```text
//!   bytes ──▶ handle_bytes ──▶ payload ──▶ FrameReader ──▶ reactor
//!                         ├──▶ up, lost          (made anew after a loss)
//!                         └──▶ text for a console
//!   bytes ◀── frame_packet ◀── OutFrame ◀── reactor
//!         ◀── control_packet ◀── what a peer has asked, tick
//! ```
//! A raw line loses bytes, and its ends restart. Over a [`Link`] what comes is what was sent, in
//! order, or both ends are told that something was lost. Nothing is sent twice. After a loss every
//! open call ends with the error's name, [`link-lost`](LinkError::LinkLost) or
//! [`peer-restarted`](LinkError::PeerRestarted), and reactors, readers and unsent frames are thrown
//! away; when the link is up again, new ones begin.
//!
//! There is no clock in it (link.md, "Starting", "Loss and noise"): one end at least calls
//! [`Link::tick`] now and then, without which the loss of the last packet would not be noticed, and
//! a lost start not made good. A host ticks; a device need not.
//!
//! A link holds no pointers, no locks and no clock: it is `Send`, `const fn new`, and waits for
//! nothing, so an interrupt may use it behind the critical section that a `static` needs anyway.
//! Its methods do not allocate or panic. Work is bounded by the bytes given and a packet, at most
//! 256 bytes; a byte takes some 30 instructions on a Cortex-M4, most of them for its checksum.
//!
//! ```
//! use hgrpc::link::{Link, LinkConfig, LinkEvent};
//!
//! let mut host: Link = Link::new(LinkConfig::new(0x5eed));
//! let mut device: Link<64> = Link::new(LinkConfig::new(7 << 16));
//!
//! // Both start; each reads what the other writes.
//! let (mut there, mut back) = (b"boot v1.2\r\n".to_vec(), Vec::new());
//! let mut out = [0; 256];
//! for _ in 0..4 {
//!     while let Some(packet) = host.control_packet(&mut out) {
//!         back.extend_from_slice(packet);
//!     }
//!     while let Some(packet) = device.control_packet(&mut out) {
//!         there.extend_from_slice(packet);
//!     }
//!     let mut input = there.as_slice();
//!     while let Some(event) = host.handle_bytes(&mut input) {
//!         match event {
//!             LinkEvent::Console(text) => print!("{}", text.escape_ascii()),
//!             LinkEvent::Up => println!("up"),
//!             other => panic!("{other:?}"),
//!         }
//!     }
//!     there.clear();
//!     let mut input = back.as_slice();
//!     while let Some(event) = device.handle_bytes(&mut input) {
//!         assert!(matches!(event, LinkEvent::Up));
//!     }
//!     back.clear();
//! }
//! assert!(host.is_up() && device.is_up());
//!
//! // Bytes in packets. (Frames: `frame_packet`.)
//! let mut bytes: &[u8] = b"a frame";
//! let packet = host.packet(&mut bytes, true, &mut out).unwrap();
//! let mut input = packet;
//! let Some(LinkEvent::Payload { bytes, is_frame_start }) = device.handle_bytes(&mut input) else {
//!     panic!();
//! };
//! assert_eq!((bytes, is_frame_start), (&b"a frame"[..], true));
//! ```

mod cobs;
mod crc;
mod line;
mod packet;
mod receive;
mod send;
mod session;

pub use packet::{MAX_PACKET, MIN_PACKET, PACKET_OVERHEAD};
pub use send::PacketError;

pub(crate) use line::{Incoming, Outgoing, Received};
use receive::{Chunk, PAYLOAD_START, Step};
use session::{Report, Session};

crate::error::kinds! {
    /// Why a connection over a link has ended: every open call ends with it (link.md, "States").
    LinkError {
        /// Bytes were lost, altered or put in, in one of the directions, or the peer is silent.
        LinkLost = "link-lost",
        /// The peer has started anew (link.md, "Restart of an end").
        PeerRestarted = "peer-restarted",
    }
}

/// How a link begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct LinkConfig {
    /// The first session number: random, or for a device that counts its starts their number times
    /// 65,536 (link.md, "Session numbers"). 0 counts as 1.
    pub session: u32,
    /// After how many [ticks](Link::tick) in a row without a packet of the peer's a connection
    /// counts as lost; 0: never. 4 by default.
    pub patience: u8,
}

impl LinkConfig {
    /// Starts with this session number, and with patience for 4 ticks.
    pub const fn new(session: u32) -> Self {
        Self {
            session,
            patience: 4,
        }
    }

    /// The same, with this [patience](Self::patience).
    #[must_use]
    pub const fn with_patience(self, patience: u8) -> Self {
        Self { patience, ..self }
    }
}

/// What has come over the line (link.md, "States").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum LinkEvent<'a> {
    /// A connection begins: frames may be sent, from now on; new readers and reactors are needed.
    Up,
    /// The next bytes of the peer's: right, whole and in order.
    Payload {
        /// At least one.
        bytes: &'a [u8],
        /// Whether a frame begins at the first of them. Later ones may hold the beginning of more.
        is_frame_start: bool,
    },
    /// The connection is over. What the peer sent after the last payload is lost, and so may be
    /// whatever was sent to it.
    Lost(LinkError),
    /// Text between packets: boot messages, a panic (link.md, "Text between packets"). In pieces.
    Console(&'a [u8]),
    /// Bytes of a bad packet, as they came; a text may have fallen into its middle. While connected
    /// [`Lost`](Self::Lost) follows.
    Noise(&'a [u8]),
}

/// One end of a link. It takes packets of up to `N` bytes, 32 to 256, and remembers one; it sends
/// packets of what the peer takes (link.md, "Packets"; `N` counts delimiters too).
///
/// It does no I/O: bytes go in, [`LinkEvent`]s and packets come out, and whoever moves the bytes
/// writes packets in the order in which they were taken.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Link<const N: usize = MAX_PACKET> {
    session: Session,
    chunk: Chunk,
    buffer: [u8; N],
}

impl<const N: usize> Link<N> {
    /// Bytes of memory that a link takes.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Most payload bytes of a packet that this end takes: what to join before it is sent, where
    /// both ends have the same `N`.
    pub const PAYLOAD: usize = N.saturating_sub(PACKET_OVERHEAD);

    /// An end that has just started; it is not connected.
    pub const fn new(config: LinkConfig) -> Self {
        const { assert!(N >= MIN_PACKET && N <= MAX_PACKET, "N is 32 to 256") }
        let [size, ..] = N.wrapping_sub(1).to_le_bytes();
        Self {
            session: Session::new(config, size),
            chunk: Chunk::new(),
            buffer: [0; N],
        }
    }

    /// Takes what comes next from the front of `input`, which is advanced past what was read.
    ///
    /// `None`: all of it has been taken. [`control_packet`](Self::control_packet) may then have
    /// something to be sent. Work is bounded by the bytes taken and one packet.
    pub fn handle_bytes<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<LinkEvent<'a>> {
        // As much as may stand between two delimiters.
        let room = self.buffer.get_mut(..N.saturating_sub(2))?;
        let step = self.chunk.next(&mut self.session, room, input)?;
        let held = |start, end| self.buffer.get(start..end).unwrap_or_default();
        Some(match step {
            Step::Report(report) => report.into(),
            Step::Payload {
                end,
                is_frame_start,
            } => LinkEvent::Payload {
                bytes: held(PAYLOAD_START, end),
                is_frame_start,
            },
            Step::Held(end) => LinkEvent::Console(held(0, end)),
            Step::Text(text) => LinkEvent::Console(text),
            Step::Noise(end) => LinkEvent::Noise(held(0, end)),
        })
    }

    /// Some time has passed: asks the peer where it is (link.md, "States", row L8).
    ///
    /// To be called at one end at least, while calls are open or the link is not up, not more often
    /// than a packet of each size takes there and back; 4 to 20 times a second is usual. `Some`:
    /// the peer has been silent for too long. Each tick makes a [packet](Self::control_packet) due.
    pub fn tick(&mut self) -> Option<LinkError> {
        self.session.tick();
        match self.session.report {
            // One that is waiting for `handle_bytes` came before; this tick has lost nothing.
            Some(Report::Lost(error)) => {
                self.session.report = None;
                Some(error)
            }
            _ => None,
        }
    }

    /// As a [tick](Self::tick), but not counted against the peer: for an owner that takes none of
    /// its input at the moment, and so cannot hear the peer. The peer hears this end.
    pub const fn ask(&mut self) {
        self.session.ask();
    }

    /// Gives up the connection, if there is one: the peer's ends with `link-lost`, and the next one
    /// begins as soon as both are there. For an owner whose reactor has found an error of the
    /// peer's, or that begins anew. Nothing is reported at this end (link.md, "States", row L9).
    pub fn disconnect(&mut self) {
        self.session.reset(LinkError::LinkLost);
        self.session.report = None;
    }

    /// Whether there is a connection. A loss that [`handle_bytes`](Self::handle_bytes) has still to
    /// report has ended it already.
    pub const fn is_up(&self) -> bool {
        self.session.is_up
    }

    /// This end's session number, for logs and for a device that keeps it over restarts.
    pub const fn session(&self) -> u32 {
        self.session.own
    }

    /// The peer's session number, as far as it is known.
    pub const fn peer_session(&self) -> Option<u32> {
        match self.session.peer {
            0 => None,
            number => Some(number),
        }
    }
}

impl From<Report> for LinkEvent<'_> {
    fn from(report: Report) -> Self {
        match report {
            Report::Up => Self::Up,
            Report::Lost(error) => Self::Lost(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the one what is due of the other.
    fn hear<const N: usize>(here: &mut Link<N>, there: &mut Link<N>) {
        let mut out = [0; MAX_PACKET];
        while let Some(mut packet) = there.control_packet(&mut out) {
            while here.handle_bytes(&mut packet).is_some() {}
        }
    }

    fn a_packet_holds_its_payload<const N: usize>() {
        let [mut here, mut there] = [7, 8].map(|n| Link::<N>::new(LinkConfig::new(n)));
        for _ in 0..3 {
            hear(&mut here, &mut there);
            hear(&mut there, &mut here);
        }
        let all = [1; MAX_PACKET];
        let mut rest = all.as_slice();
        let mut out = [0; MAX_PACKET];
        let mut packet = here.packet(&mut rest, true, &mut out).unwrap();
        assert_eq!(all.len() - rest.len(), Link::<N>::PAYLOAD);
        assert_eq!(packet.len(), N);
        let Some(LinkEvent::Payload { bytes, .. }) = there.handle_bytes(&mut packet) else {
            panic!()
        };
        assert_eq!(bytes, &all[..Link::<N>::PAYLOAD]);
    }

    #[test]
    fn a_full_packet_holds_as_many_bytes_as_is_said() {
        a_packet_holds_its_payload::<MIN_PACKET>();
        a_packet_holds_its_payload::<64>();
        a_packet_holds_its_payload::<MAX_PACKET>();
    }
}
