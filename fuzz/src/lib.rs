//! Fuzz targets as plain functions, so that their seeds replay in `cargo test` on any toolchain.
//!
//! Each panics when a property does not hold. To fuzz one (nightly, cargo-fuzz):
//! `cargo +nightly fuzz run reader fuzz/corpus/reader fuzz/seeds/reader`.

mod client;
mod human;
mod input;
mod link;
mod reader;
mod request;
mod server;

pub use client::client;
pub use human::human;
pub use link::link;
pub use reader::reader;
pub use request::request;
pub use server::server;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with the folder of its seeds under `fuzz/seeds`.
pub const TARGETS: [(&str, Target); 6] = [
    ("reader", reader),
    ("server", server),
    ("client", client),
    ("request", request),
    ("human", human),
    ("link", link),
];

/// Replays the files named by the program's arguments.
pub fn replay_arguments(target: Target) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        target(&bytes);
    }
}
