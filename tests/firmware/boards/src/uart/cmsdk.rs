//! The UART of Arm's Cortex-M System Design Kit, as on the MPS2 boards.

use super::Uart;
use crate::registers::Registers;

const DATA: u16 = 0x00;
const STATE: u16 = 0x04;
const STATE_TX_FULL: u32 = 0x1;
const STATE_RX_FULL: u32 = 0x2;
const CTRL: u16 = 0x08;
const CTRL_TX_RX: u32 = 0x3;
const CTRL_TX_INTERRUPT: u32 = 0x4;
const CTRL_RX_INTERRUPT: u32 = 0x8;
const INTCLEAR: u16 = 0x0c;
const BAUDDIV: u16 = 0x10;

/// A CMSDK UART: one byte of buffer each way.
#[derive(Debug)]
pub struct Cmsdk(Registers);

impl Cmsdk {
    /// The UART with these registers.
    pub const fn new(registers: Registers) -> Self {
        Self(registers)
    }
}

impl Uart for Cmsdk {
    fn start(&self) {
        // The fastest that it takes.
        self.0.write(BAUDDIV, 16);
        self.0.write(CTRL, CTRL_TX_RX);
    }

    fn receive(&self) -> Option<u8> {
        if self.0.read(STATE) & STATE_RX_FULL == 0 {
            return None;
        }
        let [byte, ..] = self.0.read(DATA).to_le_bytes();
        Some(byte)
    }

    fn has_room(&self) -> bool {
        self.0.read(STATE) & STATE_TX_FULL == 0
    }

    fn send(&self, byte: u8) {
        self.0.write(DATA, u32::from(byte));
    }

    fn listen(&self, receive: bool, room: bool) {
        let receive = if receive { CTRL_RX_INTERRUPT } else { 0 };
        let room = if room { CTRL_TX_INTERRUPT } else { 0 };
        self.0.write(CTRL, CTRL_TX_RX | receive | room);
    }

    fn acknowledge(&self) {
        self.0.write(INTCLEAR, 0x3);
    }
}
