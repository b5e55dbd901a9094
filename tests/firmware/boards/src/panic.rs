//! The panic handler, which is not linked. With the feature `defmt` it is: the logger can panic.

use core::panic::PanicInfo;

#[cfg(not(feature = "defmt"))]
unsafe extern "C" {
    /// Nowhere defined: a program that can still panic does not link.
    fn hgrpc_boards_a_panic_path_is_left() -> !;
}

#[cfg(not(feature = "defmt"))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called; the function does not exist.
    unsafe { hgrpc_boards_a_panic_path_is_left() }
}

#[cfg(feature = "defmt")]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    crate::console::exit(false)
}
