//! The 8-byte frame header (framing.md, "Header").

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::flags::write_flags;
use super::{FrameKind, RequestId, StreamFlags, StreamId, TypeFlags};
use crate::{REVISIONS, Revision};

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;

/// The largest length that the header's 24-bit field can hold: 16,777,215.
pub const MAX_LENGTH: u32 = 0x00ff_ffff;

/// The payload size nearest to `size` that frames can be filled to: at least a byte, or nothing
/// would ever be sent, and at most what the header's field can hold.
pub(crate) const fn payload_limit(size: u32) -> u32 {
    match size {
        0 => 1,
        MAX_LENGTH.. => MAX_LENGTH,
        size => size,
    }
}

/// A frame header, laid over eight bytes as they stand on the wire.
///
/// Every bit survives parsing and emitting, known or not. All integers are little-endian.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct FrameHeader {
    length: [u8; 3],
    request_id: [u8; 2],
    stream_id: u8,
    stream_flags: u8,
    type_and_flags: u8,
}

impl FrameHeader {
    /// A header. `length` is the payload's bytes on the wire and `kind_number` the type's number
    /// in the revision spoken; only their low 24 and 4 bits are kept.
    #[inline]
    pub const fn new(
        length: u32,
        request_id: RequestId,
        stream_id: StreamId,
        stream_flags: StreamFlags,
        kind_number: u8,
        flags: TypeFlags,
    ) -> Self {
        // As two words, which are cheaper to make than eight bytes.
        let [low, high] = request_id.value().to_le_bytes();
        let first = length & MAX_LENGTH | u32::from_le_bytes([0, 0, 0, low]);
        let second = u32::from_le_bytes([
            high,
            stream_id.value(),
            stream_flags.bits(),
            (kind_number << 4) | flags.bits(),
        ]);
        zerocopy::transmute!([first.to_le_bytes(), second.to_le_bytes()])
    }

    /// The header that these bytes are. Every eight bytes are a header.
    #[inline]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> &Self {
        zerocopy::transmute_ref!(bytes)
    }

    /// The header at the start of `bytes`, and what follows it; `None` if there are fewer than
    /// eight bytes.
    #[inline]
    pub fn split_from(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    /// The header's bytes on the wire.
    #[inline]
    pub fn emit(&self) -> &[u8; HEADER_LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// Payload bytes that follow the header on the wire, after any content encoding.
    #[inline]
    pub const fn length(&self) -> u32 {
        let [l0, l1, l2] = self.length;
        u32::from_le_bytes([l0, l1, l2, 0])
    }

    /// Which request the frame belongs to.
    #[inline]
    pub const fn request_id(&self) -> RequestId {
        RequestId::new(u16::from_le_bytes(self.request_id))
    }

    /// Which stream the frame belongs to.
    #[inline]
    pub const fn stream_id(&self) -> StreamId {
        StreamId::new(self.stream_id)
    }

    /// The flags about the stream.
    #[inline]
    pub const fn stream_flags(&self) -> StreamFlags {
        StreamFlags::from_bits(self.stream_flags)
    }

    /// The type's number, 0 to 15.
    #[inline]
    pub const fn kind_number(&self) -> u8 {
        self.type_and_flags >> 4
    }

    /// What the type's number means in `revision`.
    #[inline]
    pub const fn kind(&self, revision: Revision) -> FrameKind {
        revision.kind(self.kind_number())
    }

    /// The four flag bits of the frame's type.
    #[inline]
    pub const fn flags(&self) -> TypeFlags {
        TypeFlags::from_bits(self.type_and_flags)
    }

    /// Whether the frame is of this type and these flags, and nothing is said about its stream but that
    /// it begins, perhaps again.
    #[inline]
    pub(crate) fn is_of(&self, kind_number: u8, flags: TypeFlags) -> bool {
        let said = u16::from_le_bytes([self.stream_flags, self.type_and_flags]);
        said & !u16::from(StreamFlags::BEGIN.bits())
            == u16::from_le_bytes([0, kind_number << 4 | flags.bits()])
    }

    /// The header as it is shown to people (framing.md, "Showing a frame to people"):
    /// `frame(size=8; request=1; stream=1; streamflags=stream-begin; type=command-request; flags=new)`.
    pub const fn display(&self, revision: Revision) -> HeaderDisplay {
        HeaderDisplay {
            header: *self,
            revision,
        }
    }
}

impl core::fmt::Debug for FrameHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FrameHeader")
            .field("length", &self.length())
            .field("request_id", &self.request_id().value())
            .field("stream_id", &self.stream_id().value())
            .field(
                "stream_flags",
                &core::fmt::from_fn(|f| {
                    write_flags(f, self.stream_flags().bits(), StreamFlags::name)
                }),
            )
            .field("type", &core::fmt::from_fn(|f| self.write_kinds(f)))
            .field(
                "flags",
                &core::fmt::from_fn(|f| {
                    write_flags(f, self.flags().bits(), |shift| self.flag_name(shift))
                }),
            )
            .finish()
    }
}

