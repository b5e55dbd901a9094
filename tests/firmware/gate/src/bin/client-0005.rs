//! A client that speaks revision 0005 alone.
#![no_std]
#![no_main]

use hgrpc::R0005;
use hgrpc_gate::{BUFFER, ClientEnd, Port, Store};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Store = Store::new(),
    ClientEnd<R0005> = ClientEnd::new(R0005),
);

fn main(memory: &mut [u8; BUFFER], store: &mut Store, end: &mut ClientEnd<R0005>) -> ! {
    let mut port = Port::first();
    loop {
        if !end.step(&mut port, store, memory) {
            store.clear();
            end.restart(R0005);
        }
    }
}
