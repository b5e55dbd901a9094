//! Revision 0006 over HTTP, as Mercurial 4.8 to 6.0 speaks it (http-v2.md): a client (feature
//! `http`, with TLS by feature `https`) and a server (feature `http-server`).
//!
//! ```text
//!   GET  <repo>?cmd=capabilities                       the handshake: what there is, and where
//!   POST <repo>/api/exp-http-v2-0003/ro/<command>      one command, or several by `multirequest`
//!        settings frame + request frames ─▶  ─▶ response frames, streamed
//! ```
//! Each POST is a connection of its own to the reactors, and half duplex: the whole request is read
//! before the first byte of the answer is written.

mod args;
mod capabilities;
#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http-server")]
pub mod server;

pub use capabilities::{
    ArgInfo, ArgType, Capabilities, CapabilitiesError, CommandInfo, RedirectInfo, RedirectTarget,
};
#[cfg(feature = "http")]
pub use client::{
    Bytes, Client, Command, Config, Credentials, Error, HttpStatus, Item, Limits, OnProgress,
    OnText, Redirect, Redirects, Response, Timeouts, Tls, without_userinfo,
};

/// The API's name in URLs and in the handshake (http-v2.md, "Constants").
pub const API_NAME: &str = "exp-http-v2-0003";

/// The media type of frames, in both directions.
pub const FRAMING_MEDIA_TYPE: &str = "application/mercurial-exp-framing-0006";

/// The media type of plain CBOR: the handshake's answer, and what redirects lead to.
pub const CBOR_MEDIA_TYPE: &str = "application/mercurial-cbor";

/// The media type of the version 1 protocol's replies.
pub const V1_MEDIA_TYPE: &str = "application/mercurial-0.1";

/// The command in URLs that stands for several in one request.
pub const MULTIREQUEST: &str = "multirequest";
