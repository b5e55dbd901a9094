//! Connections on tokio.

mod codec;
#[cfg(all(unix, feature = "transport"))]
pub mod transport;

pub use codec::{CodecError, Frame, FrameCodec};
