//! A byte port with the registers of Arm's CMSDK UART, as on the emulated MPS2 boards.
//!
//! Each access is volatile: the compiler can neither foresee what is read nor drop what is
//! written, so nothing of a program is optimised away.

use core::ptr::{read_volatile, write_volatile};

const DATA: *mut u32 = 0x4000_4000 as *mut u32;
const STATE: *const u32 = 0x4000_4004 as *const u32;
const CONTROL: *mut u32 = 0x4000_4008 as *mut u32;

const STATE_TX_FULL: u32 = 0x1;
const STATE_RX_FULL: u32 = 0x2;
const CONTROL_TX_RX: u32 = 0x3;

/// The port. Every program measured has the same one, so that differences are the program's.
#[derive(Debug)]
pub struct Port(());

impl Port {
    /// Switches the port on.
    #[inline(never)]
    pub fn open() -> Self {
        // SAFETY: CONTROL is a register of the board, aligned, and no memory of the program's.
        unsafe { write_volatile(CONTROL, CONTROL_TX_RX) };
        Self(())
    }

    /// Waits for one byte, then takes what has come until `buffer` is full; returns the number of
    /// bytes read, 0 only for an empty buffer.
    #[inline(never)]
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for slot in buffer {
            // SAFETY: registers of the board, aligned, and no memory of the program's.
            while unsafe { read_volatile(STATE) } & STATE_RX_FULL == 0 {
                if count > 0 {
                    return count;
                }
            }
            // SAFETY: as above.
            *slot = unsafe { read_volatile(DATA) }.to_le_bytes()[0];
            count = count.wrapping_add(1);
        }
        count
    }

    /// Writes all of `bytes`, waiting where it must.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // SAFETY: registers of the board, aligned, and no memory of the program's.
            while unsafe { read_volatile(STATE) } & STATE_TX_FULL != 0 {}
            // SAFETY: as above.
            unsafe { write_volatile(DATA, u32::from(*byte)) };
        }
    }
}
