//! Builds an argument map in a caller's buffer.

use core::cmp::Ordering;

use super::cursor::Cursor;
use super::{Args, CborWriter, EncodedArgs, Head, MAJOR_MAP, Value};
use crate::KeyOrder;
use crate::bytes::{copy, shift_up};
use crate::error::ApiMisuse;

/// Levels around an argument's value: the request and its `args`.
const DEPTH: usize = 2;

/// Builds a canonical argument map in a caller's buffer (messages.md, "CBOR"; revision-0006.md,
/// 9.1). Arguments may come in any order: each is put where its key belongs.
///
/// An argument whose key belongs behind all others is written once and never moved: arguments that
/// come in order cost work that is linear in their bytes. Any other is looked for from the front, and
/// what belongs behind it makes room. The 24th argument, and the 256th, move all by a byte, as the
/// map's head grows. After an error the arguments before it are as they were, and others may be
/// tried.
#[derive(Debug)]
pub struct ArgsWriter<'b> {
    /// The map: its head, then the entries.
    buffer: &'b mut [u8],
    used: usize,
    /// Where the last entry begins, or would begin.
    last: usize,
    count: usize,
    order: KeyOrder,
}

impl<'b> ArgsWriter<'b> {
    /// Creates a writer of an empty map; the buffer must hold the encoded map, nothing more.
    pub const fn new(buffer: &'b mut [u8], order: KeyOrder) -> Self {
        Self {
            buffer,
            // The head of a small map.
            used: 1,
            last: 1,
            count: 0,
            order,
        }
    }

    /// Adds a byte string.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if it does not fit, [`ApiMisuse::InvalidMessage`] for a repeated key.
    pub fn bytes(&mut self, key: &[u8], value: &[u8]) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.bytes(value))
    }

    /// Adds `true` or `false`. This and the next ones are less code than [`value`](Self::value),
    /// which has floats to shorten.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn bool(&mut self, key: &[u8], value: bool) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.bool(value))
    }

    /// Adds an unsigned integer.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn u64(&mut self, key: &[u8], value: u64) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.u64(value))
    }

    /// Adds an integer.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn i64(&mut self, key: &[u8], value: i64) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.i64(value))
    }

    /// Adds any value that minicbor can encode.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if it does not fit, [`ApiMisuse::InvalidMessage`] for a repeated key,
    /// and for a value that is not encoded as exactly one well-formed value or is nested too deep.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(
        &mut self,
        key: &[u8],
        value: &T,
    ) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.value(value))
    }

    /// Adds a value that is encoded already.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn encoded(&mut self, key: &[u8], value: Value<'_>) -> Result<(), ApiMisuse> {
        self.add(key, |writer| writer.raw(value.as_cbor()))
    }

    /// Writes the entry behind the others; only if it belongs before some of them, it is moved.
    fn add(
        &mut self,
        key: &[u8],
        write: impl FnOnce(&mut CborWriter<'_>) -> Result<(), ApiMisuse>,
    ) -> Result<(), ApiMisuse> {
        let place = self.place(key)?;
        let free = self
            .buffer
            .get_mut(self.used..)
            .ok_or(ApiMisuse::TooLarge)?;
        let mut writer = CborWriter::new(free);
        writer.bytes(key)?;
        let key_len = writer.position();
        write(&mut writer)?;
        let len = writer.position();
        self.end(place, key_len, len)
    }

    /// Returns where an entry with this key belongs.
    fn place(&self, key: &[u8]) -> Result<usize, ApiMisuse> {
        // Behind the last one, if keys come in order; else it is looked for from the front.
        let (last, _) = self.compare(self.last, key)?;
        if last == Ordering::Less {
            return Ok(self.used);
        }
        let mut at = head_len(self.count);
        loop {
            let (order, len) = self.compare(at, key)?;
            if order == Ordering::Greater {
                return Ok(at);
            }
            at = at.saturating_add(len);
        }
    }

    /// Compares the entry at `at` with a key, and returns its length too. If there is none, the key
    /// belongs behind it.
    fn compare(&self, at: usize, key: &[u8]) -> Result<(Ordering, usize), ApiMisuse> {
        let entries = self.buffer.get(at..self.used).unwrap_or_default();
        let mut cursor = Cursor::new(entries);
        let Some(existing) = cursor.piece() else {
            return Ok((Ordering::Less, 0));
        };
        let order = match self.order {
            KeyOrder::ShorterFirst => existing.len().cmp(&key.len()),
            KeyOrder::Bytewise => Ordering::Equal,
        };
        // By iterators: a comparison of slices is a call of `memcmp`.
        let order = order.then_with(|| existing.iter().cmp(key));
        if order == Ordering::Equal {
            return Err(ApiMisuse::InvalidMessage);
        }
        cursor.known_value();
        Ok((order, entries.len().saturating_sub(cursor.rest().len())))
    }

    /// Counts the entry that was written behind the others: of `len` bytes, its key `key_len` of
    /// them. It belongs at `place`.
    fn end(&mut self, place: usize, key_len: usize, len: usize) -> Result<(), ApiMisuse> {
        let entry_end = self.used.saturating_add(len);
        let entry = self.buffer.get(self.used..entry_end).unwrap_or_default();
        let mut cursor = Cursor::new(entry.get(key_len..).unwrap_or_default());
        if cursor.value(DEPTH).is_none() || !cursor.rest().is_empty() {
            return Err(ApiMisuse::InvalidMessage);
        }
        let count = self.count.saturating_add(1);
        let front = head_len(self.count);
        let grown = head_len(count).saturating_sub(front);
        let end = entry_end.saturating_add(grown);
        let entries = self.buffer.get_mut(front..end).ok_or(ApiMisuse::TooLarge)?;
        if grown > 0 {
            shift_up(entries, grown);
        }
        let behind = self.used.saturating_sub(place);
        if behind > 0 {
            let moved = self.buffer.get_mut(place.saturating_add(grown)..end);
            rotate(moved.unwrap_or_default(), behind);
            self.last = self.last.saturating_add(len);
        } else {
            self.last = place;
        }
        self.last = self.last.saturating_add(grown);
        self.used = end;
        self.count = count;
        Ok(())
    }

    /// Returns the finished map.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if there is not even room for an empty map.
    pub fn finish(self) -> Result<EncodedArgs<'b>, ApiMisuse> {
        let (map, _) = self
            .buffer
            .split_at_mut_checked(self.used)
            .ok_or(ApiMisuse::TooLarge)?;
        copy(map, Head::of_len(MAJOR_MAP, self.count).as_slice());
        Ok(EncodedArgs::new_unchecked(Args::new_unchecked(map)))
    }
}

