//! What a reactor under test is made with: requests and memory of each kind, of one size.

use hgrpc::store::FixedRequests;
use hgrpc_std::requests::Budgets;
use hgrpc_std::requests::{GatheredBytes, GrowableRequests};

/// Requests that are held at once, and as many that are refused.
const REQUESTS: usize = 4;

/// Fixed requests with so many bytes of memory.
pub(crate) fn fixed(bytes: usize) -> (FixedRequests<REQUESTS>, Vec<u8>) {
    (FixedRequests::new(), vec![0; bytes])
}

/// The same, growing.
pub(crate) fn growable(bytes: usize) -> (GrowableRequests, GatheredBytes) {
    let mut budgets = Budgets::DEFAULT;
    budgets.requests = REQUESTS;
    budgets.refused = REQUESTS;
    budgets.bytes = bytes;
    (GrowableRequests::new(budgets), GatheredBytes::new(bytes))
}

/// Bytes that come in pieces, told as if they came in one: `what` they are of, and how they stand
/// with the last piece.
#[derive(Default)]
pub(crate) struct Joined {
    what: String,
    bytes: Vec<u8>,
    end: String,
}

impl Joined {
    /// Adds a piece.
    pub(crate) fn add(&mut self, log: &mut Vec<String>, what: String, bytes: &[u8], end: String) {
        if self.what != what {
            self.tell(log);
            self.what = what;
        }
        self.bytes.extend_from_slice(bytes);
        self.end = end;
    }

    /// Tells what was added, unless it is nothing.
    pub(crate) fn tell(&mut self, log: &mut Vec<String>) {
        let Self { what, bytes, end } = std::mem::take(self);
        if !bytes.is_empty() || end.ends_with("last") {
            log.push(format!("{what} {bytes:02x?} {end}"));
        }
    }

    /// Forgets what was added.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The frame that was made last, whose header says how long it is.
pub(crate) fn made(frame: &[u8]) -> String {
    let (header, payload) = hgrpc::wire::FrameHeader::split_from(frame).expect("a whole header");
    assert_eq!(u32::try_from(payload.len()), Ok(header.length()));
    format!("out {frame:02x?}")
}
