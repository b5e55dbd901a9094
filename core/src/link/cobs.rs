//! Consistent overhead byte stuffing, in place (link.md, "Packets").
//!
//! A packet's content is shorter than 254 bytes, so nothing moves: codes take the places of zeros.
//! The crate `cobs` is the oracle in tests; it encodes into a second buffer, and its decoder
//! handles bytes one by one through a state that this case does not need, and cannot give a bad
//! packet back.

/// A distance that reaches just past the end.
pub(super) const TO_THE_END: u32 = 1;

/// Replaces each zero by the distance to the next one, the last by that to the end, `after_end` − 1
/// bytes further on. The first byte must be a zero, and there are at most 254.
pub(super) fn encode(packet: &mut [u8], after_end: u32) {
    let [mut distance, ..] = after_end.to_le_bytes();
    for byte in packet.iter_mut().rev() {
        if *byte == 0 {
            *byte = distance;
            distance = 0;
        }
        distance = distance.wrapping_add(1);
    }
}

/// Copies up to a zero, which is counted too, to the end of `encoded`, or while there is room, and
/// puts zeros where codes are. Returns the number of bytes taken from `encoded`, and whether there
/// was a zero.
///
/// `distance`: bytes up to the next code, counted from the one before `decoded`; [`TO_THE_END`] at
/// the start of a packet and, if it is good, at its end. [`encode`] with the same undoes it.
pub(super) fn decode(encoded: &[u8], decoded: &mut [u8], distance: &mut u32) -> (usize, bool) {
    let (mut left, mut count) = (*distance, 0usize);
    let mut is_ended = false;
    for (slot, byte) in decoded.iter_mut().zip(encoded) {
        count = count.wrapping_add(1);
        let mut value = *byte;
        if value == 0 {
            is_ended = true;
            break;
        }
        left = left.wrapping_sub(1);
        if left == 0 {
            left = u32::from(value);
            value = 0;
        }
        *slot = value;
    }
    *distance = left;
    (count, is_ended)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    extern crate std;
    use std::vec;
    use std::vec::Vec;

    fn oracle(content: &[u8]) -> Vec<u8> {
        let mut out = vec![0; cobs::max_encoding_length(content.len())];
        let len = cobs::encode(content, &mut out);
        out.truncate(len);
        out
    }

    proptest! {
        #[test]
        fn as_the_oracle_says(
            content in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..=253),
        ) {
            let mut packet = [&[0], content.as_slice()].concat();
            encode(&mut packet, TO_THE_END);
            prop_assert_eq!(&packet, &oracle(&content));
            prop_assert!(!packet.contains(&0));
            packet.push(0);
            let (mut decoded, mut distance) = (vec![9; packet.len()], TO_THE_END);
            let (taken, is_ended) = decode(&packet, &mut decoded, &mut distance);
            prop_assert_eq!((taken, is_ended, distance), (packet.len(), true, TO_THE_END));
            prop_assert_eq!(&decoded[1..packet.len() - 1], &content);
        }

        #[test]
        fn bad_packets_come_back_unaltered(
            packet in prop::collection::vec(prop_oneof![1u8..9, 1u8..], 1..=254),
        ) {
            let (mut decoded, mut after_end) = (vec![0; packet.len()], TO_THE_END);
            // In two pieces.
            let (head, tail) = packet.split_at(packet.len() / 2);
            let (first, second) = decoded.split_at_mut(head.len());
            decode(head, first, &mut after_end);
            decode(tail, second, &mut after_end);
            let mut other = vec![0; packet.len()];
            let is_good = cobs::decode(&packet, &mut other).is_ok();
            // The oracle takes the code FF too; here none is ever sent.
            prop_assert!(is_good == (after_end == TO_THE_END) || packet.contains(&0xff));
            encode(&mut decoded, after_end);
            prop_assert_eq!(decoded, packet);
        }
    }
}
