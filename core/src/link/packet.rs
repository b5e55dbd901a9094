//! What is in a packet (link.md, "Packets").

use super::cobs;
use super::crc::Crc;

/// Most bytes of a packet on the line, its delimiters included (link.md, "Packets").
pub const MAX_PACKET: usize = 256;
/// Smallest limit that an end may have, in bytes: what its own packets take, and some payload.
pub const MIN_PACKET: usize = 32;
/// Bytes of a data packet that are not payload (link.md, "Overhead").
pub const PACKET_OVERHEAD: usize = 12;

/// Every byte that may be a kind has these bits.
pub(super) const KIND_MASK: u8 = 0xf8;
pub(super) const DATA: u8 = 0xf8;
pub(super) const DATA_FRAME_START: u8 = 0xf9;
pub(super) const SYNC: u8 = 0xfa;

const FRESH: u8 = 0x01;
const REPLY: u8 = 0x02;

/// Delimiter and code.
const BEFORE_CONTENT: usize = 2;
pub(super) const CRC_LEN: usize = 4;
/// Kind, session, sequence.
pub(super) const DATA_HEADER: usize = 5;
/// Where the payload of a data packet starts, on the line.
pub(super) const PAYLOAD_AT: usize = BEFORE_CONTENT + DATA_HEADER;

/// Where a data packet belongs: its connection, seen from the sender, and its place in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) sender: u32,
    pub(super) receiver: u32,
    pub(super) sequence: u32,
}

impl Place {
    /// The bytes that are checked but not sent.
    fn crc(self) -> Crc {
        Crc::new()
            .update(&self.sender.to_le_bytes())
            .update(&self.receiver.to_le_bytes())
            .update(&self.sequence.to_le_bytes())
    }

    /// Kind, session, sequence.
    pub(super) fn header(self, is_frame_start: bool) -> [u8; DATA_HEADER] {
        let [s0, s1, ..] = self.sender.to_le_bytes();
        let [n0, n1, ..] = self.sequence.to_le_bytes();
        let kind = if is_frame_start {
            DATA_FRAME_START
        } else {
            DATA
        };
        [kind, s0, s1, n0, n1]
    }
}

/// A packet that says who and where its sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sync {
    pub(super) own: u32,
    pub(super) peer: u32,
    pub(super) sequence: u32,
    /// The sender's N − 1.
    pub(super) size: u8,
    pub(super) is_fresh: bool,
    pub(super) wants_reply: bool,
}

/// Bytes of a sync's content, without its CRC.
const SYNC_CONTENT: usize = 15;
/// Bytes of a sync on the line.
pub(super) const SYNC_LEN: usize = SYNC_CONTENT + CRC_LEN + 3;

/// A packet as it was read.
#[derive(Debug)]
pub(super) enum Read {
    Sync(Sync),
    /// The one that was awaited.
    Data {
        is_frame_start: bool,
    },
}

/// Reads the content of a packet; `None`: it is bad, or another than the data that is awaited.
pub(super) fn read(content: &[u8], awaited: Option<Place>) -> Option<Read> {
    // Not `split_last_chunk`, which keeps a panic path where it is not inlined.
    let (content, crc) = content.split_at_checked(content.len().checked_sub(CRC_LEN)?)?;
    let crc = crc.first_chunk::<CRC_LEN>()?;
    let crc = u32::from_le_bytes(*crc);
    if let Some((&[SYNC, flags, size, ref numbers @ ..], &[])) =
        content.split_first_chunk::<SYNC_CONTENT>()
    {
        let [o0, o1, o2, o3, p0, p1, p2, p3, n0, n1, n2, n3] = *numbers;
        let sync = Sync {
            own: u32::from_le_bytes([o0, o1, o2, o3]),
            peer: u32::from_le_bytes([p0, p1, p2, p3]),
            sequence: u32::from_le_bytes([n0, n1, n2, n3]),
            size,
            is_fresh: flags & FRESH != 0,
            wants_reply: flags & REPLY != 0,
        };
        let is_good = sync.own != 0
            && usize::from(size) >= MIN_PACKET.wrapping_sub(1)
            && Crc::new().update(content).finish() == crc;
        return is_good.then_some(Read::Sync(sync));
    }
    let place = awaited?;
    let (header, payload) = content.split_first_chunk::<DATA_HEADER>()?;
    let is_frame_start = *header == place.header(true);
    let is_good = (is_frame_start || (*header == place.header(false) && place.sequence != 0))
        && !payload.is_empty()
        && place.crc().update(content).finish() == crc;
    is_good.then_some(Read::Data { is_frame_start })
}

/// Makes a sync; returns its length.
pub(super) fn write_sync(out: &mut [u8], sync: Sync) -> Option<usize> {
    let flags = if sync.is_fresh { FRESH } else { 0 } | if sync.wants_reply { REPLY } else { 0 };
    let [o0, o1, o2, o3] = sync.own.to_le_bytes();
    let [p0, p1, p2, p3] = sync.peer.to_le_bytes();
    let [n0, n1, n2, n3] = sync.sequence.to_le_bytes();
    let (_, room) = out.split_at_mut_checked(BEFORE_CONTENT)?;
    let content = room.first_chunk_mut::<SYNC_CONTENT>()?;
    *content = [
        SYNC, flags, sync.size, o0, o1, o2, o3, p0, p1, p2, p3, n0, n1, n2, n3,
    ];
    let crc = Crc::new().update(content);
    finish(out, SYNC_CONTENT, crc)
}

/// Makes a data packet of a payload that lies at [`PAYLOAD_AT`] already; returns its length.
pub(super) fn write_data(
    out: &mut [u8],
    payload_len: usize,
    place: Place,
    is_frame_start: bool,
) -> Option<usize> {
    let header = place.header(is_frame_start);
    let len = payload_len.checked_add(DATA_HEADER)?;
    let (_, content) = out.split_at_mut_checked(BEFORE_CONTENT)?;
    let content = content.get_mut(..len)?;
    *content.first_chunk_mut()? = header;
    let crc = place.crc().update(content);
    finish(out, len, crc)
}

/// Puts CRC, code and delimiters around content of `len` bytes; returns the packet's length.
fn finish(out: &mut [u8], len: usize, crc: Crc) -> Option<usize> {
    let (start, rest) = out.split_first_mut()?;
    let (encoded, end) = rest.split_at_mut_checked(len.checked_add(1 + CRC_LEN)?)?;
    *encoded.last_chunk_mut()? = crc.finish().to_le_bytes();
    *encoded.first_mut()? = 0;
    cobs::encode(encoded, cobs::TO_THE_END);
    *start = 0;
    *end.first_mut()? = 0;
    encoded.len().checked_add(2)
}
