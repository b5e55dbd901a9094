//! A device that answers hgrpc calls over its serial line, and one that calls, for four boards that
//! QEMU emulates: `tests/firmware/emulate` builds and starts them.
//!
//! Read `src/bin/lm3s6965evb.rs` first: a board's program is its UART and its interrupts. Then
//! [`serve`] for the main loop and its commands.
//!
//! | module | |
//! | --- | --- |
//! | [`serve`] | the device that is called |
//! | [`client`] | the device that calls |
//! | [`serial`], [`uart`], [`registers`], `ring` | from registers and interrupts to embedded-io halves |
//! | `starts`, `stack`, `timer` | session numbers, the stack's high-water mark, ten wakes a second |
//! | `panic` | nothing in these programs panics: one that could would not link |
//!
//! What hgrpc needs is in three statics: its buffers, the reactor and the connection; the rest is the application's own.
#![no_std]

pub mod client;
mod console;
mod hash;
mod log;
mod panic;
pub mod registers;
mod ring;
pub mod serial;
pub mod serve;
mod stack;
mod starts;
pub mod timer;
pub mod uart;

#[cfg(feature = "defmt")]
use defmt_semihosting as _;

#[doc(hidden)]
pub use cortex_m_rt;

/// A program: what it does (`serve` or `client`), on which board, its UART, the UART's interrupts
/// and the processor's clock in Hz.
#[macro_export]
macro_rules! firmware {
    ($role:ident on $board:literal, $uart:ident at $base:literal, interrupts $interrupts:expr, clock $clock:literal) => {
        use core::mem::MaybeUninit;

        use $crate::cortex_m_rt::{entry, exception};
        use $crate::registers::Registers;
        use $crate::serial::Serial;
        use $crate::uart::$uart;

        // SAFETY: the UART's registers, by the board's manual.
        static SERIAL: Serial<$uart> = Serial::new($uart::new(unsafe { Registers::new($base) }));

        #[entry]
        fn main() -> ! {
            static mut MEMORY: $crate::serial::Memory = $crate::serial::Memory::new();
            static mut END: $crate::$role::End = $crate::$role::END;
            static mut CONNECTION: MaybeUninit<$crate::$role::Device<$uart>> =
                MaybeUninit::uninit();
            static mut APPLICATION: $crate::$role::Application = $crate::$role::Application::new();
            $crate::timer::start(&$interrupts, $clock);
            $crate::$role::run($board, &SERIAL, (MEMORY, END, CONNECTION), APPLICATION)
        }

        #[exception]
        fn SysTick() {
            SERIAL.wake();
        }

        // All interrupts of the board's: only the UART's are on.
        #[exception]
        unsafe fn DefaultHandler(_: i16) {
            SERIAL.on_interrupt();
        }
    };
}
