//! placeholder

pub mod buffer;
pub mod encoding;
