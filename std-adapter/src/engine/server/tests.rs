//! A connection and its peer, both in memory: what the client sends is handed in, cut anywhere, and
//! what the connection makes is handed to the client.

#[cfg(feature = "tokio")]
mod differential;
mod ends;
mod limits;
mod rig;
mod script;
