//! Fuzz targets as plain functions, so that their seeds replay in `cargo test` on any toolchain.
//!
//! Each panics when a property does not hold. To fuzz one (nightly, cargo-fuzz):
//! `cargo +nightly fuzz run reader fuzz/corpus/reader fuzz/seeds/reader`.

mod address;
mod canned;
mod client;
mod codec;
mod frames;
mod http_capabilities;
mod http_client;
mod http_server;
mod human;
mod input;
mod kept;
mod link;
mod memory;
mod mercurial;
mod reader;
mod request;
mod served;
mod server;

pub use address::address;
pub use client::client;
pub use codec::codec;
pub use http_capabilities::http_capabilities;
pub use http_client::http_client;
pub use http_server::http_server;
pub use human::human;
pub use link::link;
pub use mercurial::mercurial;
pub use reader::reader;
pub use request::request;
pub use server::server;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with the folder of its seeds under `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 12] = [
    ("reader", reader),
    ("server", server),
    ("client", client),
    ("request", request),
    ("human", human),
    ("link", link),
    ("address", address),
    ("codec", codec),
    ("mercurial", mercurial),
    ("http-client", http_client),
    ("http-capabilities", http_capabilities),
    ("http-server", http_server),
];

/// Replays the files named by the program's arguments.
pub fn replay_arguments(target: Target) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        target(&bytes);
    }
}
