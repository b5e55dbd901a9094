//! CRC-32/ISO-HDLC, with half a table (link.md, "Packets").
//!
//! The crate `crc` is the oracle in tests. It has no panic paths either, but its table is 1 KiB of
//! flash for 24 instructions a byte of the whole decoding, and without a table it is 100; these
//! tables are 128 bytes, for 28: what a byte does is what its two halves do, together.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// What the low four bits of a byte do to the rest.
const LOW: [u32; 16] = table(8);
/// What the high four do.
const HIGH: [u32; 16] = table(4);

/// What each value of four bits does on its way out, in so many steps.
const fn table(steps: u8) -> [u32; 16] {
    let mut table = [0; 16];
    let mut rest = table.as_mut_slice();
    let mut nibble = 0u32;
    while let Some((entry, more)) = rest.split_first_mut() {
        let (mut value, mut step) = (nibble, 0u8);
        while step < steps {
            let carry = value & 1;
            value = (value >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(carry));
            step = step.wrapping_add(1);
        }
        *entry = value;
        rest = more;
        nibble = nibble.wrapping_add(1);
    }
    table
}

/// A checksum in the making.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) const fn new() -> Self {
        Self(u32::MAX)
    }

    pub(super) fn update(self, bytes: &[u8]) -> Self {
        let mut value = self.0;
        for byte in bytes {
            let [low, ..] = value.to_le_bytes();
            let both = low ^ byte;
            value = (value >> 8) ^ entry(&LOW, both & 0xf) ^ entry(&HIGH, both >> 4);
        }
        Self(value)
    }

    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

/// Never out of bounds, which the compiler sees.
fn entry(table: &[u32; 16], nibble: u8) -> u32 {
    table.get(usize::from(nibble)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    extern crate std;

    const ORACLE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

    #[test]
    fn the_check_value() {
        assert_eq!(Crc::new().update(b"123456789").finish(), 0xcbf4_3926);
        assert_eq!(Crc::new().finish(), 0);
    }

    proptest! {
        #[test]
        fn as_the_oracle_says(bytes: std::vec::Vec<u8>, cut: usize) {
            let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
            let found = Crc::new().update(head).update(tail).finish();
            prop_assert_eq!(found, ORACLE.checksum(&bytes));
        }
    }
}
