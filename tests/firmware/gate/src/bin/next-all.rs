//! As `server-all`, on the reworked core.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc_gate::{BUFFER, Memory, NextServer, Port, choose_revision, next_server, serve};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    NextServer<Revision> = next_server(Revision::R0003),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut NextServer<Revision>,
) -> ! {
    let mut port = Port::first();
    serve(&mut port, server, memory, buffer, frame, choose_revision)
}
