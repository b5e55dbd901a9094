//! What a device prints on its line between packets: boot messages, a panic.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hgrpc_std::transport::{Console, Stray};

use crate::escape::one_line;

/// Bytes of a line that are shown at once.
const MAX_LINE: usize = 400;
/// Peers of which the beginning of a line is kept.
const MAX_PEERS: usize = 64;

type Show = Box<dyn Fn(&str) + Send + Sync>;

/// Shows it in whole lines, each behind the address of the peer, and escaped.
pub(crate) struct StrayLines {
    /// Lines that have not ended, by peer.
    held: Mutex<HashMap<String, Vec<u8>>>,
    show: Show,
}

impl StrayLines {
    pub(crate) fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            held: Mutex::default(),
            show: Box::new(show),
        })
    }

    /// What a connection is given.
    pub(crate) fn console(self: &Arc<Self>) -> Console {
        let lines = Arc::clone(self);
        Arc::new(move |stray| lines.take(stray))
    }

    fn take(&self, stray: &Stray<'_>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let line = held.entry(stray.peer.to_owned()).or_default();
        if stray.is_noise {
            self.line(stray.peer, line);
            line.clear();
            let noise = stray.bytes.get(..MAX_LINE).unwrap_or(stray.bytes);
            let noise = noise.escape_ascii();
            (self.show)(&format!("{}: a damaged packet: {noise}", stray.peer));
        }
        for byte in stray.bytes.iter().filter(|_| !stray.is_noise) {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= MAX_LINE {
                self.line(stray.peer, line);
                line.clear();
            }
        }
        if line.is_empty() {
            held.remove(stray.peer);
        }
        if held.len() > MAX_PEERS {
            self.show_all(&mut held);
        }
    }

    /// Shows lines that have not ended.
    pub(crate) fn flush(&self) {
        self.show_all(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn show_all(&self, held: &mut HashMap<String, Vec<u8>>) {
        for (peer, line) in held.drain() {
            self.line(&peer, &line);
        }
    }

    fn line(&self, peer: &str, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            let text = String::from_utf8_lossy(line);
            (self.show)(&format!("{peer}: {}", one_line(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_labelled_and_escaped() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&shown);
        let lines = StrayLines::new(move |line| kept.lock().unwrap().push(line.to_owned()));
        let expect = |expected: &[&str]| {
            assert_eq!(std::mem::take(&mut *shown.lock().unwrap()), expected);
        };
        let stray = |bytes: &[u8], is_noise| {
            lines.console()(&Stray::new("a", bytes, is_noise));
        };
        stray(b"bo", false);
        stray(b"ot \x1b[2J\r\n\r\nand", false);
        expect(&["a: boot \\x1b[2J"]);
        stray(b"\xf8\0panic", true);
        expect(&["a: and", "a: a damaged packet: \\xf8\\x00panic"]);
        stray(&[b'x'; MAX_LINE + 1], false);
        expect(&[&format!("a: {}", "x".repeat(MAX_LINE))]);
        lines.flush();
        lines.flush();
        expect(&["a: x"]);
    }
}
