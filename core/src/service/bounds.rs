//! What may stand in brackets behind an argument's type. Each is a function of this module.

use core::ops::RangeInclusive;

/// A bound that an argument's value is held to.
#[doc(hidden)]
pub trait Bound<V> {
    fn allows(&self, value: &V) -> bool;
}

/// The value's unit, for people.
#[derive(Clone, Copy, Debug)]
pub struct Unit;

/// The values that there are.
#[derive(Clone, Debug)]
pub struct Range<T>(RangeInclusive<T>);

/// A type whose values can be held to a range: a number, or an `Option` of one.
#[diagnostic::on_unimplemented(message = "an argument of type `{Self}` cannot have a range")]
pub trait Ranged {
    /// The number's type.
    type Number: PartialOrd;

    /// The number, if there is one.
    fn number(&self) -> Option<&Self::Number>;
}

/// Names the value's unit, for people.
pub const fn unit(_name: &str) -> Unit {
    Unit
}

/// Holds the value to a range, both ends included; an `Option` may also be `None`.
pub const fn range<V: Ranged>(range: RangeInclusive<V::Number>) -> Range<V::Number> {
    Range(range)
}

impl<T> Range<T> {
    #[doc(hidden)]
    pub const fn ends(&self) -> (&T, &T) {
        (self.0.start(), self.0.end())
    }
}

impl<V> Bound<V> for Unit {
    #[inline]
    fn allows(&self, _: &V) -> bool {
        true
    }
}

impl<V: Ranged> Bound<V> for Range<V::Number> {
    #[inline]
    fn allows(&self, value: &V) -> bool {
        value.number().is_none_or(|number| self.0.contains(number))
    }
}

macro_rules! ranged {
    ($($type:ty)*) => {$(
        impl Ranged for $type {
            type Number = Self;

            #[inline]
            fn number(&self) -> Option<&Self> {
                Some(self)
            }
        }
    )*};
}
ranged! { u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 }

impl<T: Ranged> Ranged for Option<T> {
    type Number = T::Number;

    #[inline]
    fn number(&self) -> Option<&T::Number> {
        self.as_ref()?.number()
    }
}
