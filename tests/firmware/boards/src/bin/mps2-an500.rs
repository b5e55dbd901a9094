//! The device that is called, on Arm's MPS2 with the image AN500 (Cortex-M7).
#![no_std]
#![no_main]

hgrpc_boards::firmware!(serve on "mps2-an500", Cmsdk at 0x4000_4000, interrupts [0, 1], clock 25_000_000);
