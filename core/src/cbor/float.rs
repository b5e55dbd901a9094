//! The shortest form of floats (messages.md, "CBOR": floats take the shortest form that keeps
//! their value).

use crate::bytes::shift_down;

use super::cursor::Cursor;

/// The initial bytes of floats of 16, 32 and 64 bits.
const HALF: u8 = 0xf9;
const SINGLE: u8 = 0xfa;
const DOUBLE: u8 = 0xfb;

/// Shortens every float in `bytes`, which are well-formed items, and returns how many bytes are
/// left. What is not well-formed stays as it is from there on. Work is linear for each float.
pub(super) fn shorten_floats(bytes: &mut [u8]) -> usize {
    let mut at = 0usize;
    let mut end = bytes.len();
    while let Some(rest) = bytes.get(at..end) {
        let mut cursor = Cursor::new(rest);
        if !cursor.head() {
            break;
        }
        let head_len = rest.len().saturating_sub(cursor.rest().len());
        let bits = rest
            .get(1..head_len)
            .unwrap_or_default()
            .iter()
            .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
        if let Some((short, len)) = shorter(cursor.initial(), bits) {
            let spare = head_len.saturating_sub(len);
            if let Some(target) = bytes.get_mut(at..end) {
                target
                    .iter_mut()
                    .zip(short)
                    .take(len)
                    .for_each(|(to, from)| *to = from);
                shift_down(target.get_mut(len..).unwrap_or_default(), spare);
            }
            end = end.saturating_sub(spare);
            at = at.saturating_add(len);
            continue;
        }
        at = at
            .saturating_add(head_len)
            .saturating_add(cursor.content_len());
    }
    end
}

/// A float's shorter encoding and its length, if there is one.
fn shorter(initial: u8, bits: u64) -> Option<([u8; 5], usize)> {
    let single = match initial {
        DOUBLE => narrow(bits, 52, 11, 23, 8)?,
        SINGLE => bits,
        _ => return None,
    };
    if let Some(half) = narrow(single, 23, 8, 10, 5) {
        let [low, high, ..] = half.to_le_bytes();
        return Some(([HALF, high, low, 0, 0], 3));
    }
    let [a, b, c, d, ..] = single.to_le_bytes();
    (initial == DOUBLE).then_some(([SINGLE, d, c, b, a], 5))
}

/// A float of `mantissa` and `exponent` bits with fewer of both, if that keeps its value. All NaNs
/// are one.
///
/// ```text
///   sign | exponent (biased) | mantissa      value = 1.mantissa × 2^(exponent − bias)
/// ```
fn narrow(
    bits: u64,
    mantissa: u32,
    exponent: u32,
    to_mantissa: u32,
    to_exponent: u32,
) -> Option<u64> {
    let mask = |bits: u32| 1u64.wrapping_shl(bits).wrapping_sub(1);
    let sign = bits.wrapping_shr(mantissa.wrapping_add(exponent)) & 1;
    let biased = bits.wrapping_shr(mantissa) & mask(exponent);
    let fraction = bits & mask(mantissa);
    let dropped = mantissa.wrapping_sub(to_mantissa);
    let make = |biased: u64, fraction: u64| {
        sign.wrapping_shl(to_mantissa.wrapping_add(to_exponent))
            | biased.wrapping_shl(to_mantissa)
            | fraction
    };
    if biased == mask(exponent) {
        let quiet = 1u64.wrapping_shl(to_mantissa.wrapping_sub(1));
        return Some(if fraction == 0 {
            make(mask(to_exponent), 0)
        } else {
            mask(to_exponent).wrapping_shl(to_mantissa) | quiet
        });
    }
    if biased == 0 {
        // Zero stays; what is subnormal here is smaller than anything there.
        return (fraction == 0).then(|| make(0, 0));
    }
    // How far the exponent lies above the smallest normal one there; less than 1 is subnormal.
    let bias = mask(exponent.wrapping_sub(1));
    let to_bias = mask(to_exponent.wrapping_sub(1));
    let above = biased.wrapping_add(to_bias);
    if above > bias {
        let to_biased = above.wrapping_sub(bias);
        let fits = to_biased < mask(to_exponent) && fraction & mask(dropped) == 0;
        return fits.then(|| make(to_biased, fraction.wrapping_shr(dropped)));
    }
    // Subnormal: the leading one becomes explicit and moves right.
    let shift = u32::try_from(bias.wrapping_sub(above))
        .ok()?
        .wrapping_add(1)
        .wrapping_add(dropped);
    let significand = fraction | 1u64.wrapping_shl(mantissa);
    let fits = shift <= mantissa && significand & mask(shift) == 0;
    fits.then(|| make(0, significand.wrapping_shr(shift)))
}

