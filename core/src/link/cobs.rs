//! Consistent overhead byte stuffing, in place (link.md, "Packets").
//!
//! A packet's content is shorter than 254 bytes, so nothing moves: codes take the places of zeros.
//! The crate `cobs` is the oracle in tests; it encodes into a second buffer, and its decoder handles
//! bytes one by one through a state that this case does not need.

/// A distance that reaches just past the end.
pub(super) const TO_THE_END: u8 = 1;

/// Replaces each zero by the distance to the next one, the last by that to the end, `after_end` − 1
/// bytes further on. The first byte must be a zero, and there are at most 254.
pub(super) fn encode(packet: &mut [u8], after_end: u8) {
    let mut distance = after_end;
    for byte in packet.iter_mut().rev() {
        if *byte == 0 {
            *byte = distance;
            distance = 0;
        }
        distance = distance.wrapping_add(1);
    }
}

/// Replaces each code by a zero, and returns how far past the end the last one points:
/// [`TO_THE_END`], or the packet is bad. [`encode`] with the same undoes it.
pub(super) fn decode(packet: &mut [u8]) -> u8 {
    let mut distance = TO_THE_END;
    for byte in packet {
        distance = distance.wrapping_sub(1);
        if distance == 0 {
            distance = *byte;
            *byte = 0;
        }
    }
    distance
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
            prop_assert_eq!(decode(&mut packet), TO_THE_END);
            prop_assert_eq!(&packet[1..], &content);
        }

        #[test]
        fn bad_packets_come_back_unaltered(
            packet in prop::collection::vec(prop_oneof![1u8..9, 1u8..], 1..=254),
        ) {
            let mut decoded = packet.clone();
            let after_end = decode(&mut decoded);
            let mut other = vec![0; packet.len()];
            let is_good = cobs::decode(&packet, &mut other).is_ok();
            // The oracle takes the code FF too; here none is ever sent.
            prop_assert!(is_good == (after_end == TO_THE_END) || packet.contains(&0xff));
            encode(&mut decoded, after_end);
            prop_assert_eq!(decoded, packet);
        }
    }
}
