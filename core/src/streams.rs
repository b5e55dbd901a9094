//! Which of one direction's 128 streams are open (framing.md, "Streams"; revision-0006.md, 3.1).

use crate::wire::StreamId;

/// A set of stream IDs of one parity, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct StreamSet([u32; 4]);

impl StreamSet {
    pub(crate) const EMPTY: Self = Self([0; 4]);

    /// The word of a stream's bit, and the bit. A stream's number is half its ID.
    #[inline]
    fn place(&mut self, id: StreamId) -> (&mut u32, u32) {
        let [a, b, c, d] = &mut self.0;
        let number = id.value() >> 1;
        let word = match number >> 5 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        (word, 1u32.wrapping_shl(u32::from(number)))
    }

    pub(crate) fn contains(self, id: StreamId) -> bool {
        let mut copy = self;
        let (word, bit) = copy.place(id);
        *word & bit != 0
    }

    pub(crate) fn insert(&mut self, id: StreamId) {
        let (word, bit) = self.place(id);
        *word |= bit;
    }

    pub(crate) fn remove(&mut self, id: StreamId) {
        let (word, bit) = self.place(id);
        *word &= !bit;
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
