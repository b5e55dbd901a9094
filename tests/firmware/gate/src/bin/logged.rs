//! What `both-all` does, with every event logged through defmt, to a port of its own.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use hgrpc::Revision;
use hgrpc::output::{Output, Stream};
use hgrpc_gate::{BUFFER, ClientEnd, Memory, Port, ServerEnd, choose_revision, server_end, step};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [[u8; BUFFER]; 2] = [[0; BUFFER]; 2],
    [Memory; 2] = [[0; 256]; 2],
    ServerEnd<Revision> = server_end(Revision::R0003),
    ClientEnd<Revision> = ClientEnd::new(Revision::R0003),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frames: &mut [[u8; BUFFER]; 2],
    memories: &mut [Memory; 2],
    server: &mut ServerEnd<Revision>,
    client: &mut ClientEnd<Revision>,
) -> ! {
    let (mut up, mut down) = (Port::first(), Port::second());
    let [first, second] = memories;
    let [one, other] = frames;
    loop {
        server.restart(choose_revision(&mut up), first);
        client.restart(choose_revision(&mut down), second);
        let mut answers = Output::new(Stream::ONLY, one);
        let mut requests = Output::new(Stream::CLIENT, other);
        while step(&mut up, server, first, buffer, &mut answers).is_ok()
            && client.step(&mut down, second, buffer, &mut requests)
        {}
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