/// Returns the length of the head of a map of so many entries.
fn head_len(count: usize) -> usize {
    Head::of_len(MAJOR_MAP, count).as_slice().len()
}

/// Brings what is from `middle` on to the front: like `rotate_left`, without its panic.
fn rotate(bytes: &mut [u8], middle: usize) {
    if let Some((front, back)) = bytes.split_at_mut_checked(middle) {
        reverse(front);
        reverse(back);
        reverse(bytes);
    }
}

/// `slice::reverse`, which keeps a panic path when it is optimised for size.
fn reverse(bytes: &mut [u8]) {
    let mut ends = bytes.iter_mut();
    while let (Some(first), Some(last)) = (ends.next(), ends.next_back()) {
        core::mem::swap(first, last);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What must come out: entries in order, by the definition of each order.
    fn expected(entries: &BTreeMap<Vec<u8>, u32>, order: KeyOrder) -> Vec<u8> {
        let mut sorted: Vec<_> = entries.iter().collect();
        if order == KeyOrder::ShorterFirst {
            sorted.sort_by_key(|(key, _)| {
                let encoded =
                    minicbor::to_vec(minicbor::bytes::ByteVec::from((*key).clone())).unwrap();
                (encoded.len(), encoded)
            });
        }
        let mut encoder = minicbor::Encoder::new(Vec::new());
        encoder.map(sorted.len() as u64).unwrap();
        for (key, value) in sorted {
            encoder.bytes(key).unwrap().u32(*value).unwrap();
        }
        encoder.into_writer()
    }

    proptest! {
        #[test]
        fn any_order_of_arguments_gives_the_canonical_map(
            entries in prop::collection::vec((prop::collection::vec(0x61u8..0x64, 0..4), any::<u32>()), 0..40),
            bytewise: bool, spare in 0usize..4,
        ) {
            let order = if bytewise { KeyOrder::Bytewise } else { KeyOrder::ShorterFirst };
            let mut seen = BTreeMap::new();
            let mut unique = entries.clone();
            unique.retain(|(key, value)| seen.insert(key.clone(), *value).is_none());
            let entries_map: BTreeMap<_, _> = unique.iter().cloned().collect();
            let expected = expected(&entries_map, order);

            let mut buffer = vec![0; expected.len() + 16 + spare];
            let mut writer = ArgsWriter::new(&mut buffer, order);
            let mut added = BTreeMap::new();
            for (key, value) in &entries {
                let repeated = added.insert(key.clone(), ()).is_some();
                let result = writer.value(key, value);
                prop_assert_eq!(result, if repeated { Err(ApiMisuse::InvalidMessage) } else { Ok(()) });
            }
            prop_assert_eq!(writer.finish().unwrap().as_cbor(), &expected[..]);

            // Exactly as long a buffer suffices, and nothing shorter.
            for short in 0..=expected.len().min(3) {
                let mut buffer = vec![0; expected.len() - short];
                let mut writer = ArgsWriter::new(&mut buffer, order);
                let mut result = Ok(());
                for (key, value) in &unique {
                    result = result.and(writer.value(key, value));
                }
                let done = result.and_then(|()| writer.finish().map(|args| args.as_cbor().to_vec()));
                prop_assert_eq!(done, if short == 0 { Ok(expected.clone()) } else { Err(ApiMisuse::TooLarge) });
            }
        }
    }

    #[test]
    fn heads_of_any_size_whatever_the_order() {
        for order in [KeyOrder::Bytewise, KeyOrder::ShorterFirst] {
            for count in [23u16, 24, 255, 256, 300] {
                let entries: BTreeMap<_, _> = (0..count)
                    .map(|n| (n.to_be_bytes().to_vec(), u32::from(n)))
                    .collect();
                let expected = expected(&entries, order);
                let ascending: Vec<u16> = (0..count).collect();
                let descending: Vec<u16> = (0..count).rev().collect();
                let mixed: Vec<u16> = (0..count).map(|n| n * 7 % count).collect();
                for keys in [ascending, descending, mixed] {
                    let mut buffer = vec![0x41; expected.len()];
                    let mut writer = ArgsWriter::new(&mut buffer, order);
                    for n in keys {
                        // 7 divides none of the counts; of 7 * n, none comes twice.
                        writer.u64(&n.to_be_bytes(), n.into()).unwrap();
                    }
                    assert_eq!(writer.u64(&[0, 0], 0), Err(ApiMisuse::InvalidMessage));
                    assert_eq!(writer.u64(b"new", 0), Err(ApiMisuse::TooLarge));
                    assert_eq!(writer.finish().unwrap().as_cbor(), &expected[..]);
                }
            }
        }
    }

    /// Encodes as nothing, or as two values.
    struct Wrong(&'static [u8]);

    impl<C> minicbor::Encode<C> for Wrong {
        fn encode<W: minicbor::encode::Write>(
            &self,
            e: &mut minicbor::Encoder<W>,
            _: &mut C,
        ) -> Result<(), minicbor::encode::Error<W::Error>> {
            e.writer_mut()
                .write_all(self.0)
                .map_err(minicbor::encode::Error::write)
        }
    }

    #[test]
    fn values_that_are_none_change_nothing() {
        let mut buffer = [0; 64];
        let mut writer = ArgsWriter::new(&mut buffer, KeyOrder::Bytewise);
        writer.bytes(b"b", b"x").unwrap();
        for wrong in [&b""[..], b"\x01\x02", b"\x81", b"\xff", &[0x81; 15]] {
            let wrong = Wrong(Vec::leak(wrong.to_vec()));
            assert_eq!(writer.value(b"a", &wrong), Err(ApiMisuse::InvalidMessage));
        }
        writer.value(b"a", &[1u8, 2]).unwrap();
        writer.encoded(b"aa", Value::NULL).unwrap();
        assert_eq!(
            writer.finish().unwrap().as_cbor(),
            b"\xa3\x41a\x82\x01\x02\x42aa\xf6\x41b\x41x"
        );
    }
}
