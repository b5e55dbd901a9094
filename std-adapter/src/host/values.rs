//! The values of a response or of an argument, on their way out.

use std::error::Error;
use std::io;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{CborReader, CborWriter};

use super::AnswerError;

/// Most bytes that are tried for one value.
const MOST: usize = 1 << 30;

/// What minicbor makes of a value, however large that is.
///
/// # Errors
/// It is not one well-formed item, or longer than 1 GiB.
pub(crate) fn encode<T: minicbor::Encode<()> + ?Sized>(value: &T) -> Result<Vec<u8>, ApiMisuse> {
    let mut buffer = vec![0; 256];
    loop {
        let mut writer = CborWriter::new(&mut buffer);
        match writer.value(value) {
            Ok(()) => {
                let len = writer.position();
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(ApiMisuse::TooLarge) if buffer.len() < MOST => {
                buffer = vec![0; buffer.len() * 4];
            }
            Err(error) => return Err(error),
        }
    }
}

/// An answer as a type: it has to be one value.
///
/// # Errors
/// It is none, more than one, or of another type.
pub(crate) fn decode<T>(value: Option<&[u8]>, has_more: bool) -> Result<T, AnswerError>
where
    T: for<'b> minicbor::Decode<'b, ()>,
{
    let value = value.filter(|_| !has_more);
    let value = value.and_then(|encoded| {
        let mut decoder = minicbor::Decoder::new(encoded);
        let value = decoder.decode().ok()?;
        (decoder.position() == encoded.len()).then_some(value)
    });
    value.ok_or(AnswerError::NotThisValue)
}

/// Whether bytes are values, one behind another.
///
/// # Errors
/// They are something else.
pub(crate) fn check(values: &[u8]) -> io::Result<()> {
    let mut reader = CborReader::new(values);
    while !reader.is_empty() {
        reader.next_value().map_err(invalid)?;
    }
    Ok(())
}

/// A caller's mistake, as writing reports it.
pub(crate) fn invalid<E: Error + Send + Sync + 'static>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_as_long_as_it_is() {
        for len in [0, 255, 256, 1000, 5000] {
            let text = "x".repeat(len);
            let encoded = encode(&text).unwrap();
            assert_eq!(encoded, minicbor::to_vec(&text).unwrap());
            assert!(check(&encoded).is_ok());
        }
    }

    #[test]
    fn half_a_value_is_none() {
        let error = check(b"\x01\x62a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(check(b"").is_ok());
    }
}
