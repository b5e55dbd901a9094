//! Builds an argument map in a caller's buffer.

use super::cursor::Cursor;
use super::{Args, CborReader, CborWriter, EncodedArgs, Head, MAJOR_MAP, Value};
use crate::KeyOrder;
use crate::error::ApiMisuse;

/// Levels around an argument's value: the request and its `args`.
const DEPTH: usize = 2;

/// Builds a canonical argument map in a caller's buffer (messages.md, "CBOR"; revision-0006.md,
/// 9.1). Arguments may come in any order: each is put where its key belongs.
///
/// Each argument walks those before it, so work is quadratic in their number. After an error the
/// arguments before it are as they were, and others may be tried.
#[derive(Debug)]
pub struct ArgsWriter<'b> {
    /// The entries from the front, without the map's head, which is put before them at the end.
    buffer: &'b mut [u8],
    used: usize,
    count: usize,
    order: KeyOrder,
}

impl<'b> ArgsWriter<'b> {
    /// A writer of an empty map; the buffer must hold the encoded map, nothing more.
    pub const fn new(buffer: &'b mut [u8], order: KeyOrder) -> Self {
        Self {
            buffer,
            used: 0,
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

    /// Writes the entry behind the others, then moves it to its place.
    fn add(
        &mut self,
        key: &[u8],
        write: impl FnOnce(&mut CborWriter<'_>) -> Result<(), ApiMisuse>,
    ) -> Result<(), ApiMisuse> {
        let place = self.place(key)?;
        let mut writer = CborWriter::new(self.buffer.get_mut(self.used..).unwrap_or_default());
        writer.bytes(key)?;
        let key_len = writer.position();
        write(&mut writer)?;
        let entry_len = writer.position();
        let value = writer.finish().get(key_len..).unwrap_or_default();
        let mut cursor = Cursor::new(value);
        if cursor.value(DEPTH).is_none() || !cursor.rest().is_empty() {
            return Err(ApiMisuse::InvalidMessage);
        }
        let used = self.used.saturating_add(entry_len);
        if let Some(moved) = self.buffer.get_mut(place..used) {
            rotate(moved, self.used.saturating_sub(place));
        }
        self.used = used;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Where an entry with this key belongs.
    fn place(&self, key: &[u8]) -> Result<usize, ApiMisuse> {
        let entries = self.buffer.get(..self.used).unwrap_or_default();
        let mut reader = CborReader::new(entries);
        let mut place = 0;
        while !reader.is_empty() {
            let (existing, _) = entry(&mut reader).ok_or(ApiMisuse::InvalidMessage)?;
            let order = match self.order {
                KeyOrder::ShorterFirst => existing.len().cmp(&key.len()),
                KeyOrder::Bytewise => core::cmp::Ordering::Equal,
            };
            // By iterators: a comparison of slices is a call of `memcmp`.
            match order.then_with(|| existing.iter().cmp(key)) {
                core::cmp::Ordering::Less => {}
                core::cmp::Ordering::Equal => return Err(ApiMisuse::InvalidMessage),
                core::cmp::Ordering::Greater => break,
            }
            place = entries.len().saturating_sub(reader.rest().len());
        }
        Ok(place)
    }

    /// The finished map.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if the map's own head does not fit any more.
    pub fn finish(self) -> Result<EncodedArgs<'b>, ApiMisuse> {
        let head = Head::of_len(MAJOR_MAP, self.count);
        let mut writer = CborWriter::new(self.buffer.get_mut(self.used..).unwrap_or_default());
        writer.raw(head.as_slice())?;
        let len = self.used.saturating_add(head.as_slice().len());
        let (map, _) = self
            .buffer
            .split_at_mut_checked(len)
            .ok_or(ApiMisuse::TooLarge)?;
        rotate(map, self.used);
        Ok(EncodedArgs::new_unchecked(Args::new_unchecked(map)))
    }
}

/// The key and value at the front of entries that were written here.
fn entry<'a>(reader: &mut CborReader<'a>) -> Option<(&'a [u8], Value<'a>)> {
    let key = reader.byte_string().ok()?.as_slice()?;
    Some((key, reader.next_value().ok()?))
}

/// Brings what is from `middle` on to the front: like `rotate_left`, without its panic.
fn rotate(bytes: &mut [u8], middle: usize) {
    if let Some((front, back)) = bytes.split_at_mut_checked(middle) {
        if front.is_empty() || back.is_empty() {
            return;
        }
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
