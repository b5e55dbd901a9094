//! A client that speaks revision 0006 alone.
#![no_std]
#![no_main]

use hgrpc::R0006;
use hgrpc_gate::{BUFFER, ClientEnd, Port, Store};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Store = Store::new(),
    ClientEnd<R0006> = ClientEnd::new(R0006),
);

fn main(memory: &mut [u8; BUFFER], store: &mut Store, end: &mut ClientEnd<R0006>) -> ! {
    let mut port = Port::first();
    loop {
        if !end.step(&mut port, store, memory) {
            store.clear();
            end.restart(R0006);
        }
    }
}
