//! How a program begins: one macro for every architecture, and start-up code where no crate brings it.

#[cfg(target_arch = "arm")]
use cortex_m_rt as _;

/// Makes a function the program's `main`, which the start-up code calls: `entry!(run, TYPE = VALUE, …)`.
/// Each value lies in a static of its own, and the function has a `&'static mut` to it.
#[macro_export]
macro_rules! entry {
    ($run:path $(, $type:ty = $value:expr)* $(,)?) => {
        #[unsafe(export_name = "main")]
        extern "C" fn entry() -> ! {
            $run($({
                static mut VALUE: $type = $value;
                // SAFETY: `main` is called once, by the start-up code: this is the only reference.
                unsafe { &mut *(&raw mut VALUE) }
            }),*)
        }
    };
}

// What cortex-m-rt does for Arm: the stack, `.data` from flash, zeros in `.bss`. The symbols are of
// `riscv.x`.
#[cfg(target_arch = "riscv32")]
core::arch::global_asm!(
    ".section .start, \"ax\"",
    ".globl _start",
    "_start:",
    "la sp, stack_top",
    "la a0, data_begin",
    "la a1, data_end",
    "la a2, data_load",
    "1: bgeu a0, a1, 2f",
    "lw a3, 0(a2)",
    "sw a3, 0(a0)",
    "addi a0, a0, 4",
    "addi a2, a2, 4",
    "j 1b",
    "2: la a0, bss_begin",
    "la a1, bss_end",
    "3: bgeu a0, a1, 4f",
    "sw zero, 0(a0)",
    "addi a0, a0, 4",
    "j 3b",
    "4: call main",
);