impl FrameHeader {
    /// The types that the number stands for in the revisions, each once.
    fn write_kinds(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut last = None;
        for kind in REVISIONS.map(|revision| self.kind(revision)) {
            let Some(name) = kind.name().filter(|_| last != Some(kind)) else {
                continue;
            };
            if last.is_some() {
                f.write_str("/")?;
            }
            f.write_str(name)?;
            last = Some(kind);
        }
        match last {
            None => write!(f, "{}", FrameKind::Unknown(self.kind_number())),
            Some(_) => Ok(()),
        }
    }

    /// The name of a flag bit in the first revision that has one.
    fn flag_name(&self, shift: u8) -> Option<&'static str> {
        REVISIONS.iter().find_map(|revision| {
            let names = revision.flag_names(self.kind(*revision));
            names.get(usize::from(shift)).copied().flatten()
        })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for FrameHeader {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "frame(size={=u32}; request={=u16}; stream={=u8}; streamflags={=u8:#04x}; type={=u8:#03x}; flags={=u8:#03x})",
            self.length(),
            self.request_id().value(),
            self.stream_id().value(),
            self.stream_flags().bits(),
            self.kind_number(),
            self.flags().bits()
        );
    }
}

/// Shows a header with a revision's names; made by [`FrameHeader::display`].
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeaderDisplay {
    header: FrameHeader,
    revision: Revision,
}

impl core::fmt::Display for HeaderDisplay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let header = &self.header;
        let kind = header.kind(self.revision);
        write!(
            f,
            "frame(size={}; request={}; stream={}; streamflags=",
            header.length(),
            header.request_id(),
            header.stream_id()
        )?;
        write_flags(f, header.stream_flags().bits(), StreamFlags::name)?;
        write!(f, "; type={kind}; flags=")?;
        let [n0, n1, n2, n3] = self.revision.flag_names(kind);
        write_flags(f, header.flags().bits(), |shift| match shift {
            0 => n0,
            1 => n1,
            2 => n2,
            3 => n3,
            _ => None,
        })?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_eight_bytes_survive_parse_and_emit(bytes: [u8; 8]) {
            let header = FrameHeader::parse(&bytes);
            prop_assert_eq!(header.emit(), &bytes);
            let again = FrameHeader::new(
                header.length(), header.request_id(), header.stream_id(),
                header.stream_flags(), header.kind_number(), header.flags(),
            );
            prop_assert_eq!(again.emit(), &bytes);
        }
    }

    // D1: the third byte counts 65,536.
    #[test]
    fn d1_third_length_byte_counts_65536() {
        let header = FrameHeader::parse(&[0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(header.length(), 65_536);
    }

    // D17: unknown types and bits are shown in every revision.
    #[test]
    fn d17_unknown_bits_and_types_are_shown() {
        let header = FrameHeader::parse(&[0, 0, 0, 1, 0, 1, 0x0b, 0xf3]);
        for revision in crate::REVISIONS {
            assert_eq!(
                header.display(revision).to_string(),
                "frame(size=0; request=1; stream=1; streamflags=stream-begin|stream-end|<unknown 0x08>; \
                 type=<unknown 0x0f>; flags=<unknown 0x01>|<unknown 0x02>)"
            );
        }
    }
}
