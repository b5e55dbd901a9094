//! The device that calls, on Arm's MPS2 with the image AN386 (Cortex-M4).
#![no_std]
#![no_main]

hgrpc_boards::firmware!(client on "mps2-an386", Cmsdk at 0x4000_4000, interrupts [0, 1], clock 25_000_000);
