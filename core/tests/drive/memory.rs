//! Connections with memory of their own.

use hgrpc::Protocol;
use hgrpc::client::ClientConfig;
use hgrpc::connection::{Buffers, ClientConnection, ServerConnection};
use hgrpc::server::ServerConfig;
use hgrpc::store::FixedRequests;
use hgrpc::{client, server};

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
    let config = ServerConfig::STREAMING.with_always_side_frames(true);
    let server = server::Server::new(protocol, config, Requests::new());
    ServerConnection::new(Box::leak(Box::new(server)), buffers)
}

pub fn client<P: Protocol>(protocol: P, buffers: Buffers<'static>) -> Client<P> {
    let config = ClientConfig::FULL_DUPLEX;
    let client = client::Client::new(protocol, config, Requests::new());
    ClientConnection::new(Box::leak(Box::new(client)), buffers)
}

#[cfg(feature = "link")]
pub fn linked_server<P: Protocol>(
    protocol: P,
    buffers: Buffers<'static>,
    link: hgrpc::link::LinkConfig,
    packets: hgrpc::connection::LinkBuffers<'static>,
) -> hgrpc::connection::LinkedServer<'static, P, Requests> {
    let config = ServerConfig::STREAMING.with_always_side_frames(true);
    let server = server::Server::new(protocol, config, Requests::new());
    hgrpc::connection::Connection::linked(Box::leak(Box::new(server)), buffers, link, packets)
}

#[cfg(feature = "link")]
pub fn linked_client<P: Protocol>(
    protocol: P,
    buffers: Buffers<'static>,
    link: hgrpc::link::LinkConfig,
    packets: hgrpc::connection::LinkBuffers<'static>,
) -> hgrpc::connection::LinkedClient<'static, P, Requests> {
    let client = client::Client::new(protocol, ClientConfig::FULL_DUPLEX, Requests::new());
    hgrpc::connection::Connection::linked(Box::leak(Box::new(client)), buffers, link, packets)
}
