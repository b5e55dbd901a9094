//! What `both-all` does, with every action and error logged through defmt, to a port of its own.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use cortex_m_rt::entry;
use hgrpc::Revision;
use hgrpc_gate::{BUFFER, ClientEnd, Port, ServerEnd, Store, choose_revision};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORES: [Store; 2] = [const { Store::new() }; 2];
    static mut SERVER: ServerEnd<Revision> = ServerEnd::new(Revision::R0006);
    static mut CLIENT: ClientEnd<Revision> = ClientEnd::new(Revision::R0006);
    let (mut up, mut down) = (Port::first(), Port::second());
    let [first, second] = STORES;
    loop {
        first.clear();
        SERVER.restart(choose_revision(&mut up));
        second.clear();
        CLIENT.restart(choose_revision(&mut down));
        while SERVER.step(&mut up, first, MEMORY) && CLIENT.step(&mut down, second, MEMORY) {}
    }
}

/// defmt's encoder. The program has no interrupts and one core, so nothing can come between.
struct Encoder(UnsafeCell<defmt::Encoder>);

// SAFETY: see above: there is only one context that could use it.
unsafe impl Sync for Encoder {}

static ENCODER: Encoder = Encoder(UnsafeCell::new(defmt::Encoder::new()));

#[defmt::global_logger]
struct Logger;

// SAFETY: `acquire` need not lock anything, see `Encoder`.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: the only reference: defmt does not call it within a frame.
        unsafe { (*ENCODER.0.get()).start_frame(send) }
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: as in `acquire`.
        unsafe { (*ENCODER.0.get()).end_frame(send) }
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: as in `acquire`.
        unsafe { (*ENCODER.0.get()).write(bytes, send) }
    }
}

fn send(bytes: &[u8]) {
    Port::second().write(bytes);
}
