//! The device that calls, on the BBC micro:bit (Cortex-M0).
#![no_std]
#![no_main]

hgrpc_boards::firmware!(client on "microbit", Nrf51 at 0x4000_2000, interrupts [2], clock 16_000_000);
