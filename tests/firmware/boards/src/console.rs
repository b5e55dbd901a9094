//! What is said to whoever runs the emulator: semihosting.

use cortex_m_semihosting::debug;

/// Prints text; with the feature `defmt` it is logged, because both would go to the same place.
pub(crate) fn print(text: &[u8]) {
    #[cfg(feature = "defmt")]
    defmt::println!("{=[u8]:a}", text);
    #[cfg(not(feature = "defmt"))]
    if let Ok(mut output) = cortex_m_semihosting::hio::hstdout() {
        // There is nobody to tell.
        let _ = output.write_all(text);
    }
}

/// Ends the emulator.
pub(crate) fn exit(is_success: bool) -> ! {
    loop {
        debug::exit(if is_success {
            debug::EXIT_SUCCESS
        } else {
            debug::EXIT_FAILURE
        });
    }
}
