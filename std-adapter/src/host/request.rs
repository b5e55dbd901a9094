//! A request's arguments, as a call puts them together.

use hgrpc::cbor::{ArgsWriter, CborWriter, Value};
use hgrpc::{ApiMisuse, KeyOrder};

/// Most bytes that are tried for one value.
const MOST: usize = 1 << 30;

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
        let mut buffer = vec![0; value.len() + 9];
        let mut writer = CborWriter::new(&mut buffer);
        let result = writer.bytes(value);
        let len = writer.position();
        self.add(key, buffer, len, result);
    }

    /// Adds what minicbor encodes.
    pub(crate) fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, key: &[u8], value: &T) {
        let mut buffer = vec![0; 256];
        loop {
            let mut writer = CborWriter::new(&mut buffer);
            let result = writer.value(value);
            let len = writer.position();
            if result != Err(ApiMisuse::TooLarge) || buffer.len() >= MOST {
                return self.add(key, buffer, len, result);
            }
            buffer = vec![0; buffer.len() * 4];
        }
    }

    /// Adds an encoded value.
    pub(crate) fn cbor(&mut self, key: &[u8], value: &[u8]) {
        self.add(key, value.to_vec(), value.len(), Ok(()));
    }

    fn add(&mut self, key: &[u8], mut value: Vec<u8>, len: usize, result: Result<(), ApiMisuse>) {
        value.truncate(len);
        self.misuse = self.misuse.or(result.err());
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
