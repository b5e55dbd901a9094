//! Random choices that a seed replays.

use std::sync::LazyLock;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    /// Returns a number of milliseconds, `most` at most.
    pub(crate) fn millis(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }

    /// Returns `true` so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Returns a size, most often small, `most` at most.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        let end = match self.below(1000) {
            0..600 => 20,
            600..900 => 300,
            900..994 => 3000,
            _ => 100_000,
        };
        self.below(end.min(most) + 1)
    }
}

/// Bytes of a stream repeat after so many, which is a prime.
const PERIOD: usize = 65_521;

/// Random bytes, from which every stream is taken at another place.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(0);
    let words = (0..PERIOD / 4).map(|_| random.next());
    // Half of the bytes are the same, so that there is something to compress.
    words
        .flat_map(|word| [word.to_le_bytes()[0], 0, word.to_le_bytes()[1], 7])
        .collect()
});

/// Returns the bytes of a stream from an offset on.
pub(crate) fn bytes(stream: usize, offset: usize, len: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(len);
    let mut at = (stream * 7919 + offset) % BYTES.len();
    while all.len() < len {
        let now = (len - all.len()).min(BYTES.len() - at);
        all.extend_from_slice(&BYTES[at..at + now]);
        at = 0;
    }
    all
}
