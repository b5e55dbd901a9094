//! One object of every type that a firmware keeps, in statics, and beside each an array of as many
//! bytes as the type's `SIZE` says: `size` compares the two in the linked program.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use hgrpc::client::Client;
use hgrpc::connection::{ClientConnection, LinkedClient, LinkedServer, ServerConnection};
use hgrpc::link::Link;
use hgrpc::server::Server;
use hgrpc::store::FixedRequests;
use hgrpc::{R0005, Revision, Streaming};
use hgrpc_gate::{Port, plant};

type Requests = FixedRequests<4>;

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
    HGRPC_OBJECT_Server, HGRPC_CONSTANT_Server: Server<Revision, Requests>;
    HGRPC_OBJECT_Server_R0005, HGRPC_CONSTANT_Server_R0005: Server<Streaming<R0005>, Requests>;
    HGRPC_OBJECT_Client, HGRPC_CONSTANT_Client: Client<Revision, Requests>;
    HGRPC_OBJECT_FixedRequests_4, HGRPC_CONSTANT_FixedRequests_4: Requests;
    HGRPC_OBJECT_ServerConnection, HGRPC_CONSTANT_ServerConnection:
        ServerConnection<'static, Revision, Requests>;
    HGRPC_OBJECT_ClientConnection, HGRPC_CONSTANT_ClientConnection:
        ClientConnection<'static, Revision, Requests>;
    HGRPC_OBJECT_LinkedServer, HGRPC_CONSTANT_LinkedServer:
        LinkedServer<'static, Revision, Requests>;
    HGRPC_OBJECT_LinkedClient, HGRPC_CONSTANT_LinkedClient:
        LinkedClient<'static, Revision, Requests>;
    HGRPC_OBJECT_Link_256, HGRPC_CONSTANT_Link_256: Link<256>;
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
