//! Frames right out of a DMA buffer: nothing is copied on the way in.
//!
//! A DMA controller fills a ring of 128 bytes in a circle, for ever. Its interrupts at the half and
//! at the end, and the UART's when the line is idle, do nothing but end the main loop's WFI. Which
//! registers these are differs from chip to chip: here they are the three functions at the end, with
//! an STM32F4's DMA1 stream 5 and USART2 in them.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{Ordering, compiler_fence};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::entry;
use hgrpc_examples::device::{Device, Memory};
use hgrpc_examples::ring::Ring;

const LEN: usize = 128;

/// The DMA writes here: in memory that it reaches (not in core-coupled memory), and on cores with a
/// data cache in a region that is not cached. Nothing holds a reference to bytes that it may write.
struct DmaBuffer(UnsafeCell<[u8; LEN]>);

// SAFETY: only `pieces_of` reads it, and it says why it may.
unsafe impl Sync for DmaBuffer {}

static BUFFER: DmaBuffer = DmaBuffer(UnsafeCell::new([0; LEN]));

#[entry]
fn main() -> ! {
    let mut memory = Memory::new();
    let mut device = Device::new(&mut memory);
    let mut ring = Ring::<LEN>::new();
    start(BUFFER.0.get().cast());
    loop {
        while let Some(piece) = ring.next(written()) {
            // What was written is read after the register that says so.
            compiler_fence(Ordering::Acquire);
            // SAFETY: the DMA writes what is before `start` and from `end` on, until it comes round
            // again, which is later than this.
            let bytes = unsafe {
                let start = BUFFER.0.get().cast::<u8>().add(piece.start);
                core::slice::from_raw_parts(start, piece.len())
            };
            if device.take(bytes, send).is_err() {
                // On a bare line nothing tells where the next frame begins: see `hgrpc::link`.
                device.restart();
            }
        }
        // An interrupt that comes in between is pending, and ends it at once.
        cortex_m::interrupt::free(|_| {
            if ring.is_read(written()) {
                cortex_m::asm::wfi();
            }
        });
    }
}

/// What a chip's own crate makes of `#[interrupt]`: the table, here with one function for all.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); 48] = [woken; 48];

/// Interrupts that are pending while all are masked end the WFI; then they come here.
extern "C" fn woken() {
    acknowledge();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

const STREAM_NUMBER: *mut u32 = 0x4002_608c as *mut u32; // DMA1_S5NDTR
const STREAM_ADDRESS: *mut u32 = 0x4002_6094 as *mut u32; // DMA1_S5M0AR
const STREAM_CONTROL: *mut u32 = 0x4002_6088 as *mut u32; // DMA1_S5CR
const STREAM_CLEAR: *mut u32 = 0x4002_600c as *mut u32; // DMA1_HIFCR
const STREAM_SOURCE: *mut u32 = 0x4002_6090 as *mut u32; // DMA1_S5PAR
const UART_CONTROL: *mut u32 = 0x4000_440c as *mut u32; // USART2_CR1
const UART_DMA: *mut u32 = 0x4000_4414 as *mut u32; // USART2_CR3
const UART_STATUS: *mut u32 = 0x4000_4400 as *mut u32; // USART2_SR
const UART_DATA: *mut u32 = 0x4000_4404 as *mut u32; // USART2_DR

/// The numbers of the stream's and the UART's interrupt.
#[derive(Clone, Copy)]
struct Number(u16);

// SAFETY: the chip has interrupts of these numbers.
unsafe impl cortex_m::interrupt::InterruptNumber for Number {
    fn number(self) -> u16 {
        self.0
    }
}

/// Circular, byte by byte, with interrupts at half and end, and of the idle line; clocks, pins and
/// the baud rate are set elsewhere.
fn start(buffer: *mut u8) {
    // SAFETY: registers of the chip, aligned, and no memory of the program's; nothing relies on the
    // interrupts' being masked.
    unsafe {
        write_volatile(UART_CONTROL, 1 << 13 | 1 << 4 | 1 << 3 | 1 << 2);
        write_volatile(UART_DMA, 1 << 6);
        NVIC::unmask(Number(16));
        NVIC::unmask(Number(38));
        write_volatile(STREAM_SOURCE, UART_DATA as u32);
        write_volatile(STREAM_ADDRESS, buffer as u32);
        write_volatile(STREAM_NUMBER, LEN as u32);
        write_volatile(
            STREAM_CONTROL,
            4 << 25 | 1 << 10 | 1 << 8 | 1 << 4 | 1 << 3 | 1,
        );
    }
}

/// Where the DMA writes next.
fn written() -> usize {
    // SAFETY: as above. It counts down what is left to the end of the ring.
    LEN - unsafe { read_volatile(STREAM_NUMBER) } as usize % (LEN + 1)
}

fn acknowledge() {
    // SAFETY: as above. Reading status, then data, clears the idle line.
    unsafe {
        write_volatile(STREAM_CLEAR, 0x0f7d_0f7d);
        read_volatile(UART_STATUS);
        read_volatile(UART_DATA);
    }
}

/// Waits for each byte; a second DMA stream would do it beside.
fn send(bytes: &[u8]) {
    for byte in bytes {
        // SAFETY: as above.
        unsafe {
            while read_volatile(UART_STATUS) & 1 << 7 == 0 {}
            write_volatile(UART_DATA, u32::from(*byte));
        }
    }
}
