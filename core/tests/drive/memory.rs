//! Connections with memory of their own.

use hgrpc::Protocol;
use hgrpc::client::ClientConfig;
use hgrpc::next::connection::{Buffers, ClientConnection, ServerConnection};
use hgrpc::next::store::FixedRequests;
use hgrpc::server::ServerConfig;

pub type Requests = FixedRequests<4>;
pub type Server<P> = ServerConnection<'static, P, Requests>;
pub type Client<P> = ClientConnection<'static, P, Requests>;

/// So many bytes of input, of memory and of output. A test's memory need not be given back.
pub fn buffers(input: usize, memory: usize, output: usize) -> Buffers<'static> {
    let leak = |len| Vec::leak(vec![0; len]);
    Buffers {
        input: leak(input),
        memory: leak(memory),
        output: leak(output),
    }
}

pub fn server<P: Protocol>(protocol: P, buffers: Buffers<'static>) -> Server<P> {
    let mut config = ServerConfig::STREAMING;
    config.always_side_frames = true;
    ServerConnection::with_config(protocol, config, Requests::new(), buffers)
}

pub fn client<P: Protocol>(protocol: P, buffers: Buffers<'static>) -> Client<P> {
    let config = ClientConfig::FULL_DUPLEX;
    ClientConnection::with_config(protocol, config, Requests::new(), buffers)
}
