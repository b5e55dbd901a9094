//! A byte port with the registers of Arm's CMSDK UART, as on the emulated MPS2 boards.
//!
//! Each access is volatile: the compiler can neither foresee what is read nor drop what is
//! written, so nothing of a program is optimised away.

use core::ptr::{read_volatile, write_volatile};

/// The first two ports; each has its registers DATA, STATE and CONTROL.
const BASES: [*mut u32; 2] = [0x4000_4000 as *mut u32, 0x4000_5000 as *mut u32];

const STATE_TX_FULL: u32 = 0x1;
const STATE_RX_FULL: u32 = 0x2;
const CONTROL_TX_RX: u32 = 0x3;

/// A port. Every program measured has the same one, so that differences are the program's.
#[derive(Debug)]
pub struct Port {
    base: *mut u32,
}

impl Port {
    /// Switches the first port on.
    pub fn first() -> Self {
        let [base, _] = BASES;
        Self::open(base)
    }

    /// Switches the second port on.
    pub fn second() -> Self {
        let [_, base] = BASES;
        Self::open(base)
    }

    #[inline(never)]
    fn open(base: *mut u32) -> Self {
        let port = Self { base };
        // SAFETY: CONTROL is a register of the board, aligned, and no memory of the program's.
        unsafe { write_volatile(port.base.wrapping_add(2), CONTROL_TX_RX) };
        port
    }

    fn state(&self) -> u32 {
        // SAFETY: STATE is a register of the board, aligned, and no memory of the program's.
        unsafe { read_volatile(self.base.wrapping_add(1)) }
    }

    /// Takes what has come, at most until `buffer` is full; returns the number of bytes, often 0.
    #[inline(never)]
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0usize;
        for slot in buffer {
            if self.state() & STATE_RX_FULL == 0 {
                break;
            }
            // SAFETY: DATA is a register of the board, aligned, and no memory of the program's.
            *slot = unsafe { read_volatile(self.base) }.to_le_bytes()[0];
            count = count.wrapping_add(1);
        }
        count
    }

    /// Writes all of `bytes`, waiting where it must.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while self.state() & STATE_TX_FULL != 0 {}
            // SAFETY: DATA is a register of the board, aligned, and no memory of the program's.
            unsafe { write_volatile(self.base, u32::from(*byte)) };
        }
    }

    /// Writes a frame.
    pub fn write_frame(&mut self, frame: &hgrpc::wire::OutFrame<'_>) {
        self.write(frame.header().emit());
        for slice in frame.payload() {
            self.write(slice);
        }
    }
}

impl embedded_io::ErrorType for Port {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        // It blocks: none would say that the input has ended.
        loop {
            let count = Self::read(self, buffer);
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
        }
    }
}

impl embedded_io::Write for Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
