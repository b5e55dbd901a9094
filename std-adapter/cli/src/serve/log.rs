//! Lines on the error output: one for each thing, with the time and the peer, safe for terminals.

use std::fmt;

use crate::escape::one_line;
use crate::stderr::{self, REMOTE, Source, queue};
use crate::units::timestamp;

/// A line about the server.
pub(super) fn line(message: impl fmt::Display) {
    queue().line(&stderr::dated(&one_line(message)));
}

/// A line about one connection, of which a second has so many.
pub(super) fn about(peer: &str, message: impl fmt::Display) {
    limited(Source::Connections, peer, message);
}

/// A line that a program has written or caused, of which a second has so many.
pub(super) fn program(peer: &str, message: impl fmt::Display) {
    limited(Source::Programs, peer, message);
}

/// A line about one connection that was asked for.
pub(super) fn trace(peer: &str, message: impl fmt::Display) {
    queue().line(&of(peer, message));
}

/// A line that a device has printed, behind its address: marked as its own.
pub(super) fn device(line: &str) {
    let line = format!("{REMOTE}{} {line}", timestamp(std::time::SystemTime::now()));
    queue().limited(Source::Programs, &line);
}

fn limited(source: Source, peer: &str, message: impl fmt::Display) {
    queue().limited(source, &of(peer, message));
}

fn of(peer: &str, message: impl fmt::Display) -> String {
    // `stdio:` has its colon.
    let peer = peer.strip_suffix(':').unwrap_or(peer);
    stderr::dated(&one_line(format_args!("{peer}: {message}")))
}
