//! No executor and no DMA: the UART's receive interrupt puts bytes into a ring, and the main loop
//! handles frames between WFIs.
//!
//! The interrupt touches nothing of hgrpc's, so it is short whatever comes: a frame's work is done
//! in the main loop, and other interrupts go on beside it. The ring has room for what comes while one
//! frame is handled. (`Device::take` could be called in the interrupt itself as well: it never waits,
//! and with a `static` device behind a critical section the main loop is free. Then everything of
//! equal or lower priority waits for a frame's work.)
//!
//! With the registers of Arm's CMSDK UART, as on the emulated MPS2 boards.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::entry;
use critical_section::Mutex;
use heapless::spsc::{Producer, Queue};
use hgrpc_examples::device::{Device, Memory};

/// 127 bytes: at 115,200 baud what comes in 11 ms.
type Bytes = Queue<u8, 128>;

/// The interrupt's half of the ring. It is `Send`, and the other half is the main loop's.
static RECEIVED: Mutex<RefCell<Option<Producer<'static, u8>>>> = Mutex::new(RefCell::new(None));

#[entry]
fn main() -> ! {
    static mut BYTES: Bytes = Queue::new();
    let (producer, mut consumer) = BYTES.split();
    critical_section::with(|section| RECEIVED.replace(section, Some(producer)));
    start();
    let mut memory = Memory::new();
    let mut device = Device::new(&mut memory);
    loop {
        while consumer.ready() {
            let mut piece = [0; 32];
            let mut len = 0;
            for (slot, byte) in piece
                .iter_mut()
                .zip(core::iter::from_fn(|| consumer.dequeue()))
            {
                *slot = byte;
                len += 1;
            }
            let bytes = piece.get(..len).unwrap_or_default();
            if device.take(bytes, send).is_err() {
                // On a bare line nothing tells where the next frame begins: see `hgrpc::link`.
                device.restart();
            }
        }
        // An interrupt that comes in between is pending, and ends it at once.
        cortex_m::interrupt::free(|_| {
            if !consumer.ready() {
                cortex_m::asm::wfi();
            }
        });
    }
}

/// What a chip's own crate makes of `#[interrupt]`: the table, here up to the UART's.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [received];

/// The UART's receive interrupt.
extern "C" fn received() {
    critical_section::with(|section| {
        if let Some(producer) = RECEIVED.borrow_ref_mut(section).as_mut() {
            while let Some(byte) = receive() {
                // What does not fit is lost, which a link notices.
                let _ = producer.enqueue(byte);
            }
        }
    });
    acknowledge();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

const DATA: *mut u32 = 0x4000_4000 as *mut u32;
const STATE: *mut u32 = 0x4000_4004 as *mut u32;
const CONTROL: *mut u32 = 0x4000_4008 as *mut u32;
const INTERRUPT: *mut u32 = 0x4000_400c as *mut u32;
const DIVIDER: *mut u32 = 0x4000_4010 as *mut u32;

/// The number of the interrupt.
#[derive(Clone, Copy)]
struct Receive;

// SAFETY: the board has an interrupt of this number.
unsafe impl cortex_m::interrupt::InterruptNumber for Receive {
    fn number(self) -> u16 {
        0
    }
}

/// Sending and receiving, with an interrupt for each byte that comes.
fn start() {
    // SAFETY: registers of the board, aligned, and no memory of the program's; nothing relies on
    // the interrupt's being masked.
    unsafe {
        write_volatile(DIVIDER, 217);
        write_volatile(CONTROL, 0b1011);
        NVIC::unmask(Receive);
    }
}

fn receive() -> Option<u8> {
    // SAFETY: as above.
    unsafe {
        let is_full = read_volatile(STATE) & 0b10 != 0;
        is_full.then(|| read_volatile(DATA).to_le_bytes()[0])
    }
}

fn acknowledge() {
    // SAFETY: as above.
    unsafe { write_volatile(INTERRUPT, 0b10) };
}

fn send(bytes: &[u8]) {
    for byte in bytes {
        // SAFETY: as above.
        unsafe {
            while read_volatile(STATE) & 0b1 != 0 {}
            write_volatile(DATA, u32::from(*byte));
        }
    }
}
