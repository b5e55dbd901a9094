//! Constants of a declaration as its description has them: defaults and the ends of ranges.

use crate::cbor::Minicbor;

/// A constant of a simple type.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'s> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'s str),
    Bytes(&'s [u8]),
    /// One that cannot be told.
    Other,
}

impl Scalar<'_> {
    /// Stops the compiler at a default that is not in its range.
    ///
    /// # Panics
    /// So it does.
    #[expect(clippy::panic, reason = "evaluated by the compiler")]
    pub const fn check(self, least: Scalar<'_>, most: Scalar<'_>) {
        let is_within = match (self, least, most) {
            (Self::Int(value), Scalar::Int(least), Scalar::Int(most)) => {
                least <= value && value <= most
            }
            (Self::Float(value), Scalar::Float(least), Scalar::Float(most)) => {
                least <= value && value <= most
            }
            _ => true,
        };
        if !is_within {
            panic!("a default is out of its argument's range");
        }
    }
}

/// A type that has one constant: what a declaration's expression is, for [`ToScalar`].
#[doc(hidden)]
pub trait Constant {
    type Type;
    const VALUE: Self::Type;
}

/// A type whose constants can be described. (A constant function cannot be generic; a constant can.)
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an argument of type `{Self}` cannot have a default or a range"
)]
pub trait ToScalar<'s, C: Constant<Type = Self>>: Sized {
    const SCALAR: Scalar<'s>;
}

macro_rules! scalars {
    ($($type:ty, $value:ident => $scalar:expr;)*) => {$(
        impl<'s, C: Constant<Type = Self>> ToScalar<'s, C> for $type {
            const SCALAR: Scalar<'s> = {
                let $value = C::VALUE;
                $scalar
            };
        }
    )*};
}

#[expect(
    clippy::as_conversions,
    reason = "`From` is no constant function; all of these are wider"
)]
mod widening {
    use super::{Constant, Scalar, ToScalar};

    scalars! {
        bool, value => Scalar::Bool(value);
        u8, value => Scalar::Int(value as i128);
        u16, value => Scalar::Int(value as i128);
        u32, value => Scalar::Int(value as i128);
        u64, value => Scalar::Int(value as i128);
        i8, value => Scalar::Int(value as i128);
        i16, value => Scalar::Int(value as i128);
        i32, value => Scalar::Int(value as i128);
        i64, value => Scalar::Int(value as i128);
        f32, value => Scalar::Float(value as f64);
        f64, value => Scalar::Float(value);
    }
}

impl<'s, C: Constant<Type = Self>> ToScalar<'s, C> for &'s str {
    const SCALAR: Scalar<'s> = Scalar::Text(C::VALUE);
}

impl<'s, C: Constant<Type = Self>> ToScalar<'s, C> for &'s [u8] {
    const SCALAR: Scalar<'s> = Scalar::Bytes(C::VALUE);
}

/// A default other than `None` cannot be told: give the type itself a default.
impl<'s, T: Copy, C: Constant<Type = Self>> ToScalar<'s, C> for Option<T> {
    const SCALAR: Scalar<'s> = match C::VALUE {
        None => Scalar::Null,
        Some(_) => Scalar::Other,
    };
}

macro_rules! others {
    ($($type:ty)*) => {$(
        impl<'s, const N: usize, C: Constant<Type = Self>> ToScalar<'s, C> for [$type; N] {
            const SCALAR: Scalar<'s> = Scalar::Other;
        }
    )*};
}
others! { bool u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 }

impl<'s, T, C: Constant<Type = Self>> ToScalar<'s, C> for Minicbor<T> {
    const SCALAR: Scalar<'s> = Scalar::Other;
}
