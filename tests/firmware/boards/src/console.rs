//! What is said to whoever runs the emulator: semihosting.

use cortex_m_semihosting::{debug, hio};

/// Prints text.
pub(crate) fn print(text: &[u8]) {
    if let Ok(mut output) = hio::hstdout() {
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
