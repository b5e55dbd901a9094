//! A server that speaks revision 0006 alone and streams data.
#![no_std]
#![no_main]

use hgrpc::{R0006, Streaming};
use hgrpc_gate::{BUFFER, Memory, Port, ServerEnd, serve, server_end};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ServerEnd<Streaming<R0006>> = server_end(Streaming(R0006)),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0006>>,
) -> ! {
    let mut port = Port::first();
    serve(&mut port, server, memory, buffer, frame, |_| {
        Streaming(R0006)
    })
}
