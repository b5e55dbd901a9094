//! Connections on tokio.

mod codec;

pub use codec::{CodecError, Frame, FrameCodec};
