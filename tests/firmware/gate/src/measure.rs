//! Marks for the emulator's plugin, which counts the instructions between them.

use core::hint::black_box;

/// From here. Its symbol is looked up by `size`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn measure_begin() {
    black_box(1);
}

/// To here.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn measure_end() {
    black_box(2);
}

/// Ends the emulator with an exit code: semihosting's `SYS_EXIT_EXTENDED`, or a loop where there is
/// none.
pub fn exit(code: u8) -> ! {
    // `ADP_Stopped_ApplicationExit`, and what the program says with it.
    let reason = black_box([0x20026, u32::from(code)]);
    #[cfg(target_arch = "arm")]
    // SAFETY: a call to the debugger, which reads two words and ends the emulator.
    unsafe {
        core::arch::asm!("bkpt 0xab", in("r0") 0x20, in("r1") &raw const reason);
    }
    #[cfg(not(target_arch = "arm"))]
    let _ = reason;
    loop {
        core::hint::spin_loop();
    }
}
