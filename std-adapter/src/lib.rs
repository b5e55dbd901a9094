//! placeholder

pub mod encoding;
