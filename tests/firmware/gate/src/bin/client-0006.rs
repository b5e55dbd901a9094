//! A client that speaks revision 0006 alone.
#![no_std]
#![no_main]

use hgrpc::R0006;
use hgrpc::output::{Output, Stream};
use hgrpc_gate::{BUFFER, ClientEnd, Memory, Port};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ClientEnd<R0006> = ClientEnd::new(R0006),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    client: &mut ClientEnd<R0006>,
) -> ! {
    let mut port = Port::first();
    loop {
        let mut out = Output::new(Stream::CLIENT, frame);
        while client.step(&mut port, memory, buffer, &mut out) {}
        client.restart(R0006, memory);
    }
}
