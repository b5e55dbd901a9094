//! A server that speaks whichever revision the first byte asks for.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::Revision;
use hgrpc_gate::{BUFFER, Port, ServerEnd, Store, choose_revision};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORE: Store = Store::new();
    static mut END: ServerEnd<Revision> = ServerEnd::new(Revision::R0006);
    let mut port = Port::first();
    loop {
        STORE.clear();
        END.restart(choose_revision(&mut port));
        while END.step(&mut port, STORE, MEMORY) {}
    }
}
