//! A connection, the client at its other end, and handlers that follow scripts.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Waker;

use hgrpc::Revision;
use hgrpc::cbor::{ArgsWriter, ContentEncoding, EncodingSet};
use hgrpc::client::{Announcement, ClientConfig};
use hgrpc::client::{Client, Request as Asked, Upload};
use hgrpc::output::{Output, Stream};

use super::super::*;
use super::script::{Script, Step};
use crate::gate::{Refusal, ServerLimits};
use crate::host::Config;
use crate::requests::Budgets;
use crate::requests::GrowableRequests;

/// The routes of all rigs.
pub(super) fn find(name: &[u8]) -> Option<u8> {
    [&b"script"[..], b"cat", b"wait", b"panic"]
        .iter()
        .position(|known| *known == name)
        .and_then(|place| u8::try_from(place).ok())
}

pub(super) fn config(revision: Revision, encodes: &[ContentEncoding]) -> Config {
    let mut config = Config::new(revision);
    config.encodes = encodes.to_vec();
    config
}

pub(super) fn limits() -> ServerLimits {
    let mut limits = ServerLimits::DEFAULT;
    limits.per_connection.send_frame_size = 300;
    limits
}

/// What a client sends.
pub(super) struct Sender {
    client: Client<Revision, GrowableRequests>,
    stream: Stream,
    uploads: BTreeMap<u16, Upload>,
}

impl Sender {
    pub(super) fn new(revision: Revision) -> Self {
        let mut config = ClientConfig::FULL_DUPLEX;
        config.announcement = Some(Announcement {
            encodings: [
                Some(ContentEncoding::Zlib),
                Some(ContentEncoding::Identity),
                None,
            ],
            is_hgrpc: true,
        });
        config.decoders = EncodingSet::IDENTITY.with(ContentEncoding::Zlib);
        let mut budgets = Budgets::DEFAULT;
        budgets.requests = 10_000;
        Self {
            client: Client::new(revision, config, GrowableRequests::new(budgets)),
            stream: Stream::CLIENT,
            uploads: BTreeMap::new(),
        }
    }

    fn frame(
        &mut self,
        make: impl Fn(&mut Client<Revision, GrowableRequests>, &mut Output<'_>) -> bool,
    ) -> Vec<u8> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 1008]);
        loop {
            let stream = std::mem::replace(&mut self.stream, Stream::CLIENT);
            let mut out = Output::new(stream, &mut buffer);
            let is_done = make(&mut self.client, &mut out);
            bytes.extend_from_slice(out.frame());
            self.stream = out.into_stream();
            if is_done {
                return bytes;
            }
        }
    }

    /// A request: its ID and its frames.
    pub(super) fn request(&mut self, name: &str, steps: &[u8], has_data: bool) -> (u16, Vec<u8>) {
        let mut memory = vec![0; steps.len() + 64];
        let mut args = ArgsWriter::new(&mut memory, self.client.revision().key_order());
        args.bytes(b"steps", steps).unwrap();
        let request = Asked::new(name.as_bytes(), args.finish().unwrap());
        let (upload, _) = self.client.request(has_data).unwrap();
        let bytes = self.frame(|client, out| client.send(&upload, &request, out).unwrap());
        let id = upload.request_id().value();
        self.uploads.insert(id, upload);
        (id, bytes)
    }

    /// Data of a request.
    pub(super) fn data(&mut self, id: u16, data: &[u8], is_last: bool) -> Vec<u8> {
        let upload = self.uploads.remove(&id).unwrap();
        let rest = std::cell::Cell::new(data);
        let bytes = self.frame(|client, out| {
            let mut left = rest.get();
            let is_done = client.send_data(&upload, &mut left, is_last, out).unwrap();
            rest.set(left);
            is_done
        });
        self.uploads.insert(id, upload);
        bytes
    }
}

/// A connection and its handlers.
pub(super) struct Rig {
    pub(super) connection: Connection,
    /// What has come and was not taken.
    pub(super) input: Vec<u8>,
    /// What was written.
    pub(super) output: Vec<u8>,
    pub(super) scripts: BTreeMap<Key, Script>,
    /// Commands as they came.
    pub(super) commands: Vec<(Key, Request)>,
    pub(super) stopped: Vec<Key>,
    pub(super) now: u64,
    pub(super) error: Option<ConnectionError>,
    /// Bytes that the peer takes at once.
    pub(super) window: usize,
}

