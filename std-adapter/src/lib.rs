//! What hosts put around the [`hgrpc`] core.
//!
//! | module | for |
//! | --- | --- |
//! | [`blocking`] | connections with threads: a server, a client |
//! | [`store`] | storage that grows, within budgets |
//! | [`buffer`] | a receive buffer that grows, up to a ceiling |
//! | [`encoding`] | the content encodings of revision 0006 |
//! | [`respond`] | responses on encoded streams |
//! | `http` | the same over HTTP, for Mercurial's servers and clients (features `http`, `http-server`) |
//! | [`human`] | frames as lines of text, for tests, tools and logs |
//! | [`value`] | CBOR values that own their bytes |
//! | [`diagnostic`] | encoded CBOR in the notation that people read |
//! | `mercurial` | Mercurial's data formats, commands and repositories (feature `mercurial`) |
//! | `tokio` | connections on tokio: a server, a client (feature `tokio`) |
//! | `transport` | addresses, and the connections behind them (Unix, feature `transport`) |
#![forbid(unsafe_code)]

pub mod blocking;
pub mod buffer;
pub mod diagnostic;
pub mod encoding;
mod host;
#[cfg(any(feature = "http", feature = "http-server"))]
pub mod http;
pub mod human;
#[cfg(feature = "mercurial")]
pub mod mercurial;
pub mod respond;
pub mod store;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(all(unix, feature = "transport"))]
pub mod transport;
pub mod value;
