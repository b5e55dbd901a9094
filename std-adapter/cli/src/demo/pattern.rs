//! Bytes that look random, cost little, and are the same at every run.

use std::io::{self, Read};

/// An endless stream of bytes, cut off at a length.
#[derive(Debug)]
pub(super) struct Pattern {
    seed: u64,
    position: u64,
    len: u64,
}

impl Pattern {
    pub(super) const fn new(seed: u64, len: u64) -> Self {
        Self {
            seed,
            position: 0,
            len,
        }
    }

    /// The eight bytes with this number (splitmix64).
    const fn word(&self, number: u64) -> [u8; 8] {
        let mut word = number
            .wrapping_add(self.seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.position).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        let (buffer, _) = buffer.split_at_mut(len);
        // A buffer may begin and end inside of a word.
        let skip = usize::try_from(self.position % 8).unwrap_or_default();
        let first = self.word(self.position / 8);
        let (front, rest) = buffer.split_at_mut(len.min((8 - skip) % 8));
        for (to, from) in front.iter_mut().zip(first.iter().skip(skip)) {
            *to = *from;
        }
        let mut number = self.position.div_ceil(8);
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.word(number));
            number += 1;
        }
        for (to, from) in words.into_remainder().iter_mut().zip(self.word(number)) {
            *to = from;
        }
        self.position += u64::try_from(len).unwrap_or_default();
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_bytes() {
        let mut whole = Vec::new();
        Pattern::new(3, 1001).read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len(), 1001);
        for size in [1, 3, 7, 8, 9, 64] {
            let mut pattern = Pattern::new(3, 1001);
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                match pattern.read(&mut buffer).unwrap() {
                    0 => break,
                    len => all.extend_from_slice(&buffer[..len]),
                }
            }
            assert!(all == whole, "{size}");
        }
    }
}
