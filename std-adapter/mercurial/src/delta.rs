//! How one text is made of another (http-v2.md, 5.9).
//!
//! ```text
//!   delta    ┌ start u32 ┬ end u32 ┬ n u32 ┬ n bytes ┐┌ start …      big endian, ascending
//!            └───────────┴─────────┴───────┴─────────┘└
//!   base     ░░░░░░░░░░[start ▒▒▒▒▒▒ end)░░░░░░░░░░░░░░░░░░░
//!   result   ░░░░░░░░░░ n bytes ░░░░░░░░░░░░░░░░░░░
//! ```

use std::fmt;
use std::io::{self, Read, Write};

/// What is wrong with a delta, and at which of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaError {
    /// Where the record begins that is at fault, in bytes from the delta's start.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: DeltaErrorKind,
}

/// What is wrong with a record of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaErrorKind {
    /// The delta ends inside of it.
    Truncated,
    /// It begins before the one before ends.
    Overlap,
    /// It ends before it begins.
    Reversed,
    /// It replaces what the base does not have.
    OutOfBase,
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DeltaErrorKind::Truncated => "is cut short",
            DeltaErrorKind::Overlap => "overlaps the one before",
            DeltaErrorKind::Reversed => "ends before it begins",
            DeltaErrorKind::OutOfBase => "replaces what the base does not have",
        };
        write!(f, "the record at byte {} of the delta {what}", self.offset)
    }
}

impl std::error::Error for DeltaError {}

/// Why a delta could not be applied.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The delta is at fault.
    Delta(DeltaError),
    /// The base could not be read.
    Base(io::Error),
    /// The delta could not be read.
    Read(io::Error),
    /// The result could not be written.
    Write(io::Error),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delta(error) => error.fmt(f),
            Self::Base(error) => write!(f, "the delta's base could not be read: {error}"),
            Self::Read(error) => write!(f, "the delta could not be read: {error}"),
            Self::Write(error) => write!(f, "the delta's result could not be written: {error}"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// A delta in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<'a>(&'a [u8]);

impl<'a> Delta<'a> {
    /// The delta of these bytes. Nothing is looked at before it is applied.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text that the delta makes of `base`. Its length is at most that of both.
    ///
    /// # Errors
    /// The delta is malformed, or not one of this base.
    pub fn apply(&self, base: &[u8]) -> Result<Vec<u8>, DeltaError> {
        let mut out = Vec::with_capacity(base.len());
        match apply(&mut &*base, &mut &*self.0, &mut out) {
            Ok(_) => Ok(out),
            Err(ApplyError::Delta(error)) => Err(error),
            // Memory is read and written without errors.
            Err(_) => Err(DeltaError {
                offset: 0,
                kind: DeltaErrorKind::Truncated,
            }),
        }
    }

    /// Adds a record to a delta: `base[start..end)` becomes `bytes`. Offsets and lengths of 4 GiB and
    /// more do not fit.
    pub fn push(delta: &mut Vec<u8>, start: usize, end: usize, bytes: &[u8]) {
        for number in [start, end, bytes.len()] {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            delta.extend_from_slice(&number.to_be_bytes());
        }
        delta.extend_from_slice(bytes);
    }
}

/// Reads until the buffer is full or the source ends; how much there was.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A buffer's worth of a length that is still to come.
fn part(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER)
}

const BUFFER: usize = 64 << 10;

