//! A client that speaks revision 0006 alone.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::R0006;
use hgrpc_gate::{BUFFER, ClientEnd, Port, Store};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORE: Store = Store::new();
    static mut END: ClientEnd<R0006> = ClientEnd::new(R0006);
    let mut port = Port::first();
    loop {
        if !END.step(&mut port, STORE, MEMORY) {
            STORE.clear();
            END.restart(R0006);
        }
    }
}
