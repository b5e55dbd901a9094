//! From bytes to packets (link.md, "Packets").

use super::packet::{self, DATA_HEADER, MIN_PACKET, PACKET_OVERHEAD, PAYLOAD_AT, SYNC_LEN};
use super::session::Session;
use super::{Link, MAX_PACKET};
use crate::wire::OutFrame;

crate::error::kinds! {
    /// Why there is no packet; nothing changed.
    PacketError {
        /// There is no connection. What was to be sent belongs to one that is over, or comes too
        /// early.
        NotUp = "not-up",
        /// The first packet of a connection begins with a frame.
        NotAtFrameStart = "not-at-frame-start",
        /// The memory that was lent holds fewer than 32 bytes.
        BufferTooSmall = "buffer-too-small",
    }
}

impl<const N: usize> Link<N> {
    /// The packet that is due to the peer, written into `out`: an answer, or what a
    /// [tick](Self::tick) or a start asks. `None`: none is due, or `out` holds fewer than 32 bytes.
    ///
    /// To be asked after bytes were handled and after a tick.
    pub fn control_packet<'o>(&mut self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        control_packet(&mut self.session, out).and_then(|len| out.get(..len))
    }

    /// The next packet with bytes of `frame`, written into `out`; `None`: it is all taken.
    /// `taken` counts the bytes that are, from 0.
    ///
    /// A packet that is [due](Self::control_packet) comes first, without bytes of the frame.
    /// Packets are as large as `out` and the peer allow. Work is bounded by the packet.
    ///
    /// # Errors
    /// [`PacketError`]. When it is `NotUp`, the rest of the frame is not wanted any more.
    pub fn frame_packet<'o>(
        &mut self,
        frame: &OutFrame<'_>,
        taken: &mut usize,
        out: &'o mut [u8],
    ) -> Result<Option<&'o [u8]>, PacketError> {
        if *taken >= frame.wire_len() {
            return Ok(None);
        }
        let is_start = *taken == 0;
        let len = data_packet(&mut self.session, is_start, &frame.as_slices(), taken, out)?;
        Ok(out.get(..len))
    }

    /// The next packet with bytes from the front of `bytes`, which is advanced past what was taken,
    /// written into `out`. For owners that join frames; `is_frame_start`: whether a frame begins at
    /// the first of them. With none there is a packet only if one is due, else an empty slice.
    ///
    /// A packet that is [due](Self::control_packet) comes first, and takes nothing. Work is bounded
    /// by the packet.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn packet<'o>(
        &mut self,
        bytes: &mut &[u8],
        is_frame_start: bool,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], PacketError> {
        let all = *bytes;
        let mut taken = 0usize;
        let len = data_packet(&mut self.session, is_frame_start, &[all], &mut taken, out)?;
        *bytes = all.get(taken..).unwrap_or_default();
        Ok(out.get(..len).unwrap_or_default())
    }
}

fn control_packet(session: &mut Session, out: &mut [u8]) -> Option<usize> {
    let room = out.get_mut(..MIN_PACKET)?;
    packet::write_sync(room, session.take_sync()?)
}

/// Writes a packet with what `slices` have from `taken` on, or the one that is due; its length.
fn data_packet(
    session: &mut Session,
    is_frame_start: bool,
    slices: &[&[u8]],
    taken: &mut usize,
    out: &mut [u8],
) -> Result<usize, PacketError> {
    if !session.is_up {
        return Err(PacketError::NotUp);
    }
    if out.len() < MIN_PACKET {
        return Err(PacketError::BufferTooSmall);
    }
    if let Some(len) = control_packet(session, out) {
        return Ok(len);
    }
    if session.next_sent == 0 && !is_frame_start {
        return Err(PacketError::NotAtFrameStart);
    }
    let limit = usize::from(session.peer_size)
        .wrapping_add(1)
        .min(out.len());
    let end = limit.saturating_sub(PACKET_OVERHEAD.saturating_sub(PAYLOAD_AT));
    let mut room = out.get_mut(PAYLOAD_AT..end).unwrap_or_default();
    let (mut skip, mut len) = (*taken, 0usize);
    for slice in slices {
        let Some(slice) = slice.get(skip..) else {
            skip = skip.saturating_sub(slice.len());
            continue;
        };
        skip = 0;
        let count = slice.len().min(room.len());
        let (head, tail) = room.split_at_mut_checked(count).unwrap_or_default();
        // Written out: the call of `bytes::copy` would be larger.
        head.iter_mut()
            .zip(slice)
            .for_each(|(to, from)| *to = *from);
        room = tail;
        len = len.saturating_add(count);
    }
    if len == 0 {
        return Ok(0);
    }
    *taken = taken.saturating_add(len);
    let place = session.take_place();
    // It fits: there was room for it all.
    Ok(packet::write_data(out, len, place, is_frame_start).unwrap_or(0))
}

// With the largest size there is, a packet is as long as may be.
const _: () =
    assert!(PAYLOAD_AT > DATA_HEADER && PACKET_OVERHEAD > PAYLOAD_AT && MAX_PACKET == 256);
const _: () = assert!(SYNC_LEN <= MIN_PACKET);
