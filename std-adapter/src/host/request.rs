//! A request's arguments, as a call puts them together.

use hgrpc::cbor::{ArgsWriter, Head, MAJOR_BYTES, ToValue, Value};
use hgrpc::{ApiMisuse, KeyOrder};

use super::values;

/// Arguments, each encoded.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// Keys and values, one behind another.
    bytes: Vec<u8>,
    /// The length of each key, and of its value.
    args: Vec<(usize, usize)>,
    misuse: Option<ApiMisuse>,
}

impl Arguments {
    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// Adds a byte string.
    pub(crate) fn bytes(&mut self, key: &[u8], value: &[u8]) {
        let len = u64::try_from(value.len()).unwrap_or(u64::MAX);
        let head = Head::new(MAJOR_BYTES, len);
        self.add(key, &[head.as_slice(), value]);
    }

    /// Adds what minicbor encodes.
    pub(crate) fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, key: &[u8], value: &T) {
        self.encoded(key, values::encode(value));
    }

    /// Adds a value of a type that a service declares.
    pub(crate) fn declared<T: ToValue + ?Sized>(&mut self, key: &str, value: &T) {
        self.encoded(
            key.as_bytes(),
            values::written(|writer| value.write(writer)),
        );
    }

    fn encoded(&mut self, key: &[u8], value: Result<Vec<u8>, ApiMisuse>) {
        match value {
            Ok(value) => self.add(key, &[&value]),
            Err(misuse) => self.misuse = self.misuse.or(Some(misuse)),
        }
    }

    /// Adds an encoded value.
    pub(crate) fn cbor(&mut self, key: &[u8], value: &[u8]) {
        self.add(key, &[value]);
    }

    fn add(&mut self, key: &[u8], value: &[&[u8]]) {
        let len: usize = value.iter().map(|part| part.len()).sum();
        self.bytes.reserve(key.len() + len);
        self.bytes.extend_from_slice(key);
        value
            .iter()
            .for_each(|part| self.bytes.extend_from_slice(part));
        self.args.push((key.len(), len));
    }

    /// The encoded map.
    pub(crate) fn encode(&self, order: KeyOrder) -> Result<Vec<u8>, ApiMisuse> {
        if let Some(misuse) = self.misuse {
            return Err(misuse);
        }
        let mut buffer = vec![0; self.bytes.len() + 9 * self.args.len() + 9];
        let mut writer = ArgsWriter::new(&mut buffer, order);
        let mut rest = self.bytes.as_slice();
        for (key_len, value_len) in &self.args {
            let (key, behind) = rest.split_at_checked(*key_len).unwrap_or_default();
            let (value, behind) = behind.split_at_checked(*value_len).unwrap_or_default();
            rest = behind;
            let value = Value::from_cbor(value).map_err(|_| ApiMisuse::InvalidMessage)?;
            writer.encoded(key, value)?;
        }
        // The map is at the front.
        let len = writer.finish()?.as_cbor().len();
        buffer.truncate(len);
        Ok(buffer)
    }
}
