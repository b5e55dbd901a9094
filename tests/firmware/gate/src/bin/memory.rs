//! One object of every type that a firmware keeps, in statics, and beside each an array of as many
//! bytes as the type's `SIZE` says: `size` compares the two in the linked program.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use hgrpc::client::Client;
use hgrpc::io::asynch;
use hgrpc::io::blocking::{ClientConnection, LinkedLine, ServerConnection};
use hgrpc::link::Link;
use hgrpc::server::{OutputStream, Server};
use hgrpc::store::{FixedArena, FixedStore, FixedTable};
use hgrpc::wire::FrameReader;
use hgrpc::{R0005, Revision, Streaming};
use hgrpc_gate::{Port, plant};

/// In a static of its own, whatever is in it.
#[repr(transparent)]
struct Object<T>(MaybeUninit<T>);

// SAFETY: no object is ever read or written: they are there to be measured.
unsafe impl<T> Sync for Object<T> {}

macro_rules! measured {
    ($($object:ident, $constant:ident: $type:ty;)*) => {
        $(
            #[unsafe(no_mangle)]
            #[used]
            static $object: Object<$type> = Object(MaybeUninit::uninit());
            #[unsafe(no_mangle)]
            #[used]
            static $constant: [u8; <$type>::SIZE] = [0; _];
        )*
    };
}

measured! {
    HGRPC_OBJECT_Server, HGRPC_CONSTANT_Server: Server<Revision>;
    HGRPC_OBJECT_Server_R0005, HGRPC_CONSTANT_Server_R0005: Server<Streaming<R0005>>;
    HGRPC_OBJECT_Client, HGRPC_CONSTANT_Client: Client<Revision>;
    HGRPC_OBJECT_FrameReader, HGRPC_CONSTANT_FrameReader: FrameReader;
    HGRPC_OBJECT_OutputStream, HGRPC_CONSTANT_OutputStream: OutputStream;
    HGRPC_OBJECT_FixedTable_4, HGRPC_CONSTANT_FixedTable_4: FixedTable<4>;
    HGRPC_OBJECT_FixedArena_4_256, HGRPC_CONSTANT_FixedArena_4_256: FixedArena<4, 256>;
    HGRPC_OBJECT_FixedStore_4_256, HGRPC_CONSTANT_FixedStore_4_256: FixedStore<4, 256>;
    HGRPC_OBJECT_ServerConnection_4_256_64_64, HGRPC_CONSTANT_ServerConnection_4_256_64_64:
        ServerConnection<Port, Port, 4, 256, 64, 64>;
    HGRPC_OBJECT_ClientConnection_4_256_64_64, HGRPC_CONSTANT_ClientConnection_4_256_64_64:
        ClientConnection<Port, Port, 4, 256, 64, 64>;
    HGRPC_OBJECT_Link_256, HGRPC_CONSTANT_Link_256: Link<256>;
    HGRPC_OBJECT_LinkedLine_256_64, HGRPC_CONSTANT_LinkedLine_256_64:
        LinkedLine<Port, Port, fn(&[u8]), 256>;
    HGRPC_OBJECT_AsynchServerConnection_4_256_64_128,
        HGRPC_CONSTANT_AsynchServerConnection_4_256_64_128:
        asynch::ServerConnection<Port, Port, 4, 256>;
    HGRPC_OBJECT_AsynchClientConnection_4_256_64_128,
        HGRPC_CONSTANT_AsynchClientConnection_4_256_64_128:
        asynch::ClientConnection<Port, Port, 4, 256>;
    HGRPC_OBJECT_AsynchLinkedLine_256_64, HGRPC_CONSTANT_AsynchLinkedLine_256_64:
        asynch::LinkedLine<Port, Port, fn(&[u8]), 256>;
}

hgrpc_gate::entry!(main);

fn main() -> ! {
    let mut port = Port::first();
    loop {
        let mut byte = [0];
        port.read(&mut byte);
        plant(&byte);
    }
}
