//! What `both-all` does, with every action and error logged through defmt, to a port of its own.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use hgrpc::Revision;
use hgrpc_gate::{BUFFER, ClientEnd, Port, ServerEnd, Store, choose_revision};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [Store; 2] = [const { Store::new() }; 2],
    ServerEnd<Revision> = ServerEnd::new(Revision::R0006),
    ClientEnd<Revision> = ClientEnd::new(Revision::R0006),
);

fn main(
    memory: &mut [u8; BUFFER],
    stores: &mut [Store; 2],
    server: &mut ServerEnd<Revision>,
    client: &mut ClientEnd<Revision>,
) -> ! {
    let (mut up, mut down) = (Port::first(), Port::second());
    let [first, second] = stores;
    loop {
        first.clear();
        server.restart(choose_revision(&mut up));
        second.clear();
        client.restart(choose_revision(&mut down));
        while server.step(&mut up, first, memory) && client.step(&mut down, second, memory) {}
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
