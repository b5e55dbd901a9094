//! As `both-all`, on the reworked core.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc::next::output::{Output, Stream};
use hgrpc_gate::{
    BUFFER, Memory, NextClient, NextServer, Port, choose_revision, next_server, step,
};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    [[u8; BUFFER]; 2] = [[0; BUFFER]; 2],
    [Memory; 2] = [[0; 256]; 2],
    NextServer<Revision> = next_server(Revision::R0003),
    NextClient<Revision> = NextClient::new(Revision::R0003),
);

fn main(
    buffer: &mut [u8; BUFFER],
    frames: &mut [[u8; BUFFER]; 2],
    memories: &mut [Memory; 2],
    server: &mut NextServer<Revision>,
    client: &mut NextClient<Revision>,
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
