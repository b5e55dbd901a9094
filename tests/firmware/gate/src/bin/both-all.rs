//! A server on one port and a client on another, in whichever revisions their first bytes ask for.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::Revision;
use hgrpc_gate::{BUFFER, ClientEnd, Port, ServerEnd, Store, choose_revision};

#[entry]
fn main() -> ! {
    static mut MEMORY: [u8; BUFFER] = [0; BUFFER];
    static mut STORES: [Store; 2] = [const { Store::new() }; 2];
    static mut SERVER: ServerEnd<Revision> = ServerEnd::new(Revision::R0006);
    static mut CLIENT: ClientEnd<Revision> = ClientEnd::new(Revision::R0006);
    let (mut up, mut down) = (Port::first(), Port::second());
    let [first, second] = STORES;
    loop {
        first.clear();
        SERVER.restart(choose_revision(&mut up));
        second.clear();
        CLIENT.restart(choose_revision(&mut down));
        while SERVER.step(&mut up, first, MEMORY) && CLIENT.step(&mut down, second, MEMORY) {}
    }
}
