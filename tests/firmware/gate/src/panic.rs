//! The panic handler, which must not be linked, and panics to prove that it is not.

use core::panic::PanicInfo;

#[cfg(not(feature = "show-panics"))]
unsafe extern "C" {
    /// Nowhere defined: a program that can still panic does not link.
    fn hgrpc_gate_a_panic_path_is_left() -> !;
}

#[cfg(not(feature = "show-panics"))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never called; the function does not exist.
    unsafe { hgrpc_gate_a_panic_path_is_left() }
}

#[cfg(feature = "show-panics")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Keeps the locations in the program: `size` reads file and line from there.
    core::hint::black_box(info);
    loop {}
}

/// Does nothing, or has the panic path that the features `plant-…` ask for. `input` is what a
/// peer sent: nothing about it is known at build time.
#[inline(always)]
#[allow(unused_variables)]
pub fn plant(input: &[u8]) {
    #[cfg(feature = "plant-bounds")]
    core::hint::black_box(input[input.len() / 2]);
    #[cfg(feature = "plant-copy")]
    core::hint::black_box(&mut [0u8; 4]).copy_from_slice(input);
    #[cfg(feature = "plant-division")]
    core::hint::black_box(1 / input.len());
    #[cfg(feature = "plant-expect")]
    core::hint::black_box(input.first().expect("a byte"));
    #[cfg(feature = "plant-panic")]
    if input.len() == 3 {
        panic!("three bytes: {:?}", input);
    }
    #[cfg(feature = "plant-slice")]
    core::hint::black_box(&input[2..]);
}
