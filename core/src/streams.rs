//! Which of one direction's 128 streams are open (framing.md, "Streams"; revision-0006.md, 3.1).

use crate::wire::StreamId;

/// A set of stream IDs of one parity, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
// Aligned, so that it is cleared word by word.
#[repr(align(4))]
pub(crate) struct StreamSet([u8; 16]);

impl StreamSet {
    pub(crate) const EMPTY: Self = Self([0; 16]);

    /// The byte of a stream's bit, and the bit. A stream's number is half its ID, seven bits: its
    /// byte is always there, and the compiler sees that.
    #[inline]
    pub(crate) fn place(&mut self, id: StreamId) -> Option<(&mut u8, u8)> {
        let number = id.value() >> 1;
        let byte = self.0.get_mut(usize::from(number >> 3))?;
        Some((byte, 1u8.wrapping_shl(u32::from(number))))
    }

    #[inline]
    pub(crate) fn contains(&self, id: StreamId) -> bool {
        let number = id.value() >> 1;
        let byte = self.0.get(usize::from(number >> 3));
        byte.is_some_and(|byte| byte.wrapping_shr(u32::from(number)) & 1 != 0)
    }

    #[cfg(test)]
    pub(crate) fn insert(&mut self, id: StreamId) {
        if let Some((byte, bit)) = self.place(id) {
            *byte |= bit;
        }
    }

    pub(crate) fn remove(&mut self, id: StreamId) {
        if let Some((byte, bit)) = self.place(id) {
            *byte &= !bit;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::EMPTY;
    }

    /// The IDs in the set, ascending; `odd` is the parity that the set stands for.
    pub(crate) fn iter(self, odd: bool) -> impl Iterator<Item = StreamId> {
        (0..=u8::MAX)
            .map(StreamId::new)
            .filter(move |id| id.is_odd() == odd && self.contains(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_a_parity_has_a_bit_of_its_own() {
        for odd in [false, true] {
            for value in (0..=u8::MAX).filter(|v| (v % 2 == 1) == odd) {
                let mut set = StreamSet::EMPTY;
                set.insert(StreamId::new(value));
                assert!(set.iter(odd).eq([StreamId::new(value)]));
                set.remove(StreamId::new(value));
                assert_eq!(set, StreamSet::EMPTY);
            }
        }
    }
}