/// Applies a delta that may be of any length to a base of any length, in constant memory; gives
/// the length of the result. Both are read to their ends.
///
/// # Errors
/// A malformed delta, or one of another base; what reading and writing give. What was written by
/// then is of no use.
pub fn apply(
    base: &mut dyn Read,
    delta: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<u64, ApplyError> {
    let mut buffer = vec![0; BUFFER];
    let (mut at, mut offset, mut written) = (0u64, 0u64, 0u64);
    loop {
        let wrong = |kind| ApplyError::Delta(DeltaError { offset, kind });
        let mut head = [0; 12];
        match fill(delta, &mut head).map_err(ApplyError::Read)? {
            0 => break,
            12 => {}
            _ => return Err(wrong(DeltaErrorKind::Truncated)),
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l] = head;
        let start = u64::from(u32::from_be_bytes([a, b, c, d]));
        let end = u64::from(u32::from_be_bytes([e, f, g, h]));
        let len = u64::from(u32::from_be_bytes([i, j, k, l]));
        if start < at {
            return Err(wrong(DeltaErrorKind::Overlap));
        }
        if end < start {
            return Err(wrong(DeltaErrorKind::Reversed));
        }
        // What stays, then what goes.
        for (until, is_kept) in [(start, true), (end, false)] {
            while at < until {
                let part = &mut buffer[..part(until - at)];
                let read = fill(base, part).map_err(ApplyError::Base)?;
                if read < part.len() {
                    return Err(wrong(DeltaErrorKind::OutOfBase));
                }
                if is_kept {
                    out.write_all(part).map_err(ApplyError::Write)?;
                    written += u64::try_from(read).unwrap_or(u64::MAX);
                }
                at += u64::try_from(read).unwrap_or(u64::MAX);
            }
        }
        let mut left = len;
        while left > 0 {
            let part = &mut buffer[..part(left)];
            let read = fill(delta, part).map_err(ApplyError::Read)?;
            if read < part.len() {
                return Err(wrong(DeltaErrorKind::Truncated));
            }
            out.write_all(part).map_err(ApplyError::Write)?;
            left -= u64::try_from(read).unwrap_or(u64::MAX);
        }
        written += len;
        offset += 12 + len;
    }
    loop {
        let read = fill(base, &mut buffer).map_err(ApplyError::Base)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(written);
        }
        out.write_all(bytes).map_err(ApplyError::Write)?;
        written += u64::try_from(read).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Record = (u32, u32, Vec<u8>);

    fn emit(records: &[Record]) -> Vec<u8> {
        let mut delta = Vec::new();
        for (start, end, bytes) in records {
            let [start, end] = [*start, *end].map(|n| usize::try_from(n).unwrap());
            Delta::push(&mut delta, start, end, bytes);
        }
        delta
    }

    /// The same, said with slices.
    fn naive(base: &[u8], records: &[Record]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = 0;
        for (start, end, bytes) in records {
            let [start, end] = [*start, *end].map(|n| usize::try_from(n).unwrap());
            base.get(start..end)?;
            out.extend_from_slice(base.get(at..start)?);
            out.extend_from_slice(bytes);
            at = end;
        }
        out.extend_from_slice(&base[at..]);
        Some(out)
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        prop::collection::vec(
            (0u32..40, 0u32..40, prop::collection::vec(any::<u8>(), 0..5)),
            0..4,
        )
        .prop_map(|mut records| {
            // Mostly good ones: ascending, some of them overlapping or beyond the base.
            records.sort();
            for (start, end, _) in &mut records {
                *end = (*end).max(*start);
            }
            records
        })
    }

    proptest! {
        #[test]
        fn it_does_what_slices_do(base in prop::collection::vec(any::<u8>(), 0..40), records in records()) {
            prop_assert_eq!(Delta::new(&emit(&records)).apply(&base).ok(), naive(&base, &records));
        }

        // Shaped like a fuzz test: any bytes are applied or refused, and at a record's start.
        #[test]
        fn any_bytes_are_applied_or_refused(base: Vec<u8>, delta: Vec<u8>) {
            match Delta::new(&delta).apply(&base) {
                Ok(text) => prop_assert!(text.len() <= base.len() + delta.len()),
                Err(error) => prop_assert!(error.offset <= u64::try_from(delta.len()).unwrap()),
            }
        }

        #[test]
        fn damaged_deltas_are_applied_or_refused(
            base in prop::collection::vec(any::<u8>(), 0..40), records in records(), at: prop::sample::Index, bit in 0u8..8, len: prop::sample::Index,
        ) {
            let mut delta = emit(&records);
            if !delta.is_empty() {
                let at = at.index(delta.len());
                delta[at] ^= 1 << bit;
                delta.truncate(len.index(delta.len() + 1));
            }
            let _ = Delta::new(&delta).apply(&base);
        }
    }

    #[test]
    fn each_fault_has_its_name_and_place() {
        use DeltaErrorKind as Kind;
        let first = (1, 2, b"x".to_vec());
        for (records, cut, offset, kind) in [
            (vec![first.clone()], 1, 0, Kind::Truncated),
            (vec![first.clone()], 5, 0, Kind::Truncated),
            (vec![first.clone(), (1, 3, vec![])], 0, 13, Kind::Overlap),
            (vec![first.clone(), (4, 3, vec![])], 0, 13, Kind::Reversed),
            (vec![first.clone(), (4, 5, vec![])], 0, 13, Kind::OutOfBase),
            (vec![first, (5, 5, vec![])], 0, 13, Kind::OutOfBase),
        ] {
            let delta = emit(&records);
            let result = Delta::new(&delta[..delta.len() - cut]).apply(b"base");
            assert_eq!(result, Err(DeltaError { offset, kind }));
        }
    }

    #[test]
    fn a_large_base_is_streamed() {
        let mut delta = Vec::new();
        Delta::push(&mut delta, 3, 1 << 20, b"abc");
        let mut out = io::sink();
        let len = apply(&mut io::repeat(1).take(3 << 20), &mut &delta[..], &mut out).unwrap();
        assert_eq!(len, (2 << 20) + 6);
    }
}
