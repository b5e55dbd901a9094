//! The blocks that the files of a mirror are made of: compressed, and each under a checksum.
//!
//! ```text
//!   ┌ magic 4 ┬ stored u32 ┬ raw u32 ┬ checksum 16 ┬ stored bytes ┐    numbers big endian
//!   └─────────┴────────────┴─────────┴─────────────┴──────────────┘
//! ```
//! The bytes are Zstandard, or plain where that is no shorter (`stored` = `raw`). The checksum is
//! the beginning of the SHA-256 of the file's kind, the block's offset in the file, the two numbers
//! and the stored bytes: a block is right only where it was written.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Marks the start of a block.
const MAGIC: [u8; 4] = *b"\x9bhgb";
/// Bytes before the stored ones.
pub(super) const HEADER: usize = 28;
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 16;
/// Compression level of Zstandard.
const LEVEL: i32 = 3;

/// Why a block cannot be read.
#[derive(Debug)]
pub(super) enum BlockError {
    /// It is damaged: what is wrong.
    Damaged(&'static str),
    /// Reading failed.
    Io(io::Error),
}

impl From<io::Error> for BlockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Which file a block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Texts,
    Large,
}

impl Kind {
    const fn tag(self) -> u8 {
        match self {
            Self::Index => b'i',
            Self::Texts => b't',
            Self::Large => b'l',
        }
    }
}

/// A checksum of these parts.
pub(super) fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let full: [u8; 32] = hash.finalize().into();
    let mut short = [0; CHECKSUM];
    for (short, full) in short.iter_mut().zip(full) {
        *short = full;
    }
    short
}

/// What a block's header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    stored: usize,
    raw: usize,
    checksum: [u8; CHECKSUM],
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, checksum @ ..] = *bytes;
        if [a, b, c, d] != MAGIC {
            return None;
        }
        Some(Self {
            stored: usize::try_from(u32::from_be_bytes([e, f, g, h])).ok()?,
            raw: usize::try_from(u32::from_be_bytes([i, j, k, l])).ok()?,
            checksum,
        })
    }

    fn sum(&self, kind: Kind, offset: u64, stored: &[u8]) -> [u8; CHECKSUM] {
        let numbers = [self.stored, self.raw].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let [a, b] = numbers.map(u32::to_be_bytes);
        checksum(&[&[kind.tag()], &offset.to_be_bytes(), &a, &b, stored])
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        for n in [self.stored, self.raw] {
            out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
        }
        out.extend_from_slice(&self.checksum);
    }
}

/// Makes blocks.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::new(LEVEL).map(Self)
    }

    /// The block of these bytes, fewer than 4 GiB, at this offset of its file.
    pub(super) fn pack(&mut self, kind: Kind, offset: u64, raw: &[u8]) -> io::Result<Vec<u8>> {
        if u32::try_from(raw.len()).is_err() {
            let error = "a text of 4 GiB or more cannot be kept in memory";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        let packed = self.0.compress(raw)?;
        let stored = if packed.len() < raw.len() {
            &packed
        } else {
            raw
        };
        let mut header = Header {
            stored: stored.len(),
            raw: raw.len(),
            checksum: [0; CHECKSUM],
        };
        header.checksum = header.sum(kind, offset, stored);
        let mut block = Vec::with_capacity(HEADER + stored.len());
        header.emit(&mut block);
        block.extend_from_slice(stored);
        Ok(block)
    }
}

