//! As `server-0005`, on the reworked core.
#![no_std]
#![no_main]

use hgrpc::{R0005, Streaming};
use hgrpc_gate::{BUFFER, Memory, NextServer, Port, next_server, serve};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    NextServer<Streaming<R0005>> = next_server(Streaming(R0005)),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut NextServer<Streaming<R0005>>,
) -> ! {
    let mut port = Port::first();
    serve(&mut port, server, memory, buffer, frame, |_| {
        Streaming(R0005)
    })
}
