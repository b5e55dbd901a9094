//! The device that is called, on TI's LM3S6965 evaluation board (Cortex-M3).
#![no_std]
#![no_main]

hgrpc_boards::firmware!(serve on "lm3s6965evb", Pl011 at 0x4000_c000, interrupts [5], clock 12_000_000);