/// Reads the block that begins here; `None` at the end of the source. `offset` is where it is in its
/// file, and `most` how many bytes the file has from there.
///
/// Gives what is in it, and its length as it is stored.
///
/// # Errors
/// It is damaged, or cut short; reading failed.
pub(super) fn read(
    source: &mut dyn Read,
    kind: Kind,
    offset: u64,
    most: u64,
) -> Result<Option<(Vec<u8>, u64)>, BlockError> {
    let mut header = [0; HEADER];
    let mut filled = 0;
    while let Some(rest) = header.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(damaged("a block is cut short")),
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let header = Header::parse(&header).ok_or_else(|| damaged("no block begins there"))?;
    let len = u64::try_from(HEADER + header.stored).unwrap_or(u64::MAX);
    if len > most {
        return Err(damaged("a block is cut short"));
    }
    let mut stored = vec![0; header.stored];
    source
        .read_exact(&mut stored)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("a block is cut short"),
            _ => BlockError::Io(error),
        })?;
    if header.sum(kind, offset, &stored) != header.checksum {
        return Err(damaged("a block has another checksum"));
    }
    if header.stored == header.raw {
        return Ok(Some((stored, len)));
    }
    let raw = zstd::bulk::decompress(&stored, header.raw);
    match raw {
        Ok(raw) if raw.len() == header.raw => Ok(Some((raw, len))),
        _ => Err(damaged("a block does not decompress")),
    }
}

/// All whole blocks of a file's bytes, with their offsets, whatever is damaged between them.
pub(super) fn salvage(bytes: &[u8], kind: Kind) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let [offset, most] = [at, rest.len()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        if let Ok(Some((raw, len))) = read(&mut &*rest, kind, offset, most) {
            found.push((offset, raw));
            at += usize::try_from(len).unwrap_or(usize::MAX).max(1);
            continue;
        }
        let next = rest.get(1..).unwrap_or_default();
        match next.windows(MAGIC.len()).position(|bytes| *bytes == MAGIC) {
            Some(skipped) => at += 1 + skipped,
            None => break,
        }
    }
    found
}

fn damaged(what: &'static str) -> BlockError {
    BlockError::Damaged(what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(kind: Kind, offset: u64, raw: &[u8]) -> Vec<u8> {
        Packer::new().unwrap().pack(kind, offset, raw).unwrap()
    }

    fn unpack(block: &[u8], kind: Kind, offset: u64) -> Result<Option<(Vec<u8>, u64)>, BlockError> {
        let most = u64::try_from(block.len()).unwrap();
        read(&mut &*block, kind, offset, most)
    }

    #[test]
    fn every_flip_of_a_block_is_seen() {
        for raw in [&b"line\n".repeat(20)[..], b"\x01\x02\x03", b""] {
            let block = pack(Kind::Texts, 5, raw);
            assert_eq!(unpack(&block, Kind::Texts, 5).unwrap().unwrap().0, raw);
            for bit in 0..block.len() * 8 {
                let mut wrong = block.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(unpack(&wrong, Kind::Texts, 5).is_err(), "bit {bit}");
            }
            for len in 1..block.len() {
                assert!(
                    unpack(&block[..len], Kind::Texts, 5).is_err(),
                    "{len} bytes"
                );
            }
            assert!(unpack(&block, Kind::Index, 5).is_err());
            assert!(unpack(&block, Kind::Texts, 6).is_err());
        }
        assert!(unpack(b"", Kind::Texts, 0).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn blocks_are_read_as_written(raw: Vec<u8>, offset: u64) {
            let block = pack(Kind::Large, offset, &raw);
            let len = u64::try_from(block.len()).unwrap();
            prop_assert_eq!(unpack(&block, Kind::Large, offset).unwrap(), Some((raw, len)));
        }

        #[test]
        fn whole_blocks_are_found_again(
            texts in prop::collection::vec(any::<Vec<u8>>(), 1..5), hurt: prop::sample::Index,
        ) {
            let mut file = Vec::new();
            let mut places = Vec::new();
            for text in &texts {
                let offset = u64::try_from(file.len()).unwrap();
                places.push((offset, text.clone()));
                file.extend(pack(Kind::Index, offset, text));
            }
            prop_assert_eq!(salvage(&file, Kind::Index), places.clone());
            let at = hurt.index(file.len());
            file[at] ^= 4;
            let at = u64::try_from(at).unwrap();
            let of = places.iter().rposition(|(offset, _)| *offset <= at).unwrap();
            places.remove(of);
            prop_assert_eq!(salvage(&file, Kind::Index), places);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = unpack(&bytes, Kind::Index, 0);
            salvage(&bytes, Kind::Index);
        }
    }
}
