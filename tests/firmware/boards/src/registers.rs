//! Access to a peripheral's registers: the drivers' only unsafe code.

use core::ptr::{read_volatile, with_exposed_provenance_mut, write_volatile};

/// The registers of one peripheral, which begin at an address.
#[derive(Debug)]
pub struct Registers {
    base: usize,
}

impl Registers {
    /// The peripheral at `base`.
    ///
    /// # Safety
    /// The 4 KiB from `base` on are registers of 32 bits, and no access to them touches memory of
    /// the program's.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }

    fn at(&self, offset: u16) -> *mut u32 {
        // Within the peripheral, and aligned.
        let offset = usize::from(offset & 0xffc);
        with_exposed_provenance_mut(self.base.wrapping_add(offset))
    }

    /// Reads the register at this offset.
    pub fn read(&self, offset: u16) -> u32 {
        // SAFETY: a register, by `new`; `at` stays within the peripheral.
        unsafe { read_volatile(self.at(offset)) }
    }

    /// Writes the register at this offset.
    pub fn write(&self, offset: u16, value: u32) {
        // SAFETY: a register, by `new`; `at` stays within the peripheral.
        unsafe { write_volatile(self.at(offset), value) }
    }
}
