//! An HTTP client whose connections lead nowhere: what comes is given, what goes is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use hgrpc::KeyOrder;
use hgrpc_std::http::{API_NAME, CBOR_MEDIA_TYPE, Capabilities, Client, Config, Error};
use hgrpc_std::value::Value;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Where bytes are cut: each next piece has so many, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts {
    Nowhere,
    After(usize),
    Anywhere(u8),
}

impl Cuts {
    pub(crate) fn next(&mut self) -> usize {
        match self {
            Self::Nowhere => usize::MAX,
            Self::After(len) => *len,
            Self::Anywhere(state) => {
                *state = state.wrapping_mul(5).wrapping_add(7);
                1 + usize::from(*state % 19)
            }
        }
    }
}

/// A request, by where it went.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    /// Whether this stands in it.
    pub(crate) fn says(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.bytes.windows(text.len()).any(|window| window == text)
    }
}

#[derive(Debug)]
struct State {
    answers: VecDeque<Vec<u8>>,
    cuts: Cuts,
    sent: Vec<Sent>,
}

/// What answers, one connection after another.
#[derive(Clone, Debug)]
pub(crate) struct Canned(Arc<Mutex<State>>);

impl Canned {
    /// The first connections get these answers.
    pub(crate) fn new(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            answers: answers.into_iter().collect(),
            cuts: Cuts::Nowhere,
            sent: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A target that has failed must not fail in another way.
        self.0.lock().unwrap_or_else(|error| error.into_inner())
    }

    /// The next connections get this answer, cut so.
    pub(crate) fn answer(&self, bytes: Vec<u8>, cuts: Cuts) {
        let state = &mut *self.state();
        state.answers = [bytes].into();
        state.cuts = cuts;
    }

    /// What was sent since it was asked last.
    pub(crate) fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state().sent)
    }

    pub(crate) fn connect(&self, url: &str, config: Config) -> Result<Client, Error> {
        Client::connect_through(url, config, self.clone(), Nowhere)
    }
}

/// A client of a server with these commands, and what answers it from then on.
pub(crate) fn connected(commands: &Capabilities, config: Config) -> (Canned, Client) {
    let bytes = |text: &str| Value::from(text.as_bytes());
    let apis = Value::Map(vec![(bytes(API_NAME), commands.to_value())]);
    let body = Value::Map(vec![
        (bytes("apibase"), bytes("api/")),
        (bytes("apis"), apis),
    ]);
    let body = body.encode(KeyOrder::Bytewise).expect("it is made of maps");
    let head = [("Content-Type", CBOR_MEDIA_TYPE)];
    let canned = Canned::new([answer("200 OK", &head, &body)]);
    let client = canned.connect("http://server/", config);
    (canned, client.expect("it is a good handshake"))
}

/// An answer with this head and body. Without a length the connection's end is the body's.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

impl Connector for Canned {
    type Out = Pipe;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Pipe>, ureq::Error> {
        let authority = details.uri.authority().map(|a| a.as_str().to_owned());
        let state = &mut *self.state();
        state.sent.push(Sent {
            authority: authority.unwrap_or_default(),
            bytes: Vec::new(),
        });
        Ok(Some(Pipe {
            buffers: LazyBuffers::new(BUFFER, BUFFER),
            answer: state.answers.pop_front().unwrap_or_default(),
            at: 0,
            cuts: state.cuts,
            number: state.sent.len() - 1,
            canned: self.clone(),
        }))
    }
}

/// Room for any head here.
const BUFFER: usize = 16 << 10;

/// One connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    buffers: LazyBuffers,
    answer: Vec<u8>,
    at: usize,
    cuts: Cuts,
    number: usize,
    canned: Canned,
}

impl Transport for Pipe {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let bytes = &self.buffers.output()[..amount];
        if let Some(sent) = self.canned.state().sent.get_mut(self.number) {
            sent.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let left = &self.answer[self.at..];
        let room = self.buffers.input_append_buf();
        let len = self.cuts.next().min(left.len()).min(room.len());
        room[..len].copy_from_slice(&left[..len]);
        self.at += len;
        self.buffers.input_appended(len);
        Ok(len > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

/// Every name has an address, which nobody uses.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([192, 0, 2, 1], 1).into());
        Ok(addresses)
    }
}
