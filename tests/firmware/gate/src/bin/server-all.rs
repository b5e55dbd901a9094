//! A server that speaks whichever revision the first byte asks for.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc_gate::{BUFFER, Memory, Port, ServerEnd, choose_revision, serve, server_end};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ServerEnd<Revision> = server_end(Revision::R0003),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut ServerEnd<Revision>,
) -> ! {
    let mut port = Port::first();
    serve(&mut port, server, memory, buffer, frame, choose_revision)
}