/// Returns the value of an encoded float of any width; `None` if it is something else.
pub(super) fn widen(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [HALF, high, low] => {
            let bits = u16::from_be_bytes([high, low]);
            let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 0x1f, bits & 0x3ff);
            let magnitude = match exponent {
                // Subnormal: in units of 2^-24.
                0 => f64::from(fraction) / 16_777_216.0,
                _ => {
                    let biased = match exponent {
                        0x1f => 0x7ff,
                        // The biases are 15 and 1023.
                        _ => u64::from(exponent).wrapping_add(1008),
                    };
                    f64::from_bits(biased << 52 | u64::from(fraction) << 42)
                }
            };
            Some(if sign == 1 { -magnitude } else { magnitude })
        }
        [SINGLE, a, b, c, d] => Some(f64::from(f32::from_be_bytes([a, b, c, d]))),
        [DOUBLE, a, b, c, d, e, f, g, h] => Some(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The value of a half, by its definition.
    fn half_value(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let exponent = i32::from((bits >> 10) & 0x1f);
        let mantissa = f64::from(bits & 0x3ff);
        sign * match exponent {
            0 => mantissa * 2f64.powi(-24),
            31 if mantissa == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
        }
    }

    fn shortened(value: f64) -> Vec<u8> {
        let mut bytes = [&[DOUBLE][..], &value.to_be_bytes()].concat();
        let len = shorten_floats(&mut bytes);
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn every_half_is_found() {
        for bits in 0..=u16::MAX {
            let value = half_value(bits);
            let expected = if value.is_nan() { 0x7e00 } else { bits };
            let [high, low] = expected.to_be_bytes();
            assert_eq!(shortened(value), [HALF, high, low], "{bits:04x}");
            let [high, low] = bits.to_be_bytes();
            let widened = widen(&[HALF, high, low]).unwrap();
            assert!(widened.to_bits() == value.to_bits() || widened.is_nan() && value.is_nan());
        }
    }

    #[test]
    fn floats_in_containers_and_not_in_strings() {
        // [1.5 (double), h'fb…' (nine bytes), 1.1 (single)]
        let mut bytes =
            b"\x83\xfb\x3f\xf8\0\0\0\0\0\0\x49\xfb\x3f\xf8\0\0\0\0\0\0\xfa\x3f\x8c\xcc\xcd"
                .to_vec();
        let len = shorten_floats(&mut bytes);
        assert_eq!(
            &bytes[..len],
            b"\x83\xf9\x3e\x00\x49\xfb\x3f\xf8\0\0\0\0\0\0\xfa\x3f\x8c\xcc\xcd"
        );
    }

    proptest! {
        #[test]
        fn every_single_is_found_and_every_value_kept(single: f32, double: f64) {
            let bytes = shortened(f64::from(single));
            prop_assert!(bytes.len() <= 5);
            for value in [f64::from(single), double] {
                let kept = match shortened(value)[..] {
                    [HALF, a, b] => half_value(u16::from_be_bytes([a, b])),
                    [SINGLE, a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
                    [DOUBLE, ref rest @ ..] => f64::from_be_bytes(rest.try_into().unwrap()),
                    _ => panic!(),
                };
                prop_assert!(kept == value || (kept.is_nan() && value.is_nan()));
            }
        }
    }
}
