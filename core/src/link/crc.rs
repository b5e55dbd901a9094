//! CRC-32/ISO-HDLC, four bits at a time (link.md, "Packets").
//!
//! The crate `crc` is the oracle in tests. Its tables take 1 KiB of flash, or none and four times the
//! instructions; this one takes 64 bytes.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// What four bits that are shifted out do to the rest.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut rest = table.as_mut_slice();
    let mut nibble = 0u32;
    while let Some((entry, more)) = rest.split_first_mut() {
        let (mut value, mut bit) = (nibble, 0u8);
        while bit < 4 {
            let carry = value & 1;
            value = (value >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(carry));
            bit = bit.wrapping_add(1);
        }
        *entry = value;
        rest = more;
        nibble = nibble.wrapping_add(1);
    }
    table
};

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
            value ^= u32::from(*byte);
            value = (value >> 4) ^ entry(value);
            value = (value >> 4) ^ entry(value);
        }
        Self(value)
    }

    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

fn entry(value: u32) -> u32 {
    let [low, ..] = value.to_le_bytes();
    // Never out of bounds, which the compiler sees.
    TABLE.get(usize::from(low & 0xf)).copied().unwrap_or(0)
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
