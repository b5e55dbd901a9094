//! For tests: random values in every encoding, and a second opinion on what is well-formed.

extern crate std;
use std::boxed::Box;
use std::vec::Vec;

use proptest::prelude::*;

use super::CborError;

/// A value with the choices that its encoding leaves.
#[derive(Clone, Debug)]
pub(super) enum Cbor {
    /// Unsigned, negative (argument), with a head width of at least that many argument bytes.
    Int(u8, u64, u8),
    /// Major 2 or 3; one definite string, or chunks.
    Str(u8, Vec<Vec<u8>>, bool, u8),
    Array(Vec<Cbor>, bool, u8),
    Map(Vec<(Cbor, Cbor)>, bool, u8),
    Tag(u64, Box<Cbor>),
    /// Simple values and floats, as they are encoded.
    Simple(Vec<u8>),
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64, width: u8) {
    let width = match argument {
        0..=23 => width,
        24..=0xff => width.max(1),
        0x100..=0xffff => width.max(2),
        0x1_0000..=0xffff_ffff => width.max(4),
        _ => 8,
    };
    let (info, width) = match width {
        0 => (u8::try_from(argument).unwrap(), 0),
        1 => (24, 1),
        2 => (25, 2),
        3 | 4 => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | info);
    out.extend_from_slice(&argument.to_be_bytes()[8 - width..]);
}

impl Cbor {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(major, argument, width) => head(out, *major, *argument, *width),
            Self::Str(major, chunks, false, width) => {
                let all = chunks.concat();
                head(out, *major, all.len() as u64, *width);
                out.extend(all);
            }
            Self::Str(major, chunks, true, width) => {
                out.push(major << 5 | 31);
                for chunk in chunks {
                    head(out, *major, chunk.len() as u64, *width);
                    out.extend(chunk);
                }
                out.push(0xff);
            }
            Self::Array(items, indefinite, width) => {
                if *indefinite {
                    out.push(0x9f);
                } else {
                    head(out, 4, items.len() as u64, *width);
                }
                items.iter().for_each(|item| item.encode(out));
                if *indefinite {
                    out.push(0xff);
                }
            }
            Self::Map(items, indefinite, width) => {
                if *indefinite {
                    out.push(0xbf);
                } else {
                    head(out, 5, items.len() as u64, *width);
                }
                for (key, value) in items {
                    key.encode(out);
                    value.encode(out);
                }
                if *indefinite {
                    out.push(0xff);
                }
            }
            Self::Tag(tag, value) => {
                head(out, 6, *tag, 0);
                value.encode(out);
            }
            Self::Simple(bytes) => out.extend(bytes),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

pub(super) fn width() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0u8), 1 => 1u8..=8]
}

fn argument() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(n, shift)| n >> shift)
}

/// Any value, at most 8 levels deep.
pub(super) fn cbor() -> impl Strategy<Value = Cbor> {
    let chunk = prop::collection::vec(any::<u8>(), 0..5);
    let leaf = prop_oneof![
        (0u8..=1, argument(), width()).prop_map(|(m, n, w)| Cbor::Int(m, n, w)),
        (
            2u8..=3,
            prop::collection::vec(chunk, 0..4),
            any::<bool>(),
            width()
        )
            .prop_map(|(m, mut c, i, w)| {
                if m == 3 {
                    // minicbor's `skip` checks text for UTF-8, which is not asked of it here.
                    c.iter_mut().flatten().for_each(|b| *b &= 0x7f);
                }
                Cbor::Str(m, c, i, w)
            }),
        prop_oneof![
            (0u8..24).prop_map(|n| std::vec![0xe0 | n]),
            (32u8..=255).prop_map(|n| std::vec![0xf8, n]),
            any::<[u8; 2]>().prop_map(|b| [&[0xf9], &b[..]].concat()),
            any::<[u8; 4]>().prop_map(|b| [&[0xfa], &b[..]].concat()),
            any::<[u8; 8]>().prop_map(|b| [&[0xfb], &b[..]].concat()),
        ]
        .prop_map(Cbor::Simple),
    ];
    leaf.prop_recursive(8, 48, 6, |inner| {
        prop_oneof![
            (
                prop::collection::vec(inner.clone(), 0..6),
                any::<bool>(),
                width()
            )
                .prop_map(|(v, i, w)| Cbor::Array(v, i, w)),
            (
                prop::collection::vec((inner.clone(), inner.clone()), 0..4),
                any::<bool>(),
                width()
            )
                .prop_map(|(v, i, w)| Cbor::Map(v, i, w)),
            (argument(), inner).prop_map(|(t, v)| Cbor::Tag(t, Box::new(v))),
        ]
    })
}

