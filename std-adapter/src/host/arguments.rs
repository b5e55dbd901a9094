//! Single arguments of a command, for handlers: an error is a failure that names the argument.

use std::borrow::Cow;

use hgrpc::cbor::{ArgError, Args, ByteString, Text};

use super::Failure;

/// An argument as any type that minicbor decodes; an `Option` may be missing.
pub(crate) fn value<'a, T: minicbor::Decode<'a, ()>>(
    args: Args<'a>,
    key: &str,
) -> Result<T, Failure> {
    args.value(key.as_bytes())
        .map_err(|error| wrong(key, error))
}

/// An argument that is a byte string.
pub(crate) fn bytes<'a>(args: Args<'a>, key: &str) -> Result<Cow<'a, [u8]>, Failure> {
    Ok(contiguous(value::<ByteString<'_>>(args, key)?))
}

/// An argument that is text: a text string, or a byte string that holds UTF-8.
pub(crate) fn text<'a>(args: Args<'a>, key: &str) -> Result<Cow<'a, str>, Failure> {
    match contiguous(value::<Text<'_>>(args, key)?.as_bytes()) {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    }
    .ok_or_else(|| wrong(key, ArgError::WrongType))
}

fn wrong(key: &str, error: ArgError) -> Failure {
    Failure::command(format_args!("argument `{key}` is {error}"))
}

fn contiguous(bytes: ByteString<'_>) -> Cow<'_, [u8]> {
    bytes.as_slice().map_or_else(
        || Cow::Owned(bytes.chunks().flatten().copied().collect()),
        Cow::Borrowed,
    )
}
