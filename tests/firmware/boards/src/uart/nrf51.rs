//! The UART of Nordic's nRF51, as on the micro:bit: tasks are started, events come back.

use core::sync::atomic::{AtomicBool, Ordering};

use super::Uart;
use crate::registers::Registers;

const TASK_START_RX: u16 = 0x000;
const TASK_START_TX: u16 = 0x008;
const EVENT_RX_READY: u16 = 0x108;
const EVENT_TX_READY: u16 = 0x11c;
const INTENSET: u16 = 0x304;
const INTENCLR: u16 = 0x308;
const INT_RX_READY: u32 = 1 << 2;
const INT_TX_READY: u32 = 1 << 7;
const ENABLE: u16 = 0x500;
const ENABLED: u32 = 4;
const RXD: u16 = 0x518;
const TXD: u16 = 0x51c;

/// An nRF51 UART: six bytes of buffer in, one out.
#[derive(Debug)]
pub struct Nrf51 {
    registers: Registers,
    /// A byte was given to it; an event will say that there is room again.
    is_sending: AtomicBool,
}

impl Nrf51 {
    /// The UART with these registers.
    pub const fn new(registers: Registers) -> Self {
        Self {
            registers,
            is_sending: AtomicBool::new(false),
        }
    }
}

impl Uart for Nrf51 {
    fn start(&self) {
        self.registers.write(INTENCLR, u32::MAX);
        self.registers.write(ENABLE, ENABLED);
        self.registers.write(TASK_START_RX, 1);
        self.registers.write(TASK_START_TX, 1);
    }

    fn receive(&self) -> Option<u8> {
        if self.registers.read(EVENT_RX_READY) == 0 {
            return None;
        }
        // Cleared before the byte is taken: taking it makes the next event.
        self.registers.write(EVENT_RX_READY, 0);
        let [byte, ..] = self.registers.read(RXD).to_le_bytes();
        Some(byte)
    }

    fn has_room(&self) -> bool {
        !self.is_sending.load(Ordering::Relaxed) || self.registers.read(EVENT_TX_READY) != 0
    }

    fn send(&self, byte: u8) {
        self.registers.write(EVENT_TX_READY, 0);
        self.is_sending.store(true, Ordering::Relaxed);
        self.registers.write(TXD, u32::from(byte));
    }

    fn listen(&self, receive: bool, room: bool) {
        let receive = if receive { INT_RX_READY } else { 0 };
        let room = if room { INT_TX_READY } else { 0 };
        let wanted = receive | room;
        self.registers.write(INTENCLR, !wanted);
        self.registers.write(INTENSET, wanted);
    }

    /// Taking a byte clears its event; the other is not listened to any more.
    fn acknowledge(&self) {}
}
