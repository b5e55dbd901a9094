//! SHA-256 of data that comes in pieces. The rounds are those of the crate sha2; what gathers blocks
//! is here, because the crate's own can panic.

use sha2::compress256;

const BLOCK: usize = 64;

/// The first words of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A digest that is being taken.
#[derive(Debug)]
pub(crate) struct Hash {
    state: [u32; 8],
    block: [u8; BLOCK],
    /// Bytes so far.
    len: u64,
}

impl Hash {
    pub(crate) const fn new() -> Self {
        Self {
            state: START,
            block: [0; BLOCK],
            len: 0,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(*byte);
        }
    }

    /// The digest of all that was taken.
    pub(crate) fn finish(mut self) -> [u8; 32] {
        let bits = self.len.wrapping_mul(8).to_be_bytes();
        let used = self.used();
        let padding = if used < 56 { 56 - used } else { 120 - used };
        // Zeros after a single bit, then the length.
        let mut byte = 0x80;
        for _ in 0..padding {
            self.put(byte);
            byte = 0;
        }
        for byte in bits {
            self.put(byte);
        }
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    /// Bytes in the block that is being gathered.
    fn used(&self) -> usize {
        let [low, ..] = self.len.to_le_bytes();
        usize::from(low) % BLOCK
    }

    /// One byte more.
    fn put(&mut self, byte: u8) {
        let used = self.used();
        if let Some(slot) = self.block.get_mut(used) {
            *slot = byte;
        }
        if used == BLOCK - 1 {
            compress256(&mut self.state, &[self.block.into()]);
        }
        self.len = self.len.wrapping_add(1);
    }
}

/// A digest in hexadecimal digits.
pub(crate) fn text(digest: [u8; 32]) -> [u8; 64] {
    let mut text = [0; 64];
    for (digits, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
        *digits = [digit(byte >> 4), digit(byte & 0xf)];
    }
    text
}

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value - 10),
    }
}
