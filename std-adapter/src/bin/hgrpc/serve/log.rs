//! Lines on the error output: one for each thing, safe for terminals.

use std::fmt;
use std::io::Write;

use hgrpc::cbor::Escaped;

/// A line about the server.
pub(super) fn line(message: impl fmt::Display) {
    // One write, so that lines of several threads do not mix. Nobody has to read it.
    let line = format!("hgrpc: {}\n", Escaped(message)).replace('\t', "\\t");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A line about one connection.
pub(super) fn about(peer: &str, message: impl fmt::Display) {
    // `stdio:` has its colon.
    let peer = peer.strip_suffix(':').unwrap_or(peer);
    line(format_args!("{peer}: {message}"));
}
