//! Values that handlers return as responses, the same in every router.

use bytes::Bytes;

use super::{Failure, values};

/// The response that a handler has returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody<B> {
    /// Nothing at all.
    Empty,
    /// Bytes: the command's output.
    Bytes(B),
    /// CBOR values, encoded one behind another.
    Values(Vec<u8>),
}

/// A value that a handler returns as its whole response: bytes, text, a [`Cbor`] value, nothing; or a
/// [`Result`] of one of these and anything that a [`Failure`] can be made of.
///
/// ```
/// use hgrpc_std::blocking::{Failure, IntoReply, ReplyBody};
///
/// struct Degrees(f32);
///
/// impl IntoReply for Degrees {
///     fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure> {
///         Ok(ReplyBody::Bytes(format!("{:.1} °C", self.0)))
///     }
/// }
/// ```
pub trait IntoReply: Send {
    /// Turns the value into a response.
    ///
    /// # Errors
    /// The command has failed.
    fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure>;
}

impl IntoReply for () {
    fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure> {
        Ok(ReplyBody::<[u8; 0]>::Empty)
    }
}

impl<T: IntoReply, E: Into<Failure> + Send> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure> {
        self.map_err(Into::into)?.into_reply()
    }
}

macro_rules! bytes_are_replies {
    ($($type:ty),*) => {$(
        impl IntoReply for $type {
            fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure> {
                Ok(ReplyBody::Bytes(self))
            }
        }
    )*};
}
bytes_are_replies!(Vec<u8>, Bytes, &'static [u8], String, &'static str);

/// One CBOR value, of any type that minicbor encodes.
#[derive(Clone, Copy, Debug)]
pub struct Cbor<T>(pub T);

impl<T: minicbor::Encode<()> + Send> IntoReply for Cbor<T> {
    fn into_reply(self) -> Result<ReplyBody<impl AsRef<[u8]> + Send>, Failure> {
        Ok(ReplyBody::<[u8; 0]>::Values(values::encode(&self.0)?))
    }
}
