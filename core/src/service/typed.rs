//! The types that arguments and answers of a service may have.

use core::future::Future;

use super::describe::Type;
use super::{Host, Request};
use crate::cbor::{ByteString, FromValue, Minicbor, Text, ToValue, Value};

/// A type that a service may name: how it is described.
///
/// Booleans, integers and floats, `&str` and `&[u8]`, `[u8; N]` (a byte string) and arrays of numbers,
/// an `Option` of these, and what [`types!`](crate::types) declares; with the feature `alloc` also
/// `String` and `Vec<u8>`. [`Minicbor`] makes one of any type that minicbor knows.
pub trait Typed {
    /// Its description.
    const TYPE: Type;
}

/// A type of one value that is sent as an answer, or as one of many.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an answer",
    label = "name a type that implements `hgrpc::service::Single`, `Values<…>` of one, or `Stream`"
)]
pub trait Single: Typed {
    /// The value as a server gives it: it may borrow what the declaration does.
    type Of<'v>: ToValue;
    /// The value as a client gets it.
    type Owned: for<'v> FromValue<'v> + ToValue + Send + 'static;
}

/// What a command answers: one value, [`Values`] or a [`Stream`].
pub trait Answer {
    /// How it is described.
    const ANSWER: Option<Type>;
    /// Whether there may be any number of them.
    const IS_MANY: bool;
    /// What a client's request `R` gives for it.
    type From<R: Request>;

    /// What a function on a server's host gives for it.
    type Given<H: Host>: Send;

    /// Takes it from a client's request.
    fn from<R: Request>(request: R) -> Self::From<R>;

    /// Answers with it.
    fn give<H: Host>(
        given: Self::Given<H>,
        host: H,
    ) -> impl Future<Output = Result<(), H::Failure>> + Send;
}

/// A command, whose declared answer may have a lifetime.
#[doc(hidden)]
pub trait AnswerOf<'a> {
    type Answer: Answer;
}

/// Any number of values, each sent when it is there.
#[derive(Clone, Copy, Debug)]
pub struct Values<T: ?Sized>(core::marker::PhantomData<fn() -> T>);

/// Bytes in any number: data that comes with a request, or an answer that is written as it comes.
#[derive(Clone, Copy, Debug)]
pub enum Stream {}

impl<T: Single> Answer for T {
    const ANSWER: Option<Type> = match T::TYPE {
        Type::Null => None,
        other => Some(other),
    };
    const IS_MANY: bool = false;
    type From<R: Request> = R::One<T>;
    type Given<H: Host> = T::Owned;

    fn from<R: Request>(request: R) -> R::One<T> {
        request.one()
    }

    async fn give<H: Host>(given: T::Owned, host: H) -> Result<(), H::Failure> {
        host.one::<T>(given).await
    }
}

impl<T: Single> Answer for Values<T> {
    const ANSWER: Option<Type> = Some(T::TYPE);
    const IS_MANY: bool = true;
    type From<R: Request> = R::Many<T>;
    type Given<H: Host> = H::Many<T>;

    fn from<R: Request>(request: R) -> R::Many<T> {
        request.many()
    }

    async fn give<H: Host>(given: H::Many<T>, host: H) -> Result<(), H::Failure> {
        host.many::<T>(given).await
    }
}

impl Answer for Stream {
    const ANSWER: Option<Type> = Some(Type::Bytes(None));
    const IS_MANY: bool = true;
    type From<R: Request> = R::Bytes;
    type Given<H: Host> = H::Bytes;

    fn from<R: Request>(request: R) -> R::Bytes {
        request.bytes()
    }

    async fn give<H: Host>(given: H::Bytes, host: H) -> Result<(), H::Failure> {
        host.bytes(given).await
    }
}

macro_rules! typed {
    ($($type:ty $(where $length:ident)?: $described:expr;)*) => {$(
        impl$(<const $length: usize>)? Typed for $type {
            const TYPE: Type = $described;
        }

        impl$(<const $length: usize>)? Single for $type {
            type Of<'v> = $type;
            type Owned = $type;
        }
    )*};
}

typed! {
    (): Type::Null;
    bool: Type::Bool;
    u8: Type::Int(0, 0xff);
    u16: Type::Int(0, 0xffff);
    u32: Type::Int(0, 0xffff_ffff);
    u64: Type::Int(0, 0xffff_ffff_ffff_ffff);
    i8: Type::Int(-0x80, 0x7f);
    i16: Type::Int(-0x8000, 0x7fff);
    i32: Type::Int(-0x8000_0000, 0x7fff_ffff);
    i64: Type::Int(-0x8000_0000_0000_0000, 0x7fff_ffff_ffff_ffff);
    f32: Type::Float;
    f64: Type::Float;
    [u8; N] where N: Type::Bytes(Some(N));
}

macro_rules! arrays {
    ($($type:ty)*) => { typed! { $([$type; N] where N: Type::List(&<$type>::TYPE, N);)* } };
}
arrays! { bool u16 u32 u64 i8 i16 i32 i64 f32 f64 }

impl<T: Typed> Typed for Option<T> {
    const TYPE: Type = Type::Optional(&T::TYPE);
}

impl<T: Single> Single for Option<T> {
    type Of<'v> = Option<T::Of<'v>>;
    type Owned = Option<T::Owned>;
}

/// Types of strings: as a server gives them, and what a client that can allocate gets.
macro_rules! strings {
    ($($type:ty, $of:ty, $owned:ident: $described:expr;)*) => {$(
        impl<'s> Typed for $type {
            const TYPE: Type = $described;
        }

        impl<'s> Single for $type {
            type Of<'v> = $of;
            type Owned = $owned;
        }
    )*};
}

strings! {
    &'s str, &'v str, OwnedText: Type::Text;
    Text<'s>, Text<'v>, OwnedText: Type::Text;
    &'s [u8], &'v [u8], OwnedBytes: Type::Bytes(None);
    ByteString<'s>, ByteString<'v>, OwnedBytes: Type::Bytes(None);
}

#[cfg(feature = "alloc")]
type OwnedText = alloc::string::String;
#[cfg(feature = "alloc")]
type OwnedBytes = alloc::vec::Vec<u8>;
#[cfg(feature = "alloc")]
typed! {
    OwnedText: Type::Text;
    OwnedBytes: Type::Bytes(None);
}

#[cfg(not(feature = "alloc"))]
type OwnedText = NotOwned;
#[cfg(not(feature = "alloc"))]
type OwnedBytes = NotOwned;

/// Stands for the string that a client would get if it could allocate.
#[cfg(not(feature = "alloc"))]
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum NotOwned {}

#[cfg(not(feature = "alloc"))]
impl ToValue for NotOwned {
    fn write(&self, _: &mut crate::cbor::CborWriter<'_>) -> Result<(), crate::ApiMisuse> {
        match *self {}
    }
}

#[cfg(not(feature = "alloc"))]
impl<'a> FromValue<'a> for NotOwned {
    fn from_value(_: Value<'a>) -> Option<Self> {
        None
    }
}

/// A value of any kind, as an argument.
impl Typed for Value<'_> {
    const TYPE: Type = Type::Any;
}

impl<'a, T: minicbor::Decode<'a, ()>> FromValue<'a> for Minicbor<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        value.decode().ok().map(Self)
    }
}

impl<T> Typed for Minicbor<T> {
    const TYPE: Type = Type::Any;
}

impl<T> Single for Minicbor<T>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> + Send + 'static,
{
    type Of<'v> = Self;
    type Owned = Self;
}
