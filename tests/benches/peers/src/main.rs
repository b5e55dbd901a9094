//! The figures with other crates, as far as they have something to compare: a file for each. Run by
//! `cargo counts`, see ../README.md.

mod codec;
mod derived;
mod http2;
mod json;
#[expect(
    unreachable_pub,
    reason = "the macros of postcard-rpc make public items"
)]
mod postcard_channels;

use std::process::ExitCode;

use hgrpc_bench::{Row, child};

/// All rows, named after the crate.
const ROWS: &[Row] = &[
    Row::new("tokio-util/parse-frame", codec::parse_frame),
    Row::new("h2/data-fixed", http2::data),
    Row::new("jsonrpsee/request-fixed", json::request),
    Row::new("minicbor/request-fixed", derived::request),
    Row::new("postcard-rpc/round-trip", postcard_channels::round_trip),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    child(&arguments, ROWS).unwrap_or_else(|| {
        eprintln!("error: this program is run by `cargo counts`");
        ExitCode::FAILURE
    })
}
