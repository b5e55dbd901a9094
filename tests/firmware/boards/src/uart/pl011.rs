//! Arm's PL011, as in TI's LM3S6965.

use super::Uart;
use crate::registers::Registers;

const DR: u16 = 0x00;
const FR: u16 = 0x18;
const FR_RX_EMPTY: u32 = 0x10;
const FR_TX_FULL: u32 = 0x20;
const LCRH: u16 = 0x2c;
const LCRH_8_BITS_FIFO: u32 = 0x70;
const CTL: u16 = 0x30;
const CTL_ENABLE_TX_RX: u32 = 0x301;
const IM: u16 = 0x38;
/// Enough bytes, or some and then none for a while.
const IM_RX_TIMEOUT: u32 = 0x50;
const IM_TX: u32 = 0x20;

/// A PL011.
#[derive(Debug)]
pub struct Pl011(Registers);

impl Pl011 {
    /// The UART with these registers.
    pub const fn new(registers: Registers) -> Self {
        Self(registers)
    }
}

impl Uart for Pl011 {
    fn start(&self) {
        self.0.write(IM, 0);
        self.0.write(LCRH, LCRH_8_BITS_FIFO);
        self.0.write(CTL, CTL_ENABLE_TX_RX);
    }

    fn receive(&self) -> Option<u8> {
        if self.0.read(FR) & FR_RX_EMPTY != 0 {
            return None;
        }
        let [byte, ..] = self.0.read(DR).to_le_bytes();
        Some(byte)
    }

    fn has_room(&self) -> bool {
        self.0.read(FR) & FR_TX_FULL == 0
    }

    fn send(&self, byte: u8) {
        self.0.write(DR, u32::from(byte));
    }

    fn listen(&self, receive: bool, room: bool) {
        let receive = if receive { IM_RX_TIMEOUT } else { 0 };
        let room = if room { IM_TX } else { 0 };
        self.0.write(IM, receive | room);
    }

    /// Taking and sending bytes is enough.
    fn acknowledge(&self) {}
}
