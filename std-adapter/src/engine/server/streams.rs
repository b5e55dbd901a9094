//! Compressing streams (revision-0006.md, 3.5a): a reply has one for itself until it ends.

use hgrpc::cbor::ContentEncoding;
use hgrpc::output::Stream;

use super::Core;
use crate::encoding::{Encoder, encoder};
use crate::host::Config;

/// A compressing stream and its encoder.
pub(super) struct Coded {
    /// `None`: the connection's only stream.
    pub(super) stream: Option<Stream>,
    pub(super) encoder: Box<dyn Encoder>,
}

/// The compressing streams that no reply uses, and how many there are in all.
#[derive(Default)]
pub(super) struct Streams {
    idle: Vec<Coded>,
    count: usize,
    /// No stream is opened but the connection's own.
    is_single: bool,
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
        if self.is_single || self.count >= config.limits.compressed_streams {
            return None;
        }
        let encoder = encoder(encoding)?;
        let stream = core.open_stream(&[encoding]).ok()?;
        self.count += 1;
        Some(Coded {
            stream: Some(stream),
            encoder,
        })
    }

    /// A reply has ended: its stream can be used again, if its encoder is whole. `true`: it was the
    /// connection's only one, and has ended.
    pub(super) fn give_back(&mut self, core: &mut Core, coded: Coded, is_broken: bool) -> bool {
        if !is_broken {
            self.idle.push(coded);
            return false;
        }
        let Some(stream) = coded.stream else {
            return true;
        };
        self.count -= 1;
        // It was ended with its last frame, or the connection is gone.
        drop(core.close_stream(stream));
        false
    }

    /// Has all responses go on the connection's only stream, which has this encoding.
    pub(super) fn be_single(&mut self, encoding: ContentEncoding) {
        self.is_single = true;
        let coded = match encoding {
            ContentEncoding::Identity => None,
            encoding => encoder(encoding),
        };
        self.idle.extend(coded.map(|encoder| Coded {
            stream: None,
            encoder,
        }));
    }
}
