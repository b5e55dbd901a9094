//! A server that speaks revision 0005 alone and streams data.
#![no_std]
#![no_main]

use hgrpc::{R0005, Streaming};
use hgrpc_gate::{BUFFER, Port, ServerEnd, Store};

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Store = Store::new(),
    ServerEnd<Streaming<R0005>> = ServerEnd::new(Streaming(R0005)),
);

fn main(memory: &mut [u8; BUFFER], store: &mut Store, end: &mut ServerEnd<Streaming<R0005>>) -> ! {
    let mut port = Port::first();
    loop {
        if !end.step(&mut port, store, memory) {
            store.clear();
            end.restart(Streaming(R0005));
        }
    }
}
