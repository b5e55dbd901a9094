//! What the examples share. Each of `src/bin` shows one way in which bytes come and go:
//!
//! | example | who moves the bytes | who handles them |
//! | --- | --- | --- |
//! | `embassy` | the HAL's interrupts | a task, and another beside it |
//! | `interrupt` | the UART's interrupt, through a ring | the main loop, between WFIs |
//! | `dma` | a DMA controller, in a circle | the main loop, right out of the DMA's buffer |
//!
//! `driver-async` is no example: it links all of the asynchronous driver, and is looked through for
//! panics that are left.
#![no_std]

pub mod device;
pub mod ring;
