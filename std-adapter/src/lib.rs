//! What hosts put around the [`hgrpc`] core.
//!
//! | module | for |
//! | --- | --- |
//! | [`store`], [`buffer`] | storage and buffers that grow, within budgets |
//! | [`encoding`] | the content encodings of revision 0006 |
//! | [`respond`] | responses on encoded streams |
//! | [`human`] | frames as lines of text, for tests, tools and logs |
//! | [`value`] | CBOR values that own their bytes |
//! | [`diagnostic`] | encoded CBOR in the notation that people read |
#![forbid(unsafe_code)]

pub mod buffer;
pub mod diagnostic;
pub mod encoding;
pub mod human;
pub mod respond;
pub mod store;
pub mod value;
