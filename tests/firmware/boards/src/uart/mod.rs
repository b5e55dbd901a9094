//! The UARTs of the boards. Read [`Uart`] first.
//!
//! Clocks, pins and baud rates are as the emulator leaves them; a board on a desk wants them set
//! before [`Uart::start`].

mod cmsdk;
mod nrf51;
mod pl011;

pub use cmsdk::Cmsdk;
pub use nrf51::Nrf51;
pub use pl011::Pl011;

/// What the [serial line](crate::serial) needs of a UART. No method waits.
pub trait Uart: Sync {
    /// Switches it on, without interrupts.
    fn start(&self);

    /// Takes a byte that has come.
    fn receive(&self) -> Option<u8>;

    /// Whether a byte can be sent.
    fn has_room(&self) -> bool;

    /// Sends a byte. The caller has seen that there is room.
    fn send(&self, byte: u8);

    /// Which interrupts are wanted: when a byte has come, when one can be sent.
    fn listen(&self, receive: bool, room: bool);

    /// In the interrupt, before anything is taken: acknowledges it, where the UART wants that.
    fn acknowledge(&self);
}
