//! A client that speaks whichever revision the first byte asks for.
#![no_std]
#![no_main]

use hgrpc::Revision;
use hgrpc_gate::{BUFFER, ClientEnd, Port, Store, choose_revision};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Store = Store::new(),
    ClientEnd<Revision> = ClientEnd::new(Revision::R0006),
);

fn main(memory: &mut [u8; BUFFER], store: &mut Store, end: &mut ClientEnd<Revision>) -> ! {
    let mut port = Port::first();
    loop {
        store.clear();
        end.restart(choose_revision(&mut port));
        while end.step(&mut port, store, memory) {}
    }
}
