//! The board's UART, a PL011, as embedded-io halves. On your board a HAL has them.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

/// A half of the UART. QEMU needs no clock, no pins and no baud rate.
pub(crate) struct Uart;

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const RX_EMPTY: u32 = 0x10;
const TX_FULL: u32 = 0x20;

impl Uart {
    /// Switches the UART on: 8 bits with FIFOs, both ways.
    pub(crate) fn start() -> Self {
        Self.set(0x2c, 0x70);
        Self.set(0x30, 0x301);
        Self
    }

    fn get(&self, register: usize) -> u32 {
        // SAFETY: a register of the UART, which is at this address.
        unsafe { ((0x4000_c000 + register) as *const u32).read_volatile() }
    }

    fn set(&self, register: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ((0x4000_c000 + register) as *mut u32).write_volatile(value) }
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while !buffer.is_empty() && self.get(FLAGS) & RX_EMPTY != 0 {}
        let mut count = 0;
        for place in buffer {
            if self.get(FLAGS) & RX_EMPTY != 0 {
                break;
            }
            *place = self.get(DATA) as u8;
            count += 1;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            while self.get(FLAGS) & TX_FULL != 0 {}
            self.set(DATA, u32::from(*byte));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