/// Bytes that are near to CBOR: a value with bytes changed, cut off, or put behind it.
pub(super) fn nearly_cbor() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        // Initial bytes that matter.
        prop::collection::vec(
            prop::sample::select(
                &[
                    0x00u8, 0x18, 0x1c, 0x1f, 0x20, 0x3f, 0x40, 0x41, 0x58, 0x5f, 0x60, 0x61, 0x7f,
                    0x80, 0x81, 0x82, 0x9f, 0x9b, 0xa0, 0xa1, 0xbf, 0xbb, 0xc1, 0xd8, 0xd9, 0xdf,
                    0xf4, 0xf6, 0xf7, 0xf8, 0xf9, 0xfc, 0xff, 0x01, 0x02,
                ][..]
            ),
            0..40
        ),
        (
            cbor(),
            prop::collection::vec((any::<u16>(), any::<u8>()), 0..3),
            any::<u16>()
        )
            .prop_map(|(value, changes, cut)| {
                let mut bytes = value.to_vec();
                for (at, to) in changes {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] = to;
                }
                bytes.truncate(usize::from(cut) % (bytes.len() * 2));
                bytes
            }),
    ]
}

/// The length of the value at the front, by recursion, straight from RFC 8949, appendix C.
pub(super) fn reference_len(bytes: &[u8], level: usize) -> Result<usize, CborError> {
    let initial = *bytes.first().ok_or(CborError::Incomplete)?;
    let (major, info) = (initial >> 5, initial & 31);
    let width = match info {
        0..=23 => 0,
        24..=27 => 1usize << (info - 24),
        31 if (2..=5).contains(&major) => 0,
        _ => return Err(CborError::Malformed),
    };
    let mut argument = u64::from(info);
    if width > 0 {
        let raw = bytes.get(1..1 + width).ok_or(CborError::Incomplete)?;
        argument = raw.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    }
    let mut at = 1 + width;
    let rest = |at: usize| &bytes[at..];
    let indefinite = info == 31;
    let deeper = || {
        if level == super::MAX_NESTING {
            Err(CborError::NestedTooDeep)
        } else {
            Ok(level + 1)
        }
    };
    match major {
        2 | 3 if indefinite => loop {
            match rest(at).first() {
                None => return Err(CborError::Incomplete),
                Some(0xff) => return Ok(at + 1),
                Some(b) if b >> 5 != major || b & 31 == 31 => return Err(CborError::Malformed),
                Some(_) => at += reference_len(rest(at), level)?,
            }
        },
        2 | 3 => match (at as u64).checked_add(argument) {
            Some(end) if end <= bytes.len() as u64 => at = end as usize,
            _ => return Err(CborError::Incomplete),
        },
        4 | 5 if indefinite => {
            let level = deeper()?;
            loop {
                match rest(at).first() {
                    None => return Err(CborError::Incomplete),
                    Some(0xff) => return Ok(at + 1),
                    Some(_) => {}
                }
                for _ in 0..major - 3 {
                    at += reference_len(rest(at), level)?;
                }
            }
        }
        4 | 5 => {
            let level = deeper()?;
            for _ in 0..u128::from(argument) * u128::from(major - 3) {
                at += reference_len(rest(at), level)?;
            }
        }
        6 => at += reference_len(rest(at), deeper()?)?,
        7 if info == 24 && argument < 32 => return Err(CborError::Malformed),
        _ => {}
    }
    Ok(at)
}

/// Bytes from hex; spaces are ignored.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| char::from(b).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
