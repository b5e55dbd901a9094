//! A server that speaks revision 0006 alone and streams data.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::{R0006, Streaming};
use hgrpc_gate::{BUFFER, Port, ServerEnd, Store};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORE: Store = Store::new();
    static mut END: ServerEnd<Streaming<R0006>> = ServerEnd::new(Streaming(R0006));
    let mut port = Port::first();
    loop {
        if !END.step(&mut port, STORE, MEMORY) {
            STORE.clear();
            END.restart(Streaming(R0006));
        }
    }
}
