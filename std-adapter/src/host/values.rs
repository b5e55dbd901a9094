//! The values of a response or of an argument, on their way out.

use std::error::Error;
use std::io;

use hgrpc::ApiMisuse;
use hgrpc::cbor::{CborReader, CborWriter, FromValue, Value};

use super::{AnswerError, CallError};

/// Most bytes that are tried for one value.
const MOST: usize = 1 << 30;

/// What minicbor makes of a value, however large that is.
///
/// # Errors
/// It is not one well-formed item, or longer than 1 GiB.
pub(crate) fn encode<T: minicbor::Encode<()> + ?Sized>(value: &T) -> Result<Vec<u8>, ApiMisuse> {
    written(|writer| writer.value(value))
}

/// What is written, however large that is.
///
/// # Errors
/// Those of writing; it is longer than 1 GiB.
pub(crate) fn written(
    write: impl Fn(&mut CborWriter<'_>) -> Result<(), ApiMisuse>,
) -> Result<Vec<u8>, ApiMisuse> {
    let mut buffer = vec![0; 256];
    loop {
        let mut writer = CborWriter::new(&mut buffer);
        match write(&mut writer) {
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

/// A value as a type that a service declares.
///
/// # Errors
/// It is of another type.
pub(crate) fn declared<T: for<'v> FromValue<'v>>(value: &[u8]) -> Result<T, CallError> {
    let value = Value::from_cbor(value).ok().and_then(T::from_value);
    value.ok_or(CallError::Answer(AnswerError::NotThisValue))
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
