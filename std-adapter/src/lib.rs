//! hgrpc with std: storage and buffers that grow, connections, content encodings, transports.

pub mod buffer;
pub mod encoding;
pub mod store;
