//! Numbers that are zero in memory when they have their usual value, so that a reactor in a
//! `static` takes no flash for them.

/// A number whose usual value is `USUAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Tuned<const USUAL: u32>(u32);

impl<const USUAL: u32> Tuned<USUAL> {
    pub(super) const fn new(value: u32) -> Self {
        Self(value ^ USUAL)
    }

    #[inline]
    pub(super) const fn get(self) -> u32 {
        self.0 ^ USUAL
    }
}
