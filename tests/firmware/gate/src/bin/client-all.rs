//! A client that speaks whichever revision the first byte asks for.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc::output::{Output, Stream};
use hgrpc_gate::{BUFFER, ClientEnd, Memory, Port, choose_revision};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ClientEnd<Revision> = ClientEnd::new(Revision::R0003),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    client: &mut ClientEnd<Revision>,
) -> ! {
    let mut port = Port::first();
    loop {
        client.restart(choose_revision(&mut port), memory);
        let mut out = Output::new(Stream::CLIENT, frame);
        while client.step(&mut port, memory, buffer, &mut out) {}
    }
}
