//! HTTP, both ends: what is asked and answered, and what is refused with which error.
#![cfg(all(
    feature = "http",
    feature = "http-server",
    feature = "zlib",
    feature = "zstd"
))]

mod both;
mod canned;
mod client;
mod server;
mod support;
