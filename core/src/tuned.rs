//! What is tuned to the machine: numbers that are zero in memory when they have their usual value,
//! so that a reactor in a `static` takes no flash for them; and paths that only a host has.

/// Code is to be small rather than fast, as on a device: paths for what is usual, beside those that
/// take everything, are left out.
pub(super) const IS_SMALL: bool = cfg!(any(target_os = "none", target_family = "wasm"));

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
