//! A server on one port and a client on another, in whichever revisions their first bytes ask for.
#![no_std]
#![no_main]

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
