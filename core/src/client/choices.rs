//! How a client is made, in one word that is zero for full duplex.

use super::{Announcement, ClientConfig};
use crate::cbor::{ContentEncoding, EncodingSet};
use crate::tuned::Tuned;

/// What the configuration says beside numbers.
///
/// ```text
///   bits 0 multiple sends, 1 buffered sends, 2 takes status, 3 announces, 4 hgrpc,
///   8-15 decoders, 16-17, 18-19, 20-21 announced encodings (0: none)
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Choices(Tuned<{ Choices::pack(&ClientConfig::FULL_DUPLEX) }>);

impl Choices {
    const MULTIPLE: u32 = 0x01;
    const BUFFERS: u32 = 0x02;
    const STATUS: u32 = 0x04;
    const ANNOUNCES: u32 = 0x08;
    const HGRPC: u32 = 0x10;

    pub(super) const fn of(config: &ClientConfig) -> Self {
        Self(Tuned::new(Self::pack(config)))
    }

    const fn pack(config: &ClientConfig) -> u32 {
        let mut bits = u32::from_le_bytes([0, config.decoders.bits(), 0, 0]);
        if config.multiple_sends {
            bits |= Self::MULTIPLE;
        }
        if config.buffer_sends {
            bits |= Self::BUFFERS;
        }
        if config.takes_status {
            bits |= Self::STATUS;
        }
        if let Some(Announcement {
            encodings: [a, b, c],
            is_hgrpc,
        }) = config.announcement
        {
            bits |= Self::ANNOUNCES;
            if is_hgrpc {
                bits |= Self::HGRPC;
            }
            bits |= number_of(a) << 16 | number_of(b) << 18 | number_of(c) << 20;
        }
        bits
    }

    fn has(self, bit: u32) -> bool {
        self.0.get() & bit != 0
    }

    pub(super) fn has_multiple_sends(self) -> bool {
        self.has(Self::MULTIPLE)
    }

    pub(super) fn buffers_sends(self) -> bool {
        self.has(Self::BUFFERS)
    }

    pub(super) fn takes_status(self) -> bool {
        self.has(Self::STATUS)
    }

    pub(super) fn decoders(self) -> EncodingSet {
        let [_, decoders, ..] = self.0.get().to_le_bytes();
        EncodingSet::from_bits(decoders)
    }

    /// Puts the settings map there as slices, in canonical order; `false` if nothing is announced
    /// (revision-0006.md, 4.1).
    pub(super) fn settings(self, slices: &mut [&'static [u8]; 6]) -> bool {
        let [_, _, encodings, _] = self.0.get().to_le_bytes();
        let [start, count, a, b, c, end] = slices;
        *start = b"\xa1Pcontentencodings";
        if self.has(Self::HGRPC) {
            *start = b"\xa2Pcontentencodings";
            *end = b"Ehgrpc\x01";
        }
        let mut named = 0usize;
        for (place, shift) in [(a, 0u8), (b, 2), (c, 4)] {
            *place = name_of(encodings >> shift & 3);
            named = named.wrapping_add(usize::from(!place.is_empty()));
        }
        *count = b"\x80\x81\x82\x83".get(named..=named).unwrap_or_default();
        self.has(Self::ANNOUNCES)
    }
}

const fn number_of(encoding: Option<ContentEncoding>) -> u32 {
    match encoding {
        None => 0,
        Some(ContentEncoding::Identity) => 1,
        Some(ContentEncoding::Zlib) => 2,
        Some(ContentEncoding::Zstd8Mb) => 3,
    }
}

/// The encoding's name as CBOR.
fn name_of(number: u8) -> &'static [u8] {
    match number {
        1 => ContentEncoding::Identity.stream_settings(),
        2 => ContentEncoding::Zlib.stream_settings(),
        3 => ContentEncoding::Zstd8Mb.stream_settings(),
        _ => &[],
    }
}
