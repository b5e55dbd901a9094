//! What hosts put around the [`hgrpc`] core.
//!
//! | module | for |
//! | --- | --- |
//! | [`human`] | frames as lines of text, for tests, tools and logs |
//! | [`value`] | CBOR values that own their bytes |
//! | [`diagnostic`] | encoded CBOR in the notation that people read |
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod human;
pub mod value;
