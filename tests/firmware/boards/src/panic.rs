//! The panic handler, which is not linked.

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Nowhere defined: a program that can still panic does not link.
    fn hgrpc_boards_a_panic_path_is_left() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called; the function does not exist.
    unsafe { hgrpc_boards_a_panic_path_is_left() }
}
