//! The timer that wakes the main loop, and the interrupts that are let in.

use cortex_m::Peripherals;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m::peripheral::syst::SystClkSource;

/// Wakes in a second.
pub const RATE: u32 = 10;

/// An interrupt of the board's, by its number.
#[derive(Clone, Copy)]
struct Interrupt(u16);

// SAFETY: a number is one interrupt, always the same.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

/// Lets these interrupts in, and starts the timer on a processor that runs at `clock` Hz.
pub fn start(interrupts: &[u16], clock: u32) {
    for number in interrupts {
        // SAFETY: no code relies on an interrupt that is off; their data are atomics.
        unsafe { NVIC::unmask(Interrupt(*number)) };
    }
    if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
        SYST.set_clock_source(SystClkSource::Core);
        // The timer counts 24 bits.
        SYST.set_reload((clock / RATE).min(0x00ff_ffff));
        SYST.clear_current();
        SYST.enable_interrupt();
        SYST.enable_counter();
    }
}