impl Rig {
    pub(super) fn new(config: Config, limits: ServerLimits) -> Self {
        Self::of(&Shared::new(config, limits, Hooks::default()))
    }

    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        let peer = Arc::new(Peer::UNKNOWN);
        let waker = Waker::noop().clone();
        Self {
            connection: Connection::new(Arc::clone(shared), peer, waker, 1).unwrap(),
            input: Vec::new(),
            output: Vec::new(),
            scripts: BTreeMap::new(),
            commands: Vec::new(),
            stopped: Vec::new(),
            now: 1,
            error: None,
            window: usize::MAX,
        }
    }

    pub(super) fn stats(&self) -> crate::gate::Stats {
        self.connection.shared().stats()
    }

    /// Bytes that its commands' requests hold.
    pub(super) fn held(&self) -> u64 {
        let held = self.commands.iter().map(|(_, request)| request.len());
        u64::try_from(held.sum::<usize>()).unwrap()
    }

    pub(super) fn refused(&self, refusal: Refusal) -> u64 {
        self.stats().refused_for(refusal)
    }

    /// Bytes come.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.run();
    }

    /// Does what can be done.
    pub(super) fn run(&mut self) {
        for _ in 0..1_000_000 {
            let mut has_moved = self.take_input();
            has_moved |= self.run_scripts();
            has_moved |= self.write();
            while let Some(wake) = self.connection.pop_wake() {
                if let Wake::Stop(key) = wake {
                    has_moved = true;
                    self.stopped.push(key);
                    if let Some(script) = self.scripts.remove(&key) {
                        script.drop_all(&mut self.connection, key);
                    }
                    self.connection.handler_ended(key, Outcome::Dropped);
                }
            }
            if !has_moved {
                return;
            }
        }
        panic!("it goes round in circles");
    }

    fn take_input(&mut self) -> bool {
        if self.error.is_some() {
            return false;
        }
        let mut rest = &self.input[..];
        let before = rest.len();
        let next = self.connection.next(&mut rest, self.now, find);
        let left = rest.len();
        self.input.drain(..before - left);
        match next {
            Ok(Some(command)) => {
                let script = Script::new(&command);
                self.scripts.insert(command.key, script);
                self.commands.push((command.key, command.request));
                true
            }
            Ok(None) => left < before,
            Err(error) => {
                self.error = Some(error);
                true
            }
        }
    }

    fn run_scripts(&mut self) -> bool {
        let mut has_moved = false;
        for key in self.scripts.keys().copied().collect::<Vec<_>>() {
            let mut script = self.scripts.remove(&key).unwrap();
            match script.step(&mut self.connection, key) {
                Step::Waits => {
                    self.scripts.insert(key, script);
                }
                Step::Moved => {
                    has_moved = true;
                    self.scripts.insert(key, script);
                }
                Step::Ended(outcome) => {
                    has_moved = true;
                    script.drop_all(&mut self.connection, key);
                    self.connection.handler_ended(key, outcome);
                }
            }
        }
        has_moved
    }

    /// The peer takes what it takes.
    pub(super) fn write(&mut self) -> bool {
        self.connection.fill(self.now);
        let mut slices = [IoSlice::new(&[]); 8];
        let count = self.connection.output(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        let len = bytes.len().min(self.window);
        self.window -= if self.window == usize::MAX { 0 } else { len };
        self.output.extend_from_slice(&bytes[..len]);
        if len > 0 {
            self.connection.sent(len, self.now);
        }
        len > 0
    }

    /// The responses as frames: (request, type, flags, payload).
    pub(super) fn frames(&self) -> Vec<(u16, u8, u8, Vec<u8>)> {
        let mut rest = &self.output[..];
        let mut frames = Vec::new();
        while let Some((header, behind)) = hgrpc::wire::FrameHeader::split_from(rest) {
            let len = usize::try_from(header.length()).unwrap();
            frames.push((
                header.request_id().value(),
                header.kind_number(),
                header.flags().bits(),
                behind[..len].to_vec(),
            ));
            rest = &behind[len..];
        }
        assert!(rest.is_empty());
        frames
    }

    /// All that was sent for a request.
    pub(super) fn response(&self, id: u16) -> Vec<u8> {
        let frames = self.frames();
        let of = frames.into_iter().filter(|(other, ..)| *other == id);
        of.flat_map(|(.., payload)| payload).collect()
    }

    /// Whether a response says so.
    pub(super) fn says(&self, id: u16, text: &str) -> bool {
        let response = self.response(id);
        let mut parts = response.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    }

    /// Nothing is left of any command.
    pub(super) fn assert_idle(&self) {
        assert!(self.connection.is_idle());
        assert_eq!(self.connection.commands.len(), 0);
        assert_eq!(self.connection.uploads, 0);
        let stats = self.stats();
        assert_eq!(stats.running, 0);
        assert_eq!(self.connection.memory.held(), 0);
    }
}
