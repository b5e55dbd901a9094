//! A request's arguments, as a call puts them together.

use hgrpc::cbor::{ArgsWriter, Head, MAJOR_BYTES, Value};
use hgrpc::{ApiMisuse, KeyOrder};

use super::values;

/// Arguments, each encoded.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    args: Vec<(Vec<u8>, Vec<u8>)>,
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
        self.add(key, [head.as_slice(), value].concat());
    }

    /// Adds what minicbor encodes.
    pub(crate) fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, key: &[u8], value: &T) {
        match values::encode(value) {
            Ok(value) => self.add(key, value),
            Err(misuse) => self.misuse = self.misuse.or(Some(misuse)),
        }
    }

    /// Adds an encoded value.
    pub(crate) fn cbor(&mut self, key: &[u8], value: &[u8]) {
        self.add(key, value.to_vec());
    }

    fn add(&mut self, key: &[u8], value: Vec<u8>) {
        self.args.push((key.to_vec(), value));
    }

    /// The encoded map.
    pub(crate) fn encode(&self, order: KeyOrder) -> Result<Vec<u8>, ApiMisuse> {
        if let Some(misuse) = self.misuse {
            return Err(misuse);
        }
        let len: usize = self
            .args
            .iter()
            .map(|(key, value)| key.len() + value.len() + 9)
            .sum();
        let mut buffer = vec![0; len + 9];
        let mut writer = ArgsWriter::new(&mut buffer, order);
        for (key, value) in &self.args {
            let value = Value::from_cbor(value).map_err(|_| ApiMisuse::InvalidMessage)?;
            writer.encoded(key, value)?;
        }
        Ok(writer.finish()?.as_cbor().to_vec())
    }
}
