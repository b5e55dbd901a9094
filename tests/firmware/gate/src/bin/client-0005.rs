//! A client that speaks revision 0005 alone.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::R0005;
use hgrpc_gate::{BUFFER, ClientEnd, Port, Store};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORE: Store = Store::new();
    static mut END: ClientEnd<R0005> = ClientEnd::new(R0005);
    let mut port = Port::first();
    loop {
        if !END.step(&mut port, STORE, MEMORY) {
            STORE.clear();
            END.restart(R0005);
        }
    }
}
