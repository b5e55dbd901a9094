//! Compressing streams (revision-0006.md, 3.5a): a reply has one for itself until it ends.

use hgrpc::cbor::ContentEncoding;
use hgrpc::next::output::Stream;

use super::Core;
use crate::encoding::{Encoder, encoder};
use crate::host::Config;

/// A compressing stream and its encoder.
pub(super) struct Coded {
    pub(super) stream: Stream,
    pub(super) encoder: Box<dyn Encoder>,
}

/// The compressing streams that no reply uses, and how many there are in all.
#[derive(Default)]
pub(super) struct Streams {
    idle: Vec<Coded>,
    count: usize,
}

impl Streams {
    /// A compressing stream for a reply that begins, if the peer decodes one and it is not too many.
    pub(super) fn take(&mut self, core: &mut Core, config: &Config) -> Option<Coded> {
        if !config.revision.has_settings() {
            return None;
        }
        let encoding = core.peer_encodings().choose(&config.encodes);
        if encoding == ContentEncoding::Identity {
            return None;
        }
        if let Some(idle) = self.idle.pop() {
            return Some(idle);
        }
        if self.count >= config.limits.compressed_streams {
            return None;
        }
        let encoder = encoder(encoding)?;
        let stream = core.open_stream(&[encoding]).ok()?;
        self.count += 1;
        Some(Coded { stream, encoder })
    }

    /// A reply has ended: its stream can be used again, if its encoder is whole.
    pub(super) fn give_back(&mut self, core: &mut Core, coded: Coded, is_broken: bool) {
        if !is_broken {
            return self.idle.push(coded);
        }
        self.count -= 1;
        // It was ended with its last frame, or the connection is gone.
        drop(core.close_stream(coded.stream));
    }
}
