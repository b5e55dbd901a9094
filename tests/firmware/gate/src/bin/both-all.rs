//! A server on one port and a client on another, in whichever revisions their first bytes ask for.
#![no_std]
#![no_main]

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
