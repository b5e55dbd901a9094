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

/// Ends the emulator: semihosting's `SYS_EXIT`, or a loop where there is none.
pub fn exit() -> ! {
    #[cfg(target_arch = "arm")]
    // SAFETY: a call to the debugger; `ADP_Stopped_ApplicationExit` ends the emulator with success.
    unsafe {
        core::arch::asm!("bkpt 0xab", in("r0") 0x18, in("r1") 0x20026);
    }
    loop {
        core::hint::spin_loop();
    }
}
